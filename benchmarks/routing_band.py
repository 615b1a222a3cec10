"""What a second opinion costs and keeps where it is asked only in the band in which it is worth its price.

For `benchmarks/routing.py`: the product's own rule (`trimtab.odds.opinion`) on recorded outcomes, threshold and band
fixed on the rows trained on, each scored while it was left out. Costs are shares of always asking the large model.
"""

from typing import Any

import numpy as np

import routing_baselines as baselines
from routing_data import FOLDS, Case, part
from trimtab.odds import fitted, opinion, side

STEPS = 40


def band(case: Case, prices: tuple[float, ...], query: tuple[str, ...], goals: tuple[float, ...]) -> dict[str, Any]:
    """Cost, quality kept, and shares of requests that asked an opinion and that climbed, for each goal."""
    rows = {goal: np.zeros((len(case["small"]), 3)) for goal in goals}
    for fold in range(FOLDS):
        inside, out = case["fold"] != fold, case["fold"] == fold
        train, test = part(case, inside), part(case, out)
        first, second = (fit(train, (*blocks, "answer", *query)) for blocks in ((), ("opinion 0",)))
        told = opinion.prospect(first.held[:, 0], train["opinion 0"][:, 0], second.held[:, 0])
        known = (first.held[:, 0], second.held[:, 0])
        new = tuple(
            one.stays(baselines.joined(test, (*blocks, "answer", *query)))
            for one, blocks in ((first, ()), (second, ("opinion 0",)))
        )
        for goal in goals:
            best = cheapest(*known, train, told, prices, goal)
            rows[goal][out] = np.stack(walked(*new, test, told, prices, best), 1)
    shown: dict[str, Any] = {}
    for goal, found in rows.items():
        cost, quality, asked = found.mean(0)
        kept = quality / case["large"].mean()
        shown[str(goal)] = {"cost": round(cost, 3), "quality": round(kept, 3), "asked": round(asked, 3)}
    return shown


def fit(train: Case, blocks: tuple[str, ...]) -> side.Side:
    widths, options = baselines.widths(train, blocks), fitted.options(len(blocks) - len(fitted.QUERY))
    return side.fitted(baselines.joined(train, blocks), train["small"], train["large"], widths, options)


def walked(
    before: np.ndarray, after: np.ndarray, case: Case, told: opinion.Prospect, prices: tuple[float, ...], around: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost, quality and whether an opinion was asked, row by row."""
    small, large, other = prices[0] / prices[1], 1.0, prices[2] / prices[1]
    asked = opinion.asks(before, around, told, other)
    climbs = np.where(asked, after, before) < around
    return small + asked * other + climbs * large, np.where(climbs, case["large"], case["small"]), asked


def cheapest(
    before: np.ndarray, after: np.ndarray, case: Case, told: opinion.Prospect, prices: tuple[float, ...], goal: float
) -> float:
    """The threshold that reaches the goal most cheaply on these rows; that of the best quality where none does."""
    found = []
    for around in np.quantile(before, np.linspace(0.01, 0.99, STEPS)):
        cost, quality, _ = walked(before, after, case, told, prices, float(around))
        found.append((float(cost.mean()), float(quality.sum() / case["large"].sum()), float(around)))
    there = [one for one in found if one[1] >= goal]
    return min(there)[2] if there else max(found, key=lambda one: one[1])[2]
