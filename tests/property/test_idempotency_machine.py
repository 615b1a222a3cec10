"""Idempotency keys as a state machine: in whatever order requests, ends, crashes and restarts come, one call is made.

The gateway's clock is the machine's, and its disk a real database in memory; what answers is scripted. A request of a
key that is being answered waits; one whose body was answered gets that very reply; another body is refused; and
whoever has got the last byte of an answer finds it again after a crash.
"""

import asyncio
from typing import Any
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from trimtab.errors import RequestError, StorageError
from trimtab.server import idempotency, limits
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
        assert durable, "a reply is on disk before its last byte leaves"
        await asyncio.sleep(0)
        if self.full:
            raise StorageError("The disk is full.")
        with self.engine.begin() as connection:
            connection.execute(statement, row)

    async def read(self, statement: Any) -> Any:
        await asyncio.sleep(0)
        with self.engine.connect() as connection:
            return connection.execute(statement).all()

    async def transact(self, fn: Any) -> Any:
        with self.engine.begin() as connection:
            return fn(connection)


class Visitor:
    """A client: what it sends, and all that it gets."""

    def __init__(self, key: bytes, body: bytes, wish: bytes, life: int) -> None:
        self.key, self.body, self.life = key, body, life
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
        self.now, self.life, self.disk = 1_800_000_000.0, 0, Disk()
        self.clock = mock.patch.object(idempotency, "time", self)
        self.clock.start()
        self.replays = self.fresh()
        self.visitors: list[Visitor] = []
        self.asking: dict[bytes, Visitor] = {}
        self.kept: dict[bytes, tuple[Any, Any, float]] = {}

    def fresh(self) -> idempotency.Replays:
        return idempotency.Replays(self.disk, 1000)  # type: ignore[arg-type]

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for visitor in self.visitors:
            visitor.task.cancel()
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
            for _ in range(60):
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
            if visitor.life == self.life:
                del self.asking[visitor.key]
        status, kind, pieces = visitor.told.result()
        headers = [(b"content-type", kind), (b"x-request-id", b"%d" % id(visitor))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        for i, piece in enumerate(pieces):
            await send({"type": "http.response.body", "body": piece, "more_body": i < len(pieces) - 1})

    @rule(key=st.sampled_from([b"a", b"b"]), body=st.sampled_from([b"1", b"2"]), wish=st.sampled_from([b"", b"local"]))
    def comes(self, key: bytes, body: bytes, wish: bytes) -> None:
        visitor = Visitor(key, body, wish, self.life)

        async def visit() -> None:
            try:
                await self.replays(
                    "p", "/v1", visitor.headers, visitor.receive, visitor.send,
                    lambda _, receive, send: self.handler(visitor, receive, send),
                )  # fmt: skip
            except (RequestError, limits.ClientLeft, StorageError) as error:
                visitor.error = error

        kept, busy = self.alive(key), key in self.asking
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
        waiting = self.waiting(visitor)
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
        waiting = self.waiting(visitor)
        assert visitor.told
        visitor.told.set_exception(RequestError("It failed."))
        self.quiet()
        assert not visitor.got
        self.next_of(visitor.key, waiting)

    @precondition(lambda self: any(not one.task.done() for one in self.visitors))
    @rule(which=st.integers(0, 99))
    def leaves(self, which: int) -> None:
        """A client goes, whether it is answered or waits."""
        here = [one for one in self.visitors if not one.task.done() and one.life == self.life]
        if not here:
            return
        visitor = here[which % len(here)]
        asked = self.asking.get(visitor.key) is visitor
        waiting = self.waiting(visitor)
        visitor.left.set()
        self.quiet()
        assert visitor.task.done()
        if asked:
            self.next_of(visitor.key, waiting)
        else:
            assert visitor.key in self.asking

    def chosen(self, which: int) -> Visitor:
        return [self.asking[key] for key in sorted(self.asking)][which % len(self.asking)]

    def waiting(self, visitor: Visitor) -> list[Visitor]:
        return [
            one
            for one in self.visitors
            if one.key == visitor.key and one is not visitor and not one.task.done() and one.life == self.life
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

    @rule(seconds=st.sampled_from([1.0, 3600.0, idempotency.KEEP]))
    def later(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def restarts(self) -> None:
        """The process dies between two instants: whoever waited is alone, the disk is as it was."""
        self.life += 1
        self.asking.clear()
        self.replays = self.fresh()

    @invariant()
    def nothing_is_left_behind(self) -> None:
        if hasattr(self, "replays"):
            assert len(self.replays._running) == len(self.asking)


async def _awaited(told: Any) -> None:
    await asyncio.shield(told)


Once.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestOnce = Once.TestCase


def test_the_control_replies_that_are_forgotten_are_caught() -> None:
    """The machine's own check: without the disk the same request is asked twice."""
    once = Once()
    once.starts()
    once.comes(b"a", b"1", b"")
    once.answers(0, "answer", full=False)
    with once.disk.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM idempotency")
    try:
        once.comes(b"a", b"1", b"")
    except AssertionError:
        return
    finally:
        once.teardown()
    raise AssertionError("it did not notice")
