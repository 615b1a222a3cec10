"""One fit: is a model right, and would another one do better? From any features, on rows where both outcomes are known.

What ranks rows is fitted on the difference of the two models' outcomes, and how much the small one's own outcome is to
count beside it is what wins most on rows left out (the ranking loss is the area under the curve that is reported).
Where the other model's outcomes are not known it counts as always right, and both questions are one.
"""

import msgspec
import numpy as np

from trimtab.odds.ridge import Matrix, Ridge, fit, platt, sigmoid

SHARES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Weights of the small model's own outcome beside the difference that are tried."""


class Side(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Two columns of one ridge on `rows` outcomes, each with its (slope, offset) into a probability.

    The first says how much a climb is expected to gain, less its mean over the rows; the second P(right).
    `held` (rows, 3) is what the rows themselves got while they were left out: `stays`, and both models' outcomes.
    """

    ridge: Ridge
    gain: tuple[float, float]
    right: tuple[float, float]
    rows: int
    held: Matrix

    def ranks(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): the higher, the more there is to gain by asking the other model."""
        return self.ridge.predict(features)[:, 0]

    def stays(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): the probability that the other model would do no better, falling with `ranks`."""
        return 1 - _odds(self.ridge.predict(features)[:, 0], self.gain)

    def chance(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): P(the model itself is right)."""
        return _odds(self.ridge.predict(features)[:, 1], self.right)


def fitted(features: Matrix, small: Matrix, large: Matrix | None, blocks: tuple[int, ...], own: int = 0) -> Side:
    """A side from (n, d) features whose groups are `blocks` wide and (n,) outcomes from 0 to 1; see `ridge.fit`.

    The first `own` blocks are tried without the others too: on few rows the question can be more noise than news.
    """
    targets = np.stack([1 - small if large is None else large - small, small], 1)
    options = [_option(features, targets, blocks)]
    if 0 < own < len(blocks):
        width = sum(blocks[:own])
        options.append(_option(features[:, :width], targets, blocks[:own]))
    whole, best = options[0], max(options, key=lambda one: one.won)
    rank = np.zeros(features.shape[1])
    rank[: len(best.ridge.weights)] = best.ridge.weights @ (1, -best.share)
    ridge = msgspec.structs.replace(
        whole.ridge, weights=np.stack([rank, whole.ridge.weights[:, 1]], 1), bias=whole.ridge.bias * (0, 1)
    )
    score = best.held @ (1, -best.share) - best.ridge.bias @ (1, -best.share)
    gain, right = platt(score, np.clip(targets[:, 0], 0, 1)), platt(whole.held[:, 1], small)
    outcomes = (small, np.ones_like(small) if large is None else large)
    held = np.stack([1 - _odds(score, gain), *outcomes], 1)
    return Side(ridge=ridge, gain=gain, right=right, rows=len(small), held=held)


def curve(ranks: Matrix, small: Matrix, large: Matrix) -> Matrix:
    """Share of the gap between two models that is won at each share of large calls, from none to all."""
    order = np.argsort(-ranks, kind="stable")
    return np.concatenate([[0.0], np.cumsum((large - small)[order])]) / max(1e-9, (large - small).sum())


class _Option(msgspec.Struct, frozen=True, eq=False):
    """A fit of both targets, its rows left out, and the share that wins most with what it wins."""

    ridge: Ridge
    held: Matrix
    share: float
    won: float


def _option(features: Matrix, targets: Matrix, blocks: tuple[int, ...]) -> _Option:
    ridge, held = fit(features, targets, blocks)
    small, large = targets[:, 1], targets[:, 0] + targets[:, 1]
    won = [float(curve(held @ (1, -share), small, large).mean()) for share in SHARES]
    at = int(np.argmax(won))
    return _Option(ridge=ridge, held=held, share=SHARES[at], won=won[at])


def _odds(score: Matrix, line: tuple[float, float]) -> Matrix:
    return sigmoid(line[0] * score + line[1])
