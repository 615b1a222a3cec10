"""Who calls, and what they may take: reserved before a request goes down the path, settled with what its trace says."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING

import msgspec

from trimtab import flow
from trimtab.errors import AuthError, LimitError, Row
from trimtab.flow import Desk
from trimtab.money import show
from trimtab.server import quota
from trimtab.server.callers import OPEN, Caller
from trimtab.server.limits import Message, Send
from trimtab.server.quota import Bound, Counter, Denied, Hold, Quota
from trimtab.server.reckoning import check_price, expected, reckoned, unknown, used
from trimtab.server.slots import Slots
from trimtab.server.turn import behind
from trimtab.trail import Emit
from trimtab.types import Outcome, Request, Trace, Usage

if TYPE_CHECKING:
    from trimtab.store.engine import Store


class QuotaError(LimitError):
    """A limit of a key, a team or a model; `row` says how it leaves, in the words that OpenAI's clients know."""

    def __init__(self, denied: Denied, now: float) -> None:
        money, bound = denied.bound.what == "nano", denied.bound
        after = max(1.0, denied.end - now) if denied.end else 1.0
        code = "insufficient_quota" if money else "rate_limit_exceeded"
        super().__init__(_said(denied), _fix(denied), code=code, retry_after=after)
        kind = code if money else "tokens" if bound.what == "tokens" else "requests"
        self.row = Row(429, kind, code, not money and denied.need <= bound.limit, 6)


class Visit:
    """One request to the gateway: its caller, and the headers that its reply shall have; called, it is its `send`."""

    __slots__ = ("_send", "admission", "caller", "headers", "turn")

    def __init__(self, admission: "Admission", caller: Caller, send: Send) -> None:
        self.admission, self.caller, self._send, self.turn = admission, caller, send, behind(send)
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, message: Message) -> None:
        if self.headers and message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *self.headers]}
        await self._send(message)


VISIT: ContextVar[Visit | None] = ContextVar("trimtab_visit", default=None)


def caller() -> Caller:
    """Who sent the request that this task serves."""
    visit = VISIT.get()
    return visit.caller if visit else OPEN


async def run(desk: Desk, request: Request, emit: Emit | None = None) -> tuple[Outcome, Trace]:
    """`flow.run` within the caller's limits, in the caller's name. Raises `LimitError` and `AuthError` besides."""
    visit = VISIT.get()
    if visit is None:
        return await flow.run(desk, request, emit)
    request = _named(request, visit.caller)
    if visit.admission.vet:
        await visit.admission.vet(visit.caller, request)
    if visit.caller.plain:
        return await flow.run(desk, request, emit)
    desk, bounds = within(desk, visit.caller, request)
    desk, hold = await visit.admission.admit(desk, visit, request, bounds, expected(request))
    settler = Settler(visit.admission, hold)
    try:
        return await flow.run(msgspec.structs.replace(desk, recorders=(settler, *desk.recorders)), request, emit)
    finally:
        if settler.open:
            await settler.close()


async def take(requests: int, tokens: int, model: str = "") -> None:
    """Count what does not go down the path against the caller's limits, and those of `model`. Raises `LimitError`."""
    visit = VISIT.get()
    if visit and (bounds := (*visit.caller.bounds, *visit.caller.scoped.get(model, ()))):
        amounts = {"requests": requests, "tokens": tokens, "nano": 0}
        hold = await visit.admission.reserve(bounds, amounts)
        visit.headers = quota.headers(hold, time.time())
        await visit.admission.settle(hold, unknown)


class Settler:
    """A `Recorder` of one request: whatever its end, what it cost takes the place of what was reserved."""

    def __init__(self, admission: "Admission", hold: Hold) -> None:
        self._admission, self._hold, self.open = admission, hold, True

    async def record(self, trace: Trace) -> None:
        self.open = False  # first of all recorders: that another one fails does not keep the reservation
        await self._admission.settle(self._hold, used(trace))

    async def close(self) -> None:
        """Keep the reservation where no trace was made."""
        await self._admission.settle(self._hold, unknown)


