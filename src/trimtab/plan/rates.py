"""Calibrated figures: the formulas with the shipped coefficients, their intervals, and a probe of one's own device."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from trimtab.plan import energy, serving, speed
from trimtab.plan.devices import Device
from trimtab.plan.figure import Figure, Tag, around

CATALOG = Path(__file__).parent / "catalog" / "coefficients.json"
WIDER = 2.0
"""How much wider the interval is (as a power) outside of what was fitted."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Coefficients, factors on the prediction that held four in five held-out rows, and what they were fitted on."""

    coefficients: Mapping[str, float]
    interval: tuple[float, float]
    probed: tuple[float, float]
    """The same once another row of the same device had scaled the formula."""
    rows: int
    devices: int
    models: int
    source: str


class _All(dict[str, float]):
    """Offsets that were not fitted are 0."""

    def __missing__(self, key: str) -> float:
        return 0.0


@cache
def calibration(name: str) -> Calibration:
    """The shipped calibration of a quantity: decode, prefill, step, first, watts, written or joules."""
    return msgspec.convert(json.loads(CATALOG.read_bytes())[name], Calibration)


def decode(run: speed.Run, *, known: bool = True, scale: float | None = None) -> Figure:
    """Tokens a second of one sequence; `scale`: seconds measured over predicted, of another run on this device."""
    seconds = _seconds("decode", speed.decode(given("decode"), run), known and _seen(run), scale)
    return seconds.inverse(1.0, "tok/s")


def prefill(run: speed.Run, *, known: bool = True, scale: float | None = None) -> Figure:
    """Tokens of a prompt a second."""
    seconds = _seconds("prefill", speed.prefill(given("prefill"), run), known and _seen(run), scale)
    return seconds.inverse(1.0, "tok/s")


def step(load: serving.Load, *, known: bool = True, scale: float | None = None) -> Figure:
    """Seconds a token of a server's sequences (TPOT)."""
    return _seconds("step", serving.step(given("step"), load), known and served(load.device), scale)


def first(load: serving.Load, *, known: bool = True, scale: float | None = None) -> Figure:
    """Seconds to the first token with a steady number of sequences (TTFT)."""
    return _seconds("first", serving.first(given("first"), load), known and served(load.device), scale)


def watts(load: serving.Load, *, known: bool = True) -> Figure:
    """Watts of one device of a server."""
    low, high, tag = spread("watts", known=known and served(load.device))
    return around(energy.watts(given("watts"), load), low, high, "W", tag)


def joules(load: serving.Load, *, known: bool = True) -> Figure:
    """Joules a token that a full server writes: its watts over all it writes, prompts and host included."""
    value = energy.watts(given("watts"), load) * serving.step(given("written"), load) * load.gpus / load.batch
    low, high, tag = spread("joules", known=known and served(load.device))
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


def spread(name: str, *, known: bool = True, probed: bool = False) -> tuple[float, float, Tag]:
    """Factors below and above a prediction in seconds that hold four in five, and what they rest on."""
    found = calibration(name)
    if probed:
        return *found.probed, "probed"
    low, high = found.interval
    return (low, high, "calibrated") if known else (low**WIDER, high**WIDER, "extrapolated")


def _seconds(name: str, seconds: float, known: bool, scale: float | None) -> Figure:
    low, high, tag = spread(name, known=known, probed=scale is not None)
    return around(seconds * (scale or 1.0), low, high, "s", tag, _why(name))


def served(device: Device) -> bool:
    """Whether servers were fitted on devices like it: all of them have stacked memory."""
    return speed.stacked(device)


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
    return f"{found.rows} rows of {found.devices} devices, {found.models} models"
