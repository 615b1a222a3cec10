"""The promise on quality: the cheapest threshold of which calibration rows show that it keeps it (learn-then-test).

Angelopoulos et al. 2021, "Learn then Test", with fixed-sequence testing: thresholds are tried from "always large" down,
each at the whole error allowed, and the first that fails ends it; so no correction for their number is needed.
"""

import math
from functools import lru_cache
from typing import TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.route import _bounds, _monitor
from trimtab.route._bounds import Method, Values

Order: TypeAlias = NDArray[np.int64]
METHODS: dict[str, Method] = {"betting": "betting", "exact": "exact", "clt": "clt"}
STEPS = 100
"""Thresholds tried, at equal steps of the share of requests answered small."""


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Keep at least `keep` of the large model's quality, with probability `confidence` over the calibration sample.

    `max_cost` is USD for one request on average, None for no ceiling.
    """

    keep: float = 0.98
    confidence: float = 0.9
    max_cost: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep = {self.keep} is no share of quality: give one above 0, up to 1.")
        if not 0.5 <= self.confidence < 1:
            raise ValueError(f"confidence = {self.confidence}: give one from 0.5 to below 1.")
        if self.max_cost is not None and not self.max_cost > 0:
            raise ValueError(f"max_cost = {self.max_cost} USD lets nothing be answered.")


class Rows(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What calibration sees, one entry a request: `score` (the higher, the more the small answer is to be kept).

    `small` and `large` are how right each model's answer was, in [0, 1]; costs are USD, the small one's with its
    verifiers; an unknown cost is NaN.
    """

    score: Values
    small: Values
    large: Values
    small_cost: Values
    large_cost: Values


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """`threshold`: answers scored at or above it stay; infinity sends everything to the large model.

    `status`: `kept`, `insufficient_data` (no cheaper threshold could be shown), `too_dear` (what can be shown costs
    more than `max_cost`). `kept` is the share of the large model's quality on these rows, None where it was never
    right; `large` the share of large calls, `cost` USD a request or None where a cost is unknown, `rows_needed` an
    estimate for one step below "always large", 0 where these rows show no margin at all. `allowed` is the mean loss of
    the answers that stay small which the promise leaves, for the monitor; None where none stays.
    """

    status: str
    threshold: float
    method: Method
    rows: int
    p_value: float
    kept: float | None
    large: float
    cost: float | None
    rows_needed: int
    allowed: float | None = None


def calibrate(rows: Rows, contract: Contract, method: Method = "betting", seed: int = 0) -> Calibrated:
    """The cheapest threshold that passes. Raises `ValueError` for arrays of unequal length or values outside [0, 1].

    `exact` counts every answer that is worse than the large model's as lost and no better one as gained, so it needs
    yes-or-no outcomes and promises more than asked.
    """
    check(rows, method)
    risk, order = 1 - contract.confidence, np.random.default_rng(seed).permutation(len(rows.score))
    best, p_best, needed = math.inf, 0.0, 0
    for threshold in thresholds(rows.score):
        found = p_value(rows, threshold, contract, method, order)
        needed = needed or _needed(rows, threshold, contract)
        if found > risk:
            break
        best, p_best = threshold, found
    return _said(rows, contract, method, best, p_best, needed)


def check(rows: Rows, method: Method) -> None:
    """Raises `ValueError` for what cannot be calibrated on."""
    columns = {name: getattr(rows, name) for name in rows.__struct_fields__}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"All columns must be of one length, not {lengths}.")
    for name in ("small", "large"):
        column = columns[name]
        if not np.all((column >= 0) & (column <= 1)):
            raise ValueError(f"{name} holds a value outside of [0, 1].")
        if method == "exact" and not np.all((column == 0) | (column == 1)):
            raise ValueError(f"exact needs outcomes of 0 or 1, and {name} holds others: use betting.")
    if not np.all(np.isfinite(columns["score"])):
        raise ValueError("score holds a value that is no number.")


