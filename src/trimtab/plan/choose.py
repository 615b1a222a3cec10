"""From options to a plan: what survives, the Pareto front, one recommended, its figures, and what flips it."""

import math
import time
from itertools import count

import msgspec

from trimtab.plan import (
    cascade,
    cost,
    crossing,
    devices,
    load,
    memory,
    models,
    naming,
    options,
    prices,
    rates,
    rejected,
    routings,
    serving,
    speed,
)
from trimtab.plan import weights as sizes
from trimtab.plan.architecture import Architecture
from trimtab.plan.cache import Session
from trimtab.plan.cost import House
from trimtab.plan.figure import Figure, around
from trimtab.plan.needs import Needs
from trimtab.plan.option import PERSONAL, Option, cached
from trimtab.plan.refit import NONE, Scales

FRONT, SHORT, ROUNDS = 12, 24, 8
"""How many a plan shows, how many are simulated at a time, and how often others may come up."""
GROWTH = (1, 2, 10)
SAME = 1.05
"""Costs nearer to each other than that are the same: hardware's prices are not known better."""
SLACK = (1, 3, 10, math.inf)
"""Times the limits of time that nobody asked for, until something meets them."""
FELT = 0.1
"""Seconds that nobody feels (Nielsen 1993, "Response times: the three important limits")."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The answer. `rejected` is constraint -> how many options broke it, and the one that came nearest."""

    needs: Needs
    held: Needs
    """The same, with limits of time that nobody had asked for as far as something met them."""
    house: House
    best: Option
    front: tuple[Option, ...]
    rejected: dict[str, tuple[int, str]]
    figures: dict[str, Figure]
    growth: dict[str, tuple[float | None, load.Waits | None, int]]
    flips: tuple[crossing.Flip, ...]
    considered: int
    seconds: float


def plan(needs: Needs, house: House | None = None, probed: Scales = NONE) -> Plan:
    """The plan; with `probed` the device that was measured runs at its measured pace.

    Raises:
        ConfigError: nothing meets the constraints; which one, or which two together, is said.
    """
    began, house = time.perf_counter(), house or House()
    held, every, front = _met(needs, house, probed)
    best = front[0]
    return Plan(
        needs=needs, held=held, house=house, best=best, front=tuple(front[:FRONT]),
        rejected=rejected.reasons(every), figures=figures(best, held, house),
        growth={f"{n}x": _grown(best, held, house, n) for n in GROWTH}, considered=len(every),
        flips=tuple(flips(best, held, house, every)), seconds=time.perf_counter() - began,
    )  # fmt: skip


def _met(needs: Needs, house: House, probed: Scales) -> tuple[Needs, list[Option], list[Option]]:
    """The constraints as far as something meets them, every option, and the front."""
    every: list[Option] = []
    for held in dict.fromkeys(_patient(needs, slack) for slack in SLACK):
        every = options.all_of(held, house, probed)
        if front := _front(every, held):
            return held, every, front
    raise rejected.contradiction(every)


def _patient(needs: Needs, slack: float) -> Needs:
    """The same with limits of time that nobody asked for `slack` times as loose."""
    loose = {"first_p95": (needs.latest or 0.0) * slack, "pace": (needs.slowest or 0.0) / slack}
    held = {key: 0.0 if slack == math.inf else value for key, value in loose.items() if getattr(needs, key) is None}
    return msgspec.structs.replace(needs, **held)


def pareto(found: list[Option], needs: Needs) -> list[Option]:
    """Those that no other beats in cost, p95 and quality at once; the best by what matters most first.

    Differences below a dollar, 10 ms and a tenth of a percent are none.
    """
    front: list[tuple[tuple[float, ...], Option]] = []
    for worth, one in sorted(((_worth(one), one) for one in found), key=lambda pair: pair[0]):
        if not any(a[1] <= worth[1] and a[2] <= worth[2] for a, _ in front):  # a[0] is lower by the order
            front.append((worth, one))
    return _ranked([one for _, one in front], needs)


