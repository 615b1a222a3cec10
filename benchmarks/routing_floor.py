"""How much of what routing does not win is noise, and how much of a promise's cost no bound can save.

For `benchmarks/routing.py`. **Of routers**: one outcome of each model a question is all there is, so that a router is
taught by noise and scored by noise. Gains are drawn anew from chances that are known (what a fit on all rows says of
each question, drawn in or out by a factor), and two routers are scored on them: one that knows the chances, and the
product's regression, taught by the other four parts of the draw. The factor at which the second does as well as on the
recorded outcomes says what the first, the ceiling of everything that is linear in these features, would have there.

**Of promises**: a test of a mean with a given sample needs a margin of `z` standard errors. `least` is the share of
large calls at which a score has that margin, were the spread known; `boundary` where it has none. `explained` is the
share of the surplus' variance that the odds foresee: a control variate whose mean were known exactly
(prediction-powered inference, Angelopoulos et al. 2023) would shrink the margin by the root of the rest.
"""

from statistics import NormalDist
from typing import Any

import numpy as np

import routing_baselines as baselines
from routing_data import FOLDS, Case
from routing_figures import CALIBRATION, curve
from trimtab.odds import ridge
from trimtab.route import _contract

FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
DRAWS = 40
MORE = 4
"""Outcomes of each question that a third router is taught by: as if there were so many times the labels."""
Array = np.ndarray


def router(case: Case, blocks: tuple[str, ...]) -> dict[str, Any]:
    """APGR on drawn outcomes of a router that knows the chances and of taught ones, by factor; and where they match."""
    rows, widths = baselines.joined(case, blocks), baselines.widths(case, blocks)
    gain, rng = baselines.gain(case), np.random.default_rng(0)
    told = ridge.fit(rows, np.stack([gain, np.abs(gain)], 1), widths)[0].predict(rows)
    chances = [gain.mean() + factor * (told[:, 0] - gain.mean()) for factor in FACTORS]
    drawn = [outcomes(chance, told[:, 1], rng) for chance in chances]
    taught = np.concatenate([gain[:, None], *(one[:, :, 0] for one in drawn), *(one.mean(2) for one in drawn)], 1)
    scores = crossed(rows, taught, widths, case["fold"])
    once, more = (part.reshape(len(gain), len(FACTORS), DRAWS) for part in np.split(scores[:, 1:], 2, 1))
    found: dict[str, Any] = {"recorded": round(won(scores[:, 0], gain), 3)}
    known, learnt = [], []
    for at, factor in enumerate(FACTORS):
        of = {"knows": [won(chances[at], drawn[at][:, draw, 0]) for draw in range(DRAWS)],
              "taught": [won(once[:, at, draw], drawn[at][:, draw, 0]) for draw in range(DRAWS)],
              "taught more": [won(more[:, at, draw], drawn[at][:, draw, 0]) for draw in range(DRAWS)]}  # fmt: skip
        found[str(factor)] = {name: [round(float(np.mean(one)), 3), round(float(np.std(one)), 3)]
                              for name, one in of.items()}  # fmt: skip
        known, learnt = [*known, float(np.mean(of["knows"]))], [*learnt, float(np.mean(of["taught"]))]
    spread = found["1.0"]["taught"][1] * np.array([-1, 0, 1])
    found["ceiling"] = np.interp(found["recorded"] + spread, learnt, known).round(3).tolist()
    return found


def outcomes(chance: Array, differ: Array, rng: np.random.Generator) -> Array:
    """(n, DRAWS, MORE) of -1, 0 or 1 with a mean of `chance`, not 0 with a probability of about `differ`."""
    bound = np.clip(differ, 0.02, 1.0)
    mean, dice = np.clip(chance, -bound, bound)[:, None, None], rng.random((len(chance), DRAWS, MORE))
    return np.where(dice < (bound[:, None, None] + mean) / 2, 1.0, np.where(dice < bound[:, None, None], -1.0, 0.0))


def crossed(rows: Array, targets: Array, widths: tuple[int, ...], fold: Array) -> Array:
    """(n, k) predictions of each target by a regression on the other parts."""
    found = np.zeros_like(targets)
    for one in range(FOLDS):
        inside, out = fold != one, fold == one
        found[out] = ridge.fit(rows[inside], targets[inside], widths)[0].predict(rows[out])
    return found


def won(score: Array, gain: Array) -> float:
    return float(curve(score, np.zeros_like(gain), gain).mean())


def promise(case: Case, blocks: tuple[str, ...], score: Array, asked: _contract.Contract) -> dict[str, float]:
    """Shares of large calls at the boundary of a promise and where a margin can be shown; what the odds foresee."""
    small, large, order = case["small"], case["large"], np.argsort(score, kind="stable")
    kept, climbed = (small - asked.keep * large)[order], ((1 - asked.keep) * large)[order]
    mean, square = (parted(power(climbed), power(kept)) / len(order) for power in (np.positive, np.square))
    error = np.sqrt((square - mean**2) / CALIBRATION)
    edge, least = (int(np.argmax(mean >= off * error)) for off in (0, NormalDist().inv_cdf(asked.confidence)))
    stays = score >= score[order[edge]]
    value = (np.where(stays, small, large) - asked.keep * large)[:, None]
    rows = np.concatenate([baselines.joined(case, blocks), stays[:, None]], 1)
    left = value - crossed(rows, value, (*baselines.widths(case, blocks), 1), case["fold"])
    return {"boundary": round(edge / len(order), 3), "least": round(least / len(order), 3),
            "explained": round(1 - float(left.var() / value.var()), 3)}  # fmt: skip


def parted(below: Array, above: Array) -> Array:
    """At each place the sum of what is below it, and of what is not."""
    return np.cumsum(below) - below + np.cumsum(above[::-1])[::-1]
