"""Words with their places in the text, and how each was written: what the tags need beside WordPiece's ids. Pure.

The words are those of `tokenizer.words`, one for one; BERT's uncased vocabulary forgets capitals, `SHAPES` keeps them.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.tokenizer import MEMO, WordPiece, spelt
from trimtab.encode.windows import windows

SHAPES = ("none", "lower", "title", "upper", "mixed", "digits", "other")  # a place in it is the model's input
_ASCII = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One window: `ids` of its pieces, and for each the shape, the start and the end of its word in the text."""

    ids: list[int]
    shapes: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def runs(text: str, pieces: WordPiece, size: int) -> list[Run]:
    """The windows of `windows.windows`, with places; complete and in order."""
    ids: list[int] = []
    places: list[tuple[int, int, int]] = []
    for word, start, end in located(text):
        found = pieces.word(word)
        ids += found
        places += [(shape(text[start:end]), start, end)] * len(found)
    cut = windows(text, pieces, size)
    if [id_ for run in cut for id_ in run] != ids:  # marks in an order that Unicode would not write
        cut = [ids[at : at + size] for at in range(0, len(ids), size)]
    table = np.array(places, np.int64).reshape(-1, 3)
    edges = np.cumsum([0, *map(len, cut)])
    return [Run(run, *table[at : at + len(run)].T) for run, at in zip(cut, edges[:-1].tolist(), strict=True)]


def located(text: str) -> list[tuple[str, int, int]]:
    """Each word as WordPiece reads it, with the characters text[start:end] that it was written as."""
    if text.isascii() and not _CONTROLS.search(text):
        return [(found[0], found.start(), found.end()) for found in _ASCII.finditer(text.lower())]
    spelt: list[str] = []
    owners: list[int] = []
    for at, char in enumerate(text):
        written = _spelt(char)
        spelt.append(written)
        owners += [at] * len(written)
    whole = re.finditer(r"\S+", "".join(spelt))
    return [(found[0], owners[found.start()], owners[found.end() - 1] + 1) for found in whole]


@lru_cache(MEMO)
def shape(word: str) -> int:
    """How a word was written: a place in SHAPES."""
    if any(map(str.isdigit, word)):
        return 5
    if word.islower():
        return 1
    if word[:1].isupper() and (len(word) == 1 or word[1:].islower()):
        return 2
    if word.isupper():
        return 3
    return 4 if any(map(str.isupper, word)) else 6


_spelt = lru_cache(MEMO)(spelt)
