"""Idempotency keys as a state machine: in whatever order requests, ends, crashes and restarts come, one call is made.

Two workers share a disk, a real database in memory; the clock is the machine's; what answers is scripted. One of a
key that is being answered waits, whichever worker it came to; one whose body was answered gets that very reply; another
body is refused; whoever has got the last byte of an answer finds it again after a crash; and a worker that dies holds
up a key for a lease, no longer.
"""

import asyncio
from contextlib import suppress
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine, select
from sqlalchemy.pool import StaticPool

from trimtab.errors import RequestError, StorageError
from trimtab.server import claims, idempotency, limits
from trimtab.store import tables
from trimtab.store.tables import metadata

EVENT, JSON = b"text/event-stream; charset=utf-8", b"application/json"
FINAL = {
    "answer": (200, JSON, [b'{"a":1}']), "stream": (200, EVENT, [b"data: 1\n\n", b"data: [DONE]\n\n"]),
    "message": (200, EVENT, [b"data: 1\n\n", b'event: message_stop\ndata: {"a": 1}\n\n']), "wait": (428, JSON, [b"{}"]),
}  # fmt: skip
PASSING = {
    "error": (500, JSON, [b"{}"]), "limit": (429, JSON, [b"{}"]), "refused": (400, JSON, [b"{}"]),
    "cut": (200, EVENT, [b"data: 1\n\n", b'data: {"error": {}}\n\n']),
}  # fmt: skip
"""Replies that are kept, and those that are not: status, content type and pieces."""


class Disk:
    """The store's three verbs on a database in memory; `full` refuses to write."""

    def __init__(self) -> None:
        self.engine = create_engine("sqlite://", poolclass=StaticPool)
        metadata.create_all(self.engine)
        self.full = False

    async def write(self, statement: Any, row: Any, *, durable: bool) -> None:
        assert durable or statement is claims.RELEASED, "a reply is on disk before its last byte leaves"
        if durable:
            await asyncio.sleep(0)
        if durable and self.full:  # what nobody waits for is tried again
            raise StorageError("The disk is full.")
        with self.engine.begin() as connection:
            connection.execute(statement, row)

    async def read(self, statement: Any) -> Any:
        await asyncio.sleep(0)
        return self.rows(statement)

    def rows(self, statement: Any) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    async def transact(self, fn: Any) -> Any:
        await asyncio.sleep(0)
        with self.engine.begin() as connection:
            return fn(connection)


class Line:
    """A worker's way to the disk; a dead one's leads nowhere."""

    def __init__(self, disk: Disk) -> None:
        self.disk, self.dead = disk, False

    async def write(self, statement: Any, row: Any, *, durable: bool) -> None:
        if not self.dead:
            await self.disk.write(statement, row, durable=durable)

    async def read(self, statement: Any) -> Any:
        await self._lives()
        return await self.disk.read(statement)

    async def transact(self, fn: Any) -> Any:
        await self._lives()
        return await self.disk.transact(fn)

    async def _lives(self) -> None:
        if self.dead:
            await asyncio.Future()


