"""How well evidence supports a sentence: what it shares with it in words, figures and meaning, as a probability. Pure.

P(supported) = sigmoid(WEIGHTS . features). The weights were fitted by `benchmarks/grounding.py --fit` on sentences made
from SQuAD 2.0's paragraphs (Rajpurkar et al. 2018, from Wikipedia, CC BY-SA 4.0) and on e-SNLI's pairs (Camburu et al.
2018, of SNLI, CC BY-SA 4.0), which stay their authors'; none of the sets that it is measured on trained it.
"""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from trimtab.sentences import terms

NAMES = ("covered", "pairs", "best", "run", "figures", "near", "person", "denial", "length", "question", "one")
WEIGHTS: tuple[float, ...] = (0.0,) * len(NAMES)
LEAST_TERMS = 2
"""A sentence of fewer telling words ("Yes.", "I see.") claims nothing that could be supported."""
_FIGURE = re.compile(r"\d+(?:[.,]\d+)*")
_PERSON = re.compile(r"\b(?:i|i'm|i've|me|my|we|our|you|your|yours)\b", re.IGNORECASE)
_DENIAL = re.compile(r"\b(?:no|not|never|none|neither|nobody|nothing|without|cannot)\b|n['’]t\b", re.IGNORECASE)


class Known(NamedTuple):
    """Evidence made ready: its sentences, their stems, and what all of it has."""

    sentences: tuple[str, ...]
    parts: tuple[tuple[str, ...], ...]
    terms: frozenset[str]
    pairs: frozenset[tuple[str, str]]
    figures: frozenset[str]


def known(sentences: Sequence[str]) -> Known:
    """Evidence from its sentences."""
    parts = tuple(tuple(terms(sentence)) for sentence in sentences)
    return Known(
        tuple(sentences), parts, frozenset(term for part in parts for term in part),
        frozenset(pair for part in parts for pair in _pairs(part)), frozenset(_FIGURE.findall(" ".join(sentences))),
    )  # fmt: skip


def claims(sentence: str) -> bool:
    """Whether a sentence says something that evidence could support."""
    return len(terms(sentence)) >= LEAST_TERMS


def features(sentence: str, evidence: Known, near: float) -> tuple[float, ...]:
    """In the order of NAMES; `near` is the sentence's greatest cosine to a sentence of the evidence.

    covered, best: shares of its stems in all of the evidence and in the best sentence. pairs: of its neighbouring
    stems. run: its longest run that is in one sentence of the evidence. figures: 1 where it has one that is not there.
    person: it speaks of I, we, you. denial: it denies and the best sentence does not, or the other way.
    """
    mine = terms(sentence)
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
        float(any(figure not in evidence.figures for figure in _FIGURE.findall(sentence))),
        near,
        float(bool(_PERSON.search(sentence)) and not _PERSON.search(there)),
        float(bool(_DENIAL.search(sentence)) != bool(_DENIAL.search(there))),
        math.log(len(mine)),
        float(sentence.rstrip().endswith("?")),
        1.0,
    )


def probability(found: Sequence[float], weights: Sequence[float] = WEIGHTS) -> float:
    """P(supported) of a sentence with these features."""
    logit = sum(weight * feature for weight, feature in zip(weights, found, strict=True))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))


def _pairs(found: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(found, found[1:], strict=False))


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
