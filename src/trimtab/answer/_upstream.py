"""One model behind one or more servers, kept up: retries, breakers, replicas, hedging and limits around any HTTP rung.

A call goes to one replica by a `Model` of its own; what comes after is decided here and nowhere below. Nothing is asked
again once a token is paid for or something was written. See docs/how-to/survive-faults.md.
"""

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec

from trimtab.answer._bill import Attempt, Bill
from trimtab.answer._breaker import Fuse
from trimtab.answer._hedge import Hedges
from trimtab.answer._queue import LONGEST, Full, Queue
from trimtab.answer._race import Race
from trimtab.answer._replicas import Replica, choose, outlier, prefix
from trimtab.answer._retries import Budget, Retries
from trimtab.errors import ConfigError, RequestError, UpstreamDownError, UpstreamError, UpstreamTimeoutError
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Evidence, Request, Verdict

BUSY = frozenset({429, 503, 529})
"""Statuses by which a server says that it has too much; 529 is Anthropic's."""
ELSEWHERE = frozenset({401, 403, 404, 429, 529})
"""Statuses of a replica that is alive but of no use now: its key is wrong or used up, or it has no such model."""
REST = 30.0
"""Seconds that such a replica is left alone where it does not say how long."""


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A further replica: what is not said is the model's own; `weight` is its share beside the first one's 1."""

    url: str | None = None
    key_env: str | None = None
    weight: float = 1.0


class Care(Protocol):
    """The options that are read here."""

    @property
    def url(self) -> str: ...
    @property
    def key_env(self) -> str | None: ...
    @property
    def pool(self) -> int: ...
    @property
    def total(self) -> float: ...
    @property
    def replicas(self) -> tuple[Place, ...]: ...
    @property
    def sticky(self) -> bool: ...
    @property
    def retries(self) -> int: ...
    @property
    def patience(self) -> float: ...
    @property
    def hedge(self) -> bool: ...
    @property
    def queue(self) -> int: ...


def places(options: Any) -> tuple[Any, ...]:
    """The options of each replica, the first one's own first. Raises `ConfigError`."""
    further = tuple(
        msgspec.structs.replace(
            options, url=place.url or options.url, key_env=place.key_env or options.key_env, replicas=()
        )
        for place in options.replicas
    )
    return (msgspec.structs.replace(options, replicas=()), *further)


def kept_up(options: Any, name: str, make: Callable[[Any], Any], seed: int | None = None) -> "Upstream":
    """The model `name` at all its places; `make` gives the rung of one place, which answers and closes.

    Raises `ConfigError` for options that cannot work together.
    """
    _check(options, name)
    weights = (1.0, *(place.weight for place in options.replicas))
    replicas = tuple(
        Replica(f"{i}: {urlsplit(place.url).netloc.rpartition('@')[2]}", make(place), weight, Fuse(), options.pool)
        for i, (place, weight) in enumerate(zip(places(options), weights, strict=True))
    )
    return Upstream(options, name, replicas, Random(seed))  # noqa: S311 - jitter, not a secret


def built(options: Any, tools: Tools, make: Callable[[Any], Any]) -> "Upstream":
    """`kept_up` for a kind's `build`: closed with the system."""
    upstream = kept_up(options, tools.name, make)
    tools.closing(upstream.close)
    return upstream


