"""A guard that speaks where a head of the house encoder scores a text above a threshold, by who wrote the text."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from trimtab.errors import ConfigError
from trimtab.guard import _limit, _readings
from trimtab.ports import Tools
from trimtab.types import OK, Origin, Request, Span, Text, Verdict

UNTRUSTED = frozenset({Origin.RETRIEVED, Origin.TOOL})
SENTENCE = re.compile(r"[^.!?\n。！？]{0,400}(?:[.!?\n。！？]+|.|\Z)", re.DOTALL)
PART = 600
"""Characters of the part of a long text that a finding is narrowed to."""


class Head(NamedTuple):
    """What is found: `score` of a reading by who wrote the text (None: not this guard's), the verdict's code and words.

    `by` names what scores, for calibrations; `usual` are the thresholds without one, of the user's and untrusted text.
    """

    kind: str
    code: str
    says: str
    by: str
    score: Callable[[Any, Origin], float | None]
    usual: tuple[float, float]


class Limits(NamedTuple):
    """The thresholds of the user's text, and of text that nobody vouches for, and the most characters read."""

    user: float
    untrusted: float
    characters: int


class Scored:
    """A finding is a text whose score is above the threshold for its origin; the span is the part that scores most."""

    bars = ("", "/untrusted")
    """Behind its name what the calibrations are called: of the user's text, and of text that nobody vouches for."""

    def __init__(self, head: Head, tools: Tools, limits: Limits) -> None:
        self._head, self._tools, self._limits = head, tools, limits
        self.by = head.by

    async def start(self) -> None:
        """Load the encoder, so that the first request does not wait for it. Raises `ConfigError`."""
        await _readings.read(self._tools, ["ready"])

    async def scores(self, texts: Sequence[str], origin: Origin = Origin.USER) -> list[float]:
        """The scores of texts that `origin` wrote, 0 to 1."""
        return [self._head.score(reading, origin) or 0.0 for reading in await _readings.read(self._tools, texts)]

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        mine = [text for text in texts if text.origin is not Origin.SYSTEM and text.text.strip()]
        if not mine:
            return OK
        if (size := sum(len(text.text) for text in mine)) > self._limits.characters:
            why = f"{size} characters are more than are read for it ({self._limits.characters})."
            return Verdict(ok=False, code="too_long_to_judge", why=why, spans=tuple(map(_whole, mine)))
        readings = await _readings.read(self._tools, [text.text for text in mine])
        found = [
            (score, text)
            for text, reading in zip(mine, readings, strict=True)
            if (score := self._head.score(reading, text.origin)) is not None and score > self._limit(text.origin)
        ]
        if not found:
            return OK
        score, worst = max(found, key=lambda one: one[0])
        spans = tuple([await self._where(text) for _, text in found])
        why = f"{self._head.says} (score {score:.2f}, {self._limit(worst.origin):.2f} is the most)."
        return Verdict(ok=False, code=self._head.code, why=why, score=round(score, 4), spans=spans)

    def _limit(self, origin: Origin) -> float:
        return self._limits.untrusted if origin in UNTRUSTED else self._limits.user

    async def _where(self, text: Text) -> Span:
        """The part of a text that scores most."""
        parts = _parts(text.text)
        scores = await self.scores([text.text[start:end] for start, end in parts], text.origin)
        start, end = parts[max(range(len(parts)), key=scores.__getitem__)]
        return Span(kind=self._head.kind, start=start, end=end, path=text.path)


def limits(
    head: Head, tools: Tools, fprs: tuple[float, float], thresholds: tuple[float | None, float | None], characters: int
) -> Limits:
    """The thresholds: those that are set, else of a calibration, else the head's usual ones. Raises `ConfigError`."""
    if characters < 1 or any(limit is not None and not 0 <= limit <= 1 for limit in thresholds):
        raise ConfigError(f"{tools.name}: a threshold is no probability, or nothing is read.", "Give 0 to 1.")
    user, untrusted = (
        limit if limit is not None else _limit.chosen(tools.home, tools.name + bar, head.by, fpr, usual)
        for limit, bar, fpr, usual in zip(thresholds, Scored.bars, fprs, head.usual, strict=True)
    )
    return Limits(user, untrusted, characters)


def _whole(text: Text) -> Span:
    return Span(kind="UNREAD", start=0, end=len(text.text), path=text.path)


def _parts(text: str) -> list[tuple[int, int]]:
    """(start, end) of runs of sentences of some `PART` characters, all of the text among them."""
    parts: list[tuple[int, int]] = []
    start = 0
    for sentence in SENTENCE.finditer(text):
        if sentence.end() - start >= PART:
            parts.append((start, sentence.end()))
            start = sentence.end()
    return [*parts, (start, len(text))] if start < len(text) else parts
