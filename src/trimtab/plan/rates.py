"""Calibrated figures: the formulas with the shipped coefficients, their intervals, and a probe of one's own device."""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec

from trimtab.plan import energy, serving, speed
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
    """The shipped calibration of a quantity: decode, prefill, step, first or watts."""
    return msgspec.convert(json.loads(CATALOG.read_bytes())[name], Calibration)


def decode(run: speed.Run, *, known: bool = True, probe: float | None = None) -> Figure:
    """Tokens a second of one sequence; `probe`: measured over predicted, of another run on this device."""
    return _rate("decode", speed.decode(given("decode"), run), known and _seen(run), probe)


def prefill(run: speed.Run, *, known: bool = True, probe: float | None = None) -> Figure:
    """Tokens of a prompt a second."""
    return _rate("prefill", speed.prefill(given("prefill"), run), known and _seen(run), probe)


def step(load: serving.Load, *, known: bool = True) -> Figure:
    """Seconds a token of a server's sequences (TPOT)."""
    return _seconds("step", serving.step(given("step"), load), known)


def first(load: serving.Load, *, known: bool = True) -> Figure:
    """Seconds to the first token with a steady number of sequences (TTFT)."""
    return _seconds("first", serving.first(given("first"), load), known)


def watts(load: serving.Load, *, known: bool = True) -> Figure:
    """Watts of one device of a server."""
    value = energy.watts(given("watts"), load)
    low, high = calibration("watts").interval
    return around(value, low, high, "W", "calibrated" if known else "extrapolated")


def joules(load: serving.Load, *, known: bool = True) -> Figure:
    """Joules a token that a full server writes: its watts over all it writes, prompts and host included."""
    power = watts(load, known=known)
    low, high = calibration("written").interval
    seconds = serving.step(given("written"), load) * load.gpus / load.batch
    both = (power.central - power.low) / power.central, (power.high - power.central) / power.central
    down, up = math.hypot(both[0], 1 - low), math.hypot(both[1], high - 1)  # the two err independently
    return around(power.central * seconds, max(0.1, 1 - down), 1 + up, "J/token", power.tag)


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


def read_seconds(load: serving.Load) -> float:
    """Seconds that a server's devices take for one token of a prompt."""
    return serving.reading(given("step"), load, load.gpus) / max(1, load.prompt)


def _rate(name: str, seconds: float, known: bool, probe: float | None) -> Figure:
    low, high = calibration(name).interval
    if probe:
        low, high = calibration(name).probed
        return around(probe / seconds, 1 / high, 1 / low, "tok/s", "probed")
    tag: Tag = "calibrated"
    if not known:
        low, high, tag = low**WIDER, high**WIDER, "extrapolated"
    return around(1 / seconds, 1 / high, 1 / low, "tok/s", tag, _why(name))


def _seconds(name: str, seconds: float, known: bool) -> Figure:
    low, high = calibration(name).interval
    tag: Tag = "calibrated"
    if not known:
        low, high, tag = low**WIDER, high**WIDER, "extrapolated"
    return around(seconds, low, high, "s", tag, _why(name))


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
