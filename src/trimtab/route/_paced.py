"""A money ceiling held by giving way smoothly: thresholds fall as a window's money runs short, and nothing is refused.

It answers more with the small model than the promise may allow: the decision says `paced`, and audits go on watching.
Only a request that no other model may have still goes to the large one: a hard ceiling is a [[limit]].
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import msgspec

from trimtab.errors import StorageError
from trimtab.money import cost, from_usd, total
from trimtab.ports import Router
from trimtab.route._draw import redrawn
from trimtab.route._purse import Purse
from trimtab.settings import Pace
from trimtab.trail import expected
from trimtab.types import Decision, ModelSpec, Request, Trace

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

LOG = logging.getLogger("trimtab.pace")
FRESH = 2.0
"""Seconds for which what other processes have spent is taken as read."""
LONG = 2 * FRESH
"""Seconds after which a request waits until it is read again."""
SHORT = "paced"
NEVER = sys.maxsize
"""Nanodollars that no purse has."""
BY_ODDS = ("unlikely_right", "not_worth_trying")


class Pacer:
    """One [[pace]]: its purse in this process and on disk. `clock` gives epoch seconds."""

    def __init__(self, pace: Pace, store: "Callable[[], Store]", clock: Callable[[], float] = time.time) -> None:
        self.pace, self._store, self._clock = pace, store, clock
        self._purse = self._window(clock())
        self._untold = {"large": 0, "rest": 0}
        self._read = self._heard = float("-inf")
        self._turn = asyncio.Lock()
        self._held: dict[str, int] = {}
        self._most: dict[str, int] = {}
        self._tasks = set[asyncio.Task[None]]()

    def concerns(self, request: Request) -> bool:
        return not self.pace.principals or request.principal in self.pace.principals

    @property
    def openness(self) -> float:
        """From 0 to 1, see `Purse`."""
        return self._current().openness(self._clock())

    def moved(self, request: Request, model: str, score: float, threshold: float) -> float:
        """A `Move` of thresholds: the small model's falls with the purse, never rises.

        A climb has its price set aside; one for which nothing is free is none: then any answer is to stand.
        """
        if model != self.pace.small or request.id not in self._most:
            return threshold
        least = threshold * self.openness
        return least if score >= least or self.hold(request) else 0.0

    def expect(self, request: Request, spec: ModelSpec) -> None:
        """Reckon what the large model, `spec`, would cost for a request; known until it is settled."""
        self._most[request.id] = cost(expected(request), spec.price) or 0

    def forgo(self, request: Request) -> None:
        """The large model is left out for a request: no climb to it is free, whatever is paid back on the way."""
        self._most[request.id] = NEVER

    def free(self, request: Request) -> bool:
        """Whether as much is free as the large model may cost for a request that is expected."""
        return self._current().free(self._clock()) >= self._most[request.id]

    def hold(self, request: Request) -> bool:
        """Set that aside until the request is settled; False where it is not free."""
        if not self.free(request):
            return False
        most = self._most[request.id]
        self._held[request.id] = self._held.get(request.id, 0) + most
        self._current().held += most
        return True

    def settle(self, trace: Trace) -> None:
        """A request has ended: what was set aside for it gives way to what it cost; an unknown cost to the most."""
        aside, purse = self._held.pop(trace.request.id, 0), self._current()
        purse.held = max(0, purse.held - aside)
        self._most.pop(trace.request.id, None)
        steps = [step for step in trace.steps if step.stage == "answer" and step.by == self.pace.large]
        large = total(step.cost for step in steps)
        large = aside if large is None else large
        rest = max(0, trace.cost - large) if trace.cost is not None else 0
        for name, paid in (("large", large), ("rest", rest)):
            setattr(purse, name, getattr(purse, name) + paid)
            self._untold[name] += paid
        if abs(self._clock() - self._read) >= FRESH and not self._turn.locked():
            task = asyncio.create_task(self.refresh())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def fresh(self) -> None:
        """Hear of the other processes first where this one has not for a while: it had nothing to do."""
        if abs(self._clock() - self._heard) < LONG:
            return
        if self._turn.locked():  # another request is at it
            async with self._turn:
                return
        await self.refresh()

    async def refresh(self) -> None:
        """Tell the other processes what this one has spent, and hear of theirs."""
        async with self._turn:
            purse, told, self._read = self._current(), dict(self._untold), self._clock()
            try:
                known = await self._store().transact(lambda connection: self._told(connection, purse, told))
            except StorageError as error:
                LOG.warning("what %s has spent cannot be read", self.pace.name, exc_info=error)
                return
            finally:
                self._heard = self._clock()
            for name, amount in known.items():
                self._untold[name] -= told[name]
                if purse is self._purse:
                    setattr(purse, name, amount + self._untold[name])

    async def close(self) -> None:
        """Tell the other processes the rest."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.refresh()

    def _told(self, connection: "Connection", purse: Purse, told: Mapping[str, int]) -> dict[str, int]:
        from trimtab.store import windows

        found: dict[str, int] = {}
        for name, amount in told.items():
            where = (f"pace:{self.pace.name}", name, self.pace.per, int(purse.start))
            if amount:
                windows.take(connection, *where, amount)
            found[name] = windows.taken(connection, *where)
        return found

    def _current(self) -> Purse:
        """The purse of the window that it is now; a clock that was set back a little stays in the later one."""
        from trimtab.store.windows import left

        now = self._clock()
        if left(self._purse.start, self._purse.end, now):
            held, self._purse = self._purse.held, self._window(now)
            self._purse.held = held
        return self._purse

    def _window(self, now: float) -> Purse:
        from trimtab.store.windows import window

        start, end = window(self.pace.per, now)
        return Purse(budget=from_usd(self.pace.usd), start=start, end=end)


class Paced:
    """A `Router` around another one, and the `Recorder` that hears what was spent."""

    def __init__(self, router: Router, pacers: tuple[Pacer, ...]) -> None:
        self._router, self._pacers = router, pacers

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        """Raises as the inner router does. A model that the client pinned stays: it was asked for by name."""
        decision = await self._router.route(request, models)
        if request.wishes.model != "auto":
            return decision
        for pacer in self._pacers:
            if pacer.concerns(request) and pacer.pace.large in decision.ladder:
                await pacer.fresh()
                decision = _paced(decision, pacer, request, models)
        return decision

    async def record(self, trace: Trace) -> None:
        """Count what a request cost."""
        for pacer in self._pacers:
            if pacer.concerns(trace.request):
                pacer.settle(trace)


def _paced(decision: Decision, pacer: Pacer, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
    """The small model is tried again where the purse is not open; without money the large one is left out."""
    small, large = pacer.pace.small, pacer.pace.large
    pacer.expect(request, models[large])
    ladder, left_out = decision.ladder, dict(decision.left_out)
    if pacer.openness < 1 and left_out.get(small) in BY_ODDS:
        at = ladder.index(large)
        ladder = (*ladder[:at], small, *ladder[at:])
        del left_out[small]
    if small not in ladder:
        pacer.hold(request)  # it goes straight to the large model
    elif not pacer.free(request):
        ladder, left_out[large] = tuple(name for name in ladder if name != large), SHORT
        pacer.forgo(request)
    if ladder == decision.ladder and pacer.openness == 1:
        return decision
    return msgspec.structs.replace(
        decision, ladder=ladder, left_out=left_out, reasons=(*decision.reasons, SHORT),
        signals=decision.signals if ladder == decision.ladder else redrawn(decision.signals),
    )  # fmt: skip
