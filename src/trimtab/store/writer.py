"""One thread writes: what was queued since the last commit goes in one transaction, so that a sync serves many rows.

Rows of one statement become inserts of many rows each: SQLite's driver gives up the interpreter lock at every
statement, and to get it back from a busy event loop costs more than the insert.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import Insert

from trimtab.errors import StorageError
from trimtab.store.faults import explain

GATHER = 0.02
"""Seconds that rows which nobody waits for may wait for company; whoever waits for a commit ends it at once."""
BATCH = 2048
"""Rows in one transaction."""
CHUNKS = (64, 16, 4, 1)
"""Rows in one statement: few sizes, so that all stay prepared."""

PLANS = 400
"""Compiled statements that are kept: a caller that makes its statement anew each time must not fill the memory."""


class Failure(msgspec.Struct, frozen=True):
    """The last write that failed: epoch seconds, what was said, and how many rows this process has lost."""

    at: float
    why: str
    lost: int


class Waiter(NamedTuple):
    """Who awaits the commit."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Item(NamedTuple):
    """A row for `statement`, or without one a function to call in a transaction of its own (None: a flush)."""

    statement: Any
    payload: Any
    waiter: Waiter | None


class Plan(NamedTuple):
    """SQL for so many rows, and the order in which each row's values are bound."""

    sql: str
    order: tuple[str, ...]


class Writer:
    """The queue and its thread; `failure` is None while writes succeed."""

    def __init__(self, engine: Engine, path: Path, say: Callable[[str], None]) -> None:
        self._engine, self._path, self._say = engine, path, say
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._bell = Lock()
        self._bell.acquire()
        self._plans: dict[tuple[Any, tuple[str, ...], int], Plan] = {}
        self._open, self._lost = True, 0
        self._asked = self._settled = 0
        self.failure: Failure | None = None
        self._thread = Thread(target=self._run, name="trimtab-writer", daemon=True)
        self._thread.start()

    def put(self, statement: Any, payload: Any, waiter: Waiter | None = None) -> None:
        """Queue; returns at once. Raises `StorageError` once closed."""
        if not self._open:
            raise StorageError(f"{self._path} is closed.", "Open the store again.")
        self._asked += 1
        self._queue.put(Item(statement, payload, waiter))
        if waiter:
            self._ring()

    @property
    def queued(self) -> int:
        return self._queue.qsize()

    @property
    def idle(self) -> bool:
        """Whether everything that was queued is committed or has failed."""
        return self._asked == self._settled

    def close(self) -> None:
        """Write what is queued, then end; blocks until it is done."""
        if self._open:
            self._open = False
            self._queue.put(None)
            self._ring()
        self._thread.join()

    def _ring(self) -> None:
        """Let the thread gather no longer; a ring that it does not wait for shortens its next wait, no more."""
        with suppress(RuntimeError):  # rung already
            self._bell.release()

    def _run(self) -> None:
        more = True
        while more:
            items, more = self._gathered()
            try:
                self._settle(items)
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a batch does
                self._failed(items, explain(error, self._path))
            self._settled += len(items)

    def _gathered(self) -> tuple[list[Item], bool]:
        """What is queued, at least one item; False once the end was asked for."""
        item = self._queue.get()
        items: list[Item] = []
        if item and not item.waiter:
            self._bell.acquire(timeout=GATHER)
        while item:
            items.append(item)
            if len(items) >= BATCH:
                return items, True
            try:
                item = self._queue.get_nowait()
            except Empty:
                return items, True
        return items, False

    def _settle(self, items: list[Item]) -> None:
        if not items:
            return
        with self._engine.connect().execution_options(writes=True) as connection:
            for rows, group in groupby(items, lambda item: item.statement is not None):
                (self._insert if rows else self._call)(connection, list(group))

    def _insert(self, connection: Connection, items: list[Item]) -> None:
        """All rows in one transaction; where it fails, each in its own, so that only the bad ones are lost."""
        by_statement: dict[Any, list[dict[str, Any]]] = {}
        for item in items:
            by_statement.setdefault(item.statement, []).append(item.payload)
        try:
            with connection.begin():
                for statement, rows in by_statement.items():
                    self._execute(connection, statement, rows)
        except Exception as error:  # noqa: BLE001 - the driver raises more than database errors for odd values
            if len(items) == 1 or _hopeless(error):
                self._failed(items, explain(error, self._path))
                return
            for item in items:
                self._insert(connection, [item])
            return
        self._done([(item, None) for item in items])

    def _execute(self, connection: Connection, statement: Any, rows: list[dict[str, Any]]) -> None:
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

    def _call(self, connection: Connection, items: list[Item]) -> None:
        for item in items:
            try:
                result = None
                if item.payload:
                    with connection.begin():
                        result = item.payload(connection)
            except SQLAlchemyError as error:
                self._failed([item], explain(error, self._path))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                self._done([(item, error)])
            else:
                self._done([(item, result)], wrote=item.payload is not None)

    def _done(self, settled: list[tuple[Item, Any]], *, wrote: bool = True) -> None:
        if wrote and not any(isinstance(result, Exception) for _, result in settled):
            self.failure = None
        _tell((item.waiter, result) for item, result in settled if item.waiter)

    def _failed(self, items: list[Item], error: StorageError) -> None:
        """Count the loss, say it once until a write succeeds again, and tell those who wait."""
        self._lost += sum(item.statement is not None for item in items)
        if not self.failure:
            self._say(f"The database does not take writes: {error}")
        self.failure = Failure(time.time(), str(error), self._lost)
        _tell((item.waiter, error) for item in items if item.waiter)


def _tell(settled: Iterable[tuple[Waiter, Any]]) -> None:
    """One wake-up for each event loop, however many wait on it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for (loop, future), result in settled:
        by_loop.setdefault(loop, []).append((future, result))
    for loop, pairs in by_loop.items():
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():  # its waiter was cancelled; the row is written all the same
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _differ(rows: list[dict[str, Any]]) -> bool:
    """Whether the rows do not all have the same columns."""
    return any(row.keys() != rows[0].keys() for row in rows)


def _hopeless(error: Exception) -> bool:
    """Whether each row alone would fail too: the disk is full, not one row wrong."""
    said = str(getattr(error, "orig", ""))
    return any(sign in said for sign in ("full", "I/O", "readonly", "locked", "not a database", "malformed"))
