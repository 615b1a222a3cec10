"""Finds of several kinds brought into one row of spans."""

from collections.abc import Iterable

from trimtab.types import Span


def apart(found: Iterable[tuple[str, int, int]], length: int) -> tuple[Span, ...]:
    """Spans without overlaps in the order of a text of `length` characters: of two that overlap, the first found."""
    if not (all_found := tuple(found)):
        return ()
    taken = bytearray(length)
    kept: list[Span] = []
    for kind, start, end in all_found:
        if start < end and taken.find(1, start, end) < 0:
            taken[start:end] = b"\1" * (end - start)
            kept.append(Span(kind=kind, start=start, end=end))
    return tuple(sorted(kept, key=lambda span: span.start))


def united(found: Iterable[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """Finds in the order of their text; those that overlap are one, of the longer one's kind."""
    kept: list[tuple[str, int, int]] = []
    for kind, start, end in sorted(found, key=lambda one: (one[1], -one[2])):
        if kept and start < kept[-1][2]:
            last = kept.pop()
            kind = last[0] if last[2] - last[1] >= end - start else kind
            start, end = last[1], max(last[2], end)
        kept.append((kind, start, end))
    return kept