def _front(every: list[Option], needs: Needs) -> list[Option]:
    """The front with its p95 simulated; whoever breaks the limit in the simulation, or waits longer than it seemed,
    falls out, and others come up until those that are shown stay."""
    done: dict[int, Option] = {}
    for number in count():
        front = pareto([one for one in every if not one.fails], needs)
        if number >= ROUNDS:  # enough, where any that was simulated is left
            front = pareto([one for one in done.values() if not one.fails], needs) or front
        if all(id(one) in done for one in front[:FRONT]):
            return front[:FRONT]
        for one in front[:SHORT]:
            if id(one) not in done:
                done[id(one)] = _timed(one, needs)
            if needs.latest and one.first_p95 > needs.latest:
                one.fails["first_p95"] = f"p95 TTFT {one.first_p95:.2f} s > {needs.latest:g} s (simulated)"
    raise AssertionError  # `count` does not end


def _timed(one: Option, needs: Needs) -> Option:
    """The option with its p95 as simulated."""
    if waits := simulated(one, needs, needs.rate):
        one.first_p95 = _blended(one, needs, waits)[0] if one.large else _late(one, waits)
    return one


def _late(one: Option, waits: load.Waits) -> float:
    """p95 to the first token: as simulated, but no less than the mean that a steady number of sequences would see."""
    return max(waits.first_p95, one.first)


def _blended(one: Option, needs: Needs, waits: load.Waits) -> tuple[float, float]:
    """p95 to the first token and to the last with a provider behind or beside the small model: of both distributions.
    A cascade shows nothing before the small model's whole answer was judged."""
    firsts, wholes = cascade.provider(needs.answer)
    after = one.routing == "cascade"
    shown = waits.wholes if after else waits.firsts
    return (
        cascade.blended(shown, firsts, needs.escalated, after=after)[1],
        cascade.blended(waits.wholes, wholes, needs.escalated, after=after)[1],
    )


def simulated(one: Option, needs: Needs, rate: float) -> load.Waits | None:
    """Waiting under `rate`: of servers with slots in one queue, of one batching server under its share; None for a
    provider, and for a device that has its own user: nobody else is in the queue."""
    if one.runtime == "api" or devices.find(one.device).kind in PERSONAL:
        return None
    working = max(1, one.servers - 1)  # one is the spare
    if one.runtime == "llama.cpp":
        read = max(0.0, one.first - 1 / one.pace) / max(needs.prompt, 1)
        return load.slots(rate, needs.prompt, needs.answer, token=1 / one.pace, read=read, servers=working)
    facts = _load(one, needs)
    alone, slower = msgspec.structs.replace(facts, apart=True), one.scales.step or 1.0
    return load.simulate(
        rate / working, needs.prompt, needs.answer, slots=_slots(one, needs),
        step=lambda batch: rates.step_seconds(msgspec.structs.replace(alone, batch=float(max(1, batch)))) * slower,
        read=rates.read_seconds(facts) * (one.scales.first or 1.0),
        overhead=rates.overhead_seconds(facts) * (one.scales.first or 1.0),
    )  # fmt: skip


def figures(one: Option, needs: Needs, house: House) -> dict[str, Figure]:
    """The option's figures with their intervals."""
    found = _figures(one, needs, house)
    if needs.harm:
        wrong = around(loss(one, needs), 0.5, 2.0, "USD/month", "extrapolated", "of a benchmark, not of your requests")
        return found | {"loss": wrong}
    return found


