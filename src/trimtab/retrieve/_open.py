"""Which engine holds an index, and how it is opened."""

from collections.abc import Callable
from pathlib import Path

from trimtab.retrieve._index import Index
from trimtab.retrieve._sqlite import Sqlite

ENGINES = ("auto", "sqlite")
FILE = "docs.db"
MANY = 30_000  # chunks from which tantivy and usearch pay


def opened(engine: str, home: Path | None, dims: int, secret: Callable[[str], str | None]) -> Index:
    """The index in the state folder `home`; None is one in memory, gone with the process. To be used by one thread.

    Raises `sqlite3.Error` and `OSError` where the file cannot be used, `ConfigError` for an engine that is not there.
    """
    return Sqlite(home / FILE if home else None, dims)
