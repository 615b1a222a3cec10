"""The policies that keep an upstream up, as state machines against plain models of what they promise."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from trimtab.answer._breaker import Breaker, Fuse
from trimtab.answer._hedge import Hedges, Quantile
from trimtab.answer._limits import Limit
from trimtab.answer._replicas import Replica, choose, outlier, prefix, rank
from trimtab.answer._retries import Budget, Retries
from trimtab.errors import UpstreamDownError, UpstreamError, UpstreamTimeoutError

FUSE = Fuse(calls=6, seconds=10.0, streak=3, fewest=4, rate=0.5, rest=2.0, longest=8.0)


class Breaking(RuleBasedStateMachine):
    """One probe at a time while half-open, none while open, and what ended late changes nothing."""

    def __init__(self):
        super().__init__()
        self.now, self.breaker = 0.0, Breaker(FUSE)
        self.running, self.late, self.recent, self.rest = [], [], [], FUSE.rest
        self.opened, self.probes = None, 0

    @rule(seconds=st.floats(0.0, 4.0))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def begins(self):
        if self.breaker.allows(self.now):
            probe = self.opened is not None
            self.probes += probe
            self.running.append((self.breaker.begin(self.now), probe))

    @precondition(lambda self: self.running)
    @rule(ok=st.sampled_from([True, False, None]), which=st.integers(0, 99))
    def ends(self, ok, which):
        ticket, probe = self.running.pop(which % len(self.running))
        self.breaker.ended(ticket, ok, self.now)
        if probe:
            self.probes -= 1
            self._probe_ended(ok)
        elif self.opened is None and ok is not None:
            self._call_ended(ok)

    @precondition(lambda self: self.late)
    @rule(ok=st.booleans())
    def ends_late(self, ok):
        before = self.breaker.state(self.now), self.breaker.wait(self.now), self.breaker.allows(self.now)
        self.breaker.ended(self.late.pop(), ok, self.now)
        assert before == (self.breaker.state(self.now), self.breaker.wait(self.now), self.breaker.allows(self.now))

    @invariant()
    def it_is_as_the_model_says(self):
        if self.opened is None:
            assert (self.breaker.state(self.now), self.breaker.wait(self.now)) == ("closed", 0.0)
            assert self.breaker.allows(self.now)
        elif self.now < self.opened + self.rest:
            assert self.breaker.state(self.now) == "open"
            assert not self.breaker.allows(self.now)
            assert 0 < self.breaker.wait(self.now) <= FUSE.longest + 1e-9, "but for rounding"
        else:
            assert self.breaker.state(self.now) == "half_open"
            assert self.breaker.allows(self.now) == (self.probes == 0)
        assert self.probes <= 1

    def _call_ended(self, ok):
        self.recent.append((self.now, ok))
        if ok:
            return
        kept = [said for at, said in self.recent[-FUSE.calls :] if at >= self.now - FUSE.seconds]
        streak = next((i for i, said in enumerate(reversed(kept)) if said), len(kept))
        failed = kept.count(False)
        if streak >= FUSE.streak or (len(kept) >= FUSE.fewest and failed >= len(kept) * FUSE.rate):
            self._opens(FUSE.rest)

    def _probe_ended(self, ok):
        if ok:
            self.opened, self.rest = None, FUSE.rest
            self._forgets()
        elif ok is False:
            self._opens(min(self.rest * 2, FUSE.longest))

    def _opens(self, rest):
        self.opened, self.rest = self.now, rest
        self._forgets()

    def _forgets(self):
        self.recent.clear()
        self.late += [ticket for ticket, _ in self.running]
        self.running.clear()


class Limiting(RuleBasedStateMachine):
    """The limit stays within its bounds, and one overload cuts it once."""

    @initialize(most=st.integers(1, 40))
    def starts(self, most):
        self.limit, self.running = Limit(most), []

    @rule()
    def begins(self):
        if self.limit.room:
            self.running.append((self.limit.begin(), self.limit.limit))

    @precondition(lambda self: self.running)
    @rule(busy=st.sampled_from([True, False, None]), which=st.integers(0, 99))
    def ends(self, busy, which):
        ticket, _ = self.running.pop(which % len(self.running))
        before = self.limit.limit
        self.limit.ended(ticket, busy)
        if busy:
            assert self.limit.limit <= before
            for late, _ in self.running:
                cut = self.limit.limit
                outstanding = self.limit.outstanding
                self.limit.ended(late, True)
                assert self.limit.limit == cut or late != ticket, "one overload cuts once"
                self.limit.outstanding = outstanding
        else:
            assert before <= self.limit.limit <= before + 1

    @invariant()
    def bounds(self):
        assert self.limit.least <= self.limit.limit <= self.limit.most
        assert self.limit.outstanding == len(self.running)
        assert self.running or self.limit.room, "an idle upstream takes a call"


class Choosing(RuleBasedStateMachine):
    """There is a replica for every call as long as one breaker lets it pass and has room: the last is never ejected."""

    @initialize(count=st.integers(1, 4), seed=st.integers(0, 99))
    def starts(self, count, seed):
        self.now, self.random = 0.0, Random(seed)
        self.replicas = [Replica(f"r{i}", None, 1.0 + i, FUSE, 3) for i in range(count)]
        self.running = []

    @rule(seconds=st.floats(0.0, 20.0))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(start=st.none() | st.binary(max_size=3))
    def calls(self, start):
        chosen = choose(self.replicas, (), start, self.now, self.random)
        closed = [one for one in self.replicas if one.breaker.allows(self.now)]
        well = [one for one in closed if one.well(self.now)] or closed
        if chosen is None:
            assert not any(one.limit.room for one in well)
        else:
            assert chosen in well
            assert chosen.limit.room
            self.running.append((chosen, chosen.begin(self.now)))

    @precondition(lambda self: self.running)
    @rule(ok=st.sampled_from([True, False, None]), which=st.integers(0, 99))
    def ends(self, ok, which):
        replica, ticket = self.running.pop(which % len(self.running))
        replica.ended(ticket, ok, None if ok is None else not ok, self.now)
        if ok is False and outlier(replica, self.replicas, self.now):
            well = [one for one in self.replicas if one.well(self.now) and one.breaker.allows(self.now)]
            replica.eject(self.now)
            assert [one for one in well if one is not replica], "the last one is never ejected"

    @rule(which=st.integers(0, 3), seconds=st.floats(0.0, 30.0))
    def rests(self, which, seconds):
        self.replicas[which % len(self.replicas)].rests_until = self.now + seconds


TestBreaker, TestLimit, TestChoice = Breaking.TestCase, Limiting.TestCase, Choosing.TestCase
for case in (TestBreaker, TestLimit, TestChoice):
    case.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


@given(st.lists(st.booleans(), max_size=400), st.sampled_from([0.05, 0.2]), st.sampled_from([0.0, 10.0]))
def test_retries_stay_within_their_share(calls, share, reserve):
    budget, taken = Budget(share, reserve or 5.0), 0
    if not reserve:
        while budget.take():
            pass
    for earned, failed in enumerate(calls, 1):
        budget.earn()
        taken += failed and budget.take()
        assert taken <= share * earned + reserve + 1e-6


@given(st.lists(st.booleans(), max_size=400))
def test_hedges_are_a_few_of_the_calls(late):
    hedges, taken = Hedges(), 0
    for number, slow in enumerate(late, 1):
        assert hedges.delay(True) is None
        taken += slow and hedges.take()
        assert taken <= 0.05 * number + 1e-6


@given(st.lists(st.floats(0.0, 100.0), max_size=300))
def test_a_quantile_is_that_of_the_last_values(values):
    kept = Quantile(0.95, size=40, fewest=10)
    for number, value in enumerate(values, 1):
        kept.add(value)
        last = sorted(values[max(0, number - 40) : number])
        assert kept.value == (last[int(0.95 * len(last))] if len(last) >= 10 else None)


def failed(kind=UpstreamError, status=None, **more):
    error = kind("It failed.", **more)
    error.status = status
    return error


@given(st.integers(1, 5), st.floats(0.0, 600.0), st.integers(0, 99), st.sampled_from([None, 0.3, 1.0, 7.0]))
def test_a_wait_leaves_half_of_the_time_and_keeps_what_the_server_asks(tries, left, seed, after):
    policy = Retries(most=3)
    wait = policy.wait(failed(status=503, retry_after=after), tries, left, False, Random(seed))
    if tries > 3 or (after or 0) > policy.patience:
        assert wait is None
    if wait is not None:
        assert (after or 0) <= wait <= left / 2
        assert wait - (after or 0) <= min(policy.cap, policy.base * 2 ** (tries - 1)) + 1e-9


@pytest.mark.parametrize(
    ("error", "same", "elsewhere"),
    [
        (failed(UpstreamDownError), True, True), (failed(UpstreamTimeoutError), True, True),
        (failed(status=502), True, True), (failed(status=503), True, True), (failed(status=504), True, True),
        (failed(status=429, retry_after=0.1), True, True), (failed(status=429), False, True),
        (failed(status=429, retry_after=60), False, True), (failed(status=500), False, True),
        (failed(status=401), False, True), (failed(code="upstream_cut"), False, True),
    ],
)  # fmt: skip
def test_who_is_asked_again(error, same, elsewhere):
    policy = Retries()
    assert (policy.wait(error, 1, 100, False, Random(0)) is not None) is same
    assert (policy.wait(error, 1, 100, True, Random(0)) is not None) is elsewhere
    assert policy.wait(error, 2, 100, True, Random(0)) is None


@given(st.lists(st.text(min_size=1), min_size=1, max_size=60, unique=True), st.integers(0, 3))
def test_a_lost_replica_moves_its_own_conversations_alone(starts, lost):
    replicas = [Replica(f"r{i}", None, 1.0, FUSE, 100) for i in range(4)]

    def best(among, start):
        return max(among, key=lambda replica: rank(replica, start))

    for text in starts:
        start = prefix([{"role": "system", "content": "s"}, {"role": "user", "content": text}])
        before = best(replicas, start)
        after = best([one for one in replicas if one is not replicas[lost]], start)
        assert before is replicas[lost] or after is before


def test_weights_are_kept():
    replicas = [Replica("a", None, 1.0, FUSE, 100), Replica("b", None, 3.0, FUSE, 100)]
    starts = [f"{i}".encode() for i in range(2000)]
    share = sum(max(replicas, key=lambda one: rank(one, start)) is replicas[1] for start in starts) / len(starts)
    assert 0.7 < share < 0.8


def test_a_conversation_begins_the_same_at_every_turn():
    first = [{"role": "system", "content": "s"}, {"role": "user", "content": "a"}]
    later = [*first, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    assert prefix(first) == prefix(later) != prefix([{"role": "user", "content": "a"}])
    assert prefix([{"role": "user", "content": "\ud800"}]) == b""
    assert prefix([]) == b"[]"