def _figures(one: Option, needs: Needs, house: House) -> dict[str, Figure]:
    if one.runtime == "api":
        return {
            "pace": Figure(*cascade.PACE, "tok/s", "unknown", "providers publish none"),
            "first": Figure(*cascade.FIRST, "s", "unknown", "providers publish none"),
            "cost": around(one.cost or 0, 0.95, 1.05, "USD/month", "calibrated", "list price"),
        }
    found: dict[str, Figure] = {}
    writes, reads = ("decode", "prefill") if one.runtime == "llama.cpp" else ("step", "first")
    reading, writing = _on(one, needs)
    pace = rates.spread(writes, writing, known=one.known, probed=one.scales.new if one.scales.on(writes) else None)
    found["pace"] = around(one.pace, 1 / pace[1], 1 / pace[0], "tok/s", pace[2])
    first = rates.spread(reads, reading, known=one.known, probed=one.scales.new if one.scales.on(reads) else None)
    found["first"] = around(one.first, first[0], first[1], "s", first[2])
    if waits := simulated(one, needs, needs.rate):
        found |= _waits(waits, one, found["first"], pace, _blended(one, needs, waits) if one.large else None)
    if one.watts:
        served = one.runtime == "vllm"
        low, high, tag = rates.spread("watts", writing, known=one.known) if served else (0.6, 1.6, "extrapolated")
        found["watts"] = around(one.watts, low, high, "W", tag)
        found["joules"] = (
            rates.joules(_load(one, needs), known=one.known) if served
            else around(one.watts / max(one.pace * one.servers, 1e-9), 0.6, 1.6, "J/token", "extrapolated")
        )  # fmt: skip
    device = devices.find(one.device)
    if one.cost is not None:
        priced = cost.own(device, one.gpus, one.servers, (one.watts or 0) / max(1, one.servers * one.gpus), house)
        spread = (priced.low / priced.central, priced.high / priced.central) if priced else (1.0, 1.0)
        found["cost"] = around(one.cost, *spread, "USD/month", "extrapolated")
    return found


def _on(one: Option, needs: Needs) -> tuple[speed.Run, speed.Run] | tuple[serving.Load, serving.Load]:
    """What reads its prompts, and what writes."""
    if one.runtime == "llama.cpp":
        return options.runs(one.model, one.precision, devices.find(one.device), one.gpus, needs)
    return (facts := _load(one, needs)), facts


def _waits(
    waits: load.Waits, one: Option, first: Figure, pace: rates.Spread, both: tuple[float, float] | None
) -> dict[str, Figure]:
    """p95 as simulated, each as sure as what it is made of: waiting as the first token, writing as a step; `both`: with
    a provider, whose times are assumed."""
    low, high, tag = pace
    early = first.low / first.central, first.high / first.central
    token = around(waits.token_p95 * 1000, low, high, "ms", tag, "simulated arrivals")
    if both:
        why = "simulated arrivals and an assumed provider"
        guess = (around(seconds, early[0] * 0.7, early[1] * 1.4, "s", "extrapolated", why) for seconds in both)
        return dict(zip(("first_p95", "whole_p95"), guess, strict=True)) | {"token_p95": token}
    return {
        "first_p95": around(_late(one, waits), *early, "s", first.tag, "simulated arrivals"), "token_p95": token,
        "whole_p95": around(waits.whole_p95, low, high, "s", tag, "simulated arrivals"),
    }  # fmt: skip


def stack(found: Plan) -> tuple[dict[str, Figure], Architecture | None]:
    """The memory of one of the recommended servers, part by part, and the shape; nothing for a provider."""
    one, needs = found.best, found.needs
    row = naming.match(one.model, models.catalog())
    if one.runtime == "api" or not row:
        return {}, None
    if one.runtime == "vllm":
        device = devices.find(one.device)
        return memory.paged(row.shape, one.precision, device=device.memory, gpus=one.gpus), row.shape
    return memory.stack(row.shape, one.precision, Session(context=needs.length)), row.shape


