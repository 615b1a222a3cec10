"""Reads the JSON lines that a benchmark is given, and says of a row that is none which it is and what is wrong.

Rows that something here was chosen or trained on are known by what they say, in whatever file: files `*_seen.npz` have
the first four bytes of the SHA-256 of each, by part.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

Row: TypeAlias = dict[str, Any]


def rows(path: Path, *texts: str, check: Callable[[Row], str] = lambda _: "") -> list[Row]:
    """The rows of a file, without its empty lines: objects whose fields `texts` are strings.

    `check` says what else is wrong with a row, or nothing. Lines end with a line feed alone: what else Unicode calls a
    line's end stands inside of texts. Raises `SystemExit` with the file, the line and the fault.
    """
    lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return [_row(f"{path.name} line {at}", line, texts, check) for at, line in enumerate(lines, 1) if line.strip()]


def _row(place: str, line: bytes, texts: tuple[str, ...], check: Callable[[Row], str]) -> Row:
    try:
        row = json.loads(line.decode("utf-8"))
    except ValueError as error:
        raise SystemExit(f"{place} is no JSON in UTF-8: {error}.") from error
    if not isinstance(row, dict):
        raise SystemExit(f"{place} is {type(row).__name__}, not an object with {', '.join(texts) or 'fields'}.")
    for field in texts:
        if not isinstance(row.get(field), str):
            said = f"is {row[field]!r:.40}, which is no text" if field in row else "is not there"
            raise SystemExit(f"{place}: `{field}` {said}.")
    if fault := check(row):
        raise SystemExit(f"{place}: {fault}.")
    return row


def yes_or_no(row: Row) -> str:
    """What is wrong with a row's `label` that must be 0 or 1."""
    return "" if row.get("label") in (0, 1) else f"`label` is {row.get('label')!r:.40}, which is neither 0 nor 1"


def spanned(row: Row) -> str:
    """What is wrong with a row's `spans`: each has a `type`, and a `start` below an `end` within the text."""
    spans = row.get("spans")
    if not isinstance(spans, list):
        return f"`spans` is {spans!r:.40}, not a list"
    wrong = [span for span in spans if not _is_span(span, len(row["text"]))]
    return f"{wrong[0]!r:.100} is no span: `type`, and `start` below `end` within the text" if wrong else ""


def _is_span(span: Any, length: int) -> bool:
    if not (isinstance(span, dict) and isinstance(span.get("type"), str)):
        return False
    start, end = span.get("start"), span.get("end")
    return type(start) is int and type(end) is int and 0 <= start < end <= length


def number(text: str) -> int:
    """What a text is known by in a file of rows that were seen."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "replace")).digest()[:4])


@cache
def seen(file: Path, part: str) -> frozenset[int]:
    """The numbers of what was seen, of one part."""
    with np.load(file) as kept:
        return frozenset(kept[part].tolist())
