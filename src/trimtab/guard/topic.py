"""Finds questions outside of the allowed subjects: too far from every example of what is to be asked.

The distance is 1 - the mean cosine to the `NEAREST` nearest examples on the house encoder; nothing is trained on what
is outside, which no list can cover. A short turn that only makes sense after the one before it (`and in euros?`) counts
as inside where it is together with that one.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import ConfigError
from trimtab.guard import _limit
from trimtab.ports import Guard, Tools
from trimtab.types import OK, Origin, Request, Span, Text, Verdict

if TYPE_CHECKING:
    from trimtab.encode.turns import Floats

NEAREST = 3
SHORT = 5
"""Words of a turn that may lean on the one before it."""
FEWEST, MOST = 20, 20_000
"""Examples: with fewer nothing can be said of their spread; more are a training set, and take a head."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`examples`: a file with one allowed question a line, or a JSONL with a `text` each, from the recipe's folder.

    `fpr` is the share of allowed questions that may be found wrongly: by the examples themselves, each measured against
    the others, or by `trimtab guard calibrate`. `threshold`, a distance from 0 to 2, wins over it.
    """

    examples: str = ""
    fpr: float = 0.05
    threshold: float | None = None


class Topic:
    """A finding is a user's question that is like none of the examples; its score is the distance."""

    bars = ("",)

    def __init__(self, options: Options, tools: Tools, examples: tuple[str, ...]) -> None:
        self._options, self._tools, self._examples = options, tools, examples
        self._known: Floats | None = None
        self._most = 2.0
        self._ready = asyncio.Lock()
        self.by = f"topic of {len(examples)} examples"

    async def start(self) -> None:
        """Embed the examples and set the threshold. Raises `ConfigError`."""
        async with self._ready:
            if self._known is None:
                known = await self._tools.encoder().embed(self._examples)
                self._most = await asyncio.to_thread(self._threshold, known)
                self._known = known

    async def scores(self, texts: Sequence[str], origin: Origin = Origin.USER) -> list[float]:
        """The distances of `texts`, 0 to 2; whoever wrote them."""
        del origin
        await self.start()
        assert self._known is not None  # noqa: S101 - start sets it or raises
        embeddings = await self._tools.encoder().embed(texts)
        return [float(distance) for distance in _distances(embeddings, self._known, NEAREST)]

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        asked = [text for text in texts if text.origin is Origin.USER and text.text.strip()]
        if not asked:
            return OK
        last = asked[-1]
        before = asked[-2:-1] if len(last.text.split()) <= SHORT else []
        ways = [last.text, *(f"{text.text}\n{last.text}" for text in before)]
        distance = round(min(await self.scores(ways)), 4)
        if distance <= self._most:
            return OK
        why = f"It is outside of what may be asked here (distance {distance:.2f}, {self._most:.2f} is the most)."
        span = Span(kind="OFF_TOPIC", start=0, end=len(last.text), path=last.path)
        return Verdict(ok=False, code="off_topic", why=why, score=distance, spans=(span,))

    def _threshold(self, known: "Floats") -> float:
        if self._options.threshold is not None:
            return self._options.threshold
        own = _limit.benign(self.by, [float(d) for d in _distances(known, known, NEAREST + 1, itself=True)])
        return _limit.chosen(self._tools.home, self._tools.name, self.by, self._options.fpr, own)


def build(options: Options, tools: Tools) -> Guard:
    """Raises `ConfigError` where there are no examples, or too few; the encoder reads them before the first request."""
    if not options.examples:
        raise ConfigError(f"{tools.name} knows no subject.", 'Write examples = "subjects.txt": a question a line.')
    guard = Topic(options, tools, _read(tools.recipe / options.examples))
    tools.starting(guard.start)
    return guard


def _read(path: Path) -> tuple[str, ...]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8").split("\n")]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The examples in {path} cannot be read: {error}.", "Give a file in UTF-8.") from error
    found = tuple(dict.fromkeys(_text(path, at, line) for at, line in enumerate(lines, 1) if line))
    if not FEWEST <= len(found) <= MOST:
        raise ConfigError(f"{path} has {len(found)} different examples.", f"Give {FEWEST} to {MOST:,} of them.")
    return found


def _text(path: Path, at: int, line: str) -> str:
    if path.suffix != ".jsonl":
        return line
    try:
        text = json.loads(line)["text"]
    except (ValueError, KeyError, TypeError):
        text = None
    if not isinstance(text, str) or not text.strip():
        raise ConfigError(f"{path} line {at} has no text.", 'A line is {"text": "..."}.')
    return text


def _distances(embeddings: "Floats", known: "Floats", nearest: int, itself: bool = False) -> "Floats":
    """1 - the mean cosine to the nearest of `known`, (n,); with `itself` each is among them, and is left out."""
    import numpy as np

    found = np.empty(len(embeddings), np.float32)
    for at in range(0, len(embeddings), 512):
        cosines = np.sort(embeddings[at : at + 512] @ known.T, axis=1)[:, ::-1][:, :nearest]
        found[at : at + 512] = 1 - (cosines[:, 1:] if itself else cosines).mean(axis=1)
    return found
