"""Coefficients from measured rows: robust least squares on logarithms, each held near a prior; never at run time.

    python -m trimtab.plan.fit --data DIR [--out src/trimtab/plan/catalog/coefficients.json]

Writes, for each quantity, the coefficients, how far rows were off whose device or model was left out of the fit, and
those that a probe was beside (`doubt`), and what all was fitted on. Recipe: `runs/planner.sh`.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from trimtab.plan import doubt
from trimtab.plan.doubt import Doubt, New, Rows

Row = TypeVar("Row")
Coefficients = Mapping[str, float]
Formula = Callable[[Coefficients, Any], float]
Errors = tuple[list[float], list[float]]
"""log(predicted / measured) of each row, with its device held out, and with its model held out."""
Prior = Mapping[str, tuple[float, float]]
"""Start and stiffness of each coefficient."""
BEND = 0.15
"""Errors beyond this (in logarithms) count by their size, not by their square."""
STEPS, TRIES = 40, 10
PROBED: tuple[New, ...] = ("other", "same")
MOST, ENOUGH = 800, 1700
"""Rows, about, that a fit of the held-out check sees, and the shipped fit: more change it little and take minutes."""


class Sample(msgspec.Struct, Generic[Row], frozen=True):
    """One measured row: what the formula takes, the seconds (or watts) measured, and what it must be held out by."""

    run: Row
    measured: float
    device: str
    model: str
    weight: float = 1.0
    known: bool = True
    """False where the model's layers are a guess."""


class Quantity(msgspec.Struct, frozen=True, kw_only=True):
    """What is calibrated. `prior` may depend on the coefficients of `base`, which the formula is given too."""

    formula: Formula
    prior: Callable[[Coefficients], Prior]
    samples: list[Sample[Any]]
    source: str
    facts: Callable[[Any], Sequence[float]]
    """What the size of an error follows from."""
    base: "Quantity | None" = None


