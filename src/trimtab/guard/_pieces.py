"""Long texts looked through piece by piece: one search holds the interpreter's lock until it ends, and all wait."""

from collections.abc import Callable, Iterable, Iterator

from trimtab.guard._spans import apart
from trimtab.types import Span

SIZE = 8_000
"""Characters of a piece."""
BEFORE = 512
"""Characters before it that are seen too: words and signs that speak for or against a find."""
Found = Iterable[tuple[str, int, int]]


def pieces(text: str, after: int) -> Iterator[tuple[str, int, int, int]]:
    """(piece, its offset in `text`, and where in it finds may begin and where no more) of all of `text`.

    A piece reaches `after` characters further, as long as a find may be.
    """
    if len(text) <= SIZE + after:
        yield text, 0, 0, len(text)
        return
    for at in range(0, len(text), SIZE):
        begin = max(0, at - BEFORE)
        yield text[begin : at + SIZE + after], begin, at - begin, at - begin + SIZE


def spans(text: str, after: int, find: Callable[[str], Found]) -> tuple[Span, ...]:
    """What `find` finds in the pieces of `text`, in order and without overlaps.

    Of two finds that overlap the first one stands, in the order of `find` within a piece and of the text between them.
    """
    kept: list[Span] = []
    for piece, offset, first, last in pieces(text, after):
        for span in apart(find(piece), len(piece)):
            start, end = span.start + offset, span.end + offset
            if first <= span.start < last and not (kept and start < kept[-1].end):
                kept.append(Span(kind=span.kind, start=start, end=end))
    return tuple(kept)
