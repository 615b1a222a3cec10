"""A guard that speaks where heads of the house encoder score a text above a threshold, by who wrote the text.

A text is looked at part by part. The words alone clear most parts at once. Of the others the encoder reads those in
which an attack is likely, wherever they stand, and the most doubtful of the rest: so the price of a long text that is
none grows slowly with its length.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, NamedTuple

from trimtab.errors import ConfigError
from trimtab.guard import _limit, _readings
from trimtab.ports import Tools
from trimtab.types import OK, Origin, Request, Span, Text, Verdict

EVERY = 16
"""Parts of a text to one that is read for being its most doubtful: some 700 words."""
UNTRUSTED = frozenset({Origin.RETRIEVED, Origin.TOOL})


class Head(NamedTuple):
    """What is found: the scores of a reading that count, for the user's text and for untrusted text; the verdict's code
    and words.

    `by` names what scores, for calibrations; `usual` are the thresholds without one, of the user's and untrusted text.
    """

    kind: str
    code: str
    says: str
    by: str
    user: tuple[str, ...]
    untrusted: tuple[str, ...]
    usual: tuple[float, float]


class Limits(NamedTuple):
    """The thresholds of the user's text, and of text that nobody vouches for, and the most characters read."""

    user: float
    untrusted: float
    characters: int


class Worst(NamedTuple):
    """The part of a text that scores most: text[start:end]."""

    score: float
    start: int
    end: int


class Scored:
    """A finding is a text with a part whose score is above the threshold for its origin; the span is the worst part."""

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
        return [worst.score for worst in await self._worst([(text, origin) for text in texts])]

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        mine = [text for text in texts if text.origin is not Origin.SYSTEM and text.text.strip()]
        if not mine:
            return OK
        if (size := sum(len(text.text) for text in mine)) > self._limits.characters:
            why = f"{size} characters are more than are read for it ({self._limits.characters})."
            return Verdict(ok=False, code="too_long_to_judge", why=why, spans=tuple(map(_whole, mine)))
        judged = zip(mine, await self._worst([(text.text, text.origin) for text in mine]), strict=True)
        found = [(worst, text) for text, worst in judged if worst.score > self._limit(text.origin)]
        if not found:
            return OK
        worst, text = max(found, key=lambda one: one[0].score)
        spans = tuple(
            Span(kind=self._head.kind, start=one.start, end=one.end, path=text.path) for one, text in found
        )  # fmt: skip
        why = f"{self._head.says} (score {worst.score:.2f}, {self._limit(text.origin):.2f} is the most)."
        return Verdict(ok=False, code=self._head.code, why=why, score=round(worst.score, 4), spans=spans)

    def _limit(self, origin: Origin) -> float:
        return self._limits.untrusted if origin in UNTRUSTED else self._limits.user

    async def _worst(self, texts: Sequence[tuple[str, Origin]]) -> list[Worst]:
        """The worst part of each text; the parts that words alone leave in doubt (`_doubted`) are read in one call."""
        looked = await _readings.glance(self._tools, [text for text, _ in texts])
        names = [self._head.untrusted if origin in UNTRUSTED else self._head.user for _, origin in texts]
        doubted = [
            (at, part)
            for at, parts in enumerate(looked)
            for part in _doubted(parts, names[at], self._limit(texts[at][1]))
        ]  # fmt: skip
        readings = await _readings.read(self._tools, [texts[at][0][part.start : part.end] for at, part in doubted])
        read = {(at, part.start): reading for (at, part), reading in zip(doubted, readings, strict=True)}
        judged = [
            [Worst(_any(read.get((at, one.start), one), names[at]), one.start, one.end) for one in parts]
            for at, parts in enumerate(looked)
        ]
        return [max(found, default=Worst(0.0, 0, 0)) for found in judged]


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


def _doubted(parts: Sequence[Any], names: Sequence[str], limit: float) -> list[Any]:
    """The parts to read, in order: the likely ones and what words alone would call a finding; and of the other doubtful
    ones the first of every `EVERY` parts of the text, by their doubt.
    """
    doubts = {part.start: _any(part, names) for part in parts if not part.doubtful.isdisjoint(names)}
    likely = {part.start for part in parts if not part.likely.isdisjoint(names)}
    surely = likely | {start for start, doubt in doubts.items() if doubt > limit}
    rest = sorted(doubts.keys() - surely, key=lambda start: -doubts[start])[: 1 + len(parts) // EVERY]
    return [part for part in parts if part.start in surely or part.start in rest]


def _any(said: Any, names: Sequence[str]) -> float:
    """The probability that any of these scores is right, were they independent: 1 - the product of 1 - p."""
    return 1 - prod(1 - getattr(said, name) for name in names)
