"""Which of many regular expressions may match a text, found in one pass: RE2's set, in front of Python's own `re`.

Most texts match none of a guard's or a router's expressions, and to learn that from each of them in turn costs more
than anything else that is done with a short request (benchmarks/sieve.py).
"""

import re
from collections.abc import Sequence
from functools import cached_property

MEMORY = 64 << 20
"""Bytes that an automaton may take before it is made anew; it takes what the texts need, some hundred kilobytes."""
ODD = r"[\x00\x0b\x1c-\x1f]"
"""Where RE2's classes and those of `re` differ on ASCII."""
PART = re.compile(r"\\.|\[\^?\]?|\]|[^\\\[\]]+", re.DOTALL)
FOREIGN = r"\x{80}-\x{10ffff}"
WIDE = {r"\w": rf"\w{FOREIGN}", r"\d": rf"\d{FOREIGN}", r"\s": rf"\s{FOREIGN}"}
"""Classes that in `re` hold letters, digits and spaces of all scripts, and in RE2 those of ASCII."""


class Sieve:
    """Called with a text, the indices of the expressions that may match it; never leaves out one that does.

    The expressions are in the syntax that `re` and RE2 share. One that RE2 cannot take is always among the indices; so
    are all of them for a text with one of the signs of `ODD`. A text that is not ASCII may bring a few more indices:
    for it every sign of another script counts as letter, digit and space at once, and `\\b` as met.
    """

    def __init__(self, shapes: Sequence[str], flags: str = "") -> None:
        self._shapes, self._flags = tuple(shapes), f"(?{flags})" if flags else ""
        self._all = tuple(range(len(shapes)))
        self._plain = _Set([self._flags + shape for shape in shapes])

    def __call__(self, text: str) -> Sequence[int]:
        if text.isascii():
            return self._plain(text.encode())
        return self._wide(text.encode("utf-8", "replace"))

    @cached_property
    def _wide(self) -> "_Set":
        """For texts that are not ASCII; made when the first one comes."""
        return _Set([self._flags + _widened(shape) for shape in self._shapes])


class _Set:
    """RE2's set of expressions, and those that it could not take."""

    __slots__ = ("_all", "_always", "_ids", "_odd", "_set")

    def __init__(self, shapes: Sequence[str]) -> None:
        import re2

        options = re2.Options()
        options.never_capture, options.max_mem, options.log_errors = True, MEMORY, False
        self._set = re2.Set.SearchSet(options)
        self._all, self._ids, self._always = tuple(range(len(shapes))), list[int](), list[int]()
        for i, shape in enumerate(shapes):
            try:
                self._set.Add(shape)
                self._ids.append(i)
            except re2.error:
                self._always.append(i)
        self._odd = len(self._ids)
        self._set.Add(ODD)
        self._set.Compile()
        if self._set.Match(b"\0") != [self._odd]:  # an automaton without room to work would find nothing at all
            raise MemoryError("the expressions are too large for one automaton")

    def __call__(self, text: bytes) -> Sequence[int]:
        hits = self._set.Match(text)
        if not hits:
            return self._always
        if self._odd in hits:
            return self._all
        ids = self._ids
        return sorted((*self._always, *(ids[hit] for hit in hits)))


def _widened(shape: str) -> str:
    """`shape` with the classes of `re` in it, or more: without `\\b` and with all other scripts in each class."""
    found: list[str] = []
    inside = negated = False
    for part in PART.findall(shape):
        if part[0] == "[" and not inside:
            inside, negated = True, part[1:2] == "^"
        elif part == "]":
            inside = False
        elif part in (r"\b", r"\B") and not inside:
            continue
        elif part in WIDE and not negated:
            part = WIDE[part] if inside else f"[{WIDE[part]}]"
        found.append(part)
        negated = negated and inside
    return "".join(found)
