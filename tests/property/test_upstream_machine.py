"""A whole upstream as a state machine: breakers, replicas, limits, the queue, retries and hedges on a clock of its own.

The servers are scripted and the loop's time is the machine's. Asked of it: no replica gets more than it bears, one
probe at a time while half-open, nobody waits while there is room, no call hangs, and what is given up is given up.
"""

import asyncio
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trimtab.answer import openai_http
from trimtab.answer._upstream import Place, Upstream, kept_up
from trimtab.errors import RequestError, TrimtabError, UpstreamDownError, UpstreamError, UpstreamTimeoutError
from trimtab.testing import ask
from trimtab.types import Answer, Delta, Evidence, Usage

POOL, QUEUE, TOTAL = 2, 3, 30.0
LATER = 40.0
"""Seconds after which no call may still be waiting for a place or for its retry."""


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time stands still until it is moved."""

    now = 100.0

    def time(self) -> float:
        return self.now

    def turn(self) -> None:
        """Run all that can run now."""
        for _ in range(40):
            self.call_soon(self.stop)
            self.run_forever()


class Server:
    """A replica's model: each call waits to be told how it ends."""

    def __init__(self, loop: Clock) -> None:
        self.loop = loop
        self.calls: list[tuple[asyncio.Future[str], Any]] = []
        self.probes: set[asyncio.Future[str]] = set()
        self.replica: Any = None

    async def answer(self, request: Any, evidence: Any, sink: Any) -> Answer:
        told: asyncio.Future[str] = self.loop.create_future()
        if self.replica.breaker.state(self.loop.time()) != "closed":
            self.probes.add(told)
        self.calls.append((told, sink))
        try:
            how = await told
        finally:
            self.calls = [call for call in self.calls if call[0] is not told]
            self.probes.discard(told)
        if how == "answer":
            usage = Usage(prompt=1, completion=1)
            sink.spent(usage)
            return Answer(text="a", model="m", usage=usage)
        raise failure(how)

    async def close(self) -> None: ...


def failure(how: str) -> TrimtabError:
    kinds = {"down": UpstreamDownError, "slow": UpstreamTimeoutError, "wrong": RequestError}
    error = kinds.get(how, UpstreamError)("It failed.", retry_after=2.0 if how == "busy" else None)
    if isinstance(error, UpstreamError):
        error.status = {"busy": 429, "broken": 500, "key": 401, "again": 503}.get(how)
    return error


HOWS = ["answer", "answer", "answer", "down", "slow", "wrong", "busy", "broken", "key", "again"]


