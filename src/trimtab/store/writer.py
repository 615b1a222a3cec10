"""One thread writes: what was queued since the last commit goes in one transaction, so that a sync serves many rows.

While the database takes nothing (another process holds it, the disk is full) rows that nobody waits for are kept and
tried again; whoever waits is told at once, and what they asked for is not tried again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from trimtab.errors import StorageError
from trimtab.store.faults import explain
from trimtab.store.rows import Rows

GATHER = 0.02
"""Seconds that rows which nobody waits for may wait for company; whoever waits for a commit ends it at once."""
BATCH = 2048
"""Rows in one transaction."""
PAUSES = (0.05, 0.25, 1.0, 5.0)
"""Seconds before the next attempt in a row; whoever waits for a commit ends a pause at once."""
KEPT = 10_000
"""Rows that are kept for another attempt; beyond, the oldest are lost."""
LAST = 10.0
"""Seconds after which closing gives up what the database does not take."""

HELD = ("locked",)
"""In a message of SQLite's: another process writes."""
PASSING = (*HELD, "full", "I/O", "readonly", "unable to open")
"""In a message of SQLite's: the fault is not a row's, and may be mended while the process runs."""


class Failure(msgspec.Struct, frozen=True):
    """The last write that failed: epoch seconds, what was said, how many rows this process has lost, and how many it
    keeps to try again.
    """

    at: float
    why: str
    lost: int
    kept: int = 0


