"""How well evidence supports a sentence: what it shares with it in words, figures and meaning, as a probability. Pure.

P(supported) = sigmoid(WEIGHTS . features). The weights were fitted by `benchmarks/grounding.py --fit` on sentences made
from paragraphs of SQuAD 2.0 (Rajpurkar et al. 2018; text from Wikipedia; CC BY-SA 4.0); nothing that it is measured on
trained them. Made for English.
"""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from trimtab.sentences import terms

NAMES = ("covered", "pairs", "best", "run", "figures", "names", "odd", "person", "denial", "length", "one")
WEIGHTS = (1.951, 2.466, 2.644, -0.51, -3.15, -3.607, 2.42, -2.774, -4.715, -1.582, -1.368)
LEAST_TERMS = 2
"""A sentence of fewer telling words ("Yes.", "I see.") claims nothing that could be supported."""
ODDEST = 5
"""Pieces of a sentence that `odd` looks at."""
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBERS = {word: str(number) for number, word in enumerate(_WORDS)}
_FIGURED = re.compile(r"[^\W\d_]+|\d+(?:[.,]\d+)*")
_NAMED = re.compile(r"(?<=[^\W_][^\W_,;:)'’] )[A-Z][\w'’-]+")
_PERSON = re.compile(r"\b(?:i|i'm|i've|me|my|we|our|you|your|yours)\b", re.IGNORECASE)
_DENIAL = re.compile(
    r"\b(?:(?<!^)no(?!,)|not|never|none|neither|nobody|nothing|without|cannot)\b|n['’]t\b", re.IGNORECASE
)


class Known(NamedTuple):
    """Evidence made ready: its sentences, their stems, and what all of it has."""

    sentences: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    terms: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    figures: frozenset[str]


def known(sentences: Sequence[str]) -> Known:
    """Evidence from its sentences."""
    parts = tuple(tuple(_terms(sentence)) for sentence in sentences)
    return Known(
        tuple(sentences), parts, frozenset(term for part in parts for term in part),
        frozenset(pair for part in parts for pair in _pairs(part)), frozenset(_figures(" ".join(sentences))),
    )  # fmt: skip


def claims(sentence: str) -> bool:
    """Whether a sentence says something that evidence could support: no question, and not a word or two."""
    return len(terms(sentence)) >= LEAST_TERMS and not sentence.rstrip("\"' )").endswith("?")


def unit(states: Any) -> Any:
    """Token embeddings (pieces, dims), each of length 1."""
    return states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-9)


def odd(mine: Any, theirs: Sequence[Any]) -> float:
    """How near the `ODDEST` pieces of a sentence are of which the evidence has least: their mean cosine, -1 to 1.

    `mine` are the unit token embeddings of the sentence's words (pieces, dims), without those of punctuation, to which
    something is always near; `theirs` those of each sentence of the evidence.
    """
    if not len(mine):
        return 0.0
    near = np.max([(mine @ one.T).max(axis=1) for one in theirs if len(one)] or [np.zeros(len(mine))], axis=0)
    return float(np.sort(near)[:ODDEST].mean())


def features(sentence: str, evidence: Known, odd: float) -> tuple[float, ...]:
    """In the order of NAMES; `odd` is what the function of that name says.

    covered, best: shares of its stems in all of the evidence and in the best sentence. pairs: of its neighbouring
    stems. run: its longest run that is in one sentence of the evidence. figures, names: 1 where it has one that is
    not there; a name begins with a capital inside of the sentence. person: it speaks of I, we, you, and that sentence
    does not. denial: `best`, to the fourth, where it denies and that sentence does not, or the other way: the nearer
    the two are, the more a denial between them tells.
    """
    mine = _terms(sentence)
    if not mine:
        return (0.0,) * (len(NAMES) - 1) + (1.0,)
    pairs = _pairs(mine)
    shares = [sum(term in part for term in mine) / len(mine) for part in map(set, evidence.parts)]
    best = max(range(len(shares)), key=shares.__getitem__, default=None)
    there = "" if best is None else evidence.sentences[best]
    return (
        sum(term in evidence.terms for term in mine) / len(mine),
        sum(pair in evidence.pairs for pair in pairs) / len(pairs) if pairs else 0.0,
        max(shares, default=0.0),
        max((_run(mine, part) for part in evidence.parts), default=0) / len(mine),
        float(any(figure not in evidence.figures for figure in _figures(sentence))),
        float(any(name not in evidence.terms for name in _terms(" ".join(_NAMED.findall(sentence))))),
        odd,
        float(bool(_PERSON.search(sentence)) and not _PERSON.search(there)),
        max(shares, default=0.0) ** 4 * (bool(_DENIAL.search(sentence)) != bool(_DENIAL.search(there))),
        math.log(len(mine)),
        1.0,
    )


def probability(found: Sequence[float], weights: Sequence[float] = WEIGHTS) -> float:
    """P(supported) of a sentence with these features."""
    logit = sum(weight * feature for weight, feature in zip(weights, found, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _terms(sentence: str) -> list[str]:
    """Its stems, with small numbers as figures."""
    return [_NUMBERS.get(term, term) for term in terms(sentence)]


def _figures(text: str) -> list[str]:
    """The figures in it, those that are written as words too."""
    written = (_NUMBERS.get(found[0], found[0]) for found in _FIGURED.finditer(text.casefold()))
    return [word for word in written if word[0].isdigit()]


def _pairs(found: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(found))


def _run(mine: Sequence[str], other: Sequence[str]) -> int:
    """The length of their longest common run."""
    longest, before = 0, [0] * (len(other) + 1)
    for term in mine:
        row = [0] * (len(other) + 1)
        for at, theirs in enumerate(other, 1):
            if term == theirs:
                row[at] = before[at - 1] + 1
                longest = max(longest, row[at])
        before = row
    return longest
