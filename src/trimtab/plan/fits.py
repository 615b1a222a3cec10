"""Whether a model fits a device, and how fast it is there, with or without a probe of the device."""

from collections.abc import Iterable

import msgspec

from trimtab.plan import energy, memory, rates, serving, speed, splits
from trimtab.plan.architecture import Architecture
from trimtab.plan.cache import checked
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure, total
from trimtab.plan.refit import NONE, Scales
from trimtab.plan.tensors import Tensor

HOST = (25.0, 45.0, 90.0)
"""GB/s that the host's memory gives to layers that are not on the device: two channels of DDR4 to fast DDR5."""

DISK = (0.08, 0.5, 5.0)
"""GB/s of what does not fit a device whose memory is all there is: cards and hard disks to fast NVMe."""


class Fits(msgspec.Struct, frozen=True):
    """The answer: does it fit, and the figures by name."""

    fits: bool
    figures: dict[str, Figure]
    terms: dict[str, str] = {}
    """What the figures are made of, in words."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a model on a device: llama.cpp's context and depth, or a server's load."""

    precision: str
    context: int = 8192
    depth: int = 0
    gpus: int = 1
    batch: float = 32
    prompt: int = 1000
    answer: int = 300


def fits(
    shape: Architecture, found: Iterable[Tensor], device: Device, asked: Asked, probed: Scales = NONE
) -> Fits:  # fmt: skip
    """Memory, speed, power; for a precision of vLLM's those of a server with `asked.batch` sequences.

    Raises:
        ConfigError: no such precision, or nothing is left for a server's cache.
    """
    probed = probed.of(device.id, shape.name)
    if asked.precision in memory.ENGINE_BITS:
        return _served(shape, device, asked, probed)
    found, precision, gpus = tuple(found), asked.precision, asked.gpus
    weights = memory.weights(shape, precision, found)
    session = checked(context=asked.context)
    stack = memory.stack(shape, precision, session, found=found, accelerated=device.kind != "cpu")
    each = splits.stacks(shape, precision, session, gpus, found=found) if gpus > 1 else (stack,)
    on = {"depth": asked.depth, "gpus": gpus, "on_cpu": device.kind in ("cpu", "sbc")}
    run = speed.run(shape, weights, device, precision, tokens=128, **on)
    reading = speed.run(shape, weights, device, precision, tokens=512, **on)
    figures = {
        "memory": total((one["total"] for one in each), "MiB"),
        "decode": rates.decode(run, known=shape.known, probed=probed.on("decode")),
        "prefill": rates.prefill(reading, known=shape.known, probed=probed.on("prefill")),
        "power": energy.local(device, gpus),
    }  # fmt: skip
    figures["energy"] = energy.joules_token(figures["power"], figures["decode"])
    if device.kind in energy.SUSTAINED:
        figures["decode, hot"] = energy.sustained(device, figures["decode"])
    if hours := energy.battery_hours(device, figures["power"]):
        figures["battery"] = hours
    if gpus > 1:
        figures["fullest"] = max((one["total"] for one in each), key=lambda figure: figure.central)
    room, wanted = device.usable, max(one["total"].central for one in each)
    if wanted > room:
        name, rest = ("decode, split", HOST) if device.kind in ("gpu", "dc") else ("decode, disk", DISK)
        figures[name] = _split(run, figures["decode"], max(0.0, room / wanted), rest)
    return Fits(wanted <= room, figures, _terms(run, reading, probed))


def _terms(run: speed.Run, reading: speed.Run, probed: Scales) -> dict[str, str]:
    """Milliseconds of a written token by what they are spent on, and what a token of a prompt takes."""
    made = speed.terms(rates.given("decode"), run)
    found = {f"decode, {name}": f"{seconds * 1000:.3g} ms a token" for name, seconds in made.items()}
    found["decode, weights"] += (
        f": {run.read:.3g} GB at {run.read / made['weights']:,.0f} of {run.device.bandwidth:,.0f} GB/s"
    )
    prompt = rates.fast_prefill(reading)
    found["prefill"] = (
        f"{prompt * 1e6:.3g} us a token of a prompt of {reading.tokens}: {reading.active:.3g} B parameters"
    )
    for name in ("decode", "prefill"):
        if scale := getattr(probed, name):
            found[f"{name}, probe"] = (
                f"scaled by {scale:.3g}: what was measured over those seconds, as far as one run counts"
            )
    return found


def _served(shape: Architecture, device: Device, asked: Asked, probed: Scales) -> Fits:
    parts = memory.paged(shape, asked.precision, device=device.memory, gpus=asked.gpus)
    load = serving.load(
        shape, serving.split(shape, asked.precision), device, gpus=asked.gpus, batch=asked.batch, prompt=asked.prompt,
        answer=asked.answer, precision=asked.precision,
    )  # fmt: skip
    step = rates.step(load, known=shape.known, probed=probed.on("step"))
    figures = {
        "weights": parts["weights"], "cache": parts["cache"], "tokens": parts["tokens"],
        "first token": rates.first(load, known=shape.known, probed=probed.on("first")),
        "a token": step.times(1000, "ms"), "decode": step.inverse(1.0, "tok/s"),
        "power": rates.watts(load, known=shape.known).times(asked.gpus),
        "energy": rates.joules(load, known=shape.known),
    }  # fmt: skip
    return Fits(parts["tokens"].central >= asked.batch * (asked.prompt + asked.answer), figures)


def _split(run: speed.Run, whole: Figure, share: float, rest: tuple[float, float, float]) -> Figure:
    """Decode with what does not fit left to the host (`-ngl`) or, where that is all there is, to the disk (mmap), at
    the GB/s of `rest`."""
    slow, likely, fast = (
        1 / speed.offloaded(1 / rate, run, share, host)
        for rate, host in zip((whole.low, whole.central, whole.high), rest, strict=True)
    )
    return Figure(slow, likely, fast, "tok/s", "extrapolated", f"{share:.0%} of it in the device's memory")
