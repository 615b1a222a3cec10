"""Attempts that run side by side until one writes or ends well; the others are cancelled and awaited."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from trimtab.answer._bill import Attempt, Bill


class Race:
    """`start` attempts, `quiet` to give the first one time, then `won`; always `end` it. `began` hears the seconds."""

    def __init__(self, bill: Bill, began: Callable[[float], None]) -> None:
        self._bill, self._heard, self._loop = bill, began, asyncio.get_running_loop()
        self._since, self._began = self._loop.time(), self._loop.create_future()
        self._runs: dict[asyncio.Task[Any], int] = {}

    def start(self, coroutine: Coroutine[Any, Any, Any], attempt: Attempt) -> None:
        attempt.told = self._wrote
        self._runs[asyncio.ensure_future(coroutine)] = attempt.number

    async def quiet(self, seconds: float | None) -> bool:
        """Whether none wrote or ended within `seconds`; None waits for as long as it takes."""
        await asyncio.wait({*self._runs, self._began}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not self._began.done() and not any(run.done() for run in self._runs)

    async def won(self) -> Any:
        """What the attempt says that writes or ends well first; raises the last one's error where none does."""
        running = set(self._runs)
        while True:
            await asyncio.wait({*running, self._began}, return_when=asyncio.FIRST_COMPLETED)
            if self._bill.writer is not None:
                return await self._alone(self._bill.writer)
            ended = {run for run in running if run.done()}
            running -= ended
            if well := next((run for run in ended if not run.cancelled() and not run.exception()), None):
                self._heard(self._loop.time() - self._since)
                return well.result()
            if not running:
                return ended.pop().result()

    async def end(self) -> None:
        """Cancel what still runs, and wait until it is gone: what it spent is known then."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    async def _alone(self, writer: int) -> Any:
        """The rest of the one that writes."""
        mine = next(run for run, number in self._runs.items() if number == writer)
        for run in self._runs:
            if run is not mine:
                run.cancel()
        return await mine

    def _wrote(self) -> None:
        if not self._began.done():
            self._began.set_result(None)
            self._heard(self._loop.time() - self._since)
