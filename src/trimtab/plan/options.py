"""Everything that could answer: model x precision x runtime x hardware x servers, each with what it would give."""

import math
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import cache as kv
from trimtab.plan import cost, devices, drafting, models, naming, prices, rates, serving, speed, weights
from trimtab.plan import load as waiting
from trimtab.plan.cost import House
from trimtab.plan.devices import Device
from trimtab.plan.energy import local as local_watts
from trimtab.plan.figure import Figure, exact
from trimtab.plan.memory import Weights
from trimtab.plan.models import Listed
from trimtab.plan.needs import KINDS, Needs

MAX_BATCH = 256
SHARE = 0.9
"""Of a device's memory that vLLM takes."""
STEP_TOKENS = 4096
SPARE_MIB = 700.0
"""For what a runtime needs beside weights and cache (see `memory.RUNTIME`)."""
COUNTS = (1, 2, 4, 8)
P95 = 2.2
"""p95 over the mean of the time to the first token, until the simulation says it better."""
EIGHT_BIT = ("rtx-40", "rtx-50", "rtx-6000-ada", "rtx-5880", "rtx-pro", "l4", "h1", "h2", "b2", "b3", "gb", "mi3")
"""Devices that multiply at fp8; on others it saves memory alone and needs kernels that not all have."""
PERSONAL = ("phone", "sbc", "edge", "browser")
SERVED = ("nvidia", "amd")
ACCEPTED = 0.7
"""Share of a draft's tokens that a larger model of its family keeps: an assumption, to be measured."""
LARGE_RIGHT = 90.0
"""Percent that a provider's large model is taken to get right where nobody lists it: an assumption, shown as one."""


class Option(msgspec.Struct, kw_only=True):
    """One way to run it. Seconds, tokens a second, MiB on each device, USD a month, watts in all; None: not known."""

    model: str
    precision: str
    runtime: str
    device: str
    gpus: int
    servers: int
    routing: str
    quality: float | None
    memory: float
    usable: float
    pace: float
    first: float
    first_p95: float
    cost: float | None
    watts: float | None
    batch: float = 1.0
    carries: float = 0.0
    """Requests a second that one server could carry."""
    large: str = ""
    draft: str = ""
    """A small model of the same family that proposes tokens."""
    known: bool = True
    fails: dict[str, str] = msgspec.field(default_factory=dict)
    """Constraint -> why this option breaks it."""

    @property
    def name(self) -> str:
        """As a table shows it."""
        hardware = f"{self.servers} x {self.gpus} x {self.device}" if self.device else "API"
        also = f" + {self.large}" if self.large else f" with {self.draft}" if self.draft else ""
        return f"{self.routing}: {self.model} {self.precision}{also} on {hardware}, {self.runtime}".replace("  ", " ")


def all_of(needs: Needs, house: House) -> list[Option]:
    """Every option, those that break a constraint with the reason."""
    found: list[Option] = []
    hardware = _devices(needs)
    if not prices.find(needs.large) and not needs.private:
        raise no_price(needs.large)
    for name, row in _models(needs).items():
        reasons = _of_model(needs, row)
        local, served = weights.precisions(row.shape.family)
        for device in hardware:
            found += _local(needs, house, name, row, device, local, reasons)
            if device.maker in SERVED and device.kind in ("gpu", "dc"):
                found += _served(needs, house, name, row, device, served, reasons)
    found += _drafted(needs, house, found)
    found += _mixed(needs, found)
    found += list(_api(needs))
    return found


def _models(needs: Needs) -> dict[str, Listed]:
    rows = models.catalog()
    if not needs.model:
        return {name: row for name, row in rows.items() if "API only" not in row.licence}
    row = naming.match(needs.model, rows) or models.find(needs.model)
    return {row.shape.name: row}