class Waiter(NamedTuple):
    """Who awaits the commit."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]


class Item(NamedTuple):
    """A row for `statement`, or without one a function to call in a transaction of its own (None: a flush)."""

    statement: Any
    payload: Any
    waiter: Waiter | None


class Writer:
    """The queue and its thread; `failure` is None while writes succeed."""

    def __init__(self, engine: Engine, path: Path, say: Callable[[str], None]) -> None:
        self._engine, self._path, self._say = engine, path, say
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._bell = Lock()
        self._bell.acquire()
        self._rows = Rows()
        self._gate = Lock()
        self._open, self._lost = True, 0
        self._kept: list[Item] = []
        self._tries = 0
        self._said_lost = False
        self._asked = self._settled = 0
        self.failure: Failure | None = None
        self._thread = Thread(target=self._run, name="trimtab-writer", daemon=True)
        self._thread.start()

    def put(self, statement: Any, payload: Any, waiter: Waiter | None = None) -> None:
        """Queue; returns at once. Raises `StorageError` once closed."""
        with self._gate:  # nothing may be queued behind the end: nobody would ever settle it
            if not self._open:
                raise _closed()
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
        """Write what is queued, then end; blocks until it is done, some `LAST` seconds where the database is held."""
        with self._gate:
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
        items: list[Item] = []
        try:
            more = True
            while more:
                items, more = self._gathered()
                self._attempt(items)
                items = []
            self._end()
        finally:  # nothing is left here; but were the thread to die, nobody may wait for it for ever
            self._abandon(items)

    def _gathered(self) -> tuple[list[Item], bool]:
        """What is kept and what is queued, at least one item; False once the end was asked for."""
        items, self._kept = self._kept, []
        if items:
            self._bell.acquire(timeout=PAUSES[min(self._tries, len(PAUSES)) - 1])
        else:
            if not (item := self._queue.get()):
                return [], False
            items = [item]
            if not item.waiter:
                self._bell.acquire(timeout=GATHER)
        size = len(items) + BATCH
        while len(items) < size:
            try:
                item = self._queue.get_nowait()
            except Empty:
                break
            if not item:
                return items, False
            items.append(item)
        return items, True

    def _attempt(self, items: list[Item]) -> None:
        """Settle each item, but those that are kept; whatever a batch does, the thread outlives it."""
        work = deque(_groups(items))
        try:
            self._settle(work)
        except SQLAlchemyError as error:
            self._refused([item for group in work for item in group], error)
        except Exception as error:  # noqa: BLE001 - told to those who wait, and not tried again
            self._failed(items, explain(error, self._path))
        self._tries = self._tries + 1 if self._kept else 0
        self._settled += len(items) - len(self._kept)

    def _settle(self, work: deque[list[Item]]) -> None:
        """Group by group. Where the database takes no rows no more are tried; a call may be what mends it.

        Of a database that is held nothing more is asked: each attempt would wait for the busy timeout.
        """
        stuck: SQLAlchemyError | None = None
        with self._engine.connect().execution_options(writes=True) as connection:
            while work:
                group = work.popleft()
                rows = group[0].statement is not None
                if stuck and (rows or _says(stuck, HELD)):
                    self._refused(group, stuck)
                    continue
                try:
                    took = (self._insert if rows else self._call)(connection, group)
                except SQLAlchemyError as error:
                    stuck = error
                    self._refused(group, error)
                else:
                    if not took:
                        work.extendleft([item] for item in reversed(group))

    def _insert(self, connection: Connection, items: list[Item]) -> bool:
        """All rows in one transaction; False where one of them is at fault, which is to be found by trying each alone.

        Raises what is the database's fault.
        """
        by_statement: dict[Any, list[dict[str, Any]]] = {}
        for item in items:
            by_statement.setdefault(item.statement, []).append(item.payload)
        try:
            with connection.begin():
                for statement, rows in by_statement.items():
                    self._rows.insert(connection, statement, rows)
        except Exception as error:  # the driver raises more than database errors for odd values
            if _hopeless(error):
                raise
            if len(items) > 1:
                return False
            self._failed(items, explain(error, self._path))
            return True
        self._done([(item, None) for item in items])
        return True

    def _call(self, connection: Connection, items: list[Item]) -> bool:
        """What a caller wants done in a transaction of its own. Raises what is the database's fault."""
        (item,) = items
        try:
            result = None
            if item.payload:
                with connection.begin():
                    result = item.payload(connection)
        except SQLAlchemyError as error:
            if _hopeless(error):
                raise
            self._failed(items, explain(error, self._path))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._done([(item, error)])
        else:
            self._done([(item, result)], wrote=item.payload is not None)
        return True

    def _done(self, settled: list[tuple[Item, Any]], *, wrote: bool = True) -> None:
        if wrote and not self._kept and not any(isinstance(result, Exception) for _, result in settled):
            self.failure, self._said_lost = None, False
        _tell((item.waiter, result) for item, result in settled if item.waiter)

    def _refused(self, items: list[Item], error: SQLAlchemyError) -> None:
        """The database takes nothing now: keep the rows that nobody waits for, and tell those who wait."""
        said = explain(error, self._path)
        asked = [item for item in items if item.waiter and (item.statement is not None or item.payload)]
        rows = [item for item in items if not item.waiter]
        if not _says(error, PASSING):
            asked, rows = [*asked, *rows], []
        kept = [*self._kept, *rows]
        self._kept = kept[-KEPT:]
        self._failed(asked, said)
        if over := kept[:-KEPT]:
            self._lose(over, said)
        _tell((item.waiter, None) for item in items if item.waiter and item.statement is None and not item.payload)

    def _failed(self, items: list[Item], error: StorageError) -> None:
        """Count the loss, say it once until a write succeeds again, and tell those who wait."""
        self._lost += sum(item.statement is not None for item in items)
        if not self.failure:
            again = " What is to be recorded is kept and tried again." if self._kept else ""
            self._speak(f"The database does not take writes: {error}{again}")
        self.failure = Failure(time.time(), str(error), self._lost, len(self._kept))
        _tell((item.waiter, error) for item in items if item.waiter)

    def _lose(self, rows: list[Item], error: StorageError) -> None:
        """Give up rows that were kept, and say so once until a write succeeds again."""
        if not self._said_lost:
            self._speak(f"The database has not taken writes for too long, and rows are lost: {error}")
        self._said_lost = True
        self._failed(rows, error)

    def _end(self) -> None:
        """Try what is kept for a last while, then give it up."""
        end = time.monotonic() + LAST
        while self._kept and time.monotonic() < end:
            time.sleep(PAUSES[0])
            items, self._kept = self._kept, []
            self._attempt(items)
        if self._kept:
            why = self.failure.why if self.failure else ""
            items, self._kept = self._kept, []
            self._lose(items, StorageError(f"{len(items)} are given up at the end. {why}"))

    def _abandon(self, left: list[Item]) -> None:
        """Let nobody wait for a thread that has ended."""
        with self._gate:
            self._open = False
            left = [*left, *self._kept]
            with suppress(Empty):
                while True:
                    if item := self._queue.get_nowait():
                        left.append(item)
        self._lost += sum(item.statement is not None for item in left)
        _tell((item.waiter, _closed()) for item in left if item.waiter)

    def _speak(self, line: str) -> None:
        """Say it to whoever still listens: a broken pipe is no reason to stop writing."""
        with suppress(Exception):
            self._say(line)


def _closed() -> StorageError:
    return StorageError("The database is closed.", "Open the store again.", code="database_closed")


def _groups(items: list[Item]) -> Iterable[list[Item]]:
    """Rows that stand together, at most `BATCH`, as one group; each call as its own."""
    for rows, group in groupby(items, lambda item: item.statement is not None):
        found = list(group)
        size = BATCH if rows else 1
        for first in range(0, len(found), size):
            yield found[first : first + size]


def _tell(settled: Iterable[tuple[Waiter, Any]]) -> None:
    """One wake-up for each event loop, however many wait on it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for (loop, future), result in settled:
        by_loop.setdefault(loop, []).append((future, result))
    for loop, pairs in by_loop.items():
        with suppress(RuntimeError):  # that loop is closed: nobody waits there any more
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in pairs:
        if future.done():  # its waiter was cancelled; the row is written all the same
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


def _hopeless(error: Exception) -> bool:
    """Whether each row alone would fail too: the disk is full, not one row wrong."""
    return _says(error, (*PASSING, "not a database", "malformed"))


def _says(error: Exception, signs: Sequence[str]) -> bool:
    """Whether a database error other than of a row has one of the signs."""
    said = "" if isinstance(error, IntegrityError) else str(getattr(error, "orig", ""))
    return any(sign in said for sign in signs)
