"""A device's formulas scaled by a probe of it: how much faster or slower it is than predicted, by quantity."""

import math
from collections.abc import Iterable
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError
from trimtab.plan import memory, probes, rates, serving, speed
from trimtab.plan.architecture import Architecture
from trimtab.plan.devices import Device
from trimtab.plan.doubt import New
from trimtab.plan.tensors import Tensor

ALIKE = 0.1
"""A probe whose model has so much more or less parameters is of another model (heads and embeddings are counted
differently)."""


class Scales(msgspec.Struct, frozen=True, kw_only=True):
    """Measured over predicted seconds on `device`, on which `model` ran; None where the probe does not say."""

    device: str = ""
    model: str = ""
    new: New | None = None
    """What a prediction is of: the `same` model or an `other` one; None where nothing was probed, or as measured."""
    decode: float | None = None
    prefill: float | None = None
    step: float | None = None
    first: float | None = None

    def of(self, device: str, model: str) -> "Scales":
        """These on the device that was probed, as far as one measurement counts for `model`; none on another."""
        if device != self.device:
            return NONE
        new: New = "same" if model == self.model else "other"
        counted: dict[str, float | None] = {}
        for name in ("decode", "prefill", "step", "first"):
            ratio, trust = getattr(self, name), rates.trust(name, new)
            counted[name] = ratio**trust if ratio and trust else None
        return msgspec.structs.replace(self, new=new, **counted)

    def on(self, name: str) -> rates.Probed:
        """The ratio that counts for a quantity, and of what; None where it was not probed."""
        ratio = getattr(self, name)
        return (ratio, self.new) if ratio and self.new else None


NONE = Scales()


def scales(
    path: Path, shape: Architecture, device: Device, precision: str, gpus: int = 1, found: Iterable[Tensor] = ()
) -> Scales:  # fmt: skip
    """The scales from a file of a benchmark that ran `shape` at `precision` on `device`; of several runs the median.

    Raises:
        ConfigError: the file is none, or it is of another model or of another sort of precision.
    """
    probe = probes.read(path)
    if probe.params and abs(probe.params / max(1.0, shape.params) - 1) > ALIKE:
        raise ConfigError(
            f"{str(path)!r} is of {probe.model or 'a model'} with {probe.params / 1e9:.2f} B parameters; "
            f"{shape.name} has {shape.params / 1e9:.2f} B.",
            "Name the model that was measured with --probed.", param="probed",
        )  # fmt: skip
    served = precision in memory.ENGINE_BITS
    if (probe.served and not served) or (probe.local and served):
        ran = "a server" if probe.served else "one sequence in llama.cpp"
        kinds = "bf16, fp8, awq" if probe.served else "Q4_K_M, Q8_0"
        raise ConfigError(
            f"{str(path)!r} measured {ran}, not at {precision}.", f"Give what it ran with -q: {kinds} ..."
        )
    if served:
        return _of_server(probe.served, shape, device, precision, gpus)
    return _of_runs(probe.local, shape, device, precision, gpus, found)


def _of_runs(
    runs: Iterable[probes.Local], shape: Architecture, device: Device, precision: str, gpus: int,
    found: Iterable[Tensor],
) -> Scales:  # fmt: skip
    weights = memory.weights(shape, precision, found)
    ratios: dict[bool, list[float]] = {True: [], False: []}
    for one in runs:
        run = speed.run(
            shape, weights, device, precision, depth=one.depth, tokens=one.tokens, gpus=gpus, flash=one.flash,
            micro=one.micro, on_cpu=device.kind in ("cpu", "sbc"),
        )  # fmt: skip
        predicted = rates.fast_prefill(run) if one.reads else rates.fast_decode(run)
        ratios[one.reads].append(1 / (one.rate * predicted))
    return Scales(device=device.id, model=shape.name, decode=_middle(ratios[False]), prefill=_middle(ratios[True]))


def _of_server(
    runs: Iterable[probes.Served], shape: Architecture, device: Device, precision: str, gpus: int
) -> Scales:  # fmt: skip
    parts, steps, firsts = serving.split(shape, precision), [], []
    for one in runs:
        load = serving.load(
            shape, parts, device, gpus=gpus, batch=one.batch, prompt=round(one.prompt), answer=round(one.answer),
            precision=precision,
        )  # fmt: skip
        steps.append(one.step / rates.step_seconds(load))
        firsts.append(one.first / rates.first_seconds(load))
    return Scales(device=device.id, model=shape.name, step=_middle(steps), first=_middle(firsts))


def _middle(ratios: list[float]) -> float | None:
    """The median on a logarithmic scale; None of none."""
    if not ratios:
        return None
    ordered = sorted(map(math.log, ratios))
    half = len(ordered) // 2
    return math.exp((ordered[half] + ordered[-half - 1]) / 2)
