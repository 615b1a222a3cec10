"""Everything that could answer: model x precision x runtime x hardware x servers, each with what it would give."""

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import cost, devices, models, naming, prices, rates, routings, serving, speed, weights
from trimtab.plan.cost import House
from trimtab.plan.devices import Device
from trimtab.plan.energy import local as local_watts
from trimtab.plan.figure import exact
from trimtab.plan.memory import Weights
from trimtab.plan.models import Listed
from trimtab.plan.needs import KINDS, Needs
from trimtab.plan.option import Option, cached, judged, price, slotted
from trimtab.plan.refit import NONE, Scales

MAX_BATCH = 256
SHARE = 0.9
"""Of a device's memory that vLLM takes."""
SPARE_MIB = 700.0
"""For what a runtime needs beside weights and cache (see `memory.RUNTIME`)."""
COUNTS = (1, 2, 4, 8)
P95 = 2.2
"""p95 over the mean of the time to the first token, until the simulation says it better."""
EIGHT_BIT = ("rtx-40", "rtx-50", "rtx-6000-ada", "rtx-5880", "rtx-pro", "l4", "h1", "h2", "b2", "b3", "gb", "mi3")
"""Devices that multiply at fp8; on others it saves memory alone and needs kernels that not all have."""
NO_MXFP4 = ("rtx-20", "t4", "rx-")
"""Devices that vLLM has no kernels for MXFP4 on: Marlin's ask for Ampere, AMD's for CDNA 3 or RDNA 4."""
SERVED = ("nvidia", "amd")
DESK = 128 * 1024
"""MiB; processors with more stand in a rack."""
UNPLANNED = ("tpu-v5e", "inf2")
TOO_OLD = ("gtx-10",)
"""Devices that vLLM has no kernels for: it asks for compute capability 7.0."""


def all_of(needs: Needs, house: House, probed: Scales = NONE) -> list[Option]:
    """Every option, those that break a constraint with the reason; the device that was probed at its own pace."""
    found: list[Option] = []
    hardware = _devices(needs)
    if not prices.find(needs.large) and not needs.private:
        raise no_price(needs.large)
    serves = {
        device.id for device in hardware
        if device.maker in SERVED and device.kind in ("gpu", "dc") and not device.id.startswith(TOO_OLD)
    }  # fmt: skip
    for name, row in _models(needs).items():
        reasons = _of_model(needs, row)
        local, served = weights.precisions(row.shape.family)
        for device in hardware:
            scales = probed.of(device.id, name)
            found += _local(needs, house, name, row, device, local, reasons, scales)
            if device.id in serves:
                found += _served(needs, house, name, row, device, served, reasons, scales)
    found += routings.drafted(needs, house, found)
    found += routings.mixed(needs, found)
    found += list(routings.api(needs))
    return found


def _models(needs: Needs) -> dict[str, Listed]:
    rows = models.catalog()
    if not needs.model:
        return {name: row for name, row in rows.items() if "API only" not in row.licence}
    row = naming.match(needs.model, rows)
    if not row and prices.find(needs.model):
        raise ConfigError(
            f"{needs.model} is a provider's model: what may be planned as one's own is asked for here.",
            f"Name it as the one that hard requests go to: --large {needs.model}.", param="model",
        )  # fmt: skip
    row = row or models.find(needs.model)
    return {row.shape.name: row}


def no_price(name: str) -> ConfigError:
    near = get_close_matches(name, prices.names(), 3, 0.4)
    fix = f"Nearest: {', '.join(near)}; or name it provider/model." if near else "Name it provider/model."
    return ConfigError(f"No price of {name!r} in the catalog.", fix, param="large")


def _devices(needs: Needs) -> list[Device]:
    if needs.device:
        found = devices.find(needs.device)
        if found.id in UNPLANNED:
            raise ConfigError(
                f"No runtime that is planned runs on {found.id}: llama.cpp and vLLM are.", "Name another."
            )
        return [found]
    return [
        device for device in devices.catalog().values()
        if device.id not in UNPLANNED and any(_stands(device, place) for place in needs.where)
        and (needs.where != ("cloud",) or device.hourly)
    ]  # fmt: skip


def _stands(device: Device, place: str) -> bool:
    rack = device.kind == "cpu" and device.memory > DESK
    return device.kind in KINDS[place] and not (rack and place == "device")


def _of_model(needs: Needs, row: Listed) -> dict[str, str]:
    found: dict[str, str] = {}
    if needs.licence and needs.licence.lower() not in row.licence.lower():
        found["licence"] = f"licence {row.licence or 'unknown'}, not {needs.licence}"
    if row.shape.context and needs.length > row.shape.context:
        found["context"] = f"context {row.shape.context} < {needs.length} tokens"
    right = row.quality.get(needs.benchmark)
    if needs.least and (right is None or right < needs.least):
        shown = "unknown" if right is None else f"{right:g} %"
        found["quality"] = f"{needs.benchmark} {shown} < {needs.least:g} %{' (assumed)' * (needs.quality is None)}"
    return found


