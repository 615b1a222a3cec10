"""Calls of the user's own functions, each in a thread of its own with a time to answer in: one that hangs holds up
nothing but its own verdict."""

import asyncio
import inspect
import threading
from collections.abc import Callable
from typing import Any


class Calls:
    """At most `most` threads at a time, hung ones counted; a call that finds none free in its time has no time left."""

    def __init__(self, most: int, seconds: float) -> None:
        self._room, self._seconds = asyncio.Semaphore(most), seconds

    async def call(self, function: Callable[..., Any], **given: Any) -> Any:
        """What it returns. Raises what it raises, and `TimeoutError`."""
        async with asyncio.timeout(self._seconds):
            if inspect.iscoroutinefunction(function):
                return await function(**given)
            await self._room.acquire()
            return await asyncio.shield(self._threaded(function, given))

    def _threaded(self, function: Callable[..., Any], given: dict[str, Any]) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()

        def settle(error: BaseException | None, value: Any) -> None:
            self._room.release()
            if not future.done():
                future.set_exception(error) if error else future.set_result(value)
                future.exception()  # read, lest a call that nobody waits for any more is reported as lost

        def run() -> None:
            try:
                end = (None, function(**given))
            except BaseException as error:  # noqa: BLE001 - SystemExit in a rule is a rule that failed
                known = isinstance(error, Exception) and not isinstance(error, StopIteration)
                end = (error if known else RuntimeError(repr(error)), None)
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, *end)

        threading.Thread(target=run, name="call", daemon=True).start()  # a hung one does not keep the process
        return future
