"""The parts of the passages worth reading with the span head, and the numbers that say how well each answers. Pure.

A window is a few sentences of one passage around one that shares the question's rarer words. The head reads question
and window together; what it says is weighed with what the words and the retriever say.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.answer._candidates import Candidate, covers, cue, rarity
from trimtab.encode.span import Span
from trimtab.sentences import sentences
from trimtab.types import Passage

FEATURES = ("lead", "here", "cover", "around", "cue", "passage")
"""lead, here: the head's, as a share of SPREAD; cover: share of the question's words in the span's sentence; around: in
the window; cue: the sentence has what the question asks for; passage: the retriever's score."""
SPREAD = 8.0
SIZE = 60  # tokens of a window: three small ones hold the answer more often than two of 90


class Window(msgspec.Struct, frozen=True):
    """The characters `start` to `end` of a passage; `ones` are its sentences."""

    passage: Passage
    ones: tuple[Candidate, ...]

    @property
    def start(self) -> int:
        return self.ones[0].place.start

    @property
    def text(self) -> str:
        return self.passage.text[self.start : self.ones[-1].place.end]

    def holding(self, at: int) -> Candidate:
        """The sentence with the passage's character `at`, or the first that ends after it."""
        return next((one for one in self.ones if at < one.place.end), self.ones[-1])


def windows(
    question: str, passages: Sequence[Passage], limit: int, tokens: Callable[[str], int], size: int = SIZE
) -> list[Window]:
    """At most `limit` windows of some `size` tokens, those with the question's rarer words first; none overlap.

    Where passages overlap, a sentence is read in the first that has it.
    """
    whole = [[Candidate(passage, place) for place in sentences(passage.text)] for passage in passages]
    every = [(number, at) for number, ones in enumerate(whole) for at in range(len(ones))]
    if not every:
        return []
    flat = [whole[number][at] for number, at in every]
    worth = covers(question, flat, rarity(flat)) + [one.passage.score + 0.2 * cue(question, one.text) for one in flat]
    found: list[Window] = []
    seen: set[tuple[str, int]] = set()
    for best in np.argsort(-worth, kind="stable"):
        if len(found) == limit:
            break
        number, at = every[best]
        if _key(flat[best]) not in seen:
            found.append(_around(whole[number], at, size, tokens, seen))
    return found


def _around(
    ones: Sequence[Candidate], at: int, size: int, tokens: Callable[[str], int], seen: set[tuple[str, int]]
) -> Window:
    """The sentence and its neighbours, the one before first: it is what "it" points to."""
    low = high = at
    seen.add(_key(ones[at]))
    room = size - tokens(ones[at].text)
    stopped: set[int] = set()
    while len(stopped) < 2:
        for step in (-1, 1):
            side = (low if step < 0 else high) + step
            fits = step not in stopped and 0 <= side < len(ones) and _key(ones[side]) not in seen
            cost = tokens(ones[side].text) if fits else 0
            if not fits or cost > room:
                stopped.add(step)
                continue
            low, high, room = min(low, side), max(high, side), room - cost
            seen.add(_key(ones[side]))
    return Window(ones[at].passage, tuple(ones[low : high + 1]))


def _key(one: Candidate) -> tuple[str, int]:
    return one.passage.source, one.passage.start + one.place.start


def features(question: str, read: Sequence[Window], spans: Sequence[Span]) -> NDArray[np.float64]:
    """A row for each window, a column for each of `FEATURES`."""
    rare = rarity([one for window in read for one in window.ones])
    holding = [window.holding(window.start + span.start) for window, span in zip(read, spans, strict=True)]
    shared = covers(question, holding, rare)
    around = covers(question, [_whole(window) for window in read], rare)
    return np.array([
        (span.lead / SPREAD, span.here / SPREAD, mine, near, cue(question, one.text), window.passage.score)
        for window, span, one, mine, near in zip(read, spans, holding, shared, around, strict=True)
    ])  # fmt: skip


def _whole(window: Window) -> Candidate:
    place = window.ones[0].place
    return Candidate(window.passage, msgspec.structs.replace(place, end=window.ones[-1].place.end))
