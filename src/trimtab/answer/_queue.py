"""Where calls wait for room: bounded, by priority, oldest first; who does not fit is told at once."""

import asyncio
from heapq import heapify, heappop, heappush
from itertools import count

LONGEST = 10.0
"""Seconds that a call waits at most: after that its client has other plans."""


class Full(Exception):  # noqa: N818 - the caller makes an error of it that names the rung
    """No room to wait, or none came free in time, or a call of higher priority took the place."""


class Queue:
    """At most `size` wait; a higher priority goes first, and takes a lower one's place where none is left."""

    def __init__(self, size: int) -> None:
        self._size, self._numbers = size, count()
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def __str__(self) -> str:
        return f"{self._waiting} of {self._size} waiting"

    def place(self) -> int:
        """A place in the order, for a call that may have to wait more than once."""
        return next(self._numbers)

    async def wait(self, priority: int = 0, longest: float = LONGEST, place: int | None = None) -> None:
        """Return when it is this call's turn to look for room. Raises `Full`."""
        if self._waiting >= self._size and not self._displaced(priority):
            raise Full
        turn = asyncio.get_running_loop().create_future()
        heappush(self._heap, (-priority, self.place() if place is None else place, turn))
        self._waiting += 1
        try:
            async with asyncio.timeout(longest):
                await turn
        except BaseException as error:
            self._left(turn)
            if isinstance(error, TimeoutError):
                raise Full from error
            raise

    def wake(self) -> None:
        """There may be room for one: the first of the highest priority looks."""
        while self._heap:
            turn = heappop(self._heap)[2]
            if not turn.done():
                self._waiting -= 1
                turn.set_result(None)
                return

    def _left(self, turn: "asyncio.Future[None]") -> None:
        """A call that waits no more; a turn that it had got goes to the next."""
        if turn.done() and not turn.cancelled():
            if turn.exception() is None:
                self.wake()
            return
        self._waiting -= 1
        if len(self._heap) > 2 * self._waiting:  # those that left are skipped by `wake`; many of them are swept
            self._heap = [entry for entry in self._heap if not entry[2].done()]
            heapify(self._heap)

    def _displaced(self, priority: int) -> bool:
        """Whether one of a lower priority, the youngest, had to make way."""
        waiting = [entry for entry in self._heap if not entry[2].done()]
        lowest = max(waiting, key=lambda entry: entry[:2], default=None)
        if lowest is None or -lowest[0] >= priority:
            return False
        self._waiting -= 1
        lowest[2].set_exception(Full())
        return True
