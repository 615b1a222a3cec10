"""Tables in lines, CSV or Markdown: the head of a column speaks for each of its cells, as a word beside one does."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from trimtab.guard._pieces import SIZE

CELLS = {
    sign: re.compile(rf'"(?:[^"]|"")*"|[^{sign}]+|(?<=[{sign}])(?=[{sign}]|\Z)|\A(?=[{sign}])') for sign in ",;\t|"
}
"""What parts the cells of a line, and a cell; an empty one is one too."""
RULE = re.compile(r"[|:\- \t+]+\Z")
"""The line under a Markdown table's head."""
LONG = re.compile(r"[0-9]{5}")
"""What no head of a column has."""
WIDEST = 4_000
"""Characters of the longest line of a table."""
WORDY = 60
"""Characters of the longest head that is repeated for its cells."""
FEWEST = 4
"""Digits of the shortest cell that anything can be found in."""
DIGIT = re.compile(r"[0-9]|[^\x00-\x7f]")
UNDER = 4
"""Lines under a head of which one has so many digits, and one as many cells."""


class Column(NamedTuple):
    """A column as a text, each cell on a line behind its head; where each cell begins in it, and in the text itself."""

    text: str
    cells: Sequence[int]
    places: Sequence[int]

    def back(self, found: Iterable[tuple[str, int, int]]) -> Iterator[tuple[str, int, int]]:
        """Finds in the column as those in the text; what begins in a head is none."""
        for kind, start, end in found:
            at = bisect_right(self.cells, start) - 1
            if at >= 0 and "\n" not in self.text[self.cells[at] : end]:
                shift = self.places[at] - self.cells[at]
                yield kind, start + shift, end + shift


def columns(text: str, telling: re.Pattern[str]) -> list[Column]:
    """The columns of the tables in `text` whose heads have a word of `telling` in small letters."""
    found: list[Column] = []
    if "\n" not in text or not any(sign in text for sign in ",;\t|"):
        return found
    if len(text) <= SIZE and not DIGIT.search(text):
        return found
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    at = 0
    while at < len(lines) - 1:
        heads = _may_head(lines[at], lines[at + 1 : at + 1 + UNDER]) and telling.search(_plain(lines[at]))
        at = _table(lines, starts, at, telling, found) if heads else at + 1
    return found


def _may_head(line: str, under: Sequence[str]) -> bool:
    """Whether the line under it has as many cells, and one of those under it digits: cheap, for most texts are none."""
    if len(line) > WIDEST or len(under[0]) > WIDEST:
        return False
    sign = _parts(line)
    count = line.count(sign)
    if not count or under[0].count(sign) < count or LONG.search(line):
        return False
    return any(sum(map(str.isdecimal, one[:WIDEST])) >= FEWEST for one in under)


def _parts(line: str) -> str:
    """The sign that parts its cells."""
    return max(",;\t|", key=line.count)


def _plain(head: str) -> str:
    return head.lower().replace("_", " ")


def _table(lines: Sequence[str], starts: Sequence[int], at: int, telling: re.Pattern[str], found: list[Column]) -> int:
    """Takes up the columns of the table whose head is the line `at`, if it is one; where to go on."""
    sign = _parts(lines[at])
    heads = _cells(lines[at], sign)
    first = at + 2 if RULE.match(lines[at + 1]) else at + 1
    if len(heads) < 2 or all(len(_cells(row[:WIDEST], sign)) != len(heads) for row in lines[first : first + UNDER]):
        return at + 1  # before the rest is looked at, which many such heads would have read as often
    last = first
    while last < len(lines) and sign in lines[last]:
        last += 1
    short = (row for row in range(first, last) if len(lines[row]) <= WIDEST)
    rows = [(starts[row], cells) for row in short if len(cells := _cells(lines[row], sign)) == len(heads)]
    if not rows:
        return at + 1
    for number, (_, head) in enumerate(heads):
        if len(head) <= WORDY and telling.search(_plain(head)):
            mine = ((start + cells[number][0], cells[number][1]) for start, cells in rows)
            found.append(_column(head.strip(' "').replace("_", " "), mine))
    return last


def _cells(line: str, sign: str) -> list[tuple[int, str]]:
    """Where each cell begins in its line, and what it says."""
    return [(cell.start(), cell[0]) for cell in CELLS[sign].finditer(line.rstrip("\r"))]


def _column(head: str, cells: Iterable[tuple[int, str]]) -> Column:
    parts: list[str] = []
    inside: list[int] = []
    places: list[int] = []
    length = 0
    for place, cell in cells:
        if sum(map(str.isdecimal, cell)) < FEWEST:
            continue
        parts.append(f"{head}: {cell}\n")
        inside.append(length + len(head) + 2)
        places.append(place)
        length += len(parts[-1])
    return Column("".join(parts), inside, places)
