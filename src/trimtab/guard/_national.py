"""National identity and tax numbers: a shape, a checksum (python-stdnum), and a word nearby where both are weak.

A one-digit checksum lets one number in ten pass: such a kind counts only with one of its words around it. They lie in
national.toml.
"""

import importlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from stdnum.exceptions import ValidationError

from trimtab.guard._digits import is_short, near, tried

DATA = Path(__file__).with_name("national.toml")
DIGIT = "[0-9]"


class National(NamedTuple):
    """A kind of number, compiled; see national.toml. `plain` are the words that mean this number and nothing else."""

    kind: str
    hint: re.Pattern[str]
    shape: re.Pattern[str]
    checksum: str
    words: tuple[str, ...]
    plain: tuple[str, ...]


class Table(NamedTuple):
    """All kinds; those of them that need no word; one scan for all hints of these; and who has which word."""

    kinds: tuple[National, ...]
    plain: tuple[National, ...]
    hints: re.Pattern[str]
    worded: tuple[tuple[str, National], ...]


@cache
def table() -> Table:
    """The kinds of national.toml."""
    kinds = tuple(_compiled(entry) for entry in tomllib.loads(DATA.read_text("utf-8"))["number"])
    plain = tuple(one for one in kinds if not one.words)
    hints = "|".join(f"(?<=(?={one.hint.pattern}).)" for one in plain)
    # It begins with a character class, which is what makes it fast.
    return Table(kinds, plain, re.compile(f"{DIGIT}(?:{hints})"), tuple((w, one) for one in kinds for w in one.words))


def _compiled(entry: dict[str, Any]) -> National:
    words = tuple(entry.get("words", ()))
    return National(
        entry["kind"], re.compile(entry.get("hint", DIGIT)),
        re.compile(rf"(?<![A-Za-z0-9])(?<![A-Za-z0-9][.-])(?:{entry['shape']})(?![A-Za-z0-9]|[.-][0-9])"),
        entry.get("checksum", ""),
        words, tuple(word for word in words if not is_short(word)),
    )  # fmt: skip


def national(text: str, low: str) -> Iterator[tuple[str, int, int]]:
    """(kind, start, end) of the national numbers in `text`; `low` is the text in lower case, for the words."""
    known = table()
    may = [*known.plain] if known.hints.search(text) else []
    may += dict.fromkeys(one for word, one in known.worded if word in low)
    for one in may:
        if one.hint.search(text):
            yield from ((one.kind, *place) for place in tried(one.shape, text, partial(_is_one, one, low)))


def _is_one(one: National, low: str, match: re.Match[str]) -> bool:
    if one.words and not near(low, *match.span(), one.words):
        return False
    return not one.checksum or _checks(one.checksum, match[0]) or near(low, *match.span(), one.plain)


def _checks(module: str, number: str) -> bool:
    try:
        importlib.import_module(f"stdnum.{module}").validate(number.replace(".", ""))
    except (ValidationError, ValueError, LookupError):  # a table of places with gaps fails with KeyError
        return False
    return True
