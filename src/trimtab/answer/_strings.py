"""A JSON text that comes in pieces, changed string by string: what stands in one, and what stands in none."""

import re
from collections.abc import Callable
from typing import TypeAlias

Change: TypeAlias = Callable[[str], str]

BODY = re.compile(r"(?:[^\"\\]|\\.)*", re.DOTALL)
BEGIN = re.compile(r"\"(?:[ \t\r\n]|\\[ntr])*(.?)", re.DOTALL)
"""A string's first sign that is not space: where it is a bracket, the string may itself hold a JSON text."""


class Prose:
    """A text that is not JSON: given out but for what `unfinished` holds back."""

    def __init__(self, change: Change, unfinished: Callable[[str], int]) -> None:
        self._change, self._unfinished, self._held = change, unfinished, ""

    def feed(self, piece: str) -> str:
        """What may leave now that `piece` has come."""
        text = self._held + piece
        ready = len(text) - self._unfinished(text)
        self._held = text[ready:]
        return self._change(text[:ready])

    def close(self) -> str:
        """What is left at the end."""
        rest, self._held = self._held, ""
        return rest


class Strings:
    """Gives out each piece as soon as it is known what stands there.

    `outside` changes what is in no string, `inside` the body of a string or a part of it, `whole` a string with its
    quotes that begins like a JSON text: such a one is held back until it ends. `unfinished` says how many characters
    at the end of a text must be held back.
    """

    def __init__(self, outside: Change, inside: Change, whole: Change, unfinished: Callable[[str], int]) -> None:
        self._outside, self._inside, self._whole, self._unfinished = outside, inside, whole, unfinished
        self._held, self._seen = "", 0
        self._step: Callable[[], str | None] = self._between

    def feed(self, piece: str) -> str:
        """What may leave now that `piece` has come."""
        self._held += piece
        out: list[str] = []
        while self._held and (part := self._step()) is not None:
            out.append(part)
        return "".join(out)

    def close(self) -> str:
        """What is left at the end; a string that nobody closed counts as one."""
        rest, self._held = self._held, ""
        return self._outside(rest) if self._step == self._between else self._inside(rest)

    def _take(self, count: int) -> str:
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _between(self) -> str | None:
        at = self._held.find('"')
        if at >= 0:
            self._step = self._begin
            return self._outside(self._take(at))
        return self._outside(self._take(ready)) if (ready := len(self._held) - self._unfinished(self._held)) else None

    def _begin(self) -> str | None:
        first = BEGIN.match(self._held)
        if not first or (first[1] in ("", "\\") and first.end() == len(self._held)):
            return None
        if first[1] in ("{", "["):
            self._step, self._seen = self._hold, 1
            return ""
        self._step = self._within
        return self._take(1)

    def _hold(self) -> str | None:
        self._seen = _end(self._held, self._seen)
        if self._held[self._seen : self._seen + 1] != '"':
            return None
        self._step = self._between
        return self._whole(self._take(self._seen + 1))

    def _within(self) -> str | None:
        end = _end(self._held, 0)
        if self._held[end : end + 1] == '"':
            self._step = self._between
            return self._inside(self._take(end)) + self._take(1)
        ready = end - self._unfinished(self._held[:end])
        return self._inside(self._take(ready)) if ready else None


def _end(text: str, start: int) -> int:
    """Where the body of a string ends that goes on at `start`; before a backslash that waits for its sign."""
    return BODY.match(text, start).end()  # pyright: ignore[reportOptionalMemberAccess]
