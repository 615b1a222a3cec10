"""The write-ahead log of an SQLite file."""

import sqlite3
import time

PAUSE = 0.01  # seconds between two tries


def write_ahead(connection: sqlite3.Connection, seconds: float) -> None:
    """Turn the log on; tries for so many seconds while another process makes the file.

    SQLite's own waiting (`busy_timeout`) is not for this: a file that another writes is refused at once, as of two
    that each have read it and would write it neither ever gives way. https://sqlite.org/c3ref/busy_handler.html

    Raises `sqlite3.Error`.
    """
    end = time.monotonic() + seconds
    while not _turned(connection, last=time.monotonic() >= end):
        time.sleep(PAUSE)


def _turned(connection: sqlite3.Connection, last: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
