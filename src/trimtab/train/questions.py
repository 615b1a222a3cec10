"""What the span head is trained, calibrated and tested on: questions with a passage, and where the answer stands in it.

SQuAD 2.0 (Rajpurkar et al. 2018, CC BY-SA 4.0), whole articles in one part, chosen by a hash of the title.
"""

import hashlib
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from trimtab.encode.pairs import Pair, Word, asked, pair, worded
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.windows import sentences

PARTS = ("train", "calibrate", "test")


class Question(NamedTuple):
    """`spans` are the characters of the answer as each of several people marked it; none where there is no answer."""

    ask: str
    text: str
    spans: list[tuple[int, int]]
    title: str
    part: str


class Cut(NamedTuple):
    """A passage cut once: each sentence's words."""

    words: list[list[Word]]

    def sizes(self) -> list[int]:
        return [sum(len(word.ids) for word in sentence) for sentence in self.words]


def part_of(title: str) -> str:
    """Six in ten articles train, one in ten calibrates, three in ten test."""
    digit = hashlib.sha256(title.encode()).digest()[1] % 10
    return "calibrate" if digit == 0 else "test" if digit in (1, 8, 9) else "train"


def squad(data: Path) -> list[Question]:
    """Every question with its own paragraph."""
    docs, queries = (
        [json.loads(line) for line in (data / "retrieval" / f"squad2_{name}.jsonl").read_text("utf-8").splitlines()]
        for name in ("docs", "queries")
    )
    return [_question(query, docs[query["doc"]]) for query in queries]


def _question(query: dict, doc: dict) -> Question:
    spans = [(at, at + len(said)) for at, said in zip(query["starts"], query["answers"], strict=True)]
    return Question(query["q"], doc["text"], spans, doc["title"], part_of(doc["title"]))


def cut(text: str, pieces: WordPiece) -> Cut:
    return Cut([found for at, one in sentences(text) if (found := worded(one, pieces, at))])


def drawn(one: Question, whole: Cut, pieces: WordPiece, most: int, chance: random.Random) -> Pair:
    """The question beside a window of whole sentences: around the answer, else around what looks most like one."""
    words = asked(one.ask, pieces)
    sizes = whole.sizes()
    low, high = _core(one, whole, words, chance)
    room = most - sum(sizes[low : high + 1])
    while room > 0:
        sides = [side for side in (low - 1, high + 1) if 0 <= side < len(sizes) and sizes[side] <= room]
        if not sides:
            break
        side = chance.choice(sides)
        low, high = min(low, side), max(high, side)
        room -= sizes[side]
    return pair(words, [word for sentence in whole.words[low : high + 1] for word in sentence][:most], pieces)


def _core(one: Question, whole: Cut, words: Sequence[Word], chance: random.Random) -> tuple[int, int]:
    if one.spans:
        start, end = chance.choice(one.spans)
        inside = [
            at for at, sentence in enumerate(whole.words) if sentence[0].start < end and sentence[-1].end > start
        ]
        if inside:
            return inside[0], inside[-1]
    keys = {word.key for word in words}
    shared = [len(keys & {word.key for word in sentence}) + chance.random() * 2 for sentence in whole.words]
    best = max(range(len(shared)), key=shared.__getitem__)
    return best, best
