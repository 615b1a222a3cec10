"""What each of several attempts at one call cost, and who of them may write: the first that begins.

Nothing here refers to what refers to it: a cycle for every call would be work for the garbage collector.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from trimtab.money import together
from trimtab.ports import Sink
from trimtab.types import Answer, Delta, Usage


class Bill:
    """The attempts at one call, by number, and the sink they share.

    As long as none has answered, what all of them spent is what the call spent; then what the others spent is lost.
    """

    __slots__ = ("_began", "parts", "sink", "writer")

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.parts: list[Usage | None] = []
        self._began: list[float] = []
        self.writer: int | None = None

    @property
    def free(self) -> bool:
        """Whether nothing was written and no token is paid for: then it may be asked again."""
        return self.writer is None and not any(_paid(part) for part in self.parts)

    def attempt(self) -> "Attempt":
        self.parts.append(None)
        self._began.append(perf_counter())
        return Attempt(self, len(self.parts) - 1)

    def spent(self, number: int, usage: Usage) -> None:
        self.parts[number] = usage
        self.sink.spent(usage if len(self.parts) == 1 else added(self.parts))

    def answered(self, answer: Answer) -> Answer:
        """The answer; an attempt that was given up for it is paid too, and told."""
        if len(self.parts) > 1:
            now = perf_counter()
            self.sink.spent(answer.usage)
            for part, began in zip(self.parts, self._began, strict=True):
                if part and part is not answer.usage and _paid(part):
                    self.sink.lost(part, (now - began) * 1e3)
        return answer


class Attempt:
    """The sink of one attempt. Once another one writes, nothing of this one leaves; `told` is called when it begins.

    `ticket` is its replica's, `running` says that it was not cancelled before its turn.
    """

    def __init__(self, bill: Bill, number: int) -> None:
        self.bill, self.number, self.live = bill, number, bill.sink.live
        self.told: Callable[[], None] | None = None
        self.ticket, self.running = (0, 0), False

    def spent(self, usage: Usage) -> None:
        self.bill.spent(self.number, usage)

    def lost(self, usage: Usage, ms: float) -> None:
        self.bill.sink.lost(usage, ms)

    def emit(self, delta: Delta) -> Awaitable[None]:
        """The first delta decides who writes; its further ones go straight to the sink."""
        if self.bill.writer not in (None, self.number):
            raise asyncio.CancelledError
        self.bill.writer = self.number
        self.emit = self.bill.sink.emit
        if self.told:
            self.told()
        return self.emit(delta)


def added(parts: list[Usage | None]) -> Usage:
    """The sum; a call that cost nothing leaves the others as they are."""
    return together(part for part in parts if part and _paid(part))


def _paid(usage: Usage | None) -> bool:
    return usage is not None and bool(usage.prompt or usage.completion)
