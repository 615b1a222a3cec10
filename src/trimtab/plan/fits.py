"""Whether a model fits a device, and how fast it is there, with or without a probe of the device."""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import energy, memory, probes, rates, speed
from trimtab.plan.architecture import Architecture
from trimtab.plan.cache import Session
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure
from trimtab.plan.tensors import Tensor

HOST = (25.0, 45.0, 90.0)
"""GB/s that the host's memory gives to layers that are not on the device: two channels of DDR4 to fast DDR5."""


class Fits(msgspec.Struct, frozen=True):
    """The answer: does it fit, and the figures by name."""

    fits: bool
    figures: dict[str, Figure]


def fits(
    shape: Architecture, found: Iterable[Tensor], device: Device, precision: str, context: int, depth: int, gpus: int,
    probe: Path | None,
) -> Fits:  # fmt: skip
    """Memory, decode, prefill, power. A probe scales the formulas to the device.

    Raises:
        ConfigError: the probe cannot be read, or is not of one sequence.
    """
    found = tuple(found)
    weights = memory.weights(shape, precision, found)
    stack = memory.stack(shape, precision, Session(context=context), found=found, accelerated=device.kind != "cpu")
    run = speed.run(shape, weights, device, precision, depth=depth, tokens=128, gpus=gpus, on_cpu=_cpu(device))
    reading = speed.run(shape, weights, device, precision, depth=depth, tokens=512, gpus=gpus, on_cpu=_cpu(device))
    decode, prefill = _scales(shape, weights, device, precision, gpus, probe) if probe else (None, None)
    figures = {
        "memory": stack["total"], "decode": rates.decode(run, known=shape.known, probe=decode),
        "prefill": rates.prefill(reading, known=shape.known, probe=prefill), "power": energy.local(device),
    }  # fmt: skip
    figures["energy"] = energy.joules_token(figures["power"], figures["decode"])
    figures["decode, hot"] = energy.sustained(device, figures["decode"])
    if hours := energy.battery_hours(device, figures["power"]):
        figures["battery"] = hours
    room, wanted = device.usable * gpus, stack["total"].central
    if wanted > room and device.kind in ("gpu", "dc"):
        figures["decode, split"] = _split(run, figures["decode"], max(0.0, room / wanted))
    return Fits(wanted <= room, figures)


def _split(run: speed.Run, whole: Figure, share: float) -> Figure:
    """Decode with the layers that do not fit left to the host (`-ngl`), at what desktops and servers read."""
    slow, likely, fast = (
        1 / speed.offloaded(1 / rate, run, share, host)
        for rate, host in zip((whole.low, whole.central, whole.high), HOST, strict=True)
    )
    return Figure(slow, likely, fast, "tok/s", "extrapolated", f"{share:.0%} of the layers on the device")


def _scales(
    shape: Architecture, weights: memory.Weights, device: Device, precision: str, gpus: int, path: Path
) -> tuple[float | None, float | None]:
    """Measured over predicted, of decode and of prefill, at the probe's own lengths."""
    found = probes.read(path)
    if found.decode is None and found.prefill is None:
        raise ConfigError(f"{str(path)!r} measured a server, not one sequence.", "Probe with llama-bench -o json.")
    on = {"gpus": gpus, "on_cpu": _cpu(device)}
    wrote = speed.run(shape, weights, device, precision, depth=found.depth, tokens=found.written, **on)
    read = speed.run(shape, weights, device, precision, tokens=found.prompt, **on)
    return (
        found.decode * rates.fast_decode(wrote) if found.decode else None,
        found.prefill * rates.fast_prefill(read) if found.prefill else None,
    )


def _cpu(device: Device) -> bool:
    return device.kind in ("cpu", "sbc")
