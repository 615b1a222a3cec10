"""Several legs' scores -> one: a convex mix of normalised scores, with weights for each language of a corpus. Pure.

Mixing scores does better than mixing ranks (Bruch, Gai & Ingber, 2023, arXiv:2210.11934). Scores are divided by the
best one's, cosines mapped from [-1, 1] to [0, 1] first.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import log2

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve._index import Scores
from trimtab.retrieve._terms import ENGLISH, LATIN

DEPTH = 100  # chunks that each leg proposes
TOP = 10  # ranks that count while weights are learnt
FEW = 2  # steps at most for the words of a language without spaces
STEPS = 10  # of a weight between 0 and 1


class Mix(msgspec.Struct, frozen=True):
    """The weights of the legs, which sum to 1."""

    words: float
    grams: float
    meaning: float


USUAL = Mix(0.3, 0.0, 0.7)
EUROPEAN = Mix(0.3, 0.3, 0.4)
FOREIGN = Mix(0.3, 0.6, 0.1)
SPACELESS = Mix(0.0, 0.8, 0.2)
"""Where a corpus is too small to learn from. The encoder reads English and what looks like it; elsewhere words lead."""
_NO_SPACES = frozenset({"thai", "lao", "khmer", "myanmar", "chinese", "japanese"})


class Legs(msgspec.Struct, frozen=True):
    """What each leg found; one that was not asked found nothing."""

    words: Scores
    grams: Scores
    near: Scores


def usual(language: str) -> Mix:
    """The weights for a language of which nothing was learnt."""
    if language == ENGLISH:
        return USUAL
    if language == LATIN:
        return EUROPEAN
    return SPACELESS if language in _NO_SPACES else FOREIGN


def spoken(told: str, counts: Mapping[str, int]) -> str:
    """A question's language, in doubt one of the corpus: a few words in Latin letters do not tell."""
    english, latin = counts.get(ENGLISH, 0), counts.get(LATIN, 0)
    if told == LATIN and english >= latin:
        return ENGLISH
    return LATIN if told == ENGLISH and latin and not english else told


def fused(legs: Legs, mix: Mix) -> Scores:
    """The mix's score of every chunk that a leg found, best first, from 0 to 1."""
    total: Scores = {}
    for weight, scores in zip((mix.words, mix.grams, mix.meaning), _columns(legs), strict=True):
        for chunk, score in scores.items():
            total[chunk] = total.get(chunk, 0.0) + weight * score
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def mixes(language: str) -> Iterator[Mix]:
    """The mixes to choose from for a language; English has no grams, and few words stand apart without spaces."""
    for grams in (0,) if language == ENGLISH else range(STEPS + 1):
        for meaning in range(STEPS + 1 - grams):
            if language in _NO_SPACES and STEPS - grams - meaning > FEW:
                continue
            yield Mix((STEPS - grams - meaning) / STEPS, grams / STEPS, meaning / STEPS)


def best(asked: Sequence[tuple[Legs, int]], language: str) -> Mix:
    """The mix with the greatest nDCG@10 over questions with one right chunk each; of equals the nearest the usual."""
    usually = usual(language)
    tables = [table for legs, wanted in asked if (table := _table(legs, wanted))]

    def worth(mix: Mix) -> tuple[float, float]:
        weights = np.array([mix.words, mix.grams, mix.meaning])
        found = sum(_gain(rows @ weights, place) for rows, place in tables)
        return round(found / len(asked), 3), -abs(mix.meaning - usually.meaning) - abs(mix.grams - usually.grams)

    return max(mixes(language), key=worth)


def _columns(legs: Legs) -> tuple[Scores, Scores, Scores]:
    """What is mixed: each leg's scores over its best one."""
    risen = {chunk: cosine + 1 for chunk, cosine in legs.near.items()}
    return _shares(legs.words), _shares(legs.grams), _shares(risen)


def _shares(scores: Scores) -> Scores:
    top = max(scores.values(), default=0.0)
    return {chunk: score / top for chunk, score in scores.items()} if top > 0 else {}


def _table(legs: Legs, wanted: int) -> tuple[NDArray[np.float64], int] | None:
    """A row of three scores for each chunk, and the place of the right one; None where no leg has found it."""
    columns = _columns(legs)
    chunks = list({chunk: None for scores in columns for chunk in scores})
    if wanted not in chunks:
        return None
    return np.array([[scores.get(chunk, 0.0) for scores in columns] for chunk in chunks]), chunks.index(wanted)


def _gain(scores: NDArray[np.float64], right: int) -> float:
    """nDCG@10 with one right chunk, which counts as ranked behind those it ties with."""
    rank = int((scores >= scores[right]).sum())
    return 1 / log2(rank + 1) if rank <= TOP else 0.0
