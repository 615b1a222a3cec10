"""Is a mean above zero, and how sure is that? P-values of three kinds, and what sample each needs.

`betting` holds for every sample size and any bounded values (Waudby-Smith and Ramdas 2024, "Estimating means of bounded
random variables by betting"), `exact` for yes-or-no losses (the binomial tail), `clt` only for samples large enough
that their mean is normal, with losses enough that their spread is known: it is the sharpest, and the only one that is
an approximation.
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
CLT_LOSSES = 20
"""Rows below 0 under which no normal mean is believed: of rare losses a sample may by chance have none."""
BEFORE, BEFORE_SQUARE = 10, 0.3
"""What a bettor takes values to be before it has seen any: so many rows, of so much of the square of the lowest one."""


def betting(values: Values, low: float, risk: float) -> float:
    """P-value of "the mean is at most 0" for values in [low, infinity), low < 0: one over the most a bettor has held.

    Each bet depends on earlier values alone, so that by Ville's inequality capital reaches 1/p with a probability of at
    most p if the mean is at most 0. It is the bet of one who must hold 1/risk after the last value: what is still
    missing, over the rows that are left (STaR-Bets, Voracek and Orabona 2025). Shuffle the rows first.
    """
    if low >= 0:
        raise ValueError("values that cannot be negative need no test")
    goal, held, most, square = -math.log(risk), 0.0, 0.0, BEFORE * BEFORE_SQUARE * low * low
    for seen, value in enumerate(values.tolist()):
        spread = square / (BEFORE + seen)
        held += math.log1p(min(math.sqrt(2 * (goal - held) / (spread * (len(values) - seen))), 0.9 / -low) * value)
        most, square = max(most, held), square + value * value
        if held >= goal:
            break
    return math.exp(-most)


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

    `betting` needs a quarter to a half more.
    """
    if margin <= 0:
        raise ValueError("a margin that is not above 0 can never be shown")
    reach = NORMAL.inv_cdf(1 - risk) + NORMAL.inv_cdf(power)
    return max(CLT_LEAST, math.ceil((reach * spread / margin) ** 2))


def least_without_loss(rate: float, risk: float) -> int:
    """Rows that must all be without loss before "under `rate`" can be said at an error of `risk` (exact)."""
    return math.ceil(math.log(risk) / math.log1p(-rate))