def _local(
    needs: Needs, house: House, name: str, row: Listed, device: Device, tried: tuple[str, ...],
    reasons: dict[str, str], scales: Scales,
) -> Iterator[Option]:  # fmt: skip
    """llama.cpp: one sequence at a time on each device."""
    for precision in tried:
        size = weights.table()[name, precision]
        room = size.held + cached(name, needs.length)
        gpus = _count(room, device, needs)
        reading, writing = runs(name, precision, device, gpus, needs)
        token = rates.fast_decode(writing) * (scales.decode or 1.0)
        read = rates.fast_prefill(reading) * needs.prompt * (scales.prefill or 1.0)
        count, late = slotted(needs, house, device, read, token)
        power = local_watts(device, gpus).central / gpus
        yield judged(needs, Option(
            model=name, precision=precision, runtime="llama.cpp", device=device.id, gpus=gpus, servers=count,
            routing="small only", quality=row.quality.get(needs.benchmark), usable=device.usable,
            memory=room / gpus + SPARE_MIB, pace=1 / token, first=read + token, first_p95=late,
            cost=price(device, gpus, count, power, house), watts=power * gpus * count, known=row.shape.known,
            carries=1 / (read + token * needs.answer), scales=scales, fails=dict(reasons),
        ))  # fmt: skip


def runs(name: str, precision: str, device: Device, gpus: int, needs: Needs) -> tuple[speed.Run, speed.Run]:
    """A prompt that llama.cpp reads, and an answer that it writes."""
    size = weights.table()[name, precision]
    reading, writing = (
        msgspec.structs.replace(
            facts, device=device, read=size.read * MIB, held=size.held * MIB, precision=precision, gpus=gpus,
            on_cpu=device.kind in ("cpu", "sbc"),
        ) for facts in _run_facts(name, needs.prompt, needs.answer)
    )  # fmt: skip
    return reading, writing


def _served(
    needs: Needs, house: House, name: str, row: Listed, device: Device, tried: tuple[str, ...],
    reasons: dict[str, str], scales: Scales,
) -> Iterator[Option]:  # fmt: skip
    """vLLM: continuous batching, as many servers as the busiest hour needs."""
    for precision in tried:
        if precision == "fp8" and not device.id.startswith(EIGHT_BIT):
            continue
        if precision == "mxfp4" and device.id.startswith(NO_MXFP4):
            continue
        size = weights.table()[name, precision]
        each = cached(name, needs.length)
        room = device.memory * SHARE - SPARE_MIB
        able = _counts(device, needs)
        gpus = next((n for n in able if size.held / n + max(2 * each / n, 1024) < room), able[-1])
        slots = int(min(MAX_BATCH, max(0.0, (room * gpus - size.held) / (each + 0.01))))
        if slots < 1:
            yield judged(needs, _too_large(name, precision, row, device, gpus, size.held, reasons, needs))
            continue
        facts = _load_facts(name, precision)
        load = msgspec.structs.replace(
            facts, device=device, gpus=gpus, reader_gpus=gpus, batch=float(slots), prompt=int(needs.prompt),
            answer=int(needs.answer), spread=min(gpus, facts.spread) if facts.spread > 1 else 1,
        )  # fmt: skip
        slower = scales.step or 1.0
        carries = slots / (needs.answer * rates.step_seconds(load) * slower)
        count = cost.servers(needs.use, carries, house, needs.peak)
        load = settled(load, needs.rate / max(1, count - house.spare), slots, slower)
        pace = 1 / (rates.step_seconds(load) * slower)
        first = rates.first_seconds(load) * (scales.first or 1.0)
        power = rates.watts(load).central
        yield judged(needs, Option(
            model=name, precision=precision, runtime="vllm", device=device.id, gpus=gpus, servers=count,
            routing="small only", quality=row.quality.get(needs.benchmark), usable=device.memory * SHARE,
            memory=size.held / gpus + SPARE_MIB + load.batch * each / gpus, pace=pace, first=first,
            first_p95=first * P95, cost=price(device, gpus, count, power, house), watts=power * gpus * count,
            batch=load.batch, carries=carries, known=row.shape.known and rates.served(device), scales=scales,
            fails=dict(reasons),
        ))  # fmt: skip


def settled(load: serving.Load, rate: float, slots: float, slower: float = 1.0) -> serving.Load:
    """The load with the batch at which as many sequences end as come: Little's law, iterated. `slower`: what a step
    takes over what is predicted."""
    batch = 1.0
    for _ in range(8):
        load = msgspec.structs.replace(load, batch=batch, total=batch)
        then = min(float(slots), max(1.0, (batch + rate * load.answer * rates.step_seconds(load) * slower) / 2))
        if abs(then / batch - 1) < 0.01:
            break
        batch = then
    return load


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


def _count(need: float, device: Device, needs: Needs) -> int:
    able = _counts(device, needs)
    return next((n for n in able if need / n + SPARE_MIB < device.usable), able[-1])


def _counts(device: Device, needs: Needs) -> list[int]:
    """How many devices a server may have."""
    return [n for n in COUNTS if n <= (needs.gpus or device.most)]


MIB = 2**20 / 1e9


@cache
def _run_facts(name: str, prompt: float, answer: float) -> tuple[speed.Run, speed.Run]:
    """A prompt that is read and an answer that is written after it, on no device in particular."""
    shape = models.catalog()[name].shape
    one = Weights(exact(0.0, "MiB"), 0.0)
    nowhere = next(iter(devices.catalog().values()))
    read, written = max(1, int(prompt)), max(1, int(answer))
    return (
        speed.run(shape, one, nowhere, "Q4_K_M", tokens=read),
        speed.run(shape, one, nowhere, "Q4_K_M", depth=prompt, tokens=written),
    )


@cache
def _load_facts(name: str, precision: str) -> serving.Load:
    size, shape = weights.table()[name, precision], models.catalog()[name].shape
    nowhere = next(iter(devices.catalog().values()))
    return serving.load(
        shape, serving.Split(size.routed, size.other, size.used), nowhere, gpus=64, batch=1, prompt=1, answer=1,
        precision=precision,
    )  # fmt: skip
