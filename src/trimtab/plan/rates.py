"""Calibrated figures: the formulas with the shipped coefficients, their intervals, and a probe of one's own device."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from trimtab.plan import energy, serving, speed
from trimtab.plan.devices import Device
from trimtab.plan.doubt import Doubt, New
from trimtab.plan.figure import Figure, Tag, around

CATALOG = Path(__file__).parent / "catalog" / "coefficients.json"
Spread = tuple[float, float, Tag]
UNRATED, UNCOUNTED = (0.003, 2.0), (0.08, 4.0)
"""Of seconds at `devices.GUESS`, and at operations reckoned from the bandwidth: where devices of the catalog lie."""
Probed = tuple[float, New] | None
"""Seconds measured over predicted, as far as they count, and what the probe ran: the same model or another."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Coefficients, how far rows that were held out were off, and what all was fitted on."""

    coefficients: Mapping[str, float]
    doubt: Doubt
    rows: int
    devices: frozenset[str]
    models: frozenset[str]
    source: str


class _All(dict[str, float]):
    """Offsets that were not fitted are 0."""

    def __missing__(self, key: str) -> float:
        return 0.0


@cache
def calibration(name: str) -> Calibration:
    """The shipped calibration of a quantity: decode, prefill, step, first, watts, written or joules."""
    return msgspec.convert(json.loads(CATALOG.read_bytes())[name], Calibration)


def decode(run: speed.Run, *, known: bool = True, probed: Probed = None) -> Figure:
    """Tokens a second of one sequence; `probed`: seconds measured over predicted, and of what."""
    seconds = _seconds("decode", run, speed.decode(given("decode"), run), known, probed)
    return seconds.inverse(1.0, "tok/s")


def prefill(run: speed.Run, *, known: bool = True, probed: Probed = None) -> Figure:
    """Tokens of a prompt a second."""
    seconds = _seconds("prefill", run, speed.prefill(given("prefill"), run), known, probed)
    return seconds.inverse(1.0, "tok/s")


def step(load: serving.Load, *, known: bool = True, probed: Probed = None) -> Figure:
    """Seconds a token of a server's sequences (TPOT)."""
    return _seconds("step", load, serving.step(given("step"), load), known, probed)


def first(load: serving.Load, *, known: bool = True, probed: Probed = None) -> Figure:
    """Seconds to the first token with a steady number of sequences (TTFT)."""
    return _seconds("first", load, serving.first(given("first"), load), known, probed)


def watts(load: serving.Load, *, known: bool = True) -> Figure:
    """Watts of one device of a server."""
    low, high, tag = spread("watts", load, known=known)
    return around(energy.watts(given("watts"), load), low, high, "W", tag)


def joules(load: serving.Load, *, known: bool = True) -> Figure:
    """Joules a token that a full server writes: its watts over all it writes, prompts and host included."""
    value = energy.watts(given("watts"), load) * serving.step(given("written"), load) * load.gpus / load.batch
    low, high, tag = spread("joules", load, known=known)
    return around(value, low, high, "J/token", tag)


def fast_decode(run: speed.Run) -> float:
    """Seconds a token, the central value alone."""
    return speed.decode(given("decode"), run)


def fast_prefill(run: speed.Run) -> float:
    """Seconds a token of a prompt, the central value alone."""
    return speed.prefill(given("prefill"), run)


def first_seconds(load: serving.Load) -> float:
    """Seconds to the first token, the central value alone."""
    return serving.first(given("first"), load)


def step_seconds(load: serving.Load) -> float:
    """The central value alone, for loops."""
    return serving.step(given("step"), load)


def overhead_seconds(load: serving.Load) -> float:
    """Seconds to the first token that neither reading nor waiting takes."""
    return serving.overhead(given("first"), load)


def read_seconds(load: serving.Load) -> float:
    """Seconds that a server's devices take for one token of a prompt."""
    return serving.reading(given("step"), load, load.gpus) / max(1, load.prompt)


def spread(name: str, on: speed.Run | serving.Load, *, known: bool = True, probed: New | None = None) -> Spread:
    """Factors below and above a prediction in seconds that hold four in five, and what they rest on; `probed`: what
    was, of the same device."""
    if not probed and (guess := _guessed(name, on)):
        return *guess, "unknown"
    found, known = calibration(name), known and _like(name, on)
    new: New = probed or ("model" if on.device.id in found.devices else "device")
    facts = speed.facts(on) if isinstance(on, speed.Run) else serving.facts(on)
    tag: Tag = "probed" if probed else "calibrated" if known else "extrapolated"
    return *found.doubt.factors(facts, new, known=known or bool(probed)), tag


def trust(name: str, probed: New) -> float:
    """The power of a probe's ratio that counts."""
    return calibration(name).doubt.trust[probed]


def _seconds(name: str, on: speed.Run | serving.Load, seconds: float, known: bool, probed: Probed) -> Figure:
    scale, new = probed or (1.0, None)
    low, high, tag = spread(name, on, known=known, probed=new)
    return around(seconds * scale, low, high, "s", tag, _why(name))


def served(device: Device) -> bool:
    """Whether servers were fitted on devices like it: all of them have stacked memory."""
    return speed.stacked(device)


def _guessed(name: str, on: speed.Run | serving.Load) -> tuple[float, float] | None:
    """Factors of seconds where nobody says the bandwidth, or operations that count, of a device; None where known."""
    if name == "watts":
        return None
    if not on.device.rated:
        return UNRATED
    return None if on.device.counted or name == "decode" else UNCOUNTED


def _like(name: str, on: speed.Run | serving.Load) -> bool:
    """Whether devices like it were fitted, and its rated power is known where that counts."""
    if isinstance(on, speed.Run):
        return _seen(on)
    return served(on.device) and (on.device.watts is not None or name not in ("watts", "joules"))


def _seen(run: speed.Run) -> bool:
    """Whether the device's class has a coefficient of its own."""
    return f"share:{speed.device_class(run)}" in calibration("decode").coefficients


@cache
def given(name: str) -> Mapping[str, float]:
    """Its coefficients; offsets that were not fitted are 0."""
    return _All(calibration(name).coefficients)


@cache
def _why(name: str) -> str:
    found = calibration(name)
    return f"{found.rows} rows of {len(found.devices)} devices, {len(found.models)} models"
