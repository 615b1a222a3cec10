"""Leases on disk: what all gateways together have taken of each window; runs in the store's one writing transaction."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, select

from trimtab.server.quota import Counter
from trimtab.store.tables import windows

OLD = 40 * 86400
"""Seconds after which a window's row is deleted."""


def take(connection: Connection, wanted: Mapping[Counter, int], now: float) -> list[tuple[Counter, int, int]]:
    """Take what each counter needs on disk; runs in the one writing transaction of all processes."""
    found: list[tuple[Counter, int, int]] = []
    for counter, need in wanted.items():
        if not counter.leased:
            connection.execute(windows.delete().where(windows.c.start < now - OLD))
        taken = connection.execute(select(windows.c.taken).where(*_at(counter))).scalar() or 0
        if got := counter.wants(need, taken):
            add(connection, counter, got)
        found.append((counter, got, taken))
    return found


def add(connection: Connection, counter: Counter, amount: int) -> None:
    added = windows.update().where(*_at(counter)).values(taken=windows.c.taken + amount)
    if not connection.execute(added).rowcount:
        bound = counter.bound
        row = {"subject": bound.subject, "what": bound.what, "per": bound.per, "start": counter.start, "taken": amount}
        connection.execute(windows.insert().values(**row))


def _at(counter: Counter) -> tuple[Any, ...]:
    w, bound = windows.c, counter.bound
    return w.subject == bound.subject, w.what == bound.what, w.per == bound.per, w.start == counter.start
