"""`Store`: one SQLite file that stages share, with one writing thread (group commit) and one reading thread."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import Connection, Engine, Executable, Row, text
from sqlalchemy.exc import SQLAlchemyError

from trimtab.errors import StorageError
from trimtab.store import schema, sqlite
from trimtab.store.faults import explain
from trimtab.store.writer import Failure, Waiter, Writer

T = TypeVar("T")

LIMIT = 10_000
"""Rows that may be queued; beyond, whoever writes waits for the commit."""
HEAD = "audit.head"


class Store:
    """The database; made by `Store.open`."""

    def __init__(self, engine: Engine, path: Path, say: Callable[[str], None], heads: tuple[Path, ...]) -> None:
        self.path, self.heads, self.say = path, heads, say
        self._engine = engine
        self._writer = Writer(engine, path, say)
        self._reader = ThreadPoolExecutor(1, "trimtab-reader")

    @classmethod
    def open(cls, path: Path, say: Callable[[str], None] = lambda _: None, head: Path | None = None) -> Self:
        """Open the file, making or migrating it where needed.

        The end of the audit chain is kept beside it in `audit.head`, and in `head` too where that is given.

        Raises `StorageError`, which says what to do, for a folder that cannot be written, a damaged or foreign file,
        and a database that a newer version wrote.
        """
        engine: Engine | None = None
        try:
            engine = sqlite.engine(path)
            schema.prepare(engine, path, say)
        except (OSError, SQLAlchemyError, StorageError) as error:
            if engine:
                engine.dispose()
            raise explain(error, path) from error
        return cls(engine, path, say, (path.with_name(HEAD), *([head] if head else [])))

    @property
    def failed(self) -> Failure | None:
        """The last write that failed, None as soon as one succeeds again: what a health check reads."""
        return self._writer.failure

    async def write(self, statement: Executable, row: dict[str, Any], *, durable: bool) -> None:
        """Write one row, in the order of the calls: `durable` returns once it is on disk, else once it is queued.

        `statement` is made once and used again: it is compiled on its first use. Raises `StorageError` for a durable
        write that failed; others that fail show in `failed` and are said once. While the database is held or its disk
        full, those others are kept and tried again, in their order.
        """
        if durable:
            await self._asked(statement, row)
            return
        self._writer.put(statement, row)
        if self._writer.queued > LIMIT:
            await self.flush()

    async def transact(self, fn: Callable[[Connection], T]) -> T:
        """Call `fn` in the writing thread, in a transaction of its own; durable once this returns.

        An exception of `fn` rolls back and is raised here; the database's own become `StorageError`.
        """
        return await self._asked(None, fn)

    async def read(self, statement: Executable) -> Sequence[Row[Any]]:
        """The rows of a select, everything queued before included. Raises `StorageError`."""
        if not self._writer.idle:
            await self.flush()
        return await asyncio.get_running_loop().run_in_executor(self._reader, self.rows, statement)

    def rows(self, statement: Executable) -> Sequence[Row[Any]]:
        """The rows of a select, read by the caller's thread; what is still queued is not among them."""
        try:
            with self._engine.connect() as connection:
                return connection.execute(statement).all()
        except SQLAlchemyError as error:
            raise explain(error, self.path) from error

    async def flush(self) -> None:
        """Return once everything queued before is committed, has failed, or was tried and is kept for another time."""
        await self._asked(None, None)

    async def check(self) -> None:
        """Raise `StorageError` while the database does not take writes; after a failure it tries one.

        So that a gateway that was taken out of service for a full disk comes back by itself once there is room.
        """
        if self.failed:
            await self.transact(_touch)

    async def close(self) -> None:
        """Write what is queued, or give it up after a while where the database does not take it; let go of the file."""
        await asyncio.to_thread(self._writer.close)
        self._reader.shutdown()
        self._engine.dispose()

    async def _asked(self, statement: Executable | None, payload: Any) -> Any:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._writer.put(statement, payload, Waiter(loop, future))
        return await future


def _touch(connection: Connection) -> None:
    """A write that changes nothing and yet has to reach the disk."""
    connection.execute(text("UPDATE alembic_version SET version_num = version_num"))