def coefficients(
    quantity: Quantity, most: int, seen: Callable[[Sample[Any]], bool] = lambda _: True
) -> dict[str, float]:
    """Those of the quantity and of what it rests on, from the rows that `seen` allows: about `most` of them."""
    fixed = coefficients(quantity.base, most, seen) if quantity.base else {}
    samples = [sample for sample in quantity.samples if seen(sample)]
    prior = quantity.prior(fixed)
    return {**fixed, **fit(quantity.formula, prior, samples[:: max(1, len(samples) // most)], fixed)}


def fit(
    formula: Formula, prior: Prior, samples: Sequence[Sample[Any]], fixed: Coefficients | None = None
) -> dict[str, float]:  # fmt: skip
    """The coefficients that bring `formula` nearest to what was measured, by damped Gauss-Newton steps; `fixed` ones
    are given to it too, and stay."""
    import numpy as np

    names = list(prior)
    start = np.array([prior[name][0] for name in names])
    stiff = np.array([prior[name][1] for name in names])
    wanted = np.array([math.log(sample.measured) for sample in samples])
    weight = np.array([sample.weight for sample in samples])

    def predicted(at: Any) -> Any:
        given = {**(fixed or {}), **dict(zip(names, at.tolist(), strict=True))}
        return np.array([math.log(max(1e-12, formula(given, sample.run))) for sample in samples])

    def cost(at: Any, off: Any) -> float:
        size = np.abs(off)
        bent = np.where(size < BEND, size * size / 2, BEND * (size - BEND / 2))
        return float(weight @ bent + stiff @ (at - start) ** 2 / 2)

    at, damp = start.copy(), 1e-3
    found = predicted(at)
    best = cost(at, found - wanted)
    for _ in range(STEPS):
        slopes = np.empty((len(samples), len(names)))
        for index in range(len(names)):
            moved = at.copy()
            moved[index] += 1e-4
            slopes[:, index] = (predicted(moved) - found) / 1e-4
        off = found - wanted
        pull = weight * np.minimum(1.0, BEND / np.maximum(np.abs(off), 1e-9))
        normal = slopes.T @ (pull[:, None] * slopes) + np.diag(stiff)
        slope = slopes.T @ (pull * off) + stiff * (at - start)
        for _ in range(TRIES):
            tried = at - np.linalg.solve(normal + damp * np.diag(np.diag(normal) + 1e-9), slope)
            then = predicted(tried)
            value = cost(tried, then - wanted)
            if value < best:
                break
            damp *= 4
        else:
            break
        gain, best, at, found, damp = best - value, value, tried, then, max(damp / 6, 1e-9)
        if gain < 1e-6 * max(1.0, best):
            break
    return dict(zip(names, (round(float(value), 4) for value in at), strict=True))


def held_out(quantity: Quantity, by: Callable[[Sample[Any]], str], folds: int = 8) -> list[float]:
    """log(predicted / measured) of each row, by a fit that saw no row of its group (`by`), in the samples' order; nor
    did the fit of what it rests on."""
    samples = quantity.samples
    fold = {group: index % folds for index, group in enumerate(sorted({by(sample) for sample in samples}, key=mixed))}
    errors = [0.0] * len(samples)
    for number in sorted(set(fold.values())):
        given = coefficients(quantity, MOST, lambda sample, out=number: fold.get(by(sample)) != out)
        for index, sample in enumerate(samples):
            if fold[by(sample)] == number:
                errors[index] = math.log(quantity.formula(given, sample.run) / sample.measured)
    return errors


def pooled(quantity: Quantity) -> Errors:
    """Errors with devices held out, and with models held out: what is new may be new in either way."""
    return held_out(quantity, lambda sample: sample.device), held_out(quantity, lambda sample: sample.model)


def quantile(ordered: Sequence[float], share: float) -> float:
    """By linear interpolation; `ordered` ascending and not empty."""
    at = share * (len(ordered) - 1)
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def mixed(group: str) -> str:
    """A fixed hash of a name, by which groups fall into folds."""
    import hashlib

    return hashlib.sha256(group.encode()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "catalog" / "coefficients.json")
    parser.add_argument("--only", nargs="*", default=[], help="quantities; without it all")
    asked = parser.parse_args()
    from trimtab.plan import measured

    errors: dict[str, Errors] = {}
    found: dict[str, Any] = json.loads(asked.out.read_bytes()) if asked.out.exists() else {}
    for name, quantity in measured.quantities(asked.data).items():
        if asked.only and name not in asked.only:
            continue
        errors[name] = pooled(quantity)
        found[name] = _kept(quantity, coefficients(quantity, ENOUGH), errors[name])
        if {"watts", "written"} <= set(errors):  # joules a token are the product of both, of the same rows
            found["joules"] = _kept(quantity, {}, _both(errors["watts"], errors["written"]))
        asked.out.write_text(json.dumps(found, indent=1) + "\n")
        sys.stderr.write(f"{name}: {len(quantity.samples)} rows, {found[name]['doubt']['edges']}\n")


def doubts(quantity: Quantity, errors: Errors, kept: Callable[[Sample[Any]], bool] = lambda _: True) -> Doubt:
    """What is known of its errors, from those rows that are `kept`."""
    chosen = [index for index, sample in enumerate(quantity.samples) if kept(sample)]
    samples = [quantity.samples[index] for index in chosen]
    facts = [quantity.facts(sample.run) for sample in samples]
    by_device, by_model = ([-way[index] for index in chosen] for way in errors)
    ways: dict[New, Rows] = {
        "device": Rows(by_device, facts, [sample.device for sample in samples]),
        "model": Rows(by_model, facts, [sample.model for sample in samples]),
    }
    found = doubt.made(ways)
    edges: dict[New, doubt.Edges] = dict(found.edges)
    trust: dict[New, float] = {}
    for new in PROBED:
        if not doubt.paired(alike(samples, new)):  # no row beside another: a probe says nothing
            trust[new], edges[new] = 0.0, found.edges["device"]
            continue
        trust[new], edges[new] = doubt.probed(ways["device"], alike(samples, new), found.size, new == "same")
    return msgspec.structs.replace(found, edges=edges, trust=trust)


def alike(samples: Sequence[Sample[Any]], new: New) -> list[list[int]]:
    """Indices of samples of which one is a probe of the others: those of a device, or of the same model on it."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for index, sample in enumerate(samples):
        run, key = sample.run, (sample.device, getattr(sample.run, "gpus", 1))
        if new == "same":
            key += (sample.model, run.precision, getattr(run, "engine", ""), getattr(run, "apart", False))
        found.setdefault(key, []).append(index)
    return list(found.values())


def _kept(quantity: Quantity, given: Coefficients, errors: Errors) -> dict[str, Any]:
    """What the file keeps of a quantity."""
    samples = quantity.samples
    return {
        "coefficients": {key: value for key, value in given.items() if value or ":" not in key},
        "doubt": msgspec.to_builtins(doubts(quantity, errors)), "rows": len(samples), "source": quantity.source,
        "devices": sorted({sample.device for sample in samples}), "models": sorted({one.model for one in samples}),
    }  # fmt: skip


def _both(watts: Errors, steps: Errors) -> Errors:
    """Errors of a product, both ways held out."""
    by_device, by_model = ([a + b for a, b in zip(*pair, strict=True)] for pair in zip(watts, steps, strict=True))
    return by_device, by_model


if __name__ == "__main__":
    main()
