"""Leases on disk: what all gateways together have taken of each window; runs in the store's one writing transaction."""

from collections.abc import Mapping

from sqlalchemy import Connection

from trimtab.server.quota import Counter
from trimtab.store.tables import windows
from trimtab.store.windows import Per, taken
from trimtab.store.windows import take as take_more

OLD = 40 * 86400
"""Seconds after which a window's row is deleted."""


def take(connection: Connection, wanted: Mapping[Counter, int], now: float) -> list[tuple[Counter, int, int]]:
    """Take what each counter needs on disk; runs in the one writing transaction of all processes."""
    found: list[tuple[Counter, int, int]] = []
    for counter, need in wanted.items():
        if not counter.leased:
            connection.execute(windows.delete().where(windows.c.start < now - OLD))
        gone = taken(connection, *_at(counter))
        if got := counter.wants(need, gone):
            add(connection, counter, got)
        found.append((counter, got, gone))
    return found


def add(connection: Connection, counter: Counter, amount: int) -> None:
    take_more(connection, *_at(counter), amount)


def _at(counter: Counter) -> tuple[str, str, Per, int]:
    return counter.bound.subject, counter.bound.what, counter.bound.per, counter.start
