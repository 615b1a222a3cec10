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
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trimtab.guard._decoded import HINTS, decoded, respelt
from trimtab.guard._normalise import Ways, plain
from trimtab.guard._threads import are_long
from trimtab.guard._typos import mended
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
WINDOW, OVERLAP = 6_000, 2_000
"""Characters of one search, and how many more it sees: more than any pattern can span. A search holds the
interpreter's lock until it ends, so that in a long one nobody else would be served."""
DATA = Path(__file__).with_name("patterns.toml")


class Pattern(NamedTuple):
    """One thing that injections say.

    With `then`, that must follow `shape` within `within` characters: two scans in linear time instead of one regex
    that could try every pair.
    """

    id: str
    why: str
    shape: re.Pattern[str]
    then: re.Pattern[str] | None = None
    within: int = 0


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`system`: judge the operator's own system texts too; `decode`: look into leet, ROT13, base64 and
    other disguises.

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
    """(pattern, start, end) of the first match of each pattern of `scope` (user, untrusted, answer) in `text`.

    What stands encoded in it, or is mistyped, is read too; the finding is then all of the window that it stands in.
    """
    normal, ways = plain(text), None
    encoded = decode and _mistyped(normal)
    for pattern, start, end in _matches(normal, scope):
        if not pattern:
            encoded = True
            continue
        ways = ways or Ways(text)
        yield pattern, *ways.back(start, end)
    if decode and encoded:
        yield from _decoded(text, normal, scope)


def _mistyped(normal: str) -> bool:
    parts = (normal[at : at + WINDOW] for at in range(0, len(normal), WINDOW))
    return any(mended(part) != part for part in parts)


def _decoded(text: str, normal: str, scope: str) -> Iterator[tuple[Pattern, int, int]]:
    """What stands encoded in `text`."""
    ways = Ways(text)
    for at in range(0, len(normal), WINDOW):
        part = normal[at : at + WINDOW + OVERLAP]
        for inside in respelt(part):
            if found := _first(inside, scope):
                yield found, *ways.back(at, at + len(part))
    for at in range(0, len(text), WINDOW):
        for inside, start, end in decoded(text, at, at + WINDOW):
            if found := _first(inside, scope):
                yield found, start, end


def _first(normal: str, scope: str) -> Pattern | None:
    return next((pattern for pattern, _, _ in _matches(normal, scope) if pattern), None)


def _matches(normal: str, scope: str) -> Iterator[tuple[Pattern | None, int, int]]:
    """The first match of each pattern; None once where something may stand encoded."""
    known, sieve, met = patterns(scope), _sieve(scope), set[int]()
    for at in range(0, len(normal), WINDOW):
        part = normal if len(normal) <= WINDOW + OVERLAP else normal[at : at + WINDOW + OVERLAP]
        for hit in sieve(part):
            if hit >= len(known):
                if -1 not in met:
                    met.add(-1)
                    yield None, 0, 0
            elif hit not in met and (span := _search(known[hit], normal, at)):
                met.add(hit)
                yield known[hit], *span
        if part is normal:
            return


@cache
def _sieve(scope: str) -> Sieve:
    """The shapes of the patterns of `scope`, and behind them what something encoded looks like.

    Without their bounds on lengths they take 3.7 MB less and ten times as long: RE2's automaton grows too large for it.
    """
    return Sieve((*(pattern.shape.pattern for pattern in patterns(scope)), *HINTS), "m")


def _search(pattern: Pattern, normal: str, at: int) -> tuple[int, int] | None:
    """The first match that begins in the window at `at`; one that begins after it is the next window's."""
    end = at + WINDOW + OVERLAP
    last = len(normal) if len(normal) <= WINDOW + OVERLAP else at + WINDOW
    firsts = (match for match in pattern.shape.finditer(normal, at, end) if match.start() < last)
    first = next(firsts, None)
    if not pattern.then or not first:
        return first.span() if first else None
    for then in pattern.then.finditer(normal, first.end(), end):
        while first.end() + pattern.within < then.start():
            if not (first := next(firsts, None)):
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
        entry["id"], entry["why"], _regex(entry["regex"]), _regex(then) if then else None, entry.get("within", 0)
    )


def _regex(source: str) -> re.Pattern[str]:
    """The shorthands of patterns.toml written out, words of 24 characters at most; letters folded as the texts are."""
    source = source.replace(r"\w+", r"\w{1,24}").replace(r"\w*", r"\w{0,24}")
    source = GAP.sub(lambda gap: rf"{gap[1]}(?:\w{{1,24}}\W{{1,8}}){{0,{gap[2]}}}", source)
    source = source.replace(" ", r"(?:\W{1,8})")
    return re.compile("".join(char if char.isascii() else plain(char) for char in source), re.MULTILINE)