def flips(best: Option, needs: Needs, house: House, every: list[Option]) -> list[crossing.Flip]:
    """What changes the decision: the volume at which a provider wins or loses, escalation, and the next constraint."""
    found: list[crossing.Flip] = []
    left = [one for one in every if not one.fails]
    listed = None if needs.private else prices.find(needs.large)
    house_one = best if best.runtime != "api" else crossing.cheapest_own(left, needs, house, listed)
    if listed and house_one and house_one.cost is not None:
        ruled = {key for one in every if one.runtime == "api" for key in one.fails} - {"model"}
        found += crossing.against_provider(house_one, needs, house, listed, ", ".join(sorted(ruled)))
    return found + _next(best, needs, left)


def _next(best: Option, needs: Needs, left: list[Option]) -> list[crossing.Flip]:
    """The limit below which the recommendation itself falls out, and what then follows."""
    rest = [one for one in left if one is not best and one.first_p95 < best.first_p95]
    for then in _ranked(rest, needs)[:ROUNDS]:
        if _timed(then, needs).first_p95 < best.first_p95:
            says = f"below a limit of {best.first_p95:.2f} s to the first token (p95) {then.name} is next"
            return [crossing.Flip("first_p95", best.first_p95, "s", says)]
    return []


def _grown(best: Option, needs: Needs, house: House, factor: int) -> tuple[float | None, load.Waits | None, int]:
    """USD a month, waiting on today's servers, and servers that are needed, at `factor` times the volume."""
    return (
        crossing.cost_at(best, needs, house, factor), simulated(best, needs, needs.rate * factor),
        crossing.servers_at(best, needs, house, factor),
    )  # fmt: skip


def _load(one: Option, needs: Needs) -> serving.Load:
    row = naming.match(one.model, models.catalog()) or models.find(one.model)
    size = sizes.table()[row.shape.name, one.precision]
    parts = serving.Split(size.routed, size.other, size.used)
    return serving.load(
        row.shape, parts, devices.find(one.device), gpus=one.gpus, batch=one.batch, prompt=int(needs.prompt),
        answer=int(needs.answer), precision=one.precision,
    )  # fmt: skip


def _slots(one: Option, needs: Needs) -> int:
    size = sizes.table()[one.model, one.precision]
    room = (one.usable - options.SPARE_MIB) * one.gpus - size.held
    return max(1, int(min(options.MAX_BATCH, room / (cached(one.model, needs.length) + 0.01))))


def _worth(one: Option) -> tuple[float, float, float]:
    """Cost, p95 and what is not right: of each, less is better."""
    dear = round(one.cost) if one.cost is not None else float("inf")
    return (dear, round(one.first_p95, 2), -round(one.quality, 1) if one.quality is not None else 0.0)


def loss(one: Option, needs: Needs) -> float:
    """USD a month that wrong answers cost; where nobody lists a score: a provider's assumed one, else nothing right."""
    unlisted = routings.LARGE_RIGHT if one.runtime == "api" else 0.0
    right = one.quality if one.quality is not None else unlisted
    return needs.requests * (1 - right / 100) * needs.harm


def _ranked(found: list[Option], needs: Needs) -> list[Option]:
    """By what matters most; of what costs as good as the cheapest, the better one is first (of those alike the
    cheapest), and of what is as good as the quickest, the cheaper one."""

    def dear(one: Option) -> float:
        return one.cost + loss(one, needs) if one.cost is not None else math.inf

    same = SAME * min(map(dear, found), default=0.0)
    soon = FELT + max(FELT, min((one.first_p95 for one in found), default=0.0))

    def key(one: Option) -> tuple[float, ...]:
        right = -(one.quality if one.quality is not None else 0.0)
        if needs.fails == "latency":
            return (max(one.first_p95, soon), dear(one), right)
        if needs.fails == "quality":
            return (right, dear(one), one.first_p95)
        if needs.fails == "privacy":
            return (float(bool(one.large) or one.runtime == "api"), dear(one), right, one.first_p95)
        return (max(dear(one), same), right, dear(one), one.first_p95)

    return sorted(found, key=key)