def thresholds(score: Values) -> tuple[float, ...]:
    """Thresholds from high to low that let ever larger shares of the rows be answered small."""
    if not len(score):
        return ()
    found = np.quantile(score, 1 - np.arange(1, STEPS + 1) / STEPS, method="inverted_cdf")
    return tuple(dict.fromkeys(map(float, found)))


def plain(rows: Rows, keep: float) -> float:
    """The cheapest threshold that keeps so much on these rows themselves, as tuning does: it promises nothing."""
    return min((one for one in thresholds(rows.score) if surplus(rows, one, keep).mean() >= 0), default=math.inf)


def surplus(rows: Rows, threshold: float, keep: float) -> Values:
    """For each row the quality at `threshold` less `keep` times the large model's; the promise: its mean is above 0."""
    return np.where(rows.score >= threshold, rows.small, rows.large) - keep * rows.large


def p_value(rows: Rows, threshold: float, contract: Contract, method: Method, order: Order | None = None) -> float:
    """The p-value of "the promise is broken at `threshold`"; `order` shuffles the rows of `betting`.

    Where hardly a row loses, `clt` bets too: a mean of so few losses is far from normal.
    """
    if method == "exact":
        lost = int(np.sum((rows.score >= threshold) & (rows.small < rows.large)))
        return _exact(lost, rows, contract)
    values = surplus(rows, threshold, contract.keep)
    if method == "clt" and (len(values) < _bounds.CLT_LEAST or np.sum(values < 0) >= _bounds.CLT_LOSSES):
        return _bounds.clt(values)
    return _bounds.betting(values if order is None else values[order], -contract.keep, 1 - contract.confidence)


def _exact(lost: int, rows: Rows, contract: Contract) -> float:
    """The budget is a share of the large model's quality, which is itself only estimated: half of the error each."""
    total, right = len(rows.large), int(rows.large.sum())
    risk = 1 - contract.confidence
    floor = _floor(right, total, risk / 2)
    budget = (1 - contract.keep) * floor
    return min(1.0, 2 * _bounds.exact(lost, total, budget)) if budget > 0 else 1.0


@lru_cache(maxsize=16)
def _floor(right: int, total: int, risk: float) -> float:
    """A rate that the large model's quality is above, up to an error of `risk` (Clopper and Pearson, by halving)."""
    low, high = 0.0, 1.0
    for _ in range(30):
        middle = (low + high) / 2
        above = _bounds.exact(total - right, total, 1 - middle) if 0 < middle < 1 else 1.0
        low, high = (middle, high) if above <= risk else (low, middle)
    return low


def _needed(rows: Rows, threshold: float, contract: Contract) -> int:
    """Rows to show the first step below "always large", from what these rows' margin and spread look like."""
    values = surplus(rows, threshold, contract.keep)
    margin = float(values.mean()) if len(values) else 0.0
    if margin <= 0:
        return 0
    return _bounds.least_rows(margin, float(values.std()), 1 - contract.confidence)


def _said(rows: Rows, contract: Contract, method: Method, threshold: float, found: float, needed: int) -> Calibrated:
    small = rows.score >= threshold
    quality, large = float(np.where(small, rows.small, rows.large).sum()), float(rows.large.sum())
    spent = float(np.mean(rows.small_cost + np.where(small, 0.0, rows.large_cost))) if len(small) else math.nan
    if math.isinf(threshold):
        spent = float(np.mean(rows.large_cost)) if len(small) else math.nan
    status = "insufficient_data" if math.isinf(threshold) else "kept"
    if contract.max_cost is not None and spent > contract.max_cost:
        status = "too_dear"
    return Calibrated(
        status=status, threshold=threshold, method=method, rows=len(small), p_value=found,
        kept=quality / large if large else None, large=1 - float(small.mean()) if len(small) else 1.0,
        cost=None if math.isnan(spent) else spent, rows_needed=needed,
        allowed=_monitor.allowed(contract.keep, large / len(small), float(small.mean())) if small.any() else None,
    )  # fmt: skip
