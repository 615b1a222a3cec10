"""Figures of a score that is to tell two sorts of texts apart, with bootstrap intervals."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Figure: TypeAlias = Callable[[Floats, Floats], float]
"""From the scores of texts that are to be found, and of those that are not, to one number."""


def auc(bad: Floats, fine: Floats) -> float:
    """P(a bad text scores above a benign one), ties counting half (Mann and Whitney 1947)."""
    both = np.concatenate([bad, fine])
    _, place, counts = np.unique(both, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks = (ends - (counts - 1) / 2)[place]
    return float((ranks[: len(bad)].sum() - len(bad) * (len(bad) + 1) / 2) / (len(bad) * len(fine)))


def threshold(fine: Floats, fpr: float) -> float:
    """The least score that at most a share `fpr` of the benign texts exceeds."""
    allowed = int(fpr * len(fine) + 1e-9)
    return float(np.sort(fine)[len(fine) - 1 - allowed])


def recall_at(fpr: float) -> Figure:
    """The share of bad texts above the threshold of that share of benign ones."""
    return lambda bad, fine: float((bad > threshold(fine, fpr)).mean())


def calibration_error(bad: Floats, fine: Floats, bins: int = 15) -> float:
    """Expected calibration error of scores that are probabilities, over equal-width bins (Naeini et al. 2015)."""
    scores, right = np.concatenate([bad, fine]), np.r_[np.ones(len(bad)), np.zeros(len(fine))]
    place = np.minimum((scores * bins).astype(int), bins - 1)
    gaps = [(place == b).mean() * abs(scores[place == b].mean() - right[place == b].mean()) for b in np.unique(place)]
    return float(sum(gaps))


def with_interval(figure: Figure, bad: Sequence[float], fine: Sequence[float], seed: int = 1) -> dict[str, Any]:
    """The figure and the middle 95 % of it over 1,000 resamples of both sides (Efron 1979)."""
    random, x, y = np.random.default_rng(seed), np.asarray(bad, float), np.asarray(fine, float)
    drawn = [figure(random.choice(x, len(x)), random.choice(y, len(y))) for _ in range(1000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return {"value": round(figure(x, y), 4), "interval": [round(float(low), 4), round(float(high), 4)]}
