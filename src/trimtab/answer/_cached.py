"""The cache's statements on its table, apart so that the kind can be looked at without importing SQLAlchemy."""

from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select

from trimtab.store.sqlite import upsert
from trimtab.store.tables import cached


class Statements(NamedTuple):
    """`put` takes a row, `drop` the key `old`, `expire` the time `now`; `keys` lists keys and ends, oldest first."""

    put: Any
    drop: Any
    expire: Any
    keys: Any


@cache
def statements() -> Statements:
    """One set for all caches: each is compiled once."""
    return Statements(
        put=upsert(cached),
        drop=cached.delete().where(cached.c.key == bindparam("old")),
        expire=cached.delete().where(cached.c.expires <= bindparam("now")),
        keys=select(cached.c.key, cached.c.expires).order_by(cached.c.at),
    )


def body(key: bytes) -> Any:
    """The answer's JSON for a key."""
    return select(cached.c.body).where(cached.c.key == key)
