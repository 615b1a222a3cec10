"""What the heads say of a text: personal data with its places, and how much it looks like an attack or an insult."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec
import numpy as np

from trimtab.encode.located import Run
from trimtab.encode.turns import Floats

KINDS = (
    "PERSON", "PLACE", "ORGANIZATION", "ADDRESS", "GROUP", "TITLE", "DATE", "AGE",
    "EMAIL", "PHONE", "CARD", "IBAN", "ID", "IP", "URL",
)  # fmt: skip
SCORES = ("injection", "instruction", "toxicity")
LINED = "ADDRESS"  # the one kind that goes on in the next line


class Tag(msgspec.Struct, frozen=True):
    """Personal data of a `kind` of KINDS at the characters text[start:end]; `p` its mean probability over the words.

    `GROUP` is nationality, religion or politics.
    """

    kind: str
    start: int
    end: int
    p: float


class Reading(msgspec.Struct, frozen=True, eq=False):
    """One text, read once. `tags` are in order and do not overlap; scores are probabilities of the worst window.

    `injection`: override, jailbreak, extraction of the prompt. `instruction`: it asks something of an assistant, the
    stricter question for retrieved and tool text; what manuals and letters ask of people is none. `toxicity`: offensive
    or hateful. A text without tokens has no tags and scores of 0.
    """

    tags: tuple[Tag, ...]
    injection: float
    instruction: float
    toxicity: float


class Glance(msgspec.Struct, frozen=True):
    """A part of a text, text[start:end], by its words alone: scores as a `Reading` has, of which some are `doubtful`.

    A score that is not doubtful may be taken as it is: the part is nowhere near what the head looks for. Of the others
    the `likely` ones are worth a reading wherever they stand; the rest where few of the text are more doubtful.
    """

    start: int
    end: int
    injection: float
    instruction: float
    toxicity: float
    doubtful: frozenset[str]
    likely: frozenset[str]


class Part(NamedTuple):
    """One window's share: its words that are personal data, and its scores (3,)."""

    tags: list[Tag]
    scores: Floats


def words(run: Run, probabilities: Floats, least: float) -> list[Tag]:
    """The words that are personal data with at least the probability `least`, each with its likeliest kind.

    `probabilities` (pieces, kinds + 1) has "none" first; a word's are the mean of its pieces'.
    """
    first = np.flatnonzero(np.diff(run.starts, prepend=-1))
    mean = np.add.reduceat(probabilities, first, axis=0) / np.diff(first, append=len(run.ids))[:, None]
    kinds = mean[:, 1:].argmax(axis=1)
    found = np.flatnonzero(1 - mean[:, 0] >= least)
    return [
        Tag(KINDS[kinds[at]], int(run.starts[first[at]]), int(run.ends[first[at]]), float(mean[at, kinds[at] + 1]))
        for at in found
    ]


def joined(text: str, parts: Sequence[Part]) -> tuple[Tag, ...]:
    """Words of one kind beside each other as one tag."""
    return tuple(_span(group) for group in _groups(text, chain.from_iterable(part.tags for part in parts)))


def _groups(text: str, found: "chain[Tag]") -> Iterator[list[Tag]]:
    group: list[Tag] = []
    for tag in found:
        if group and not _goes_on(group[-1], tag, text[group[-1].end : tag.start]):
            yield group
            group = []
        group.append(tag)
    if group:
        yield group


def _goes_on(before: Tag, after: Tag, between: str) -> bool:
    """White space alone lies between them, and no line ends there but an address's."""
    return before.kind == after.kind and not between.strip() and (after.kind == LINED or "\n" not in between)


def _span(group: list[Tag]) -> Tag:
    return Tag(group[0].kind, group[0].start, group[-1].end, sum(tag.p for tag in group) / len(group))
