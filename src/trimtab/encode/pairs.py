"""A question and a window of a passage as one run of word pieces, with what the span head reads beside them. Pure.

Each piece has a mark: whether it is the question's or the passage's, whether its word stands on the other side too, and
how it was written. A branch of a few layers would have to learn the first two from far more questions than there are.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.located import SHAPES, located, shape
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.windows import parts
from trimtab.sentences import STOP_WORDS, stem

MARKS = 6 * len(SHAPES)
QUESTION = 40  # pieces of a question that are read; what is longer loses its beginning
MATCHED = ("no", "stop word", "word")  # how a word stands on the other side


@dataclass(frozen=True, slots=True)
class Word:
    """A word as WordPiece reads it, written at the characters start:end; `key` is its stem."""

    ids: tuple[int, ...]
    key: str
    shape: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """`ids` and `marks` of [CLS] question [SEP] window [SEP]; the window's pieces begin at `first`.

    `starts` and `ends` are each window piece's word's characters in the passage.
    """

    ids: list[int]
    marks: NDArray[np.int64]
    first: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ids)


def worded(text: str, pieces: WordPiece, at: int = 0) -> list[Word]:
    """The words of a text that begins at character `at` of another."""
    return [
        Word(pieces.word(word), stem(word), shape(text[start:end]), at + start, at + end)
        for word, start, end in located(text)
    ]


def asked(question: str, pieces: WordPiece) -> list[Word]:
    """The question's words, the last QUESTION pieces of them."""
    kept: list[Word] = []
    room = QUESTION
    for word in reversed(worded(question, pieces)):
        room -= len(word.ids)
        if room < 0:
            break
        kept.append(word)
    return kept[::-1]


def pair(question: Sequence[Word], window: Sequence[Word], pieces: WordPiece) -> Pair:
    """The two beside each other."""
    here, there = {word.key for word in question}, {word.key for word in window}
    ids, marks = [pieces.cls], [0]
    for word in question:
        ids += word.ids
        marks += [_mark(word, there, 0)] * len(word.ids)
    ids.append(pieces.sep)
    marks.append(0)
    first = len(ids)
    places: list[tuple[int, int]] = []
    for word in window:
        ids += word.ids
        marks += [_mark(word, here, 1)] * len(word.ids)
        places += [(word.start, word.end)] * len(word.ids)
    table = np.array(places, np.int64).reshape(-1, 2)
    return Pair([*ids, pieces.sep], np.array([*marks, 0], np.int64), first, table[:, 0], table[:, 1])


def pairs(question: Sequence[Word], text: str, pieces: WordPiece, size: int) -> Iterator[Pair]:
    """The question beside each window of the text: runs of whole sentences of up to `size` pieces."""
    for start, end, _ in parts(text, pieces, size):
        yield pair(question, worded(text[start:end], pieces, start), pieces)


def _mark(word: Word, other: set[str], side: int) -> int:
    matched = 0 if word.key not in other else 1 if word.key in STOP_WORDS or not word.key[:1].isalnum() else 2
    return (side * len(MATCHED) + matched) * len(SHAPES) + word.shape
