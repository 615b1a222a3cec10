"""Ridge regression with the rows left out one by one: the penalty is chosen, and odds are calibrated, out of sample."""

import msgspec
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
PENALTIES = (3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
WIDEST = 5.0
"""Standard deviations beyond which a feature counts no further: an odd text cannot outvote everything else."""


class Ridge(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`weights` (d, k) on features less `centre` over `spread`, plus `bias` (k,): k targets of one fit."""

    centre: Matrix
    spread: Matrix
    weights: Matrix
    bias: Matrix

    def predict(self, features: Matrix) -> Matrix:
        """(n, d) features to (n, k) predictions."""
        return standard(features, self.centre, self.spread) @ self.weights + self.bias


PARTS = Ridge.__struct_fields__
"""What is kept of one on disk, each under its name."""


def fit(features: Matrix, targets: Matrix, blocks: tuple[int, ...]) -> tuple[Ridge, Matrix]:
    """A ridge for each column of `targets` (n, k), and (n, k) predictions of each row by the others.

    `blocks` are the widths of groups of features that weigh alike however many they are. The penalty is the one of
    least error on left-out rows (Allen 1974, PRESS). Raises `ValueError` for fewer than 8 rows or unequal lengths.
    """
    if len(features) < 8 or len(features) != len(targets) or sum(blocks) != features.shape[1]:
        raise ValueError(f"{len(features)} rows, {len(targets)} targets: a fit needs 8 rows or more, as many of each.")
    spread = features.std(0)
    centre, spread = features.mean(0), np.where(spread < 1e-6, np.inf, spread)
    share = 3.0 / np.sqrt(np.repeat(np.array(blocks, float), blocks))  # 3: the penalties are then of the right size
    rows = standard(features, centre, spread) * share
    bias = targets.mean(0)
    values, vectors = np.linalg.eigh(rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows)
    values = np.maximum(values, 1e-9)
    left = vectors if len(rows) <= rows.shape[1] else (rows @ vectors) / np.sqrt(values)
    right = (rows.T @ vectors) / np.sqrt(values) if len(rows) <= rows.shape[1] else vectors
    goal = targets - bias
    turned = left.T @ goal
    tried = [_left_out(left, values / (values + penalty), turned, goal) for penalty in PENALTIES]
    errors = np.array([((one - goal) ** 2).mean(0) for one in tried])
    best = errors.argmin(0)
    penalty = np.array(PENALTIES)[best]
    weights = share[:, None] * (right @ (turned * np.sqrt(values)[:, None] / (values[:, None] + penalty)))
    held_out = np.stack([tried[one][:, column] for column, one in enumerate(best)], 1) + bias
    return Ridge(centre=centre, spread=spread, weights=weights, bias=bias), held_out


def _left_out(left: Matrix, shrunk: Matrix, turned: Matrix, goal: Matrix) -> Matrix:
    """What each row's prediction would have been without it; the mean is one more thing that was fitted."""
    fitted = left @ (shrunk[:, None] * turned)
    own = np.minimum((left**2) @ shrunk + 1 / len(left), 0.999)[:, None]
    return goal - (goal - fitted) / (1 - own)


def standard(features: Matrix, centre: Matrix, spread: Matrix) -> Matrix:
    """(n, d) features in standard deviations off their mean, `WIDEST` at most."""
    return np.clip((features - centre) / spread, -WIDEST, WIDEST)


def platt(score: Matrix, right: Matrix, rounds: int = 50) -> tuple[float, float]:
    """(slope, offset) so that sigmoid(slope * score + offset) is P(right), by Newton steps (Platt 1999).

    Targets are drawn in as Platt does, so that no outcome is certain from few rows.
    """
    yes, no = float(right.sum()), float(len(right) - right.sum())
    goal = right * (yes + 1) / (yes + 2) + (1 - right) / (no + 2)
    design = np.stack([score, np.ones_like(score)], 1)
    theta = np.array([0.0, float(np.log((yes + 1) / (no + 1)))])
    for _ in range(rounds):
        odds = sigmoid(design @ theta)
        slope = design.T @ (odds - goal) + 1e-6 * theta
        bend = (design * (odds * (1 - odds))[:, None]).T @ design + 1e-6 * np.eye(2)
        step = np.linalg.solve(bend, slope)
        theta = theta - np.clip(step, -5, 5)
        if np.abs(step).max() < 1e-8:
            break
    return float(theta[0]), float(theta[1])


def sigmoid(x: Matrix) -> Matrix:
    """1 / (1 + e^-x) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))
