"""Answers by more than one model: a draft beside it, a provider behind it or before it; and a provider alone."""

import math
from collections.abc import Iterator
from functools import cache

import msgspec

from trimtab.plan import cascade, cost, devices, drafting, models, prices, weights
from trimtab.plan.cost import House
from trimtab.plan.models import Listed
from trimtab.plan.needs import Needs
from trimtab.plan.option import Option, cached, judged, price, slotted

ACCEPTED = 0.7
"""Share of a draft's tokens that a larger model of its family keeps: an assumption, to be measured."""
LARGE_RIGHT = 90.0
"""Percent that a provider's large model is taken to get right where nobody lists it: an assumption, shown as one."""


def drafted(needs: Needs, house: House, found: list[Option]) -> list[Option]:
    """Speculative decoding for options that write one sequence at a time, where the family has a much smaller model."""
    rows, made = models.catalog(), []
    able = [one for one in found if one.runtime == "llama.cpp" and not set(one.fails) - {"pace", "first_p95", "budget"}]
    for one in sorted(able, key=lambda one: one.cost if one.cost is not None else math.inf)[:60]:
        shape = rows[one.model].shape
        draft = next((row.shape for row in _siblings(one.model)), None)
        if not draft or (draft.name, "Q4_K_M") not in weights.table():
            continue
        share = drafting.cost_of(draft.active or draft.params, shape.active or shape.params)
        length = drafting.best_length(ACCEPTED, share)
        size = weights.table()[draft.name, "Q4_K_M"].held + cached(draft.name, needs.length)
        if length:
            gain = drafting.speed_up(ACCEPTED, length, share).central
            made.append(_faster(needs, house, one, draft.name, gain, size))
    return made


def _faster(needs: Needs, house: House, one: Option, draft: str, gain: float, size: float) -> Option:
    """The option with a draft: more memory, faster tokens, and so perhaps fewer devices."""
    pace = one.pace * gain
    device = devices.find(one.device)
    read = one.first - 1 / one.pace
    count, late = slotted(needs, house, device, read, 1 / pace)
    power = (one.watts or 0.0) / max(1, one.gpus * one.servers)
    fails = {key: why for key, why in one.fails.items() if key not in ("pace", "first_p95", "budget")}
    return judged(needs, msgspec.structs.replace(
        one, routing="drafting", draft=draft, memory=one.memory + size / one.gpus, pace=pace, servers=count,
        first=read + 1 / pace, first_p95=late, carries=1 / (read + needs.answer / pace), known=False, fails=fails,
        watts=power * one.gpus * count, cost=price(device, one.gpus, count, power, house),
    ))  # fmt: skip


@cache
def _siblings(name: str) -> tuple[Listed, ...]:
    """Models of the same family and vocabulary with at most an eighth of the parameters, the smallest first."""
    rows = models.catalog()
    shape, stem = rows[name].shape, name.split("-", maxsplit=1)[0]
    near = [
        row for key, row in rows.items()
        if key.split("-")[0] == stem and abs(row.shape.vocab - shape.vocab) < 200 and not row.shape.experts
        and row.shape.params * 8 <= (shape.active or shape.params)
    ]  # fmt: skip
    return tuple(sorted(near, key=lambda row: row.shape.params))


def mixed(needs: Needs, found: list[Option]) -> list[Option]:
    """A cascade and a router over the cheapest small ones: what they are not trusted with goes to a provider."""
    listed = prices.find(needs.large)
    if needs.private or not listed or ("cloud" not in needs.where and "server" not in needs.where):
        return []
    bill = cost.api(listed, needs.use)
    able = [one for one in found if one.cost is not None and not set(one.fails) - {"quality", "budget"}]
    able.sort(key=lambda one: (one.cost or 0.0) - 20 * (one.quality or 0))
    return [made for one in able[:40] for made in _with_large(needs, one, bill)]


def _with_large(needs: Needs, one: Option, bill: float) -> Iterator[Option]:
    for routing, caught, tries in (("cascade", 0.8, 1.0), ("router", 0.6, 1 - needs.escalated)):
        right = None
        if one.quality is not None:
            right = 100 * cascade.routed(one.quality / 100, LARGE_RIGHT / 100, needs.escalated, caught)
        fails = {key: why for key, why in one.fails.items() if key not in ("quality", "budget")}
        made = msgspec.structs.replace(
            one, routing=routing, large=needs.large, quality=right, cost=(one.cost or 0) + needs.escalated * bill,
            first_p95=one.first_p95 + (needs.answer / one.pace + 1.5 if tries == 1.0 else 1.0), fails=fails,
        )  # fmt: skip
        if needs.least and (right is None or right < needs.least):
            made.fails["quality"] = (
                f"{needs.benchmark} {'unknown' if right is None else f'{right:.0f} %'} after routing"
            )
        yield judged(needs, made)


def api(needs: Needs) -> Iterator[Option]:
    """The provider alone."""
    listed = prices.find(needs.large)
    if listed:
        fails = {"private": "requests leave for a provider"} if needs.private else {}
        if "cloud" not in needs.where:
            fails["where"] = "a provider is a cloud"
        if needs.licence:
            fails["licence"] = "a provider's model comes under no licence"
        if needs.model or needs.device:
            fails["model"] = f"not {needs.model or needs.device}"
        yield judged(needs, Option(
            model=needs.large, precision="", runtime="api", device="", gpus=0, servers=0, routing="large only",
            quality=None, memory=0, usable=0, pace=cascade.PACE[1], first=cascade.FIRST[1],
            first_p95=cascade.first_p95(), watts=None, known=False, fails=fails, cost=cost.api(listed, needs.use),
        ))  # fmt: skip