class Admission:
    """The quota of one gateway and its leases in the store; without a store the windows last as long as the process."""

    def __init__(self, store_of: "Callable[[], Store] | None", clock: Callable[[], float] = time.time) -> None:
        self._store_of, self._clock = store_of, clock
        self._quota = Quota()
        self._wanted: dict[Counter, int] = {}
        self._leasing: asyncio.Task[None] | None = None
        self.vet: Callable[[Caller, Request], Awaitable[None]] | None = None
        """Raises for a request that names what is not its caller's."""

    def share(self, slots: Slots) -> None:
        """Count requests at a time with all who have the same slots."""
        self._quota.slots = slots

    async def admit(
        self, desk: Desk, visit: Visit, request: Request, bounds: Sequence[Bound], usage: Usage
    ) -> tuple[Desk, Hold]:
        """Reserve for a request; a model over its own limits is left out, or where it was asked for refuses."""
        hold = await self.reserve(bounds, reckoned(request, desk.specs, bounds, usage))
        pinned = request.wishes.model in desk.specs
        try:
            for name, own in visit.caller.scoped.items():
                if name not in desk.specs or (pinned and name != request.wishes.model):
                    continue
                spec = desk.specs[name]
                try:
                    check_price(name, spec, own)
                    more = await self.reserve(own, reckoned(request, {name: spec}, own, usage))
                except LimitError:
                    desk = _without(desk, name)
                    if pinned or not desk.specs:
                        raise
                else:
                    hold = Hold((*hold.taken, *more.taken), (*hold.running, *more.running))
        except BaseException:
            await self.settle(hold, lambda _: 0)
            raise
        visit.headers = quota.headers(hold, self._clock())
        return desk, hold

    async def reserve(self, bounds: Sequence[Bound], amounts: Mapping[str, int]) -> Hold:
        """Hold the amounts of all bounds. Raises `QuotaError`, `StorageError`."""
        while not isinstance(found := self._quota.reserve(bounds, amounts, self._clock()), Hold):
            if isinstance(found, Denied):
                _tell(quota.denial(found, self._clock()))
                raise QuotaError(found, self._clock())
            for counter, need in found.wanted:
                self._wanted[counter] = self._wanted.get(counter, 0) + need
            await self._lease()
        return found

    async def settle(self, hold: Hold, used: Callable[[Bound], int | None]) -> None:
        """Put what was used in the place of a hold; what went over its lease is on disk once this returns."""
        if over := self._quota.settle(hold, used):
            self._wanted |= {counter: self._wanted.get(counter, 0) for counter in over}
            await self._lease()

    async def close(self) -> None:
        """Give back what was leased and not spent."""
        rows = [(counter, counter.room) for counter in self._quota.counters() if counter.room > 0]
        if rows and self._store_of:
            from trimtab.server import leases

            await self._store_of().transact(
                lambda connection: [leases.add(connection, counter, -room) for counter, room in rows]
            )
        for counter, room in rows:
            counter.gave(room)

    async def _lease(self) -> None:
        """One transaction for all that is wanted now, whoever waits for it."""
        if not self._leasing or self._leasing.done():
            self._leasing = asyncio.create_task(self._lease_all())
        await asyncio.shield(self._leasing)

    async def _lease_all(self) -> None:
        await asyncio.sleep(0)  # whoever runs in this turn of the loop comes along
        try:
            while wanted := self._wanted:
                self._wanted = {}
                for counter, got, taken in await self._taken(wanted):
                    counter.leases(got, taken, self._clock())
        except BaseException:
            self._wanted = {}
            raise

    async def _taken(self, wanted: Mapping[Counter, int]) -> list[tuple[Counter, int, int]]:
        """Each counter, what it got, and what had been taken of its limit before."""
        if not self._store_of:
            return [(counter, counter.wants(need, counter.leased), counter.leased) for counter, need in wanted.items()]
        from trimtab.server import leases  # brings the database, which a gateway without a store does not need

        now = self._clock()
        return await self._store_of().transact(lambda connection: leases.take(connection, wanted, now))


def within(desk: Desk, caller: Caller, request: Request) -> tuple[Desk, tuple[Bound, ...]]:
    """The desk with the models that the caller may use. Raises `AuthError`, and `LimitError` for one without a price.

    A budget in USD cannot be kept with a model of unknown price, so that one is left out under it.
    """
    name, specs = request.wishes.model, desk.specs
    if caller.models and name in specs and name not in caller.models:
        raise AuthError(f"This key may not use the model {name!r}.", _models(caller.models), code="model_not_allowed")
    budget = any(bound.what == "nano" for bound in caller.bounds)
    if budget and name in specs:
        check_price(name, specs[name], caller.bounds)
    if not caller.models and not (budget and any(spec.price is None for spec in specs.values())):
        return desk, caller.bounds
    allowed = {
        key: spec
        for key, spec in specs.items()
        if (not caller.models or key in caller.models) and not (budget and spec.price is None)
    }
    return msgspec.structs.replace(desk, specs=allowed), caller.bounds


def _named(request: Request, caller: Caller) -> Request:
    """The request in the caller's name, with no higher priority than theirs."""
    wishes = request.wishes
    if wishes.priority > caller.priority:
        wishes = msgspec.structs.replace(wishes, priority=caller.priority)
    return msgspec.structs.replace(request, principal=caller.principal, wishes=wishes)


def _tell(headers: list[tuple[bytes, bytes]]) -> None:
    """Headers for the reply of the request that this task serves."""
    if visit := VISIT.get():
        visit.headers = headers


def _without(desk: Desk, name: str) -> Desk:
    return msgspec.structs.replace(desk, specs={key: spec for key, spec in desk.specs.items() if key != name})


def _models(models: Iterable[str]) -> str:
    return f"It may use: {', '.join(sorted(models))}."


WORDS = {"requests": "requests", "tokens": "tokens", "concurrency": "requests at a time"}


def _said(denied: Denied) -> str:
    bound = denied.bound
    who = (
        f"the model {bound.model!r}"
        if bound.model
        else {"k": "this key", "t": "this key's team", "a": "all callers together"}[bound.subject[0]]
    )
    if bound.what == "concurrency":
        return f"The limit of {bound.limit} {WORDS['concurrency']} for {who} is reached."
    if bound.what == "nano":
        most, need, left = show(bound.limit), show(denied.need), show(denied.remaining)
    else:
        name = WORDS[bound.what]
        most, need, left = f"{bound.limit:,} {name}", f"{denied.need:,}", f"{denied.remaining:,}"
    return f"The limit of {most} a {bound.per} for {who} is reached: {left} left, up to {need} needed."


def _fix(denied: Denied) -> str:
    if denied.need > denied.bound.limit:
        return "This request alone is over it: ask for less (max_tokens), or have the limit raised."
    return "Wait until the window ends (Retry-After), or have the limit raised."
