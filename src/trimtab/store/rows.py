"""Rows of one statement become inserts of many rows each.

SQLite's driver gives up the interpreter lock at every statement, and to get it back from a busy event loop costs more
than the insert.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.sql.dml import Insert

CHUNKS = (64, 16, 4, 1)
"""Rows in one statement: few sizes, so that all stay prepared."""
PLANS = 64
"""Compiled statements that are kept, 50 KB each: a caller that makes its statement anew must not fill the memory."""


class Plan(NamedTuple):
    """SQL for so many rows, and the order in which each row's values are bound."""

    sql: str
    order: tuple[str, ...]


class Rows:
    """Inserts, with the statements that were compiled for it; used by one thread."""

    def __init__(self) -> None:
        self._plans: dict[tuple[Any, tuple[str, ...], int], Plan] = {}

    def insert(self, connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
        """Execute `statement` for each of `rows`, one at least, in the connection's transaction."""
        keys, begin = tuple(rows[0]), 0
        if not isinstance(statement, Insert) or not connection.dialect.positional or _differ(rows):
            for row in rows:
                connection.execute(statement, row)
            return
        while left := len(rows) - begin:
            size = next(size for size in CHUNKS if size <= left)
            plan = self._plan(connection, statement, keys, size)
            chunk = rows[begin : begin + size]
            connection.exec_driver_sql(plan.sql, tuple([row[name] for row in chunk for name in plan.order]))
            begin += size

    def _plan(self, connection: Connection, statement: Insert, keys: tuple[str, ...], size: int) -> Plan:
        """The statement for `size` rows, compiled once."""
        if not (plan := self._plans.get((statement, keys, size))):
            compiled = statement.values([dict.fromkeys(keys)] * size).compile(dialect=connection.dialect)
            if len(self._plans) >= PLANS:
                self._plans.clear()
            names: Sequence[str] = getattr(compiled, "positiontup", None) or ()
            order = tuple(name.removesuffix("_m0") for name in names[: len(keys)])
            plan = self._plans[statement, keys, size] = Plan(str(compiled), order)
        return plan


def _differ(rows: list[dict[str, Any]]) -> bool:
    """Whether the rows do not all have the same columns."""
    return any(row.keys() != rows[0].keys() for row in rows)
