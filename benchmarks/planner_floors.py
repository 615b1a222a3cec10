"""What no formula of a row's facts can go below, on the rows of `planner.py`: floors, not scores."""

import math
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

from trimtab.plan import fit, table

Row = dict[str, Any]


def summary(errors: Iterable[float], rows: int, inside: float | None = None) -> Row:
    """Of relative errors (0.1 is 10 %): median, p90, share answered, share within the interval."""
    ordered = sorted(abs(error) for error in errors)
    if not ordered:
        return {"rows": rows, "answered": 0.0}
    found: Row = {
        "rows": rows, "answered": round(len(ordered) / rows, 4), "median": round(fit.quantile(ordered, 0.5), 4),
        "p90": round(fit.quantile(ordered, 0.9), 4),
    }  # fmt: skip
    return found | ({"inside": round(inside, 3)} if inside is not None else {})


def seen(power: fit.Quantity, step: fit.Quantity) -> dict[str, Row]:
    """Errors on the rows that were fitted themselves, and with a free level for each model, or for each model on each
    device, over that: what no formula that has to guess those can reach. Floors, not scores."""
    watts, steps = (
        [math.log(one.formula(given, sample.run) / sample.measured) for sample in one.samples]
        for one in (power, step) for given in (fit.coefficients(one, fit.ENOUGH),)
    )  # fmt: skip
    both, found, rows = [a + b for a, b in zip(watts, steps, strict=True)], {}, len(watts)
    keys: dict[str, Callable[[fit.Sample[Any]], Any]] = {
        ", a level a model": lambda one: one.model, ", a level a model and device": lambda one: (one.model, one.device),
    }  # fmt: skip
    for label, errors in (("power", watts), ("J/token", both)):
        found[f"{label}: fitted on itself"] = summary(map(math.expm1, errors), rows)
        for words, key in keys.items():
            levels: dict[Any, list[float]] = {}
            for error, sample in zip(errors, power.samples, strict=True):
                levels.setdefault(key(sample), []).append(error)
            middle = {name: fit.quantile(sorted(some), 0.5) for name, some in levels.items()}
            left = (error - middle[key(one)] for error, one in zip(errors, power.samples, strict=True))
            found[f"{label}: fitted on itself{words}"] = summary(map(math.expm1, left), rows)
    return found


def again(lines: list[table.Line], samples: list[fit.Sample[Any]]) -> Row:
    """How far apart the same model is on the same devices at the same largest batch, asked another task: a floor."""
    alike: dict[tuple[Any, ...], list[Row]] = {}
    for row, sample in zip(lines, samples, strict=True):
        key = (sample.device, sample.model, sample.run.gpus, sample.run.precision, row["max_num_seqs"])
        alike.setdefault(key, []).append(row)
    pairs = [pair for group in alike.values() for pair in combinations(group, 2) if pair[0]["task"] != pair[1]["task"]]
    pairs = [pair for pair in pairs if all(row["j_per_token"] for row in pair)]
    return summary((a.measured("j_per_token") / b.measured("j_per_token") - 1 for a, b in pairs), len(pairs))
