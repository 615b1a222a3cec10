"""The sentences of an answer with the passages that each cites, and an answer without some of them. Pure."""

import re
from collections.abc import Sequence

import msgspec

from trimtab.sentences import sentences
from trimtab.types import Answer, Citation, Passage

MARKS = re.compile(r"[ \t]?\[(\d{1,3}(?:,[ \t]?\d{1,3})*)\]")
_AFTER_STOP = re.compile(
    r"([.!?…]+)([ \t]*\[\d{1,3}(?:,[ \t]?\d{1,3})*\](?:[ \t]?\[\d{1,3}(?:,[ \t]?\d{1,3})*\])*)(?=\s|$)"
)
FLAG = " [unsupported]"


class Said(msgspec.Struct, frozen=True):
    """Characters `start` to `end` of an answer, their text without marks, and the numbers of the passages cited."""

    start: int
    end: int
    text: str
    cites: tuple[int, ...] = ()


def said(text: str, marked: bool) -> list[Said]:
    """The sentences; where `marked`, with the numbers in brackets read as citations, also those after the full stop."""
    if not marked:
        return [Said(one.start, one.end, text[one.start : one.end]) for one in sentences(text)]
    moved = _AFTER_STOP.sub(r"\2\1", text)  # of the same length: "so. [1] It" and "so [1]. It"
    return [_read(moved, one.start, one.end) for one in sentences(moved)]


def _read(text: str, start: int, end: int) -> Said:
    part = text[start:end]
    numbers = (int(number) for marks in MARKS.findall(part) for number in marks.split(","))
    return Said(start, end, MARKS.sub("", part), tuple(dict.fromkeys(numbers)))


def marked(answer: Answer, passages: Sequence[Passage]) -> bool:
    """Whether the numbers in brackets in an answer are citations: then it cites passages as a whole, as one that was
    given numbered passages does; one that quotes a document has what stands there, footnotes too."""
    whole = {(one.source, one.start, one.end, one.text) for one in passages}
    mine = [(one.source, one.start, one.end, one.quote) for one in answer.citations]
    return bool(mine) and whole.issuperset(mine)


def without(answer: Answer, bad: Sequence[Said], passages: Sequence[Passage]) -> Answer:
    """The answer less these sentences, and less the citations that stood only there."""
    text = answer.text or ""
    for one in reversed(bad):
        before, after = text[: one.start], text[one.end :]
        text = before.rstrip(" \t") + after if not after or after[0] == "\n" else before + after.lstrip(" \t")
    text = text.strip()
    left = {number for one in said(text, marked=True) for number in one.cites}
    kept: list[Citation] = [
        citation for citation in answer.citations
        if any(_same(citation, passages[number - 1]) for number in left if 0 < number <= len(passages))
    ]  # fmt: skip
    return msgspec.structs.replace(answer, text=text, citations=tuple(kept) if answer.citations else ())


def flagged(answer: Answer, bad: Sequence[Said]) -> Answer:
    """The answer with a mark after each of these sentences."""
    text = answer.text or ""
    for one in reversed(bad):
        text = f"{text[: one.end]}{FLAG}{text[one.end :]}"
    return msgspec.structs.replace(answer, text=text)


def _same(citation: Citation, passage: Passage) -> bool:
    return (citation.source, citation.start, citation.end) == (passage.source, passage.start, passage.end)
