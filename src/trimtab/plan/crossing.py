"""What an option costs at other volumes, and at which one a provider's bill crosses it."""

import math

import msgspec

from trimtab.plan import cascade, cost, devices, prices
from trimtab.plan.cost import House
from trimtab.plan.needs import Needs
from trimtab.plan.option import PERSONAL, Option, slotted
from trimtab.plan.prices import Listed


class Flip(msgspec.Struct, frozen=True):
    """A threshold: what changes, at which value of what, said as a sentence."""

    what: str
    at: float | None
    unit: str
    says: str


def servers_at(best: Option, needs: Needs, house: House, factor: float) -> int:
    if best.runtime == "api":
        return 0
    device = devices.find(best.device)
    if device.kind in PERSONAL:
        return math.ceil(needs.rate * factor / best.carries)
    if best.runtime == "llama.cpp":
        then = msgspec.structs.replace(needs, requests=needs.requests * factor)
        return slotted(then, house, device, best.first - 1 / best.pace, 1 / best.pace)[0]
    return cost.servers(needs.use.times(factor), best.carries, house, needs.peak)


def cost_at(best: Option, needs: Needs, house: House, factor: float) -> float | None:
    if best.runtime == "api":
        return (best.cost or 0.0) * factor
    if best.cost is None:
        return None
    device, count = devices.find(best.device), servers_at(best, needs, house, factor)
    power = (best.watts or 0) / max(1, best.gpus * best.servers)
    priced = cost.own(device, best.gpus, count, power, house) if device.kind not in PERSONAL else None
    return (priced.central if priced else 0.0) + large_share(best, needs) * factor


def large_share(best: Option, needs: Needs) -> float:
    listed = prices.find(needs.large) if best.large else None
    return needs.escalated * cost.api(listed, needs.use) if listed else 0.0


def cheapest_own(left: list[Option], needs: Needs, house: House, listed: Listed | None) -> Option | None:
    """Of the options that run a model on hardware of one's own alone, the cheapest where the provider's bill meets it:
    that is where the decision would turn to it."""
    own = [one for one in left if one.runtime != "api" and not one.large and one.cost]
    found, factor = None, 1.0
    for _ in range(4):
        then = min(own, key=lambda one, at=factor: cost_at(one, needs, house, at) or 0.0, default=None)
        if then is found or not then or not listed:
            break
        found, factor = then, (_meets(then, needs, house, listed) or needs.requests) / needs.requests
    return found


def _meets(one: Option, needs: Needs, house: House, listed: Listed) -> float | None:
    """Requests a month at which the cheaper of the option and the provider changes."""
    return cost.threshold(
        lambda requests: cost_at(one, needs, house, requests / needs.requests) or 0.0,
        lambda requests: cost.api(listed, needs.use.times(requests / needs.requests)),
        needs.requests / 1e4, needs.requests * 1e4,
    )  # fmt: skip


def against_provider(one: Option, needs: Needs, house: House, listed: Listed, ruled: str) -> list[Flip]:
    """`ruled`: constraints that keep the provider out, whatever it costs."""
    each, name = needs.prompt + needs.answer, f"{needs.large} (ruled out: {ruled})" if ruled else needs.large
    own, api = cost_at(one, needs, house, 1.0) or 0.0, cost.api(listed, needs.use)
    at = _meets(one, needs, house, listed)
    tokens = at * each if at else None
    if tokens:
        now = _short(needs.requests * each)
        says = f"{name} is cheaper below {_short(tokens)} tokens a month (now {now}); {one.kind} above"
    else:
        says = f"{one.kind if own <= api else name} is cheaper at every volume that was tried"
    alone = max(own - large_share(one, needs), 0.0)
    edge = cascade.break_even(cascade.Rung(alone, (0.0,), 0.5), cascade.Rung(api, (0.0,), 0.5))
    found = [Flip("volume", tokens, "tokens/month", says)]
    if 0 < edge < 0.995:  # above, it would read 100 %
        says = f"a small model in front of {needs.large} loses to it alone above {edge:.0%} escalation"
        found.append(Flip("escalation", edge, "share", says))
    return found


def _short(value: float) -> str:
    for size, word in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{value:.0f}"
