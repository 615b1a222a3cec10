"""Is a mean above zero, and how sure is that? P-values of three kinds, and what sample each needs.

`betting` holds for every sample size and any bounded values (Waudby-Smith and Ramdas 2024, "Estimating means of bounded
random variables by betting"), `exact` for yes-or-no losses (the binomial tail), `clt` only for samples large enough
that their mean is normal: it is the sharpest, and the only one that is an approximation.
"""

import math
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Method: TypeAlias = Literal["betting", "exact", "clt"]
Values: TypeAlias = NDArray[np.float64]
NORMAL = NormalDist()
CLT_LEAST = 100
"""Rows under which `clt` says nothing."""


def betting(values: Values, low: float) -> float:
    """P-value of "the mean is at most 0" for values in [low, infinity), low < 0: one over the most a bettor has held.

    The bet is a fraction of the capital that depends on earlier values alone (aGRAPA), so that by Ville's inequality
    capital reaches 1/p with a probability of at most p if the mean is at most 0. Shuffle the rows first.
    """
    if low >= 0:
        raise ValueError("values that cannot be negative need no test")
    if not len(values):
        return 1.0
    bets = _bets(values, -low)
    wealth = np.cumsum(np.log1p(bets * values))
    return float(min(1.0, math.exp(-max(0.0, float(wealth.max())))))


def _bets(values: Values, span: float) -> Values:
    """What to stake on each value, from those before it: mean over second moment, kept inside what can be lost."""
    count = np.arange(len(values))
    mean = (np.concatenate([[0.0], np.cumsum(values)[:-1]]) + span * 0.02) / (count + 1)
    square = (np.concatenate([[0.0], np.cumsum(values**2)[:-1]]) + span**2 * 0.1) / (count + 1)
    return np.clip(mean / square, 0.0, 0.9 / span)


def clt(values: Values) -> float:
    """P-value of "the mean is at most 0" if the mean of so many is normal; 1 under `CLT_LEAST` rows."""
    if len(values) < CLT_LEAST:
        return 1.0
    spread = float(values.std(ddof=1))
    if spread == 0:
        return 0.0 if values[0] > 0 else 1.0
    return 1.0 - NORMAL.cdf(float(values.mean()) * math.sqrt(len(values)) / spread)


def exact(losses: int, rows: int, rate: float) -> float:
    """P-value of "losses happen at `rate` or more": the probability of so few among `rows`, P(Binomial <= losses)."""
    if not 0 < rate < 1:
        raise ValueError(f"rate must lie in (0, 1), not {rate}")
    if not 0 <= losses <= rows:
        raise ValueError(f"losses must be from 0 to {rows}, not {losses}")
    terms = [
        math.lgamma(rows + 1) - math.lgamma(k + 1) - math.lgamma(rows - k + 1)
        + k * math.log(rate) + (rows - k) * math.log1p(-rate)
        for k in range(losses + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, terms)))


def least_rows(margin: float, spread: float, risk: float, power: float = 0.8) -> int:
    """Rows with which a true mean of `margin` is seen with probability `power` at an error of `risk` (normal).

    `betting` needs about two to three times as many.
    """
    if margin <= 0:
        raise ValueError("a margin that is not above 0 can never be shown")
    reach = NORMAL.inv_cdf(1 - risk) + NORMAL.inv_cdf(power)
    return max(CLT_LEAST, math.ceil((reach * spread / margin) ** 2))


def least_without_loss(rate: float, risk: float) -> int:
    """Rows that must all be without loss before "under `rate`" can be said at an error of `risk` (exact)."""
    return math.ceil(math.log(risk) / math.log1p(-rate))
