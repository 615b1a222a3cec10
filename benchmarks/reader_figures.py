"""Figures of the reader: SQuAD's F1 and exact match, AUROC, calibration, and what answering only some leaves."""

import math
import re
import string
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trimtab.evaluate.curves import auc

MIX = {"answerable": 0.5, "withheld": 0.4, "impossible": 0.1}
"""What the confidence is calibrated for: half of the questions have an answer in the documents; four in ten have had
their paragraph taken away; one in ten is an adversarial one of SQuAD, written to look answered."""


def bare(text: str) -> str:
    """As SQuAD's script compares answers: small letters, no marks, no articles, single spaces."""
    kept = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(?:a|an|the)\b", " ", kept).split())


def overlap(said: str, gold: str) -> float:
    """SQuAD's F1 of one answer: of its words, as a bag."""
    one, other = bare(said).split(), bare(gold).split()
    shared = sum((Counter(one) & Counter(other)).values())
    if not one or not other:
        return float(one == other)
    return 2 * shared / (len(one) + len(other))


def squad(said: Sequence[str], golds: Sequence[Sequence[str]], given: np.ndarray) -> np.ndarray:
    """(n, 2): F1 and exact match; `given` says whether an answer was given; where there is none, none is right."""
    rows: list[tuple[float, ...]] = []
    for text, gold, answered in zip(said, golds, given, strict=True):
        if not gold or not answered:
            rows.append((float(not gold and not answered),) * 2)
            continue
        rows.append((max(overlap(text, one) for one in gold), float(any(bare(text) == bare(one) for one in gold))))
    return np.array(rows)


def best_threshold(p: np.ndarray, said: Sequence[str], golds: Sequence[Sequence[str]]) -> float:
    """The confidence from which answering gives the best F1 over all questions."""
    return max(
        (float(at) for at in np.quantile(p, np.linspace(0, 1, 101))),
        key=lambda at: float(squad(said, golds, p >= at)[:, 0].mean()),
    )


def mean(values: np.ndarray) -> float:
    """NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


def told(figure: float) -> float | None:
    """As it is written down: to four places, and nothing where there is none."""
    return None if math.isnan(figure) else round(figure, 4)


def half(p: np.ndarray, hits: np.ndarray, weights: np.ndarray) -> float:
    """The right among the surest half of the weight; NaN of nothing."""
    if not weights.sum():
        return math.nan
    order = np.argsort(-p, kind="stable")
    kept = order[: int(np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)) + 1]
    return float((weights * hits)[kept].sum() / weights[kept].sum())


def mixed(sorts: np.ndarray, mix: Mapping[str, float] = MIX) -> np.ndarray:
    """A weight for each row, so that the sorts count as in `mix`."""
    weights = np.zeros(len(sorts))
    for sort, part in mix.items():
        weights[sorts == sort] = part * len(sorts) / max((sorts == sort).sum(), 1)
    return weights


def calibration_error(p: np.ndarray, hits: np.ndarray, weights: np.ndarray) -> float:
    """Expected calibration error over ten bins, in the mix."""
    bins = [(p >= low) & (p < low + 0.1) for low in np.arange(0, 1, 0.1)]
    return sum(abs(float(((p - hits) * weights)[kept].sum())) for kept in bins) / float(weights.sum())


def selective(
    p: np.ndarray, hits: np.ndarray, weights: np.ndarray, possible: np.ndarray, at: float
) -> dict[str, float | None]:
    """What passing below a threshold leaves: the parts of the mix and of the answerable answered; the right."""
    kept = p >= at
    return {
        "threshold": at, "answered": round(float(weights[kept].sum() / weights.sum()), 4),
        "answered_of_answerable": told(mean(kept[possible])),
        "right": round(float((weights * hits)[kept].sum() / max(weights[kept].sum(), 1e-9)), 4),
    }  # fmt: skip


def auroc(p: np.ndarray, possible: np.ndarray) -> float:
    """P(a question with an answer scores above one without), ties counting half; NaN where there are none of a sort."""
    return auc(p[possible], p[~possible]) if 0 < possible.sum() < len(possible) else math.nan


def with_interval(figure: Callable[[np.ndarray], float], groups: np.ndarray, seed: int = 1) -> dict[str, Any]:
    """A figure of the rows at some places, and the middle 95 % of it over 500 resamples of whole groups.

    Both are None where the rows have no such figure; resamples that have none are left out.
    """
    whole = figure(np.arange(len(groups))) if len(groups) else math.nan
    if math.isnan(whole):
        return {"value": None, "interval": None}
    drawn = np.random.default_rng(seed)
    places = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    found = [
        figure(np.concatenate([places[at] for at in drawn.integers(0, len(places), len(places))])) for _ in range(500)
    ]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return {"value": round(whole, 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Ridge logistic regression by Newton's method; the bias comes first and is not shrunk."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    shrink = ridge * np.eye(len(w))
    shrink[0, 0] = 0
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve(
            (x * (weights * p * (1 - p))[:, None]).T @ x + shrink, x.T @ (weights * (y - p)) - shrink @ w
        )
    return w
