"""One fit: is a model right, and would another one do better? From any features, on rows where both outcomes are known.

What ranks rows is fitted on the difference of the two models' outcomes, and how much the small one's own outcome is to
count beside it is what wins most on rows left out (the ranking loss is the area under the curve that is reported).
Where the other model's outcomes are not known it counts as always right, and both questions are one.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.odds.ridge import Matrix, Ridge, fit, platt, sigmoid

SHARES = (0.0, 0.5, 1.0, 2.0, 5.0)
"""Weights of the small model's own outcome beside the difference that are tried."""
STEEP = 1e-3


class Side(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Two columns of one ridge on `rows` outcomes: the log-odds that a climb gains less `offset`, and P(right).

    Without the `offset`, which is their mean, sides of unlike rows rank alike. `right` is a (slope, offset). `held`
    (rows, 3) is what the rows themselves got while they were left out: `stays`, and both models' outcomes.
    """

    ridge: Ridge
    offset: float
    right: tuple[float, float]
    rows: int
    held: Matrix

    def ranks(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): the higher, the more there is to gain by asking the other model."""
        return self.ridge.predict(features)[:, 0]

    def stays(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): the probability that the other model would do no better, falling with `ranks`."""
        return sigmoid(-self.ranks(features) - self.offset)

    def chance(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): P(the model itself is right)."""
        slope, offset = self.right
        return sigmoid(slope * self.ridge.predict(features)[:, 1] + offset)


def fitted(
    features: Matrix,
    small: Matrix,
    large: Matrix | None,
    blocks: tuple[int, ...],
    options: Sequence[tuple[int, ...]] = (),
) -> Side:
    """A side from (n, d) features whose groups are `blocks` wide and (n,) outcomes from 0 to 1; see `ridge.fit`.

    Beside all blocks the `options` are tried, which name some of them by their places, and what wins most on rows left
    out ranks: on few rows much of what is known of a question is more noise than news. P(right) is from all blocks.
    """
    targets = np.stack([1 - small if large is None else large - small, small], 1)
    whole = _option(features, targets, blocks, tuple(range(len(blocks))))
    best = max([whole, *(_option(features, targets, blocks, one) for one in options)], key=lambda one: one.won)
    held = best.held @ (1, -best.share) - best.ridge.bias @ (1, -best.share)
    (slope, offset), right = platt(held, np.clip(targets[:, 0], 0, 1)), platt(whole.held[:, 1], small)
    slope = max(slope, STEEP)  # on rows that tell nothing it may come out below 0, which would turn the ranks around
    rank = np.zeros(features.shape[1])
    rank[best.columns] = slope * best.ridge.weights @ (1, -best.share)
    weights = np.stack([rank, whole.ridge.weights[:, 1]], 1)
    ridge = msgspec.structs.replace(whole.ridge, weights=weights, bias=whole.ridge.bias * (0, 1))
    held = np.stack([sigmoid(-slope * held - offset), small, np.ones_like(small) if large is None else large], 1)
    return Side(ridge=ridge, offset=offset, right=right, rows=len(small), held=held)


def curve(ranks: Matrix, small: Matrix, large: Matrix) -> Matrix:
    """Share of the gap between two models that is won at each share of large calls, from none to all."""
    order = np.argsort(-ranks, kind="stable")
    return np.concatenate([[0.0], np.cumsum((large - small)[order])]) / max(1e-9, (large - small).sum())


class _Option(msgspec.Struct, frozen=True, eq=False):
    """A fit of both targets on some `columns`, its rows left out, and the share that wins most with what it wins."""

    columns: NDArray[np.int64]
    ridge: Ridge
    held: Matrix
    share: float
    won: float


def _option(features: Matrix, targets: Matrix, blocks: tuple[int, ...], places: tuple[int, ...]) -> _Option:
    ends = np.cumsum(blocks)
    columns = np.concatenate([np.arange(ends[at] - blocks[at], ends[at]) for at in places])
    ridge, held = fit(features[:, columns], targets, tuple(blocks[at] for at in places))
    small, large = targets[:, 1], targets[:, 0] + targets[:, 1]
    won = [float(curve(held @ (1, -share), small, large).mean()) for share in SHARES]
    at = int(np.argmax(won))
    return _Option(columns=columns, ridge=ridge, held=held, share=SHARES[at], won=won[at])
