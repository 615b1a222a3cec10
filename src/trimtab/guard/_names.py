"""Names, addresses, places and organisations as the house encoder tags them, and dates of birth.

Thai, which its vocabulary lacks, has a tagger of its own.
"""

import asyncio
import re
from collections.abc import Iterator, Sequence
from typing import Any

from trimtab.guard import _readings
from trimtab.guard._births import WORD, births
from trimtab.guard._digits import ascii_digits, small
from trimtab.guard._pieces import spans
from trimtab.guard._spans import united
from trimtab.guard._tables import columns
from trimtab.ports import Tools
from trimtab.types import Span

BIRTH = "BIRTH_DATE"
TAGS = ("PERSON", "ADDRESS", "PLACE", "ORGANIZATION", BIRTH)
"""What a mask hides besides: the encoder's kinds that patterns cannot find, and what an encyclopedia is full of."""
KNOWN = (*TAGS, "GROUP", "TITLE", "DATE", "AGE", "EMAIL", "PHONE", "CARD", "IBAN", "ID", "IP", "URL")
"""All of the encoder's kinds, and dates of birth."""
BESIDE = frozenset({"PLACE", "ORGANIZATION", "GROUP", "TITLE", "DATE", "AGE"})
"""What is personal only where somebody is named or reached too: a country's capital is not."""
SHORTEST = 2
"""Characters of a name."""
SITED = ("ADDRESS", "PLACE")
LETTER = re.compile(r"[^\W\d_]")
CODED = re.compile(r"zip|post|plz|c[óo]digo|cap\b|pin\s?code|addr|lives?\b|郵便|邮编|〒", re.IGNORECASE)
DATED = 100
"""Characters of the longest date, and of the word behind it."""
NEAR = 40
"""Characters between the parts of one address."""
THAI = re.compile(r"[\u0e01-\u0e4e]")
READ = re.compile(r"[^\u0e01-\u0e4e]*[^\W\d_\u0e01-\u0e4e][^\u0e01-\u0e4e]*")
"""Runs without Thai letters, with others."""


async def tagged(
    tools: Tools, texts: Sequence[str], kinds: Sequence[str], structured: Sequence[Sequence[Span]]
) -> list[tuple[Span, ...]]:
    """The names in each text, where nothing `structured` was found; those in Thai alone if the encoder has no heads."""
    if not kinds or not texts:
        return [() for _ in texts]
    heads = _readings.has_heads(tools.encoder())
    tags = [reading.tags for reading in await _readings.read(tools, texts)] if heads else [() for _ in texts]
    born = await asyncio.to_thread(_all_births, texts) if BIRTH in kinds else [() for _ in texts]
    every = zip(texts, tags, await _readings.thai(texts), born, structured, strict=True)
    return [_of([*_read(text, read), *thai, *dates], kinds, found) for text, read, thai, dates, found in every]


def _all_births(texts: Sequence[str]) -> list[tuple[tuple[str, int, int], ...]]:
    return [tuple(_births(text)) for text in texts]


def _births(text: str) -> Iterator[tuple[str, int, int]]:
    for column in columns(text, WORD):
        yield from column.back(_born(column.text))
    yield from _born(text)


def _born(text: str) -> list[tuple[str, int, int]]:
    found = spans(text, DATED, lambda piece: ((BIRTH, *place) for place in births(small(ascii_digits(piece)))))
    return [(BIRTH, span.start, span.end) for span in found]


def _read(text: str, tags: Sequence[Any]) -> Iterator[tuple[str, int, int]]:
    """The encoder's tags, less what it cannot read: it takes any word in Thai for a name where one may stand.

    Figures are no name, and an address only where a word of one stands near them, or a word for a code of a place.
    """
    worded = [(tag.start, tag.end) for tag in tags if tag.kind in SITED and LETTER.search(text, tag.start, tag.end)]
    for kind, start, end in ((tag.kind, tag.start, tag.end) for tag in tags):
        if kind in TAGS and not LETTER.search(text, start, end):
            beside = any(a - NEAR < end and start < b + NEAR for a, b in worded)
            if kind not in SITED or not (beside or CODED.search(text, max(0, start - NEAR), start)):
                continue
        if not THAI.search(text, start, end):
            yield kind, start, end
            continue
        for run in READ.finditer(text, start, end):
            said = run[0].strip()
            yield kind, (at := run.start() + run[0].index(said)), at + len(said)


def _of(tags: Sequence[tuple[str, int, int]], kinds: Sequence[str], structured: Sequence[Span]) -> tuple[Span, ...]:
    wanted = united((kind, start, end) for kind, start, end in tags if kind in kinds and end - start >= SHORTEST)
    given = [Span(kind=kind, start=start, end=end) for kind, start, end in wanted]
    free = [
        span for span in given if not any(span.start < other.end and other.start < span.end for other in structured)
    ]
    somebody = bool(structured) or any(span.kind not in BESIDE for span in free)
    return tuple(span for span in free if somebody or span.kind not in BESIDE)
