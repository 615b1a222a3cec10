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

    Beside all blocks the `options` are fitted, which name some of them by their places, and the mean of their log-odds
    ranks: on few rows much of what is known of a question is more noise than news, and which part is, these rows hardly
    tell. P(right) is from all blocks.
    """
    targets = np.stack([1 - small if large is None else large - small, small], 1)
    gained = np.clip(targets[:, 0], 0, 1)
    tried = [_option(features, targets, blocks, one) for one in (tuple(range(len(blocks))), *options)]
    slopes = [_slope(one.held, gained) / len(tried) for one in tried]
    held = np.sum([slope * one.held for slope, one in zip(slopes, tried, strict=True)], 0)
    slope, offset = _slope(held, gained), platt(held, gained)[1]
    rank = np.zeros(features.shape[1])
    for own, one in zip(slopes, tried, strict=True):
        rank[one.columns] += slope * own * one.weights
    whole = tried[0].ridge
    weights = np.stack([rank, whole.weights[:, 1]], 1)
    ridge = msgspec.structs.replace(whole, weights=weights, bias=whole.bias * (0, 1))
    outcomes = (small, np.ones_like(small) if large is None else large)
    return Side(
        ridge=ridge, offset=offset, right=platt(tried[0].right, small), rows=len(small),
        held=np.stack([sigmoid(-slope * held - offset), *outcomes], 1),
    )  # fmt: skip


def curve(ranks: Matrix, small: Matrix, large: Matrix) -> Matrix:
    """Share of the gap between two models that is won at each share of large calls, from none to all."""
    order = np.argsort(-ranks, kind="stable")
    return np.concatenate([[0.0], np.cumsum((large - small)[order])]) / max(1e-9, (large - small).sum())


class _Option(msgspec.Struct, frozen=True, eq=False):
    """A fit on some `columns`: what ranks as `weights` of them, and `held` of the rows left out; theirs of P(right)."""

    columns: NDArray[np.int64]
    ridge: Ridge
    weights: Matrix
    held: Matrix
    right: Matrix


def _option(features: Matrix, targets: Matrix, blocks: tuple[int, ...], places: tuple[int, ...]) -> _Option:
    ends = np.cumsum(blocks)
    columns = np.concatenate([np.arange(ends[at] - blocks[at], ends[at]) for at in places])
    ridge, held = fit(features[:, columns], targets, tuple(blocks[at] for at in places))
    small, large = targets[:, 1], targets[:, 0] + targets[:, 1]
    share = max(SHARES, key=lambda share: float(curve(held @ (1, -share), small, large).mean()))
    ranks = (held - ridge.bias) @ (1, -share)
    return _Option(columns=columns, ridge=ridge, weights=ridge.weights @ (1, -share), held=ranks, right=held[:, 1])


def _slope(ranks: Matrix, gained: Matrix) -> float:
    """Into log-odds; on rows that tell nothing it may come out below 0, which would turn the ranks around."""
    return max(platt(ranks, gained)[0], STEEP)
