"""When a second call is worth it: at the 95th percentile of the time to the first token, for a few of the calls. Pure.

J. Dean and L. A. Barroso, "The Tail at Scale", CACM 56(2), 2013.
"""

from bisect import bisect_left, insort
from collections import deque


class Quantile:
    """The `q` quantile of the last `size` values, by nearest rank; None before there are `fewest`."""

    __slots__ = ("_fewest", "_last", "_q", "_sorted")

    def __init__(self, q: float = 0.95, size: int = 128, fewest: int = 20) -> None:
        self._q, self._fewest = q, fewest
        self._last: deque[float] = deque(maxlen=size)
        self._sorted: list[float] = []

    def add(self, value: float) -> None:
        if len(self._last) == self._last.maxlen:
            del self._sorted[bisect_left(self._sorted, self._last[0])]
        self._last.append(value)
        insort(self._sorted, value)

    @property
    def value(self) -> float | None:
        count = len(self._sorted)
        return None if count < self._fewest else self._sorted[min(count - 1, int(self._q * count))]


class Hedges:
    """At most a `share` of the calls is made twice. Streams and whole answers begin at different times: `live` says."""

    __slots__ = ("_kept", "_most", "_share", "_tokens")

    def __init__(self, share: float = 0.05, most: float = 5.0) -> None:
        self._share, self._most, self._tokens = share, most, 0.0
        self._kept = {True: Quantile(), False: Quantile()}

    def __str__(self) -> str:
        return f"hedging: at the 95th percentile of the time to the first token, at most {self._share:.0%} of the calls"

    def began(self, live: bool, seconds: float) -> None:
        """A call began to answer after `seconds`."""
        self._kept[live].add(seconds)

    def delay(self, live: bool) -> float | None:
        """Seconds after which this call is worth a second one, None where not enough is known; counts the call."""
        self._tokens = min(self._most, self._tokens + self._share)
        return self._kept[live].value

    def take(self) -> bool:
        """Whether there is one more, which is then taken."""
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True
