"""Which engine holds an index, and how it is opened."""

from collections.abc import Callable
from pathlib import Path

from trimtab.errors import ConfigError
from trimtab.retrieve._index import Index
from trimtab.retrieve._sqlite import Sqlite

ENGINES = ("auto", "sqlite", "postgres")
FILE = "docs.db"
ADDRESS = "TRIMTAB_DOCS_URL"


def opened(engine: str, home: Path | None, dims: int, secret: Callable[[str], str | None]) -> Index:
    """The index in the state folder `home`; None is one in memory, gone with the process. To be used by one thread.

    Raises `sqlite3.Error` and `OSError` where the file cannot be used, `ConfigError` for an engine that is not there,
    `StorageError` for a database that cannot be reached.
    """
    if engine == "postgres":
        return _postgres(secret(ADDRESS), dims)
    return Sqlite(home / FILE if home else None, dims)


def _postgres(address: str | None, dims: int) -> Index:
    if not address:
        raise ConfigError('[retrieve] engine = "postgres" needs a database.', f"Put its address in {ADDRESS}.")
    from trimtab.retrieve._postgres import Postgres

    return Postgres(address, dims)