def no_price(name: str) -> ConfigError:
    near = get_close_matches(name, [row.model for row in prices.catalog()], 3, 0.4)
    fix = f"Nearest: {', '.join(near)}; or name it provider/model." if near else "Name it provider/model."
    return ConfigError(f"No price of {name!r} in the catalog.", fix, param="large")


def _devices(needs: Needs) -> list[Device]:
    if needs.device:
        return [devices.find(needs.device)]
    kinds = {kind for place in needs.where for kind in KINDS[place]}
    return [
        device for device in devices.catalog().values()
        if device.kind in kinds and (needs.where != ("cloud",) or device.hourly)
    ]  # fmt: skip


def _of_model(needs: Needs, row: Listed) -> dict[str, str]:
    found: dict[str, str] = {}
    if needs.licence and needs.licence.lower() not in row.licence.lower():
        found["licence"] = f"licence {row.licence or 'unknown'}, not {needs.licence}"
    if row.shape.context and needs.length > row.shape.context:
        found["context"] = f"context {row.shape.context} < {needs.length} tokens"
    right = row.quality.get(needs.benchmark)
    if needs.quality is not None and (right is None or right < needs.quality):
        shown = "unknown" if right is None else f"{right:g} %"
        found["quality"] = f"{needs.benchmark} {shown} < {needs.quality:g} %"
    return found


def _local(
    needs: Needs, house: House, name: str, row: Listed, device: Device, tried: tuple[str, ...], reasons: dict[str, str]
) -> Iterator[Option]:
    """llama.cpp: one sequence at a time on each device."""
    if device.id in ("tpu-v5e", "inf2"):
        return
    for precision in tried:
        size = weights.table()[name, precision]
        need = size.held + cached(name, needs.length) + SPARE_MIB
        gpus = _count(need, device) if device.kind in ("gpu", "dc") else 1
        facts = _run_facts(name)
        run = msgspec.structs.replace(
            facts, device=device, read=size.read * MIB, held=size.held * MIB, precision=precision, gpus=gpus,
            cached=facts.cached * needs.length, attended=facts.attended * needs.prompt, tokens=int(needs.prompt) or 1,
            on_cpu=device.kind in ("cpu", "sbc"),
        )  # fmt: skip
        token, read = rates.fast_decode(run), rates.fast_prefill(run) * needs.prompt
        service = read + token * needs.answer
        personal = device.kind in PERSONAL
        count = 1 if personal else max(1, math.ceil(needs.rate * service / house.utilisation)) + house.spare
        wait = 0.0 if personal or count > 2000 else waiting.slots_p95(needs.rate, service, count)
        power = local_watts(device).central
        yield _judged(needs, Option(
            model=name, precision=precision, runtime="llama.cpp", device=device.id, gpus=gpus, servers=count,
            routing="small only", quality=row.quality.get(needs.benchmark), memory=need / gpus, usable=device.usable,
            pace=1 / token, first=read + token, first_p95=(read + token) * 1.3 + wait,
            cost=_price(device, gpus, count, power, house, personal), watts=power * gpus * count, carries=1 / service,
            known=row.shape.known, fails=dict(reasons),
        ))  # fmt: skip