class Asking(RuleBasedStateMachine):
    @initialize(count=st.integers(1, 3), hedge=st.booleans(), seed=st.integers(0, 99), retries=st.integers(0, 2))
    def starts(self, count: int, hedge: bool, seed: int, retries: int) -> None:
        self.loop, self.servers, self.tasks = Clock(), list[Server](), list[asyncio.Task[Any]]()
        self.looked = False
        replicas = tuple(Place(url=f"http://r{i}/v1") for i in range(1, count))
        options = openai_http.Options(
            url="http://r0/v1", model="m", pool=POOL, queue=QUEUE, total=TOTAL, replicas=replicas, retries=retries,
            hedge=hedge and count > 1,
        )  # fmt: skip
        self.upstream: Upstream = self.loop.run_until_complete(self.made(options, seed))
        for server, replica in zip(self.servers, self.upstream.replicas, strict=True):
            server.replica = replica

    async def made(self, options: Any, seed: int) -> Upstream:
        def make(_: Any) -> Server:
            self.servers.append(server := Server(self.loop))
            return server

        return kept_up(options, "m", make, seed)

    def teardown(self) -> None:
        if not hasattr(self, "upstream"):
            return
        for task in self.tasks:
            task.cancel()
        self.loop.turn()
        assert all(task.done() for task in self.tasks)
        assert not any(server.calls for server in self.servers), "what nobody waits for is given up"
        assert all(replica.limit.outstanding == 0 for replica in self.upstream.replicas)
        assert len(self.upstream._queue) == 0
        self.loop.close()

    @rule(count=st.integers(1, 4), start=st.sampled_from("abc"))
    def asks(self, count: int, start: str) -> None:
        for _ in range(count):
            request, sink = ask(start), Deaf()
            self.tasks.append(self.loop.create_task(self.upstream.answer(request, Evidence(), sink)))
        self.loop.turn()

    @precondition(lambda self: any(server.calls for server in self.servers))
    @rule(which=st.integers(0, 99), how=st.sampled_from(HOWS))
    def ends(self, which: int, how: str) -> None:
        told, _ = self.call(which)
        told.set_result(how)
        self.loop.turn()
        self.looked = True

    @precondition(lambda self: any(server.calls for server in self.servers))
    @rule(which=st.integers(0, 99))
    def writes(self, which: int) -> None:
        """A token: from here on nothing is asked again, and a hedge that is late is given up."""
        told, sink = self.call(which)
        emitted = self.loop.create_task(sink.emit(Delta(text="a")))
        self.loop.turn()
        if emitted.cancelled() or emitted.exception():
            told.cancel()
            self.loop.turn()

    def call(self, which: int) -> Any:
        calls = [call for server in self.servers for call in server.calls if not call[0].done()]
        return calls[which % len(calls)]

    @rule(seconds=st.sampled_from([0.1, 1.0, 6.0, 11.0, 61.0]))
    def time_passes(self, seconds: float) -> None:
        self.loop.now += seconds
        self.loop.turn()
        self.looked = False

    @precondition(lambda self: any(not task.done() for task in self.tasks))
    @rule(which=st.integers(0, 99))
    def leaves(self, which: int) -> None:
        running = [task for task in self.tasks if not task.done()]
        running[which % len(running)].cancel()
        self.loop.turn()

    @rule()
    def all_come_to_an_end(self) -> None:
        """Servers that answer everything empty the house in a bounded time."""
        for _ in range(100):
            for server in self.servers:
                for told, _ in list(server.calls):
                    if not told.done():
                        told.set_result("answer")
            self.loop.turn()
            if all(task.done() for task in self.tasks):
                break
            self.loop.now += LATER / 100
        assert all(task.done() for task in self.tasks), "a call hangs"
        for task in self.tasks:
            assert task.cancelled() or isinstance(task.exception(), TrimtabError | None), repr(task)
        self.tasks.clear()

    @invariant()
    def none_gets_more_than_it_bears(self) -> None:
        for server in self.servers:
            assert server.replica.limit.outstanding == len(server.calls) <= POOL
            assert len(server.probes) <= 1, "one probe at a time"

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        """Looked for at each call's end: a replica whose rest is over meanwhile is found at the next one."""
        if hasattr(self, "upstream") and self.looked and len(self.upstream._queue):
            now = self.loop.time()
            free = [one for one in self.upstream.replicas if one.breaker.allows(now) and one.limit.room]
            well = [one for one in self.upstream.replicas if one.breaker.allows(now) and one.well(now)]
            assert not free or (well and not any(one in free for one in well)), "those that rest are spared"


class Deaf:
    """A sink that takes all and keeps nothing."""

    live = True

    async def emit(self, delta: Any) -> None: ...

    def spent(self, usage: Any) -> None: ...

    def lost(self, usage: Any, ms: float) -> None: ...


Asking.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestAsking = Asking.TestCase


async def test_a_limit_that_was_cut_does_not_keep_those_who_wait_looking() -> None:
    """Found by the machine: two who waited woke each other for ever, 27,000 times a second."""
    servers = list[Server]()

    def make(_: Any) -> Server:
        servers.append(server := Server(asyncio.get_running_loop()))  # type: ignore[arg-type]
        return server

    upstream = kept_up(openai_http.Options(url="http://r/v1", model="m", pool=2, queue=9, retries=0), "m", make, 1)
    servers[0].replica = upstream.replicas[0]
    looks, wake = 0, upstream._queue.wake

    def counted() -> None:
        nonlocal looks
        looks += 1
        wake()

    upstream._queue.wake = counted  # type: ignore[method-assign]
    calls = [asyncio.create_task(upstream.answer(ask("a"), Evidence(), Deaf())) for _ in range(4)]
    await asyncio.sleep(0)
    servers[0].calls[0][0].set_result("slow")
    for _ in range(200):
        await asyncio.sleep(0)
    assert len(upstream._queue) == 2
    assert looks < 5
    for _ in range(10):
        for told, _ in list(servers[0].calls):
            told.set_result("answer")
        for _ in range(20):
            await asyncio.sleep(0)
    assert [type(call.exception()).__name__ for call in calls].count("NoneType") == 3, "and all have their turn"
