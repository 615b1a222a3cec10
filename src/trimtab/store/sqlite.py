"""All that is particular to SQLite: the private file, its pragmas, how a transaction begins, and the upsert."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects.sqlite import Insert, insert

from trimtab.store.wal import write_ahead

WAIT = 5.0  # seconds for another process that writes
PRAGMAS = (
    # NORMAL would not sync at a commit, and an acknowledged row could be gone after a power cut; commits are grouped.
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA journal_size_limit = 67108864",
)


def engine(path: Path) -> Engine:
    """An engine on the file, which only its owner may read; connects on first use. Raises `OSError`."""
    private(path)
    made = create_engine(f"sqlite+pysqlite:///{path}", pool_size=4, max_overflow=4, connect_args={"timeout": WAIT})
    event.listen(made, "connect", _connected)
    event.listen(made, "begin", _began)
    return made


def private(path: Path) -> None:
    """Make the file (0600) and the folders above it that are missing (0700); tighten a file that others can read.

    One that exists is not opened: closing it would drop every lock that this process has on it (POSIX), and SQLite's
    are such locks. Whoever opened and closed the database next would take himself for the last one, and delete the log
    that we go on writing to. https://sqlite.org/howtocorrupt.html, section 2.2.
    """
    for folder in reversed(path.parents):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)


@cache
def upsert(table: Table) -> Insert:
    """An insert that takes the place of the row with the same primary key: one statement a table, compiled once."""
    statement = insert(table)
    keys = {column.name for column in table.primary_key}
    fresh = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    return statement.on_conflict_do_update(index_elements=sorted(keys), set_=fresh)


def _connected(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN comes too late for a read before a write
    write_ahead(connection, WAIT)
    for pragma in PRAGMAS:
        connection.execute(pragma)


def _began(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
