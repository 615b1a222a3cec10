"""Quotas: what a caller, a team or a model may still take in a window. It reads no clock and no disk.

The count that decides lies on disk and is taken from in leases: a process takes a slice there, durably, and then spends
it in memory. So no request needs a disk write of its own, several processes may share a limit, and after a crash at
most the unspent rest of a slice is lost, never anything spent. Windows are those of the calendar, in UTC.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

from trimtab.server.slots import Slots
from trimtab.store.windows import Per, left, window

What: TypeAlias = Literal["requests", "tokens", "nano", "concurrency"]

PARTS: dict[str, int] = {"minute": 2, "hour": 10, "day": 50, "month": 100}
"""A lease is the limit divided by this: what a crash may cost of a window that lasts matters more."""
AHEAD = 16
"""A lease is for at least so many requests like the one that needs it."""
OTHERS = 4
"""A lease is at most this part of what is left, unless more is needed now: other processes want some too."""
PATIENCE = 1.0
"""Seconds until the disk is asked again after it had not enough: another process may have given some back."""


class Bound(msgspec.Struct, frozen=True):
    """At most `limit` of `what` in each window for one subject; of `concurrency` at a time.

    With `model` only what that model is asked counts; the subject then names it too.
    """

    subject: str
    what: What
    limit: int
    per: Per = "minute"
    model: str = ""


class Counter:
    """One bound's window in this process: `leased` from the disk, `spent` and `held` of that, `left` on the disk."""

    __slots__ = ("asked", "bound", "end", "held", "leased", "left", "spent", "start")

    def __init__(self, bound: Bound, start: int, end: int) -> None:
        self.bound, self.start, self.end = bound, start, end
        self.leased = self.spent = self.held = 0
        self.left = bound.limit
        self.asked = float("-inf")

    @property
    def room(self) -> int:
        return self.leased - self.spent - self.held

    def hopeless(self, need: int, now: float) -> bool:
        """Whether neither this process nor, as far as is known, the disk has enough.

        What this process took may be over a limit that was lowered since.
        """
        if self.spent + self.held + need > self.bound.limit:
            return True
        return self.room + self.left < need and now - self.asked < PATIENCE

    def wants(self, need: int, taken: int) -> int:
        """What to take on the disk, where `taken` is gone of the limit."""
        left = self.bound.limit - taken
        most = max(need - self.room, min(max(self.bound.limit // PARTS[self.bound.per], AHEAD * need), left // OTHERS))
        # what was spent beyond the limit is written down all the same
        return max(min(most, left), 0, -self.room)

    def leases(self, got: int, taken: int, now: float) -> None:
        """`got` has reached the disk, where `taken` was gone before."""
        self.leased, self.left, self.asked = self.leased + got, max(0, self.bound.limit - taken - got), now

    def gave(self, amount: int) -> None:
        """So much of the lease is on the disk again."""
        self.leased, self.left = self.leased - amount, self.left + amount

    @property
    def remaining(self) -> int:
        return max(0, self.leased - self.spent - self.held + self.left)


class Hold(msgspec.Struct, frozen=True):
    """What one request has reserved: (counter, amount), and the subjects whose concurrency it is counted in."""

    taken: tuple[tuple[Counter, int], ...]
    running: tuple[str, ...] = ()


class Short(msgspec.Struct, frozen=True):
    """Not yet: these counters need that much, and the disk may have it."""

    wanted: tuple[tuple[Counter, int], ...]


class Denied(msgspec.Struct, frozen=True):
    """No: this bound has only `remaining` left until `end` (epoch seconds; 0 for concurrency), and `need` was asked."""

    bound: Bound
    need: int
    remaining: int
    end: int


class Quota:
    """The counters of one process. All methods are atomic: none awaits."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self.slots = Slots()

    def reserve(self, bounds: Sequence[Bound], amounts: Mapping[str, int], now: float) -> Hold | Short | Denied:
        """Take `amounts` of all bounds or of none; `now` in epoch seconds."""
        taken: list[tuple[Counter, int]] = []
        short: list[tuple[Counter, int]] = []
        for bound in bounds:
            if bound.what == "concurrency":
                continue
            counter, need = self.counter(bound, now), amounts[bound.what]
            taken.append((counter, need))
            gone = counter.spent + counter.held
            if gone + need > counter.leased or gone + need > bound.limit:
                if counter.hopeless(need, now):
                    return Denied(bound, need, counter.remaining, counter.end)
                short.append((counter, need))
        return Short(tuple(short)) if short else self._commit(bounds, taken)

    def _commit(self, bounds: Sequence[Bound], taken: Sequence[tuple[Counter, int]]) -> Hold | Denied:
        running: list[str] = []
        for bound in bounds:
            if bound.what != "concurrency":
                continue
            if not self.slots.take(bound.subject, bound.limit):
                self._leave(running)
                return Denied(bound, 1, 0, 0)
            running.append(bound.subject)
        for counter, need in taken:
            counter.held += need
        return Hold(tuple(taken), tuple(running))

    def _leave(self, running: Iterable[str]) -> None:
        for subject in running:
            self.slots.free(subject)

    def settle(self, hold: Hold, used: Callable[[Bound], int | None]) -> tuple[Counter, ...]:
        """Put what was really used in the place of what was reserved; None is unknown, and stays as it was reserved.

        Returns the counters that spent more than they had leased: the disk must hear of it.
        """
        over: list[Counter] = []
        for counter, reserved in hold.taken:
            actual = used(counter.bound)
            counter.held -= reserved
            counter.spent += reserved if actual is None else actual
            if counter.room < 0:
                over.append(counter)
        self._leave(hold.running)
        return tuple(over)

    def counter(self, bound: Bound, now: float) -> Counter:
        """The counter of the window that `now` is in; a clock that was set back a little stays in the later window."""
        key = (bound.subject, bound.what, bound.per)
        found = self._counters.get(key)
        if found is None or left(found.start, found.end, now):
            found = self._counters[key] = Counter(bound, *window(bound.per, now))
        elif found.bound is not bound and found.bound != bound:  # the limit was changed in the middle of a window
            found.left, found.bound, found.asked = found.left + bound.limit - found.bound.limit, bound, float("-inf")
        return found

    def counters(self) -> Iterable[Counter]:
        return self._counters.values()


def headers(hold: Hold, now: float) -> list[tuple[bytes, bytes]]:
    """`x-ratelimit-*` as OpenAI sends them, of the window that is nearest to its end for each of requests and tokens.

    Source of the names: https://platform.openai.com/docs/guides/rate-limits. Money is ours: `x-trimtab-remaining-usd`.
    """
    found: list[tuple[bytes, bytes]] = []
    nearest: dict[str, tuple[int, Counter]] = {}
    for counter, _ in hold.taken:
        left, what = counter.remaining, counter.bound.what
        if what not in nearest or left < nearest[what][0]:
            nearest[what] = (left, counter)
    for what, (left, counter) in nearest.items():
        if what == "nano":
            found.append((b"x-trimtab-remaining-usd", b"%d.%09d" % divmod(left, 1_000_000_000)))
        else:
            found += _lines(counter.bound, left, counter.end - now)
    return found


def denial(denied: Denied, now: float) -> list[tuple[bytes, bytes]]:
    """The same of the bound that said no."""
    if denied.bound.what in ("requests", "tokens"):
        return _lines(denied.bound, denied.remaining, denied.end - now)
    return []


NAMES = {
    what: tuple(f"x-ratelimit-{part}-{what}".encode() for part in ("limit", "remaining", "reset"))
    for what in ("requests", "tokens")
}


def _lines(bound: Bound, remaining: int, seconds: float) -> list[tuple[bytes, bytes]]:
    most, left, reset = NAMES[bound.what]
    return [(most, b"%d" % bound.limit), (left, b"%d" % remaining), (reset, span(seconds).encode())]


def span(seconds: float) -> str:
    """A time as OpenAI writes it: `20ms`, `1s`, `6m0s`, `2h30m0s`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))}ms"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s" if minutes else f"{rest}s"
