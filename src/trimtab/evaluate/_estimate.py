"""The mean of values of which some are missing, with an interval: what another policy would have cost and kept.

Doubly robust (augmented inverse propensity weighting; Robins, Rotnitzky and Zhao 1994, for policies Dudik, Langford
and Li 2011): a guess for every row, corrected on the rows whose value was seen by what the guess missed there, over the
probability with which it was to be seen. Right on average where these probabilities are, however poor the guess; the
better the guess, the narrower the interval. Guesses are fitted without the rows that they are for.
"""

import math
from statistics import NormalDist

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.odds import ridge

Values = NDArray[np.float64]
LEAST = 30.0
"""Rows' worth of seen values (Kish's effective sample size) under which nothing is said."""
FOLDS = 5
FITTED = 40
"""Seen rows from which a guess is a regression; below it is their mean."""


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """An estimate with the ends of its interval and its standard error."""

    value: float
    low: float
    high: float
    error: float


def influence(value: Values, chance: Values, covariates: Values, seed: int = 0) -> Values:
    """(n,) numbers whose mean is the estimate: `value` (n,) is NaN where it was not seen.

    `chance` (n,) is the probability with which each was to be seen, `covariates` (n, d) what is known of every row.
    Raises `ValueError` for a seen value that could not be seen.
    """
    seen = ~np.isnan(value)
    if np.any(chance[seen] <= 0) or np.any(chance > 1):
        raise ValueError("A probability of being seen lies above 0, up to 1.")
    if np.all(seen) and np.all(chance == 1):
        return value
    guess = guesses(value, chance, covariates, seed)
    missed = np.where(seen, value - guess, 0.0) / np.where(seen, chance, 1.0)
    return guess + missed


def guesses(value: Values, chance: Values, covariates: Values, seed: int = 0) -> Values:
    """(n,) predictions of `value` from `covariates`, each fitted on the rows of the other parts."""
    seen, part = ~np.isnan(value), np.random.default_rng(seed).integers(0, FOLDS, len(value))
    found = np.zeros(len(value))
    for fold in range(FOLDS):
        inside, out = seen & (part != fold), part == fold
        if not inside.any():
            continue
        found[out] = np.average(value[inside], weights=1 / chance[inside])
        if covariates.shape[1] and inside.sum() >= FITTED:
            fitted, _ = ridge.fit(covariates[inside], value[inside][:, None], (covariates.shape[1],))
            guess = fitted.predict(covariates[out])[:, 0]
            found[out] = np.clip(guess, value[inside].min(), value[inside].max())
    return found


def effective(value: Values, chance: Values) -> float:
    """How many rows of equal weight the seen ones are worth (Kish 1965)."""
    weights = 1 / chance[~np.isnan(value)]
    return float(weights.sum() ** 2 / (weights**2).sum()) if len(weights) else 0.0


def interval(parts: Values, confidence: float) -> Interval:
    """The mean of `influence` with its normal interval."""
    return _interval(float(parts.mean()), _error(parts), confidence)


def share(parts: Values, confidence: float, worth: float) -> Interval:
    """The same of values from 0 to 1 that are `worth` so many seen rows, see `effective`.

    Where nearly all are alike the rows that differ may be missing by chance, and the normal interval is too short, at
    last a point. z^2 rows of a difference of 1 are added to what was seen: about Wilson's interval at 0 and 1.
    """
    found = _interval(float(parts.mean()), _error(parts), confidence, 1 / worth)
    value, low, high = (min(max(end, 0.0), 1.0) for end in (found.value, found.low, found.high))
    return Interval(value=value, low=low, high=high, error=found.error)


def ratio(parts: Values, base: Values, confidence: float, worth: float) -> Interval | None:
    """The mean of `parts` over that of `base`, row by row of the same requests (delta method); None over nothing.

    `worth` as for a `share`, infinity where no row can differ.
    """
    below = float(base.mean())
    if below <= 0:
        return None
    value = float(parts.mean()) / below
    found = _interval(value, _error(parts - value * base) / below, confidence, 1 / (worth * below))
    return msgspec.structs.replace(found, low=max(found.low, 0.0))


def _error(parts: Values) -> float:
    return float(parts.std(ddof=1)) / math.sqrt(len(parts))


def _interval(value: float, error: float, confidence: float, one: float = 0.0) -> Interval:
    """`one` is what a single row more or less would change."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    reach = z * math.hypot(error, z * one)
    return Interval(value=value, low=value - reach, high=value + reach, error=error)
