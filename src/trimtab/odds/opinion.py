"""Is a second cheap opinion worth its price? What it would tell, at what the threshold says that an answer is worth.

A threshold t on "the large model would do no better" is a price: at t a climb costs the large call C and gains 1 - t
right answers, so a right answer is worth C / (1 - t) there. An opinion that costs c is asked where the right answers
that it is expected to save are worth more: E[max(s', t)] - max(E[s'], t) > (1 - t) c / C, with s' the score after it
(the value of information; Howard 1966). Far from t no opinion changes what is done, so that none is asked.
"""

import msgspec
import numpy as np

from trimtab.odds.ridge import Matrix, platt, sigmoid

Line = tuple[float, float]
EDGE = 1e-6


class Prospect(msgspec.Struct, frozen=True, kw_only=True):
    """What an opinion would tell, from the score before it: the chance that it agrees, and the score after either.

    Each is a line of log-odds over the log-odds of the score before.
    """

    agrees: Line
    alike: Line
    apart: Line


def prospect(before: Matrix, agrees: Matrix, after: Matrix) -> Prospect:
    """Fitted on (n,) scores before and after and on whether the opinion agreed; of rows left out."""
    at, same = log_odds(before), agrees > 0
    overall = platt(at, after)
    alike, apart = (platt(at[rows], after[rows]) if rows.sum() > 1 else overall for rows in (same, ~same))
    return Prospect(agrees=platt(at, same.astype(float)), alike=alike, apart=apart)


def asks(score: Matrix | float, around: float, prospect: Prospect, share: Matrix | float | None) -> Matrix:
    """Scores to whether to ask, one by one; `share` is the opinion's cost over the large model's.

    Where it is unknown (None or NaN) the opinion is asked wherever it could change what is done.
    """
    at = log_odds(score)
    chance, alike, apart = (_odds(at, line) for line in (prospect.agrees, prospect.alike, prospect.apart))
    mean = chance * alike + (1 - chance) * apart
    gained = chance * np.maximum(alike, around) + (1 - chance) * np.maximum(apart, around) - np.maximum(mean, around)
    price = np.nan if share is None else share
    return np.where(np.isnan(price), gained > EDGE, gained > (1 - around) * np.nan_to_num(price) + EDGE)


def log_odds(chance: Matrix | float) -> Matrix:
    """Of probabilities, which are kept off 0 and 1."""
    inside = np.clip(np.asarray(chance, float), EDGE, 1 - EDGE)
    return np.log(inside) - np.log1p(-inside)


def _odds(at: Matrix, line: Line) -> Matrix:
    return sigmoid(line[0] * at + line[1])
