"""Which engine holds an index, and how it is opened."""

from importlib.util import find_spec

from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.retrieve._index import Index
from trimtab.retrieve._sqlite import Sqlite

ENGINES = ("auto", "sqlite")
FILE = "docs.db"
MANY = 30_000  # chunks from which tantivy and usearch pay


def opened(engine: str, kept: bool, tools: Tools) -> Index:
    """The index in the state folder, or one in memory that is gone with the process; to be used by one thread.

    Raises `sqlite3.Error` and `OSError` where the file cannot be used, `ConfigError` for an engine that is not there.
    """
    return Sqlite(tools.home / FILE if kept else None, tools.encoder().dims)