def _served(
    needs: Needs, house: House, name: str, row: Listed, device: Device, tried: tuple[str, ...], reasons: dict[str, str]
) -> Iterator[Option]:
    """vLLM: continuous batching, as many servers as the busiest hour needs."""
    for precision in tried:
        if precision == "fp8" and not device.id.startswith(EIGHT_BIT):
            continue
        size = weights.table()[name, precision]
        token = cached(name, 1024) / 1024
        room = device.memory * SHARE - SPARE_MIB
        gpus = next((n for n in COUNTS if size.held / n + max(2 * token * needs.length / n, 1024) < room), 8)
        slots = int(min(MAX_BATCH, max(0.0, (room * gpus - size.held) / (token * needs.length + 0.01))))
        if slots < 1:
            yield _judged(needs, _too_large(name, precision, row, device, gpus, size.held, reasons, needs))
            continue
        facts = _load_facts(name, precision)
        load = msgspec.structs.replace(
            facts, device=device, gpus=gpus, batch=float(slots), prompt=int(needs.prompt), answer=int(needs.answer),
            spread=min(gpus, facts.spread) if facts.spread > 1 else 1,
        )  # fmt: skip
        carries = slots / (needs.answer * rates.step_seconds(load))
        count = cost.servers(needs.use, carries, house, needs.peak)
        load = settled(load, needs.rate / max(1, count - house.spare), slots)
        pace, first = 1 / rates.step_seconds(load), rates.first_seconds(load)
        power = rates.watts(load).central
        yield _judged(needs, Option(
            model=name, precision=precision, runtime="vllm", device=device.id, gpus=gpus, servers=count,
            routing="small only", quality=row.quality.get(needs.benchmark), usable=device.memory * SHARE,
            memory=size.held / gpus + SPARE_MIB + load.batch * token * needs.length / gpus, pace=pace, first=first,
            first_p95=first * P95, cost=_price(device, gpus, count, power, house, False), watts=power * gpus * count,
            batch=load.batch, carries=carries, known=row.shape.known, fails=dict(reasons),
        ))  # fmt: skip


def settled(load: serving.Load, rate: float, slots: float) -> serving.Load:
    """The load with the batch at which as many sequences end as come: Little's law, iterated."""
    batch = 1.0
    for _ in range(8):
        load = msgspec.structs.replace(load, batch=batch, total=batch)
        batch = min(float(slots), max(1.0, (batch + rate * load.answer * rates.step_seconds(load)) / 2))
    return load


