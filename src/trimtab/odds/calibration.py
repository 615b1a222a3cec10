"""From outcomes to odds and to the rows of a calibration: which are trained on, which are left for the promise."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trimtab.encode.sealed import opened
from trimtab.errors import ConfigError
from trimtab.odds import fitted
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


def learnt(outcomes: Sequence[Outcome], encoder: "Encoder", folder: Path) -> fitted.Odds:
    """Fit the odds and write them to `folder`, with the marks of the questions that they have seen."""
    odds = fitted.train(outcomes, embedded(outcomes, encoder))
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
        found[batch] = encoder.embed_now([outcomes[at].question for at in batch])
    return found


def columns(
    outcomes: Sequence[Outcome], odds: fitted.Odds, encoder: "Encoder", small: str, large: str
) -> dict[str, Any]:
    """The columns of a calibration; `score` is P(the small model is right), with its answer where all rows have it.

    Raises `ConfigError` for a small model without odds.
    """
    answers = small in odds.answered and all(small in one.answers for one in outcomes)
    side = odds.answered[small] if answers else odds.asked.get(small)
    if side is None:
        raise ConfigError(f"There are no odds of {small!r}.", f"There are odds of: {', '.join(odds.asked)}.")
    rows = embedded(outcomes, encoder)
    made = [
        fitted.seen(row, one.question, one.answers[small]) if answers else fitted.features(row, one.question)
        for row, one in zip(rows, outcomes, strict=True)
    ]
    models = {"small": small, "large": large}
    return {
        "score": side.chance(np.stack(made)),
        **{name: np.array([one.right[model] for one in outcomes]) for name, model in models.items()},
        **{
            f"{name}_cost": np.array([one.cost.get(model, np.nan) for one in outcomes])
            for name, model in models.items()
        },
    }
