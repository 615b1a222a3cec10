"""The gateway's own limit: so many requests at a time, a few wait by priority, and the rest hear at once to come back.

Where there is room it is a comparison of two numbers. How much room there is follows from the event loop: while it is
late for its own timer there is more work than one core can do, and to take in still more would make every request slow.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from trimtab.answer._queue import Full, Queue
from trimtab.errors import OverloadError
from trimtab.server.callers import Caller
from trimtab.server.keys import PRIORITIES

if TYPE_CHECKING:
    from prometheus_client.core import Metric

HEADER = b"x-trimtab-priority"
PATHS = "/v1/"
"""What is limited. Health, approvals and metrics lie elsewhere: operators need them most when there is no room."""
LONGEST = 5.0
"""Seconds that a request waits at most."""
RETRY = 1.0
"""Seconds after which a client that was sent away may come again."""
TICK, LATE = 0.1, 0.25
"""Seconds between two looks at the event loop's clock, and by how much it must be late to have too much to do."""
LESS, MORE = 0.7, 0.02
"""What is left of the room after a late look, and the share of the whole that each look in time gives back."""
LEAST = 32
"""Requests for which there is always room."""


class Shed:
    """`running` requests of `room` that may; see the module. Counts those it sent away by their priority."""

    def __init__(self, most: int, waiting: int) -> None:
        self.most, self.room, self.running = most, most, 0
        self.queue = Queue(waiting)
        self.sent_away = dict.fromkeys(PRIORITIES.values(), 0)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def enters(self) -> bool:
        """Whether there is room for one more, which is then taken."""
        if self.running >= self.room or self.queue:
            return False
        self.running += 1
        if self._timer is None:
            self._arm()
        return True

    async def turn(self, headers: Mapping[bytes, bytes], caller: Caller) -> bool:
        """Wait for room, which is then taken. Raises `OverloadError`."""
        priority = min(PRIORITIES.get(headers.get(HEADER, b"").decode("latin-1"), 0), caller.priority)
        end = asyncio.get_running_loop().time() + LONGEST
        try:
            while True:
                await self.queue.wait(priority, max(0.0, end - asyncio.get_running_loop().time()))
                if self.running < self.room:
                    self.running += 1
                    return True
        except Full as error:
            self.sent_away[priority] += 1
            raise OverloadError(
                "The gateway has as many requests as it can serve, and no more may wait.",
                "Send it again after the seconds in Retry-After.", retry_after=RETRY,
            ) from error  # fmt: skip

    def left(self) -> None:
        """A request is done with."""
        self.running -= 1
        if self.queue and self.running < self.room:
            self.queue.wake()

    def collect(self) -> "Iterator[Metric]":
        """The metric families; called by the registry."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        yield GaugeMetricFamily("trimtab_http_room", "Requests that may be served at a time.", value=self.room)
        yield GaugeMetricFamily("trimtab_http_waiting", "Requests that wait for room.", value=len(self.queue))
        about = "Requests that were sent away because there was no room."
        shed = CounterMetricFamily("trimtab_http_shed", about, labels=("priority",))
        for name, priority in PRIORITIES.items():
            shed.add_metric((name,), self.sent_away[priority])
        yield shed

    def adapt(self, late: float) -> None:
        """Less room where the loop was late by so many seconds, else a little more, up to `most`.

        What runs over the room that there is left has yet to end: one overload is cut for once.
        """
        if late > LATE:
            if self.running <= self.room:
                self.room = min(self.room, max(LEAST, int(self.running * LESS)))
        elif self.room < self.most:
            self.room = min(self.most, self.room + max(1, int(self.most * MORE)))
            for _ in range(min(self.room - self.running, len(self.queue))):
                self.queue.wake()

    def _arm(self) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + TICK
        self._timer = loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._timer = None
        self.adapt(asyncio.get_running_loop().time() - self._due)
        if self.running or self.room < self.most:
            self._arm()
