"""One training question, and the window of its passage that a step of training reads."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.pairs import Pair, Word, asked, pair, worded
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.windows import sentences

Cut = list[list[Word]]  # a passage's words, sentence by sentence


class Question(NamedTuple):
    """`spans` are the characters of the answer as each of several people marked it; none where there is no answer.

    `follows` is given for a statement instead of a question: whether the text bears it out.
    """

    ask: str
    text: str
    spans: list[tuple[int, int]]
    title: str
    part: str
    follows: bool | None = None


def cut(text: str, pieces: WordPiece) -> Cut:
    """The passage, sentence by sentence."""
    return [found for at, one in sentences(text) if (found := worded(one, pieces, at))]


def drawn(one: Question, whole: Cut, pieces: WordPiece, most: int, chance: random.Random) -> Pair:
    """The question beside a window of whole sentences, around the answer or else around what looks most like one."""
    words = asked(one.ask, pieces)
    sizes = [sum(len(word.ids) for word in sentence) for sentence in whole]
    low, high = _core(one, whole, words, chance)
    room = most - sum(sizes[low : high + 1])
    while sides := [side for side in (low - 1, high + 1) if 0 <= side < len(sizes) and sizes[side] <= room]:
        side = chance.choice(sides)
        low, high = min(low, side), max(high, side)
        room -= sizes[side]
    return pair(words, [word for sentence in whole[low : high + 1] for word in sentence], pieces)


def _core(one: Question, whole: Cut, words: Sequence[Word], chance: random.Random) -> tuple[int, int]:
    if one.spans:
        start, end = chance.choice(one.spans)
        inside = [at for at, sentence in enumerate(whole) if sentence[0].start < end and sentence[-1].end > start]
        if inside:
            return inside[0], inside[-1]
    keys = {word.key for word in words}
    shared = [len(keys & {word.key for word in sentence}) + chance.random() * 2 for sentence in whole]
    best = max(range(len(shared)), key=shared.__getitem__)
    return best, best


def targets(one: Question, made: Pair) -> NDArray[np.float32]:
    """(length, 2): which pieces are first and last of a marked answer; the mark at the beginning where none is here."""
    wanted = np.zeros((len(made), 2), np.float32)
    for start, end in one.spans:
        inside = np.flatnonzero((made.starts < end) & (made.ends > start))
        if len(inside) and made.starts[inside[0]] <= start and made.ends[inside[-1]] >= end:
            wanted[made.first + inside[0], 0] += 1
            wanted[made.first + inside[-1], 1] += 1
    if not wanted.any():
        wanted[0] = 1
    return wanted / wanted.sum(0)


def padded(batch: Sequence[Pair]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Ids, mask and marks of several pairs, (n, longest) each."""
    longest = max(map(len, batch))
    ids, mask, marks = (np.zeros((len(batch), longest), np.int64) for _ in range(3))
    for row, one in enumerate(batch):
        ids[row, : len(one)], mask[row, : len(one)], marks[row, : len(one)] = one.ids, 1, one.marks
    return ids, mask, marks
