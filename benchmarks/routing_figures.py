"""The figures of `benchmarks/routing.py`: pure functions of scores and outcomes."""

from typing import Any

import numpy as np

from trimtab.odds.side import curve
from trimtab.route import _contract

DRAWS = 200
PROMISES, CALIBRATION = 1000, 400
"""Calibrations of a promise that are drawn, and the rows of each."""
GOALS = (0.95, 0.99, 1.0, 1.01)
Array = np.ndarray


def reach(won: Array, share: float) -> float | None:
    return round(float(np.argmax(won >= share - 1e-9)) / (len(won) - 1), 3) if won.max() >= share - 1e-9 else None


def scored(small: Array, large: Array, gain: Array, right: Array | None) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, len(small), len(small)) for _ in range(DRAWS)]
    won = curve(gain, small, large)
    found = {
        "rows": len(small), "small": round(small.mean(), 4), "large": round(large.mean(), 4),
        "apgr": round(float(won.mean()), 3),
        "sd": spread(gain, small, large, samples),
        **{f"cpt{share}": reach(won, share / 100) for share in (50, 80, 95, 100)},
        "best": round(float((small.sum() + won.max() * (large - small).sum()) / large.sum()), 3),
    }  # fmt: skip
    if right is not None:
        found |= {"auroc": auroc(right, small), "ece": ece(right, small)}
    return found


def spread(gain: Array, small: Array, large: Array, samples: list[Array]) -> float | str:
    """The standard deviation over the samples; "" where one has no gap, so that its share of it is no number."""
    if any(large[at].sum() <= small[at].sum() for at in samples):
        return ""
    return round(float(np.std([curve(gain[at], small[at], large[at]).mean() for at in samples])), 3)


def auroc(score: Array, right: Array) -> float | str:
    """Of outcomes from 0 to 1 those from a half are right; "" where all are, or none."""
    right = (right >= 0.5).astype(float)
    if right.min() == right.max():
        return ""
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    yes = right.sum()
    return round(float((ranks[right > 0].sum() - yes * (yes + 1) / 2) / max(1, yes * (len(right) - yes))), 3)


def ece(chance: Array, right: Array, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size."""
    order = np.argsort(chance)
    return round(float(sum(abs((chance[at] - right[at]).sum()) for at in np.array_split(order, bins)) / len(right)), 3)


def costs(
    small: Array, large: Array, gain: Array, fold: Array, prices: tuple[float, ...], tries: int
) -> dict[str, Any]:
    """Cost (share of always asking the large model) and quality (share of its quality) that come true on each part,

    at the threshold that reaches a goal most cheaply on the other parts. `tries` is 0 where the small model is asked
    only if it is to answer, 1 where its answer is seen first, and one more for each opinion, always paid.
    """
    found, asked_first = {}, sum(prices[at] for at in ((0, *range(2, 1 + tries)) if tries else ())) / prices[1]
    for goal in GOALS:
        climbs = np.zeros(len(small), bool)
        for one in np.unique(fold):
            inside, out = fold != one, fold == one
            climbs[out] = gain[out] > threshold(gain[inside], small[inside], large[inside], goal)
        share = float(climbs.mean())
        cost = asked_first + share if tries else share + (1 - share) * prices[0] / prices[1]
        found[str(goal)] = {"cost": round(cost, 3), "large": round(share, 3),
                            "quality": round(float(np.where(climbs, large, small).sum() / large.sum()), 3)}  # fmt: skip
    return found


def threshold(gain: Array, small: Array, large: Array, goal: float) -> float:
    """Above which to ask the large model: the highest with the goal's share of its quality, else that of the best."""
    order = np.argsort(-gain, kind="stable")
    quality = small.sum() + np.concatenate([[0.0], np.cumsum((large - small)[order])])
    there = np.flatnonzero(quality >= goal * large.sum())
    calls = int(there[0]) if len(there) else int(quality.argmax())
    return np.inf if calls == 0 else float(np.nextafter(gain[order][calls - 1], -np.inf))


def violations(small: Array, large: Array, score: Array, promise: _contract.Contract, method: str) -> dict[str, float]:
    """How often a promise is broken: `CALIBRATION` rows are drawn with replacement from all rows, whose
    quality is known."""
    rng, broken, calls, none = np.random.default_rng(7), 0, list[float](), np.zeros(len(score))
    everything = _contract.Rows(score=score, small=small, large=large, small_cost=none, large_cost=none)
    for _ in range(PROMISES):
        at = rng.integers(0, len(score), CALIBRATION)
        rows = _contract.Rows(**{name: getattr(everything, name)[at] for name in everything.__struct_fields__})
        found = _contract.plain(rows, promise.keep) if method == "threshold" else None
        found = _contract.calibrate(rows, promise, _contract.METHODS[method]).threshold if found is None else found
        broken += bool(_contract.surplus(everything, found, promise.keep).mean() < 0)
        calls.append(float((score < found).mean()))
    return {"violations": broken / PROMISES, "large": round(float(np.mean(calls)), 3)}
