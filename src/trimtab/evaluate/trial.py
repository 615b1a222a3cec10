"""A recipe's guards over labelled texts: what each finds of what it should, and of what it should not.

A row is a JSON object a line: `text`, and `label`: 1 (or the name of the guard that must find it) or 0; `spans` that
are not empty say 1 too. `origin` says who wrote it (user where it is not given). Further fields are ignored.
"""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from math import sqrt
from pathlib import Path
from typing import Any, cast

import msgspec

from trimtab.errors import ConfigError
from trimtab.judge import Seat, settle
from trimtab.types import Origin, Request, Text

PATH = "messages[0].content"
TOGETHER = "any"
"""What all guards are called as one: what none of them found is missed."""
UNTRUSTED = frozenset({Origin.RETRIEVED, Origin.TOOL})
Z = 1.96
"""Of a normal distribution's 95 %."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A text, whether anything should find it, and which guard alone is to (empty: any)."""

    text: str
    bad: bool
    guard: str = ""
    origin: Origin = Origin.USER


class Tally(msgspec.Struct, kw_only=True):
    """What a guard (or all of them together) made of the rows; `crashed` rows count as found where it fails closed."""

    name: str
    kind: str = ""
    action: str = ""
    shadow: bool = False
    positives: int = 0
    found: int = 0
    benign: int = 0
    wrong: int = 0
    crashed: int = 0
    misses: list[str] = []
    alarms: list[str] = []

    @property
    def recall(self) -> float | None:
        return self.found / self.positives if self.positives else None

    @property
    def fpr(self) -> float | None:
        return self.wrong / self.benign if self.benign else None

    def add(self, row: Row, hit: bool, mine: bool, examples: int) -> None:
        """Count a row; `mine` where this guard was to find it."""
        if mine:
            self.positives += 1
            self.found += hit
        elif not row.bad:
            self.benign += 1
            self.wrong += hit
        alone = row.guard == self.name or self.name == TOGETHER
        shown = self.misses if mine and alone and not hit else self.alarms if hit and not row.bad else None
        if shown is not None and len(shown) < examples:
            shown.append(row.text)

    def shown(self) -> dict[str, Any]:
        """For JSON: the counts, the shares, and their 95 % intervals."""
        return {
            **msgspec.to_builtins(self), "recall": self.recall, "recall_interval": interval(self.found, self.positives),
            "fpr": self.fpr, "fpr_interval": interval(self.wrong, self.benign),
        }  # fmt: skip


def rows(path: Path, guards: Iterable[str] = ()) -> list[Row]:
    """The rows of a file; `guards` are the names that a label may have. Raises `ConfigError` with the line."""
    known = frozenset(guards)
    found = [_row(path, at, line, known) for at, line in _lines(path)]
    if not found:
        raise ConfigError(f"{path} has no rows.", 'A row is {"text": "...", "label": 0}.')
    return found


def benign(path: Path) -> dict[bool, list[str]]:
    """The texts of a file's rows, by whether nobody vouches for them (retrieved, tool); those to be found left out.

    A row needs no label. Raises `ConfigError`.
    """
    found: dict[bool, list[str]] = {False: [], True: []}
    for at, line in _lines(path):
        try:
            given = json.loads(line)
            text, bad = given["text"], given.get("label") in (1, True)
            untrusted = Origin(given.get("origin", "user")) in UNTRUSTED
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path.name} line {at} is no row ({error!r}).", 'A row is {"text": "..."}.') from error
        if isinstance(text, str) and not bad:
            found[untrusted].append(text)
    if not any(found.values()):
        raise ConfigError(f"{path} has no benign texts.", 'A row is {"text": "..."}.')
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}.", "Give a JSONL file in UTF-8.") from error
    return [(at, line) for at, line in enumerate(lines, 1) if line.strip()]


def _row(path: Path, at: int, line: str, guards: frozenset[str]) -> Row:
    try:
        given = json.loads(line)
        text, label, spans = given["text"], given.get("label"), given.get("spans")
        origin = Origin(given.get("origin", "user"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = 'A row is {"text": "...", "label": 0}; an origin is ' + ", ".join(Origin) + "."
        raise ConfigError(f"{path.name} line {at} is no row ({error!r}).", fix) from error
    if not isinstance(text, str):
        raise ConfigError(f"{path.name} line {at}: its text is none.", 'A row is {"text": "...", "label": 0}.')
    if label is None and isinstance(spans, list):
        label = len(cast("list[Any]", spans)) > 0
    if isinstance(label, str) and label in guards:
        return Row(text=text, bad=True, guard=label, origin=origin)
    if label not in (0, 1):
        known = ", ".join(sorted(guards)) or "none"
        fix = f"Write 1 (to be found), 0 (benign), or the name of the guard that is to find it: {known}."
        raise ConfigError(f"{path.name} line {at}: its label is {label!r}.", fix)
    return Row(text=text, bad=bool(label), origin=origin)


async def tried(
    seats: Sequence[Seat], asked: Sequence[Row], examples: int = 3, seen: Callable[[int], None] = lambda _: None
) -> list[Tally]:
    """A tally for each seat, and behind them one of all together. `seen` is told how many rows are done."""
    tallies = [Tally(name=seat.name, action=str(seat.action), shadow=seat.shadow) for seat in seats]
    together = Tally(name=TOGETHER)
    done = 0
    async for row, hits, crashed in _judged(seats, asked):
        for seat, tally, hit, crash in zip(seats, tallies, hits, crashed, strict=True):
            tally.add(row, hit, row.bad and row.guard in ("", seat.name), examples)
            tally.crashed += crash
        together.add(row, any(hits), row.bad, examples)
        seen(done := done + 1)
    return [*tallies, together]


async def _judged(seats: Sequence[Seat], asked: Sequence[Row]) -> AsyncIterator[tuple[Row, list[bool], list[bool]]]:
    """Each row with what every seat says, whatever the others do: finding, and crash."""
    for row in asked:
        texts = (Text(text=row.text, origin=row.origin, path=PATH),)
        request = Request(id="trial", messages=({"role": "user", "content": row.text},))
        hits: list[bool] = []
        crashed: list[bool] = []
        for seat in seats:
            (verdict,) = await settle((seat,), lambda guard, texts=texts, request=request: guard.check(texts, request))
            hits.append(verdict.code != "ok" and not (verdict.code == "judge_crashed" and seat.fail_open))
            crashed.append(verdict.code == "judge_crashed")
        yield row, hits, crashed


def interval(count: int, of: int) -> tuple[float, float] | None:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    if not of:
        return None
    share, weight = count / of, Z * Z / of
    middle, reach = share + weight / 2, Z * sqrt(share * (1 - share) / of + weight / of / 4)
    return max(0.0, (middle - reach) / (1 + weight)), min(1.0, (middle + reach) / (1 + weight))
