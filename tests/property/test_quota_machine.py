"""The quota as a state machine: in whatever order requests, ends and crashes come, nobody gets more than there is.

The disk is a dictionary; two processes share it. What is asked of the machine: what was really used in a window is
never over its limit while no request uses more than it reserved, the disk never says less than was used, and a lone
process that has lost nothing refuses only what would not fit.
"""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from trimtab.server.quota import Bound, Denied, Hold, Quota, Short
from trimtab.store.windows import window

START = 1_767_225_600.0
MONEY = Bound("key:a", "nano", 1000, "day")
BOUNDS = (MONEY, Bound("key:a", "requests", 40, "hour"), Bound("all", "tokens", 5000, "minute"))


class Budgets(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        self.now = START
        self.disk: dict[Any, int] = {}
        self.used: dict[Any, int] = {}
        self.processes = [Quota(), Quota()]
        self.over = False
        self.alone = True

    def slot(self, bound: Bound, start: int) -> Any:
        return bound.subject, bound.what, bound.per, start

    def lease(self, wanted: Any) -> None:
        """What `admission` does in one transaction."""
        for counter, need in wanted:
            slot = self.slot(counter.bound, counter.start)
            taken = self.disk.get(slot, 0)
            got = counter.wants(need, taken)
            self.disk[slot] = taken + got
            counter.leases(got, taken, self.now)

    @rule(target=holds, which=st.integers(0, 1), nano=st.integers(0, 400), tokens=st.integers(0, 900))
    def reserve(self, which: int, nano: int, tokens: int) -> Any:
        quota, amounts = self.processes[which], {"requests": 1, "nano": nano, "tokens": tokens}
        self.alone = self.alone and which == 0
        rounds = 0
        while isinstance(found := quota.reserve(BOUNDS, amounts, self.now), Short):
            self.lease(found.wanted)
            rounds += 1
            assert rounds < 4
        if isinstance(found, Denied):
            if self.alone:  # no other process has a lease: a refusal is only right where it does not fit
                counter = quota.counter(found.bound, self.now)
                assert counter.spent + counter.held + found.need > found.bound.limit
            return None
        return (which, quota, found, amounts)

    @rule(one=consumes(holds), part=st.sampled_from([0, 25, 100, None]))
    def settle(self, one: Any, part: int | None) -> None:
        self.end(one, part)

    @rule(one=consumes(holds))
    def settle_with_more_than_was_reserved(self, one: Any) -> None:
        self.over = self.over or one is not None
        self.end(one, 150)

    def end(self, one: Any, part: int | None) -> None:
        if one is None or one[1] is not self.processes[one[0]]:
            return  # its process crashed: nothing came back from the model
        _, quota, hold, amounts = one
        actual = {what: None if part is None else amount * part // 100 for what, amount in amounts.items()}
        over = quota.settle(hold, lambda bound: actual[bound.what])
        for counter, reserved in hold.taken:
            slot, used = self.slot(counter.bound, counter.start), actual[counter.bound.what]
            self.used[slot] = self.used.get(slot, 0) + (reserved if used is None else used)
        self.lease([(counter, 0) for counter in over])

    @rule(seconds=st.sampled_from([2, 61, 3700, 200_000]))
    def set_back(self, seconds: float) -> None:
        self.now -= seconds
        self.alone = False  # a window that is come back to has leases that nobody has any more

    @rule(seconds=st.sampled_from([0.5, 2, 61, 3700, 90_000]))
    def later(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.integers(0, 1))
    def crash(self, which: int) -> None:
        """What was held is lost with the process; the disk keeps what it had leased."""
        self.processes[which] = Quota()
        self.alone = False

    @rule(which=st.integers(0, 1))
    def give_back(self, which: int) -> None:
        for counter in self.processes[which].counters():
            if counter.room > 0:
                self.disk[self.slot(counter.bound, counter.start)] -= counter.room
                counter.gave(counter.room)

    @invariant()
    def never_more_than_there_is(self) -> None:
        for slot, used in self.used.items():
            limit = next(bound.limit for bound in BOUNDS if (bound.subject, bound.what, bound.per) == slot[:3])
            assert self.over or used <= limit
            assert self.disk.get(slot, 0) >= used
            assert self.over or self.disk.get(slot, 0) <= limit

    @invariant()
    def nothing_is_held_below_zero(self) -> None:
        for quota in self.processes:
            for counter in quota.counters():
                assert counter.held >= 0
                assert counter.room >= 0


Budgets.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestBudgets = Budgets.TestCase


def test_the_control_a_quota_that_forgets_what_is_held_is_caught() -> None:
    """The machine's own check: without holds, requests that race take more than there is."""
    quota, found = Quota(), []
    for _ in range(5):
        while isinstance(hold := quota.reserve((MONEY,), {"nano": 300}, START), Short):
            for counter, need in hold.wanted:
                counter.leases(counter.wants(need, counter.leased), counter.leased, START)
        if isinstance(hold, Hold):
            found.append(hold)
            quota.counter(MONEY, START).held = 0
    assert len(found) * 300 > MONEY.limit


def test_windows_are_those_of_the_calendar() -> None:
    from hypothesis import given

    @given(st.floats(0, 4e9), st.sampled_from(["minute", "hour", "day", "month"]))
    def check(now: float, per: Any) -> None:
        start, end = window(per, now)
        assert start <= now < end
        assert window(per, end)[0] == end
        assert window(per, end - 1) == (start, end)

    check()
