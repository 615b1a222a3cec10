"""The gateway that serves now, and the change to another one without dropping a request.

The new system is built beside the old one; once it stands, new requests go to it, and the old one is closed after its
last request. Where it cannot be built the old one goes on. Budgets are leased from the database by both meanwhile, so
none is overspent; requests at a time are counted in slots that both share, and so is what /metrics shows.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import TrimtabError
from trimtab.server import acts, metrics
from trimtab.server.app import Gateway, of_system
from trimtab.server.health import DRAINING
from trimtab.server.limits import Receive, Send
from trimtab.server.slots import Slots
from trimtab.server.totals import Totals
from trimtab.settings import Settings

if TYPE_CHECKING:
    from trimtab.server.supervised import Supervised
    from trimtab.store.engine import Store
    from trimtab.wiring import System

FIXED = (
    "host", "port", "workers", "log", "drain", "notice",
    "header_timeout", "body_timeout", "idle_timeout", "stall_timeout",
)  # fmt: skip
"""What a running server cannot change of `[server]`; its home neither."""

LAST = 5.0
"""Seconds at the end for older systems whose last request has been cut."""


class Generation:
    """One system with its gateway, and how many requests are in it."""

    def __init__(self, gateway: Gateway, system: "System", closing: AsyncExitStack, totals: Totals) -> None:
        self.gateway, self.store, self._closing, self.running = gateway, system.store, closing, 0
        self._totals, self._counted = totals, metrics.of_desk(system.desk)
        self.empty = asyncio.Event()
        self.retired = False

    def enter(self) -> None:
        """What it counts is shown from now on."""
        if self._counted:
            self._counted.shown = self._totals
            self._totals.enter(self._counted.registry)

    async def close(self) -> None:
        """Close the system once its last request has ended."""
        self.retired = True
        if self.running:
            await self.empty.wait()
        try:
            await self._closing.aclose()
        finally:
            if self._counted:
                self._totals.leave(self._counted.registry)


class Live:
    """An ASGI app around the gateway of the newest system; a context manager that closes them all."""

    def __init__(self, settings: Settings, say: Callable[[str], None], worker: "Supervised | None" = None) -> None:
        self.settings, self._say = settings, say
        self.totals = Totals(worker.folder / f"{worker.number}.counts" if worker else None)
        self._slots = Slots(worker.folder if worker else None)
        self._now: Generation | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self.draining = False

    async def open(self) -> None:
        """Build the first system. Raises `ConfigError`, `StorageError`."""
        self._now = await self._built(self.settings, acts.started)
        self._now.enter()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        now = self._now
        assert now  # noqa: S101 - it was opened
        if self.draining:
            scope[DRAINING] = True
        now.running += 1
        try:
            await now.gateway(scope, receive, send)
        finally:
            now.running -= 1
            if now.retired and not now.running:
                now.empty.set()

    async def reload(self, load: Callable[[], Settings]) -> str:
        """Serve by new settings from now on; what is wrong with them, "" where nothing is."""
        async with self._turn:
            try:
                fresh = kept(self.settings, await asyncio.to_thread(load), self._say)
                new = await self._built(fresh, acts.reloaded)
            except Exception as error:  # noqa: BLE001 - an installed kind may raise anything while it is built
                why = str(error) if isinstance(error, TrimtabError) else f"{type(error).__name__}: {error}"
                self._say(f"Not reloaded, what ran before goes on: {why}")
                return why
            old, self._now, self.settings = self._now, new, fresh
            new.enter()
            if old:
                task = asyncio.create_task(old.close())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
            self._say("Reloaded.")
            return ""

    async def close(self) -> None:
        """Close all systems; what still runs in them was cut before."""
        if self._now:
            self._now.running = 0
            await acts.stopped(self._now.store, self.settings)
            await self._now.close()
        if self._closing:
            await asyncio.wait(self._closing, timeout=LAST)

    async def _built(self, settings: Settings, entered: Callable[["Store", Settings], Awaitable[None]]) -> Generation:
        from trimtab.wiring import open_system

        closing = AsyncExitStack()
        async with AsyncExitStack() as failing:
            await failing.enter_async_context(closing)
            system = await closing.enter_async_context(open_system(settings, self._say))
            gateway = of_system(system)
            gateway.admission.share(self._slots)
            for line in system.found:
                self._say(line)
            await entered(system.store, settings)
            failing.pop_all()
        return Generation(gateway, system, closing, self.totals)


def kept(old: Settings, fresh: Settings, say: Callable[[str], None]) -> Settings:
    """The new settings with what a running server cannot change as it was; says so."""
    fixed = {name: getattr(old.server, name) for name in FIXED}
    changed = [f"server.{name}" for name, value in fixed.items() if getattr(fresh.server, name) != value]
    if fresh.home != old.home:
        changed.append("home")
    if changed:
        say(f"Stays as it is until the next start: {', '.join(changed)}.")
    return msgspec.structs.replace(fresh, home=old.home, server=msgspec.structs.replace(fresh.server, **fixed))
