"""From outcomes to odds and to the rows of a calibration: which are trained on, which are left for the promise."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.encode.sealed import opened
from trimtab.errors import ConfigError
from trimtab.odds import fitted, opinion
from trimtab.odds.outcomes import Outcome
from trimtab.odds.ridge import Matrix

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder

BATCH = 64


def mark(question: str) -> str:
    """A question's mark, the same whatever its case and white space."""
    return hashlib.sha256(" ".join(question.lower().split()).encode()).hexdigest()[:12]


def split(outcomes: Sequence[Outcome], share: float) -> tuple[Outcome, ...]:
    """About `share` of the outcomes, by their questions' marks: two rows of one question are never parted."""
    return tuple(one for one in outcomes if int(mark(one.question)[:8], 16) < share * 2**32)


def learnt(
    outcomes: Sequence[Outcome], encoder: "Encoder", folder: Path, opinions: tuple[str, ...] = ()
) -> fitted.Odds:
    """Fit the odds and write them to `folder`, with the marks of the questions that they have seen."""
    odds = fitted.train(outcomes, embedded(outcomes, encoder), opinions)
    odds.save(folder, {"what": "odds", "rows": len(outcomes), "seen": sorted({mark(one.question) for one in outcomes})})
    return odds


def unseen(outcomes: Sequence[Outcome], folder: Path) -> tuple[Outcome, ...]:
    """The outcomes whose questions the odds in `folder` have not seen. Raises `ConfigError` where none is left."""
    seen = set(opened(folder, fitted.FILES, fitted.FIX).get("seen", ()))
    left = tuple(one for one in outcomes if mark(one.question) not in seen)
    if not left:
        raise ConfigError(
            f"The odds in {folder} were trained on every question of the file.",
            "Give other outcomes, or train with a smaller --share.",
        )
    return left


def embedded(outcomes: Sequence[Outcome], encoder: "Encoder") -> Matrix:
    """(n, 384), in batches of questions of like length, which is faster."""
    found = np.zeros((len(outcomes), encoder.dims))
    order = sorted(range(len(outcomes)), key=lambda at: len(outcomes[at].question))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        found[batch] = encoder.gist_now([outcomes[at].question for at in batch])
    return found


def columns(
    outcomes: Sequence[Outcome], odds: fitted.Odds, encoder: "Encoder", small: str, large: str,
    opinions: tuple[str, ...] = (), around: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """The columns of a calibration; `score` is as the verifier finds it, with the small answers if all rows have them.

    Each of `opinions` is asked where it is worth its price `around` that threshold; `small_cost` has what they cost.
    Raises `ConfigError` for a small model without odds, and for opinions that the rows or the odds do not know.
    """
    said = all(small in one.answers for one in outcomes) and odds.side(small, large, said=True) is not None
    key = odds.key(small, large, said=said)
    if key not in odds.sides:
        raise ConfigError(f"There are no odds of {small!r}.", f"There are: {', '.join(odds.models(said=False))}.")
    _check(outcomes, odds, key, opinions)
    rows = embedded(outcomes, encoder)
    queries = [fitted.features(row, one.question) for row, one in zip(rows, outcomes, strict=True)]
    score, spent = _scored(outcomes, queries, odds, key, large, opinions, around)
    return {
        "score": score, "small_cost": _costs(outcomes, small) + spent, "large_cost": _costs(outcomes, large),
        "small": np.array([one.right[small] for one in outcomes]),
        "large": np.array([one.right[large] for one in outcomes]),
    }  # fmt: skip


def _check(outcomes: Sequence[Outcome], odds: fitted.Odds, key: fitted.Key, opinions: tuple[str, ...]) -> None:
    if missing := [one for one in opinions if not all(one in row.answers for row in outcomes)]:
        raise ConfigError(f"Not every row has an answer of {', '.join(missing)}.", "Leave out the rows that lack one.")
    for _ in fitted.chain(key.model, opinions):
        if not (after := odds.after(key, opinions)):
            raise ConfigError(f"The odds do not weigh the opinions {', '.join(opinions)}.", fitted.FIX)
        key = after


def _scored(
    outcomes: Sequence[Outcome], queries: Sequence[Matrix], odds: fitted.Odds, key: fitted.Key, large: str,
    opinions: tuple[str, ...], around: float,
) -> tuple[Matrix, Matrix]:  # fmt: skip
    """(n,) scores, and (n,) USD of the opinions that were asked: step for step as `verify._weighed` decides."""
    score = odds.sides[key].stays(fitted.rows_of(outcomes, queries, key))
    spent, asked = np.zeros(len(outcomes)), np.ones(len(outcomes), bool)
    while (after := odds.after(key, opinions)) is not None:
        own = _costs(outcomes, after.opinions[-1])
        asked &= opinion.asks(score, around, odds.prospects[after], own / _costs(outcomes, large))
        found = odds.sides[after].stays(fitted.rows_of(outcomes, queries, after))
        score, spent, key = np.where(asked, found, score), spent + np.where(asked, own, 0.0), after
    return score, spent


def _costs(outcomes: Sequence[Outcome], model: str) -> Matrix:
    """USD a row, NaN where it is unknown; another sample costs what the first one did if nothing else is said."""
    return np.array([one.cost.get(model, one.cost.get(model.partition("#")[0], np.nan)) for one in outcomes])
