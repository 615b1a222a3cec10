"""A circuit breaker for one replica: closed, open, half-open, by count and by rate over a sliding window. Pure.

The states are those of M. Nygard, "Release It!" (2nd ed., 2018), chapter 5. Time is given to it, in seconds of any
clock that never goes back.
"""

from collections import deque
from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["closed", "open", "half_open"]


class Fuse(msgspec.Struct, frozen=True, kw_only=True):
    """When it opens: `streak` failures in a row, or a share of `rate` among at least `fewest` of the last `calls`.

    Only the last `seconds` count. It stays open for `rest` seconds, twice as long after each probe that fails, at most
    `longest`.
    """

    calls: int = 20
    seconds: float = 30.0
    streak: int = 5
    fewest: int = 10
    rate: float = 0.5
    rest: float = 5.0
    longest: float = 60.0

    def __str__(self) -> str:
        return (
            f"breaker: opens at {self.streak} failures in a row or {self.rate:.0%} of the last {self.calls} calls in "
            f"{self.seconds:g} s, rests {self.rest:g} to {self.longest:g} s, then one probe"
        )


class Breaker:
    """`begin` a call where `allows` says so, and say how it `ended`; calls from before the last change are ignored."""

    __slots__ = ("_failures", "_fuse", "_generation", "_opened", "_probing", "_rest", "_streak", "_window")

    def __init__(self, fuse: Fuse) -> None:
        self._fuse = fuse
        self._window: deque[tuple[float, bool]] = deque()
        self._failures = self._streak = self._generation = 0
        self._opened: float | None = None
        self._rest, self._probing = fuse.rest, False

    def __str__(self) -> str:
        return f"{self._failures} of {len(self._window)} failed"

    def state(self, now: float) -> State:
        if self._opened is None:
            return "closed"
        return "open" if now < self._opened + self._rest else "half_open"

    def allows(self, now: float) -> bool:
        """Whether a call may begin; while half-open, one at a time."""
        return self._opened is None or (now >= self._opened + self._rest and not self._probing)

    def wait(self, now: float) -> float:
        """Seconds until the next call may be allowed: 0 while closed."""
        return 0.0 if self._opened is None else max(0.0, self._opened + self._rest - now)

    def begin(self, now: float) -> int:
        """A ticket to hand to `ended`; the probe's while half-open."""
        if self._opened is not None:
            self._probing = True
        return self._generation

    def ended(self, ticket: int, ok: bool | None, now: float) -> None:
        """How a call ended; None for one that says nothing of the server, such as a client that went away."""
        if ticket != self._generation:
            return
        if self._opened is not None:
            self._probed(ok, now)
        elif ok is not None:
            self._counted(ok, now)

    def share(self, now: float) -> tuple[int, int]:
        """Failures and calls in the window."""
        self._forget(now)
        return self._failures, len(self._window)

    def _counted(self, ok: bool, now: float) -> None:
        self._window.append((now, ok))
        self._failures += not ok
        self._streak = 0 if ok else self._streak + 1
        self._forget(now)
        if not ok and self._blown():
            self._open(now, self._fuse.rest)

    def _blown(self) -> bool:
        calls = len(self._window)
        return self._streak >= self._fuse.streak or (
            calls >= self._fuse.fewest and self._failures >= calls * self._fuse.rate
        )

    def _forget(self, now: float) -> None:
        window, since = self._window, now - self._fuse.seconds
        while window and (len(window) > self._fuse.calls or window[0][0] < since):
            self._failures -= not window.popleft()[1]
        self._streak = min(self._streak, self._failures)

    def _probed(self, ok: bool | None, now: float) -> None:
        self._probing = False
        if ok is False:
            self._open(now, min(self._rest * 2, self._fuse.longest))
        elif ok:
            self._opened, self._rest = None, self._fuse.rest
            self._generation += 1

    def _open(self, now: float, rest: float) -> None:
        self._opened, self._rest, self._probing = now, rest, False
        self._window.clear()
        self._failures = self._streak = 0
        self._generation += 1