class Visitor:
    """A client: what it sends, and all that it gets."""

    def __init__(self, key: bytes, body: bytes, wish: bytes, worker: idempotency.Replays) -> None:
        self.key, self.body, self.worker = key, body, worker
        self.headers = {idempotency.HEADER: key, **({b"x-trimtab-where": wish} if wish else {})}
        self.asked = (body, wish)
        self.left, self.begun = asyncio.Event(), asyncio.Event()
        self.told: asyncio.Future[Any] | None = None
        self.got: list[Any] = []
        self.error: Exception | None = None
        self._read = False
        self.task: asyncio.Task[None]

    async def receive(self) -> Any:
        if not self._read:
            self._read = True
            return {"type": "http.request", "body": self.body, "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.got.append(message)

    @property
    def whole(self) -> bool:
        return bool(self.got) and self.got[-1]["type"] == "http.response.body" and not self.got[-1].get("more_body")

    @property
    def reply(self) -> Any:
        """Status, headers without the mark of a replay, and body."""
        start = self.got[0]
        headers = [pair for pair in start["headers"] if pair[0] != b"idempotent-replayed"]
        return start["status"], headers, b"".join(message.get("body", b"") for message in self.got[1:])

    @property
    def replayed(self) -> bool:
        return bool(self.got) and (b"idempotent-replayed", b"true") in self.got[0]["headers"]


class Once(RuleBasedStateMachine):
    @initialize()
    def starts(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now, self.disk = 1_800_000_000.0, Disk()
        self.clock = mock.patch.multiple(idempotency, time=self, LOOK=0.0)
        self.clock.start()
        self.workers = [self.fresh(), self.fresh()]
        self.visitors: list[Visitor] = []
        self.asking: dict[bytes, Visitor] = {}
        self.dead: dict[bytes, float] = {}
        self.kept: dict[bytes, tuple[Any, Any, float]] = {}

    def fresh(self) -> idempotency.Replays:
        return idempotency.Replays(Line(self.disk), 1000)  # type: ignore[arg-type]

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.quiet()
        self.clock.stop()
        self.loop.close()
        self.disk.engine.dispose()

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def quiet(self) -> None:
        """Let everything run that can."""

        async def turns() -> None:
            for _ in range(120):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    async def handler(self, visitor: Visitor, receive: Any, send: Any) -> None:
        """A route that answers: it reads, it may be left, and says what it is told to."""
        assert await limits.read(receive, {}, 1000) == visitor.body
        assert visitor.key not in self.asking, "one call at a time for each key"
        self.asking[visitor.key] = visitor
        try:
            visitor.told = self.loop.create_future()
            visitor.begun.set()
            await limits.attended(receive, _awaited(visitor.told))
        except limits.ClientLeft:
            return
        finally:
            if visitor.worker in self.workers:
                del self.asking[visitor.key]
        status, kind, pieces = visitor.told.result()
        headers = [(b"content-type", kind), (b"x-request-id", b"%d" % id(visitor))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for i, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": i < len(pieces) - 1})

    @rule(
        key=st.sampled_from([b"a", b"b"]), body=st.sampled_from([b"1", b"2"]), wish=st.sampled_from([b"", b"local"]),
        to=st.sampled_from([0, 1]),
    )  # fmt: skip
    def comes(self, key: bytes, body: bytes, wish: bytes, to: int) -> None:
        visitor = Visitor(key, body, wish, self.workers[to])

        async def visit() -> None:
            try:
                await visitor.worker(
                    "p", "/v1", visitor.headers, visitor.receive, visitor.send,
                    lambda _, receive, send: self.handler(visitor, receive, send),
                )  # fmt: skip
            except (RequestError, limits.ClientLeft, StorageError) as error:
                visitor.error = error

        kept, busy = self.alive(key), key in self.asking or self.dead.get(key, 0.0) >= self.now
        visitor.task = self.loop.create_task(visit())
        self.visitors.append(visitor)
        self.quiet()
        if busy:
            assert not visitor.got
            assert not visitor.task.done(), "it waits for the one under way"
        elif kept:
            self.settled(visitor, kept)
        else:
            assert self.asking[key] is visitor

    def alive(self, key: bytes) -> Any:
        found = self.kept.get(key)
        return found if found and found[2] > self.now else None

    def settled(self, visitor: Visitor, kept: Any) -> None:
        """It got what was kept, or a no."""
        assert visitor.task.done()
        if visitor.asked == kept[0]:
            assert visitor.whole
            assert visitor.replayed
            assert visitor.reply == kept[1]
        else:
            assert not visitor.got
            assert isinstance(visitor.error, RequestError)
            assert visitor.error.code == "idempotency_mismatch"

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 9), how=st.sampled_from(sorted({**FINAL, **PASSING})), full=st.booleans())
    def answers(self, which: int, how: str, full: bool) -> None:
        visitor = self.chosen(which)
        waiting = self.waiting(visitor.key, visitor)
        self.disk.full = full
        assert visitor.told
        visitor.told.set_result({**FINAL, **PASSING}[how])
        self.quiet()
        self.disk.full = False
        if how in FINAL and full:
            assert isinstance(visitor.error, StorageError), "what cannot be kept is not given as if it were"
            assert not visitor.whole
        else:
            assert visitor.whole
            assert not visitor.replayed
        if how in FINAL and not full:
            self.kept[visitor.key] = (visitor.asked, visitor.reply, self.now + idempotency.KEEP)
        self.next_of(visitor.key, waiting)

    @precondition(lambda self: self.asking)
    @rule(which=st.integers(0, 9))
    def crashes(self, which: int) -> None:
        """The route fails of itself; the next one asks again."""
        visitor = self.chosen(which)
        waiting = self.waiting(visitor.key, visitor)
        assert visitor.told
        visitor.told.set_exception(RequestError("It failed."))
        self.quiet()
        assert not visitor.got
        self.next_of(visitor.key, waiting)

    @precondition(lambda self: any(not one.task.done() for one in self.visitors))
    @rule(which=st.integers(0, 99))
    def leaves(self, which: int) -> None:
        """A client goes, whether it is answered or waits."""
        here = [one for one in self.visitors if not one.task.done() and one.worker in self.workers]
        if not here:
            return
        visitor = here[which % len(here)]
        asked = self.asking.get(visitor.key) is visitor
        waiting = self.waiting(visitor.key, visitor)
        visitor.left.set()
        self.quiet()
        assert visitor.task.done()
        if asked:
            self.next_of(visitor.key, waiting)
        else:
            assert visitor.key in self.asking or visitor.key in self.dead

    def chosen(self, which: int) -> Visitor:
        return [self.asking[key] for key in sorted(self.asking)][which % len(self.asking)]

    def waiting(self, key: bytes, but: Visitor | None = None) -> list[Visitor]:
        return [
            one
            for one in self.visitors
            if one.key == key and one is not but and not one.task.done() and one.worker in self.workers
        ]

    def next_of(self, key: bytes, waiting: list[Visitor]) -> None:
        """Those who waited: all got what was kept, or the first of them asks."""
        if kept := self.alive(key):
            for visitor in waiting:
                self.settled(visitor, kept)
            assert key not in self.asking
        elif waiting:
            assert self.asking[key] in waiting
            assert sum(one.begun.is_set() for one in waiting) == 1
        else:
            assert key not in self.asking

    @rule(seconds=st.sampled_from([1.0, idempotency.LEASE + 1, 3600.0, idempotency.KEEP]))
    def later(self, seconds: float) -> None:
        """Time passes, and who lives renews what it holds."""
        self.now += seconds
        with self.disk.engine.begin() as connection:
            for worker in self.workers:
                claims.renew(connection, worker._owner, self.now + idempotency.LEASE)
        self.lapsed()

    def lapsed(self) -> None:
        """Where a dead worker's lease has run out, one of those who waited asks, or gets what was kept before."""
        over = [key for key, until in self.dead.items() if until < self.now]
        waiting = {key: self.waiting(key) for key in over}
        self.quiet()
        for key in over:
            del self.dead[key]
            self.next_of(key, waiting[key])

    @rule(which=st.sampled_from([0, 1]))
    def restarts(self, which: int) -> None:
        """A worker dies between two instants: whoever waited there is alone, the disk is as it was."""
        gone, self.workers[which] = self.workers[which], self.fresh()
        gone._store.dead = True  # type: ignore[attr-defined]
        for key, visitor in list(self.asking.items()):
            if visitor.worker is gone:
                del self.asking[key]
                self.dead[key] = self.now + idempotency.LEASE
        with self.disk.engine.begin() as connection:  # it has just renewed them
            claims.renew(connection, gone._owner, self.now + idempotency.LEASE)

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if not hasattr(self, "workers"):
            return
        for worker in self.workers:
            here = {one.key for one in self.visitors if one.worker is worker and not one.task.done()}
            assert len(worker._running) == len(here)
        held = self.disk.rows(select(tables.claims.c.key).where(tables.claims.c.until >= self.now))
        assert len(held) == len(self.asking) + len(self.dead)


async def _awaited(told: Any) -> None:
    await asyncio.shield(told)


Once.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOnce = Once.TestCase


def test_the_control_replies_that_are_forgotten_are_caught() -> None:
    """The machine's own check: without the disk the same request is asked twice."""
    once = Once()
    once.starts()
    once.comes(b"a", b"1", b"", 0)
    once.answers(0, "answer", full=False)
    with once.disk.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM idempotency")
    try:
        once.comes(b"a", b"1", b"", 0)
    except AssertionError:
        return
    finally:
        once.teardown()
    raise AssertionError("it did not notice")


def test_the_control_workers_that_do_not_share_their_claims_are_caught() -> None:
    once = Once()
    once.starts()
    once.comes(b"a", b"1", b"", 0)
    with mock.patch.object(claims, "take", return_value=True), suppress(AssertionError):
        once.comes(b"a", b"1", b"", 1)
    second = once.visitors[1].task
    assert second.done(), "it did not notice"
    assert isinstance(second.exception(), AssertionError)
    once.teardown()
