"""Several legs' scores -> one: a convex mix of normalised scores, with weights for each language of a corpus. Pure.

Mixing scores does better than mixing ranks (Bruch, Gai & Ingber, 2023, arXiv:2210.11934). Scores are divided by the
best one's, cosines mapped from [-1, 1] to [0, 1] first.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec

from trimtab.retrieve._index import Scores
from trimtab.retrieve._terms import ENGLISH, LATIN

DEPTH = 100  # chunks that each leg proposes
STEPS = 10  # of a weight between 0 and 1


class Mix(msgspec.Struct, frozen=True):
    """The weights of the legs, which sum to 1."""

    words: float
    grams: float
    meaning: float


USUAL = Mix(0.3, 0.0, 0.7)
FOREIGN = Mix(0.3, 0.6, 0.1)
SPACELESS = Mix(0.0, 0.95, 0.05)
"""Where a corpus is too small to learn from. The encoder reads English alone: elsewhere words and grams lead."""
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
    return SPACELESS if language in _NO_SPACES else FOREIGN


def spoken(told: str, counts: Mapping[str, int]) -> str:
    """A question's language, in doubt one of the corpus: a few words in Latin letters do not tell."""
    english, latin = counts.get(ENGLISH, 0), counts.get(LATIN, 0)
    if told == LATIN and english >= latin:
        return ENGLISH
    return LATIN if told == ENGLISH and latin and not english else told


def fused(legs: Legs, mix: Mix) -> Scores:
    """The mix's score of every chunk that a leg found, best first, from 0 to 1."""
    risen = {chunk: cosine + 1 for chunk, cosine in legs.near.items()}
    parts = ((mix.words, legs.words), (mix.grams, legs.grams), (mix.meaning, risen))
    total: Scores = {}
    for weight, scores in parts:
        for chunk, score in _shares(scores).items():
            total[chunk] = total.get(chunk, 0.0) + weight * score
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def mixes(language: str) -> Iterator[Mix]:
    """The mixes to choose from for a language; of English no grams are kept."""
    for grams in (0,) if language == ENGLISH else range(STEPS + 1):
        for meaning in range(STEPS + 1 - grams):
            yield Mix((STEPS - grams - meaning) / STEPS, grams / STEPS, meaning / STEPS)


def gain(scores: Scores, wanted: int, at: int = 10) -> float:
    """nDCG@`at` of one question with one right chunk, which counts as ranked behind those it ties with."""
    from math import log2

    mine = scores.get(wanted)
    if mine is None:
        return 0.0
    rank = sum(score >= mine for score in scores.values())
    return 1 / log2(rank + 1) if rank <= at else 0.0


def best(asked: Sequence[tuple[Legs, int]], language: str) -> Mix:
    """The mix with the greatest mean gain over questions with their right chunks; of equals the nearest the usual."""
    usually = usual(language)

    def worth(mix: Mix) -> tuple[float, float]:
        found = sum(gain(fused(legs, mix), wanted) for legs, wanted in asked)
        return round(found / len(asked), 3), -abs(mix.meaning - usually.meaning) - abs(mix.grams - usually.grams)

    return max(mixes(language), key=worth)


def _shares(scores: Scores) -> Scores:
    top = max(scores.values(), default=0.0)
    return {chunk: score / top for chunk, score in scores.items()} if top > 0 else {}
