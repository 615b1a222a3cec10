"""Which of many regular expressions may match a text, found in one pass: RE2's set, in front of Python's own `re`.

Most texts match none of a guard's or a router's expressions, and to learn that from each of them in turn costs more
than anything else that is done with a short request (benchmarks/sieve.py).
"""

from collections.abc import Sequence

MEMORY = 32 << 20
"""Bytes that the automaton may take before it is made anew; it takes what the texts need, some hundred kilobytes."""
ODD = r"[\x00\x0b\x1c-\x1f]"
"""Where RE2's classes and those of `re` differ on ASCII."""


class Sieve:
    """Called with a text, the indices of the expressions that may match it; never leaves out one that does.

    The expressions are in the syntax that `re` and RE2 share. One that RE2 cannot take is always among the indices; so
    are all of them for a text that is not plain ASCII, where the classes of the two differ.
    """

    __slots__ = ("_all", "_always", "_ids", "_odd", "_set")

    def __init__(self, shapes: Sequence[str], flags: str = "") -> None:
        import re2

        options = re2.Options()
        options.never_capture, options.max_mem, options.log_errors = True, MEMORY, False
        self._set = re2.Set.SearchSet(options)
        self._all, self._ids, self._always = tuple(range(len(shapes))), list[int](), list[int]()
        for i, shape in enumerate(shapes):
            try:
                self._set.Add(f"(?{flags}){shape}" if flags else shape)
                self._ids.append(i)
            except re2.error:
                self._always.append(i)
        self._odd = len(self._ids)
        self._set.Add(ODD)
        self._set.Compile()
        if self._set.Match(b"\0") != [self._odd]:  # an automaton without room to work would find nothing at all
            raise MemoryError("the expressions are too large for one automaton")

    def __call__(self, text: str) -> Sequence[int]:
        if not text.isascii():
            return self._all
        hits = self._set.Match(text.encode())
        if not hits:
            return self._always
        if self._odd in hits:
            return self._all
        ids = self._ids
        return sorted((*self._always, *(ids[hit] for hit in hits)))
