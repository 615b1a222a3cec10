"""Tables that people made, as csv files: rows whose columns may be missing, and words for cells that cannot be read."""

import csv
import io
import math
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from trimtab.errors import ConfigError

Made = TypeVar("Made")
BLANK = ("", "-", "--", "?", "n/a", "na", "nan", "none", "null", "unknown", "tbd")
"""Cells that say that nobody knows."""
MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""What a file of an encoding begins with."""
THOUSANDS = re.compile(r"-?\d{1,3}(,\d{3})+(\.\d*)?")


class Line(dict[str, str]):
    """A row by its columns' names; a column that the file lacks is blank. `place` names file and row; it is
    `wide`, and its cells are not to be trusted, where it has more of them than the file has columns."""

    def __init__(self, cells: dict[str, str], place: str, wide: bool = False) -> None:
        super().__init__(cells)
        self.place, self.wide = place, wide

    def __missing__(self, key: str) -> str:
        return ""

    def number(self, name: str) -> float | None:
        """A cell as a number; None where it says that nobody knows.

        Raises:
            ConfigError: it is no finite number; file, row and column are said.
        """
        text = self[name]
        if text.lower() in BLANK:
            return None
        try:
            found = float(text.replace(",", "") if THOUSANDS.fullmatch(text) else text)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise ConfigError(f"{self.place}: {name} is {text!r}.", "Write a number without its unit, or nothing.")
        return found

    def amount(self, name: str, otherwise: float = 0.0) -> float:
        """A number of 0 or more, `otherwise` where the cell is blank.

        Raises:
            ConfigError: it is no number, or below 0.
        """
        found = self.number(name)
        if found is None:
            return otherwise
        if found < 0:
            raise ConfigError(f"{self.place}: {name} is {self[name]!r}.", "Write a number of 0 or more.")
        return found

    def count(self, name: str, otherwise: int = 0) -> int:
        """A whole number of 0 or more, `otherwise` where the cell is blank or 0.

        Raises:
            ConfigError: it is no number, or below 0.
        """
        return round(self.amount(name)) or otherwise

    def measured(self, name: str) -> float:
        """A number above 0.

        Raises:
            ConfigError: it is none, or blank.
        """
        found = self.number(name)
        if not found or found < 0:
            raise ConfigError(f"{self.place}: {name} is {self[name]!r}.", "Write what was measured, above 0.")
        return found


def rows(path: Path, needed: tuple[str, ...] = ()) -> Iterator[Line]:
    """The rows of a csv file, UTF-8 or UTF-16; names of columns in lower case, cells without spaces around them. None
    where there is no such file.

    Raises:
        ConfigError: the file cannot be read, is no text, or lacks a column that is `needed`.
    """
    if not path.exists():
        return
    table = csv.reader(io.StringIO(_text(path), newline=""))
    try:
        head = [name.strip().lower() for name in next(table, [])]
        if missing := [name for name in needed if name not in head]:
            raise ConfigError(f"{path.name} has no column {', '.join(missing)}.", f"It has: {', '.join(head)[:200]}.")
        for cells in table:
            if any(cell.strip() for cell in cells):
                yield _line(head, [cell.strip() for cell in cells], f"{path.name}, line {table.line_num}")
    except csv.Error as error:
        raise ConfigError(f"{path.name}, line {table.line_num}: {error}.", "Write it as csv again.") from error


def _line(head: list[str], cells: list[str], place: str) -> Line:
    return Line(dict(zip(head, cells, strict=False)), place, any(cells[len(head) :]))


def each(path: Path, needed: tuple[str, ...], make: Callable[[Line], Made | None]) -> list[Made]:
    """What `make` makes of each row. A row that it cannot read is said and left out, and so is a file."""
    found: list[Made] = []
    try:
        for row in rows(path, needed):
            try:
                if row.wide:
                    raise ConfigError(f"{row.place}: it has more cells than the file has columns.", "Quote its commas.")
                made = make(row)
            except ConfigError as error:
                say(str(error))
                continue
            if made is not None:
                found.append(made)
    except ConfigError as error:
        say(str(error))
    return found


@cache
def say(words: str) -> None:
    """A word to the person on stderr, once."""
    sys.stderr.write(f"Skipped: {words}\n")


def _text(path: Path) -> str:
    try:
        found = path.read_bytes()
        coding = next((coding for mark, coding in MARKS if found.startswith(mark)), "utf-8")
        return found.decode(coding)
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}.", "Give a csv file.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path.name} is no UTF-8 text ({error.reason}).", "Save it as UTF-8.") from error
