"""Finds injections and jailbreaks by what they say, on text freed of its disguises; the patterns lie in patterns.toml.

Text that nobody vouches for (retrieved passages, tool results) is held to more patterns than the user's: a document
has no business addressing the assistant. It is the cheap first guard, made for precision: what is said in new words
passes it.
"""

import asyncio
import re
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trimtab.guard._normalise import FOLD, HINTS, back, decoded, plain
from trimtab.guard._threads import are_long
from trimtab.ports import Guard, Tools
from trimtab.sieve import Sieve
from trimtab.types import OK, Origin, Request, Span, Text, Verdict

SCOPES = {
    Origin.SYSTEM: "user",
    Origin.USER: "user",
    Origin.ASSISTANT: "user",
    Origin.TOOL: "untrusted",
    Origin.RETRIEVED: "untrusted",
    Origin.ANSWER: "answer",
}
GAP = re.compile(r"( ?)<(\d)> ?")
WINDOW, OVERLAP = 100_000, 8_000
"""Characters of one search, and how many more it sees: more than any pattern can span."""
DATA = Path(__file__).with_name("patterns.toml")


class Pattern(NamedTuple):
    """One thing that injections say; `needs` are words of which one is there whatever matches.

    With `then`, that must follow `shape` within `within` characters: two scans in linear time instead of one regex
    that could try every pair.
    """

    id: str
    why: str
    needs: tuple[str, ...]
    shape: re.Pattern[str]
    then: re.Pattern[str] | None = None
    within: int = 0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`system`: judge the operator's own system texts too; `decode`: look into leet, ROT13 and base64.

    `off` are ids of patterns.toml that do not count.
    """

    system: bool = False
    decode: bool = True
    off: tuple[str, ...] = ()


class Patterns:
    """A finding is a text that tries to command the model; its spans are where."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._off = frozenset(options.off)

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        found = await asyncio.to_thread(self._found, texts) if are_long(texts) else self._found(texts)
        if not found:
            return OK
        why = f"It reads like an injection: {'; '.join(dict.fromkeys(pattern.why for pattern, _ in found))}."
        return Verdict(ok=False, code="injection", why=why, spans=tuple(span for _, span in found))

    def _found(self, texts: Sequence[Text]) -> list[tuple[Pattern, Span]]:
        return [
            (pattern, Span(kind=pattern.id, start=start, end=end, path=text.path))
            for text in texts
            if self._options.system or text.origin is not Origin.SYSTEM
            for pattern, start, end in find(text.text, SCOPES[text.origin], self._options.decode)
            if pattern.id not in self._off
        ]


def build(options: Options, _: Tools) -> Guard:
    """The guard, its patterns compiled. Raises `ConfigError` for an id in `off` that does not exist."""
    ids = {pattern.id for scope in set(SCOPES.values()) for pattern in patterns(scope)}
    if unknown := set(options.off) - ids:
        from trimtab.errors import ConfigError

        raise ConfigError(
            f"Unknown patterns in off: {', '.join(sorted(unknown))}.", f"Known: {', '.join(sorted(ids))}."
        )
    return Patterns(options)


def find(text: str, scope: str = "user", decode: bool = True) -> Iterator[tuple[Pattern, int, int]]:
    """(pattern, start, end) of the first match of each pattern of `scope` (user, untrusted, answer) in `text`."""
    normal, known = plain(text), patterns(scope)
    hits = _sieve(scope)(normal)
    for pattern, at in _matches(normal, known, hits):
        start, end = back(text, *at)
        if end > start:
            yield pattern, start, end
    if decode and hits and hits[-1] >= len(known):
        for inside, start, end in decoded(text, normal):
            if inside != normal:
                found = _matches(inside, known, _sieve(scope)(inside))
                yield from ((pattern, start, end) for pattern, _ in islice(found, 1))


def _matches(normal: str, known: Sequence[Pattern], hits: Sequence[int]) -> Iterator[tuple[Pattern, tuple[int, int]]]:
    """The first match of each pattern that may have one; what is not ASCII the sieve cannot tell, but `needs` can."""
    some = normal.isascii()
    for pattern in (known[hit] for hit in hits if hit < len(known)):
        if (some or any(need in normal for need in pattern.needs)) and (at := _search(pattern, normal)):
            yield pattern, at


@cache
def _sieve(scope: str) -> Sieve:
    """The shapes of the patterns of `scope`, and behind them what something encoded looks like."""
    return Sieve((*(pattern.shape.pattern for pattern in patterns(scope)), *HINTS), "m")


def _first(shape: re.Pattern[str], normal: str) -> re.Match[str] | None:
    """The first match, looked for window by window: one search holds the interpreter's lock until it ends."""
    for start in range(0, len(normal), WINDOW):
        if found := shape.search(normal, start, start + WINDOW + OVERLAP):
            return found
    return None


def _search(pattern: Pattern, normal: str) -> tuple[int, int] | None:
    first = _first(pattern.shape, normal)
    if not pattern.then:
        return first.span() if first else None
    if not first:
        return None
    starts = pattern.shape.finditer(normal, first.end())
    for then in pattern.then.finditer(normal, first.end()):
        while first.end() + pattern.within < then.start():
            if not (first := next(starts, None)):
                return None
        if first.end() <= then.start():
            return first.start(), then.end()
    return None


@cache
def patterns(scope: str) -> tuple[Pattern, ...]:
    """The patterns of patterns.toml for `scope`, compiled."""
    entries = tomllib.loads(DATA.read_text("utf-8"))["pattern"]
    return tuple(_compiled(entry) for entry in entries if scope in entry.get("on", ("user", "untrusted")))


def _compiled(entry: dict[str, Any]) -> Pattern:
    then = entry.get("then")
    return Pattern(
        entry["id"], entry["why"], tuple(plain(need) for need in entry["needs"]), _regex(entry["regex"]),
        _regex(then) if then else None, entry.get("within", 0),
    )  # fmt: skip


def _regex(source: str) -> re.Pattern[str]:
    """The shorthands of patterns.toml written out; letters of other scripts folded as the texts are."""
    source = GAP.sub(lambda gap: rf"{gap[1]}(?:\w{{1,24}}\W{{1,8}}){{0,{gap[2]}}}", source).replace(" ", r"(?:\W{1,8})")
    return re.compile(source.translate({code: fold for code, fold in FOLD.items() if code > 127}), re.MULTILINE)