class Upstream:
    """The rung. `calls` counts what was sent, retries and hedges included."""

    def __init__(self, options: Care, name: str, replicas: tuple[Replica, ...], random: Random) -> None:
        self.replicas = replicas
        self._name, self._random, self._total = name, random, options.total
        self._retries = Retries(most=options.retries, patience=options.patience)
        self._budget, self._queue = Budget(), Queue(options.queue)
        self._hedges = Hedges() if options.hedge else None
        self._sticky = options.sticky and len(replicas) > 1
        self._only = replicas[0] if len(replicas) == 1 else None

    def __str__(self) -> str:
        parts = [*self.replicas, Fuse(), f"{self._retries}, {self._budget}", self._queue, self._hedges or "no hedging"]
        return f"{self._name}: " + "; ".join(str(part) for part in parts)

    @property
    def calls(self) -> int:
        return sum(replica.calls for replica in self.replicas)

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        """Raises the errors of the last attempt; `UpstreamDownError` with code `circuit_open` or `overloaded`."""
        loop = asyncio.get_running_loop()
        end = loop.time() + min(self._total, request.limits.latency or self._total)
        bill, tried = Bill(sink), list[Replica]()
        start = prefix(request.messages) if self._sticky else None
        self._budget.earn()
        while True:
            replica = self._pick(tried, start, loop.time()) or await self._room(request, tried, start, end)
            tried.append(replica)
            try:
                if self._hedges:
                    said = await self._hedged(self._hedges, replica, request, evidence, bill, start)
                else:
                    said = await self._asked(replica, request, evidence, bill.attempt())
            except UpstreamError as error:
                wait = self._again(error, bill, tried, end - loop.time())
                if wait is None:
                    raise
            else:
                return bill.answered(said) if isinstance(said, Answer) else said
            await asyncio.sleep(wait)

    async def close(self) -> None:
        """Close the connections."""
        for replica in self.replicas:
            await replica.model.close()

    def _asked(
        self, replica: Replica, request: Request, evidence: Evidence, attempt: Attempt
    ) -> Coroutine[Any, Any, Answer | Verdict]:
        """One attempt, counted from now on: of a race it runs a turn of the loop later, when others have looked too."""
        now = asyncio.get_running_loop().time()
        attempt.ticket = ticket = replica.begin(now)
        if self._queue and any(one.limit.room and one.breaker.allows(now) for one in self.replicas):
            self._queue.wake()  # one call's end may have made room for two
        return self._attempted(replica, ticket, request, evidence, attempt)

    async def _attempted(
        self, replica: Replica, ticket: tuple[int, int], request: Request, evidence: Evidence, attempt: Attempt
    ) -> Answer | Verdict:
        """The attempt itself; the replica hears how it ended."""
        clock, attempt.running = asyncio.get_running_loop().time, True
        ok: bool | None = None
        busy: bool | None = None
        try:
            said = await replica.model.answer(request, evidence, attempt)
            ok, busy = True, False
        except UpstreamError as error:
            ok, busy = _ok(error), _busy(error)
            self._rested(replica, error, clock())
            raise
        except RequestError:
            ok = True
            raise
        finally:
            replica.ended(ticket, ok, busy, clock())
            if ok is False and not self._only and outlier(replica, self.replicas, clock()):
                replica.eject(clock())
            if self._queue:
                self._queue.wake()
        if isinstance(said, Answer):
            attempt.bill.parts[attempt.number] = said.usage
        return said

    def _again(self, error: UpstreamError, bill: Bill, tried: list[Replica], left: float) -> float | None:
        """Seconds until the next attempt, None where there is none."""
        if not bill.free:
            return None
        now = asyncio.get_running_loop().time()
        elsewhere = any(one not in tried and one.well(now) and one.breaker.allows(now) for one in self.replicas)
        wait = self._retries.wait(error, len(tried), left, elsewhere, self._random)
        return wait if wait is not None and self._budget.take() else None

    def _pick(self, tried: list[Replica], start: bytes | None, now: float) -> Replica | None:
        """A replica with room, None where one must wait. Raises `UpstreamDownError` where every breaker is open."""
        only = self._only
        if only and only.breaker.allows(now):
            return only if only.limit.room and not self._queue else None
        if only or not any(replica.breaker.allows(now) for replica in self.replicas):
            raise self._open(now)
        return None if self._queue else choose(self.replicas, tried, start, now, self._random)

    async def _room(self, request: Request, tried: list[Replica], start: bytes | None, end: float) -> Replica:
        """The replica that has room once it is this call's turn. Raises `UpstreamDownError` for too many before it."""
        clock, place = asyncio.get_running_loop().time, self._queue.place()
        while True:
            try:
                await self._queue.wait(request.wishes.priority, min(LONGEST, max(0.0, end - clock())), place)
            except Full as error:
                raise self._overloaded() from error
            if not any(one.breaker.allows(clock()) for one in self.replicas):
                self._queue.wake()  # nor will the next one find any
                raise self._open(clock())
            if replica := choose(self.replicas, tried, start, clock(), self._random):
                return replica  # otherwise the limit was cut meanwhile: it keeps its place, and nobody else need look

    def _open(self, now: float) -> UpstreamDownError:
        wait = max(0.1, min(replica.breaker.wait(now) for replica in self.replicas))
        return _mine(
            UpstreamDownError(
                f"The model {self._name} is left alone for {wait:.1f} s: its last calls failed.",
                "Look at its server; it is tried again by itself.", code="circuit_open", retry_after=wait,
            ),
            self._name,
        )  # fmt: skip

    def _overloaded(self) -> UpstreamDownError:
        return _mine(
            UpstreamDownError(
                f"The model {self._name} has as many calls as it bears, and no more may wait.",
                "Try again later, or raise its pool, its queue or the number of its replicas.",
                code="overloaded", retry_after=1.0,
            ),
            self._name,
        )  # fmt: skip

    def _rested(self, replica: Replica, error: UpstreamError, now: float) -> None:
        """Leave a replica alone that asked for it, as long as another one is there."""
        if error.status in ELSEWHERE or error.retry_after is not None:
            replica.rests_until = now + min(REST if error.retry_after is None else error.retry_after, 2 * REST)

    async def _hedged(
        self, hedges: Hedges, replica: Replica, request: Request, evidence: Evidence, bill: Bill, start: bytes | None
    ) -> Answer | Verdict:
        """One attempt, and a second one on another replica where the first is late; the slower one is cancelled."""
        live = bill.sink.live
        race = Race(bill, lambda seconds: hedges.began(live, seconds))
        delay, asked, attempts = hedges.delay(live), [replica], [bill.attempt()]
        try:
            race.start(self._asked(replica, request, evidence, attempts[0]), attempts[0])
            if await race.quiet(delay) and (other := self._second(replica, start)) and hedges.take():
                asked.append(other)
                attempts.append(bill.attempt())
                race.start(self._asked(other, request, evidence, attempts[1]), attempts[1])
            return await race.won()
        finally:
            await race.end()
            for one, attempt in zip(asked, attempts, strict=False):
                if not attempt.running:  # cancelled before its turn: it never began, so it never ended
                    one.ended(attempt.ticket, None, None, asyncio.get_running_loop().time())

    def _second(self, first: Replica, start: bytes | None) -> Replica | None:
        """Another replica with room for a hedge; one that is not well does not help."""
        now = asyncio.get_running_loop().time()
        others = [one for one in self.replicas if one is not first and one.well(now)]
        return choose(others, (), start, now, self._random) if not self._queue else None


def _ok(error: UpstreamError) -> bool | None:
    """What an error says of the server's health: a wrong key or model and an empty answer may be the request's."""
    return None if error.status in ELSEWHERE or error.code == "empty_completion" else False


def _busy(error: UpstreamError) -> bool | None:
    return True if error.status in BUSY or isinstance(error, UpstreamTimeoutError) else None


def _mine(error: UpstreamDownError, name: str) -> UpstreamDownError:
    error.model = name
    return error


def _check(options: Care, name: str) -> None:
    if options.hedge and not options.replicas:
        raise ConfigError(f"[[model]] {name}: hedge needs a second replica.", "Add replicas, or take hedge out.")
    if any(place.weight <= 0 for place in options.replicas):
        raise ConfigError(f"[[model]] {name}: a replica's weight must be above 0.", "Take the replica out instead.")
