"""Cuts a document into overlapping chunks along its structure: sections first, then lines and sentences. Pure.

A chunk is a slice of the document's text; its title says under which headings it stands.
"""

import re
from collections.abc import Callable, Iterator

import msgspec

from trimtab.retrieve._load import Document
from trimtab.retrieve._office import PAGE_END

_HEADING = re.compile(r"^(#{1,6})[ \t]+(\S.*)$")
_FENCE = re.compile(r"^[ \t]*(```|~~~)")
_DEFINITION = re.compile(r"^(?:@|(?:async def|def|class)[ \t]+(\w+))")
_DECLARATION = re.compile(
    r"^(?:(?:export|default|pub(?:\([a-z]+\))?|public|private|protected|internal|static|abstract|final|sealed|async|"
    r"unsafe|inline|data)[ \t]+)*(?:function\*?|func|fn|def|class|struct|interface|enum|impl|trait|module|object|"
    r"protocol|namespace|create[ \t]+(?:table|view|function))[ \t]+(?:\([^)\n]*\)[ \t]*)?(\w+)", re.IGNORECASE
)  # fmt: skip
_SENTENCE_END = re.compile(r"(?<=[.!?])[ \t]+(?=[^a-z])|(?<=[。！？])")


class Chunk(msgspec.Struct, frozen=True):
    """Characters `start` to `end` (exclusive) of its document."""

    start: int
    end: int
    title: str


class _Section(msgspec.Struct, frozen=True):
    start: int
    end: int
    title: str


def chunks(document: Document, size: int, overlap: int) -> Iterator[Chunk]:
    """Chunks of at most `size` characters; inside a section each starts up to `overlap` before the last one's end.

    Every character but white space lies in a chunk.
    """
    text = document.text
    for section in _sections(document):
        for start, end in _packed(list(_units(text, section, size)), size, overlap):
            if piece := text[start:end].strip():
                start += text[start:end].index(piece)
                yield Chunk(start, start + len(piece), section.title)


def _sections(document: Document) -> Iterator[_Section]:
    """Runs under one heading (Markdown, HTML, DOCX), a definition (code) or on a page (PDF); others are one."""
    cuts = CUTS.get(document.kind)
    marks = [(0, _first_title(document)), *(cuts(document) if cuts else ())]
    for (start, title), (end, _) in zip(marks, [*marks[1:], (len(document.text), "")], strict=True):
        if document.text[start:end].strip():
            yield _Section(start, end, title)


def _first_title(document: Document) -> str:
    if document.kind == "csv":
        return f"{document.title}: {document.text.lstrip().splitlines()[0]}"[:200]
    return document.title


def _headings(document: Document) -> Iterator[tuple[int, str]]:
    """Where each section begins, and its path of headings; one without a body belongs to the section that follows.

    A `#` inside a code fence is not a heading.
    """
    path: dict[int, str] = {}
    mark: int | None = None
    fenced = False
    for start, line in _lines(document.text):
        fenced ^= bool(_FENCE.match(line))
        if found := None if fenced else _HEADING.match(line):
            path = {depth: title for depth, title in path.items() if depth < len(found[1])}
            path[len(found[1])] = found[2].strip(" #\r\n")
            mark = start if mark is None else mark
        elif line.strip() and mark is not None:
            yield mark, " > ".join(dict.fromkeys((document.title, *path.values())))
            mark = None


def _definitions(document: Document) -> Iterator[tuple[int, str]]:
    decorated: int | None = None
    for start, line in _lines(document.text):
        found = _DEFINITION.match(line)
        if found and not found[1]:
            decorated = start if decorated is None else decorated
        elif found:
            yield start if decorated is None else decorated, f"{document.title} > {found[1]}"
            decorated = None


def _declarations(document: Document) -> Iterator[tuple[int, str]]:
    """Where a declaration begins in code of other languages: known by its keyword at the start of a line."""
    for start, line in _lines(document.text):
        if found := _DECLARATION.match(line):
            yield start, f"{document.title} > {found[1]}"


def _pages(document: Document) -> Iterator[tuple[int, str]]:
    start = 0
    for number, page in enumerate(document.text.split(PAGE_END), 1):
        yield start, f"{document.title} > page {number}"
        start += len(page) + 1


CUTS: dict[str, Callable[[Document], Iterator[tuple[int, str]]]] = {
    "markdown": _headings, "html": _headings, "docx": _headings, "python": _definitions, "code": _declarations,
    "pdf": _pages,
}  # fmt: skip


def _units(text: str, section: _Section, size: int) -> Iterator[tuple[int, int]]:
    """Sentences and lines; one longer than `size` in pieces, cut at white space where there is some."""
    for offset, line in _lines(text[section.start : section.end]):
        start = section.start + offset
        ends = [*(match.end() for match in _SENTENCE_END.finditer(line)), len(line)]
        for begin, end in zip([0, *ends], ends, strict=False):
            yield from _cut(text, start + begin, start + end, size)


def _cut(text: str, start: int, end: int, size: int) -> Iterator[tuple[int, int]]:
    while end - start > size:
        space = text.rfind(" ", start + size // 2, start + size)
        stop = space + 1 if space > 0 else start + size
        yield start, stop
        start = stop
    if end > start:
        yield start, end


def _packed(units: list[tuple[int, int]], size: int, overlap: int) -> Iterator[tuple[int, int]]:
    """Runs of units of at most `size`; each run after the first takes up the last units of the one before."""
    first = 0
    for i, (_, end) in enumerate(units):
        if end - units[first][0] > size:
            cut = units[i - 1][1]
            yield units[first][0], cut
            first = next((j for j in range(first + 1, i) if cut - units[j][0] <= overlap), i)
            while end - units[first][0] > size:
                first += 1
    if units:
        yield units[first][0], units[-1][1]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    start = 0
    for line in text.splitlines(keepends=True):
        yield start, line
        start += len(line)
