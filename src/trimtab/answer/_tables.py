"""Look-ups in the user's tables: "what is the price of Widget A" where a column `price` and a key `Widget A` are there.

CSV files are read at start and again when they have changed; SQLite files are asked each time, read-only. A key with
several values, or a question that two tables answer differently, is left to others.
"""

import csv
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from trimtab.answer._reading import Reading, Unclear
from trimtab.errors import ConfigError

LARGEST = 50_000_000
"""Bytes of the largest CSV that is read."""
PATIENCE = 2.0
"""Seconds for which a locked database is waited for."""
_START = re.compile(r"(?:what(?: is| are|'s) |how much is |give me |tell me )?(?:the )?", re.IGNORECASE)
_JOINT = re.compile(r"'s | (?:of|for) (?:the )?", re.IGNORECASE)


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`path` of a CSV or SQLite file from the recipe's folder; `key` is the column that names a row.

    `columns` may be asked for; none are all others. `table` is the SQLite table's name.
    """

    path: str
    key: str
    columns: tuple[str, ...] = ()
    table: str = ""


class Tables:
    """The tables of one rung. Raises `ConfigError` for one that cannot be read, or lacks a column that is named."""

    def __init__(self, tables: tuple[Table, ...], folder: Path) -> None:
        self._tables = [(_Sqlite if table.table else _Csv)(table, folder) for table in tables]

    def read(self, asked: str) -> Reading:
        """The one value that all tables that know the question give. Raises `Unclear`."""
        asked, found = asked.strip().rstrip("?").strip(), list[Reading]()
        for table in self._tables:
            for column, key in _asks(asked):
                values = table.values(column, key)
                if len(values) > 1:
                    raise Unclear
                found += [Reading(value, f"table {table.name}: {column} of {key}") for value in values]
        if len({reading.text for reading in found}) != 1:
            raise Unclear
        return found[0]


def _asks(asked: str) -> Iterator[tuple[str, str]]:
    """Each way to part the question into a column and a key."""
    start = _START.match(asked)
    bare = asked[start.end() :] if start else asked
    for joint in _JOINT.finditer(bare):
        before, after = bare[: joint.start()], bare[joint.end() :]
        if joint[0] == "'s ":
            yield after, before
        else:
            yield before, after
            if joint[0].casefold().endswith("the "):
                yield before, f"the {after}"


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").split())


class _Csv:
    """Rows in memory, by their key."""

    def __init__(self, table: Table, folder: Path) -> None:
        self._table, self._path, self.name = table, folder / table.path, Path(table.path).name
        self._seen: tuple[int, int] = (0, 0)
        self._rows: dict[str, list[dict[str, str]]] = {}
        self._load()

    def values(self, column: str, key: str) -> set[str]:
        self._load()
        rows = self._rows.get(_plain(key), ())
        return {value for row in rows if (value := row.get(_plain(column), ""))}

    def _load(self) -> None:
        """Read it where it is not as it was. Raises `ConfigError`."""
        fix = "Give a CSV file with a heading line, in UTF-8."
        try:
            stat = self._path.stat()
            if (seen := (stat.st_mtime_ns, stat.st_size)) == self._seen:
                return
            if stat.st_size > LARGEST:
                raise ConfigError(f"{self._path} has more than {LARGEST:,} bytes.", "Put it into SQLite.")
            with self._path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file, strict=True))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ConfigError(f"The table {self._path} cannot be read: {error}.", fix) from error
        names = list(rows[0]) if rows else []
        _check(self._table, names, self._path)
        wanted = self._table.columns or tuple(name for name in names if name != self._table.key)
        found: dict[str, list[dict[str, str]]] = {}
        for row in rows:
            if key := (row[self._table.key] or "").strip():
                found.setdefault(_plain(key), []).append({_plain(n): (row[n] or "").strip() for n in wanted})
        self._rows, self._seen = found, seen


class _Sqlite:
    """A table of a database that others write."""

    def __init__(self, table: Table, folder: Path) -> None:
        self._table, self._path, self.name = table, folder / table.path, table.table
        names = [row[1] for row in self._asked(f"pragma table_info({_quoted(table.table)})")]
        _check(table, names, self._path)
        wanted = table.columns or tuple(name for name in names if name != table.key)
        self._columns = {_plain(name): name for name in wanted}

    def values(self, column: str, key: str) -> set[str]:
        if (name := self._columns.get(_plain(column))) is None:
            return set()
        sql = (
            f"select distinct {_quoted(name)} from {_quoted(self._table.table)} "  # noqa: S608 - names of the recipe
            f"where {_quoted(self._table.key)} = ? collate nocase limit 2"
        )
        return {str(row[0]) for row in self._asked(sql, key) if row[0] is not None}

    def _asked(self, sql: str, *given: Any) -> list[Any]:
        """Raises `ConfigError` for a file that is no database, or is not there."""
        try:
            where = f"{self._path.resolve().as_uri()}?mode=ro"
            with closing(sqlite3.connect(where, uri=True, timeout=PATIENCE)) as database:
                return database.execute(sql, given).fetchall()
        except sqlite3.Error as error:
            raise ConfigError(
                f"The table {self._table.table!r} in {self._path} cannot be read: {error}.", "Give a SQLite file."
            ) from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check(table: Table, names: list[str], path: Path) -> None:
    if missing := [name for name in (table.key, *table.columns) if name not in names]:
        raise ConfigError(
            f"The table {path} has no column {', '.join(missing)}.", f"Its columns are: {', '.join(names) or 'none'}."
        )