def _drafted(needs: Needs, house: House, found: list[Option]) -> list[Option]:
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
    service = one.first + needs.answer / pace
    device = devices.find(one.device)
    personal = device.kind in PERSONAL
    count = 1 if personal else max(1, math.ceil(needs.rate * service / house.utilisation)) + house.spare
    wait = 0.0 if personal or count > 2000 else waiting.slots_p95(needs.rate, service, count)
    power = (one.watts or 0.0) / max(1, one.gpus * one.servers)
    fails = {key: why for key, why in one.fails.items() if key not in ("pace", "first_p95", "budget")}
    return _judged(needs, msgspec.structs.replace(
        one, routing="drafting", draft=draft, memory=one.memory + size / one.gpus, pace=pace, servers=count,
        first_p95=one.first * 1.3 + wait, carries=1 / service, watts=power * one.gpus * count, known=False,
        cost=_price(device, one.gpus, count, power, house, personal), fails=fails,
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


def _mixed(needs: Needs, found: list[Option]) -> list[Option]:
    """A cascade and a router over the cheapest small ones: what they are not trusted with goes to a provider."""
    listed = prices.find(needs.large)
    if needs.private or not listed or ("cloud" not in needs.where and "server" not in needs.where):
        return []
    api = cost.api(listed.price, needs.use)
    able = [one for one in found if one.cost is not None and not set(one.fails) - {"quality", "budget"}]
    able.sort(key=lambda one: (one.cost or 0.0) - 20 * (one.quality or 0))
    return [made for one in able[:40] for made in _with_large(needs, one, api)]


def _with_large(needs: Needs, one: Option, api: float) -> Iterator[Option]:
    for routing, caught, tries in (("cascade", 0.8, 1.0), ("router", 0.6, 1 - needs.escalated)):
        right = None
        if one.quality is not None:
            wrong = 100 - one.quality
            helped = min(caught * wrong, 100 * needs.escalated) * LARGE_RIGHT / 100
            right = one.quality + helped
        fails = {key: why for key, why in one.fails.items() if key not in ("quality", "budget")}
        made = msgspec.structs.replace(
            one, routing=routing, large=needs.large, quality=right, cost=(one.cost or 0) + needs.escalated * api,
            first_p95=one.first_p95 + (needs.answer / one.pace + 1.5 if tries == 1.0 else 1.0), fails=fails,
        )  # fmt: skip
        if needs.quality is not None and (right is None or right < needs.quality):
            made.fails["quality"] = (
                f"{needs.benchmark} {'unknown' if right is None else f'{right:.0f} %'} after routing"
            )
        yield _judged(needs, made)


def _api(needs: Needs) -> Iterator[Option]:
    """The provider alone."""
    listed = prices.find(needs.large)
    if listed:
        fails = {"private": "requests leave for a provider"} if needs.private else {}
        if "cloud" not in needs.where:
            fails["where"] = "a provider is a cloud"
        yield _judged(needs, Option(
            model=needs.large, precision="", runtime="api", device="", gpus=0, servers=0, routing="large only",
            quality=None, memory=0, usable=0, pace=60.0, first=0.8, first_p95=2.0, watts=None, known=False, fails=fails,
            cost=cost.api(listed.price, needs.use),
        ))  # fmt: skip


def _judged(needs: Needs, option: Option) -> Option:
    fails = option.fails
    if option.memory > option.usable and option.device:
        fails["memory"] = f"{option.memory / 1024:.1f} GiB > {option.usable / 1024:.1f} GiB on {option.device}"
    if needs.first_p95 and option.first_p95 > needs.first_p95:
        fails["first_p95"] = f"p95 TTFT {option.first_p95:.1f} s > {needs.first_p95:g} s"
    if needs.pace and option.pace < needs.pace:
        fails["pace"] = f"{option.pace:.1f} tok/s < {needs.pace:g}"
    if needs.budget and (option.cost is None or option.cost > needs.budget):
        fails["budget"] = (
            f"USD {'unknown' if option.cost is None else f'{option.cost:,.0f}'} a month > {needs.budget:,.0f}"
        )
    if needs.watts and (option.watts or 0) > needs.watts:
        fails["watts"] = f"{option.watts:,.0f} W > {needs.watts:g} W"
    return option


def _too_large(
    name: str,
    precision: str,
    row: Listed,
    device: Device,
    gpus: int,
    held: float,
    reasons: dict[str, str],
    needs: Needs,
) -> Option:
    return Option(
        model=name, precision=precision, runtime="vllm", device=device.id, gpus=gpus, servers=1, routing="small only",
        quality=row.quality.get(needs.benchmark), memory=held / gpus + SPARE_MIB + 1024, usable=device.memory * SHARE,
        pace=0.01, first=1e3, first_p95=1e3, cost=None, watts=None, known=row.shape.known, fails=dict(reasons),
    )  # fmt: skip


def _price(device: Device, gpus: int, count: int, watts: float, house: House, personal: bool) -> float | None:
    if personal:
        return 0.0
    found: Figure | None = cost.own(device, gpus, count, watts, house)
    return found.central if found else None


def _count(need: float, device: Device) -> int:
    return next((n for n in COUNTS if need / n < device.usable), 8)


MIB = 2**20 / 1e9


@cache
def cached(name: str, tokens: int) -> float:
    """MiB of one sequence's cache and state."""
    shape = models.catalog()[name].shape
    return kv.keys_values(shape, kv.Session(context=tokens)) + kv.states(shape, 1)


@cache
def _run_facts(name: str) -> speed.Run:
    """A run of the model on no device in particular; cache and attention for one token of depth."""
    shape = models.catalog()[name].shape
    one = Weights(exact(0.0, "MiB"), 0.0)
    nowhere = next(iter(devices.catalog().values()))
    return speed.run(shape, one, nowhere, "Q4_K_M", depth=0.5, tokens=1)


@cache
def _load_facts(name: str, precision: str) -> serving.Load:
    size, shape = weights.table()[name, precision], models.catalog()[name].shape
    nowhere = next(iter(devices.catalog().values()))
    return serving.load(
        shape, serving.Split(size.routed, size.other, size.used), nowhere, gpus=64, batch=1, prompt=1, answer=1,
        precision=precision,
    )  # fmt: skip
