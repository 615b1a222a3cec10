"""Reservations, what they are reckoned to be, and what a client reads of them."""

from decimal import Decimal

import pytest

from trimtab.errors import ConfigError, LimitError
from trimtab.server import callers, quota, reckoning
from trimtab.server.admission import Admission, QuotaError
from trimtab.server.keys import Key
from trimtab.server.quota import Bound, Denied, Hold, Quota, Short, span
from trimtab.settings import Limit, parse
from trimtab.store.windows import window
from trimtab.types import FREE, Limits, ModelSpec, Price, Request, Step, Trace, Usage, Wishes

NOW = 1_772_000_000.0
DEAR = ModelSpec(name="dear", price=Price(input=Decimal(1), output=Decimal(10)))
CHEAP = ModelSpec(name="cheap", price=Price(input=Decimal("0.1"), output=Decimal(1)))
SPECS = {"dear": DEAR, "cheap": CHEAP, "free": ModelSpec(name="free", price=FREE)}
MONEY = (Bound("all", "nano", 1), Bound("all", "tokens", 1))


def asked(text="x" * 300, model="auto", cost=None, **params):
    return Request(
        id="tr", messages=({"role": "user", "content": text},), params=params, wishes=Wishes(model=model),
        limits=Limits(cost=cost),
    )  # fmt: skip


def test_a_month_begins_with_its_first_day():
    assert window("month", 1_772_323_199.0) == (1_769_904_000, 1_772_323_200)  # February 2026
    assert window("month", 1_798_761_599.0)[1] == 1_798_761_600  # December ends with the year


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.02, "20ms"), (1, "1s"), (59.6, "1m0s"), (360, "6m0s"), (9000, "2h30m0s"), (-1, "0ms")]
)
def test_times_as_openai_writes_them(seconds, said):
    assert span(seconds) == said


def reserved(request, specs, bounds):
    return reckoning.reckoned(request, specs, bounds, reckoning.expected(request))


def test_what_is_reserved_is_every_rung_that_may_be_climbed():
    prompt = 300 // 3 + 8
    amounts = reserved(asked(max_tokens=100), SPECS, MONEY)
    assert amounts == {"requests": 1, "tokens": prompt + 100, "nano": prompt * 1100 + 100 * 11_000}
    assert reserved(asked(max_tokens=100, model="cheap"), SPECS, MONEY)["nano"] == prompt * 100 + 100 * 1000
    assert reserved(asked(max_tokens=100, cost=5), SPECS, MONEY)["nano"] == 5
    assert reserved(asked(max_tokens=100, n=3), SPECS, MONEY)["tokens"] == prompt + 300
    assert reserved(asked(), SPECS, MONEY)["tokens"] == prompt + reckoning.COMPLETION


def test_tools_and_pictures_are_reckoned_too():
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    said = Request(id="tr", messages=({"role": "user", "content": [{"type": "text", "text": "hi"}, picture]},))
    assert reckoning.IMAGE < reckoning.expected(said).prompt < 2 * reckoning.IMAGE
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 900}}]
    assert reckoning.expected(asked(tools=tools)).prompt > reckoning.expected(asked()).prompt + 300


def trace(outcome, steps, usage=None, cost=0):
    return Trace(request=asked(), at=NOW, ms=1, outcome=outcome, steps=steps, usage=usage or Usage(), cost=cost)


def test_what_is_settled_is_what_the_trace_says():
    steps = (
        Step(stage="answer", by="cheap", ms=1, ok=False, cost=5, usage=Usage(prompt=1, completion=2)),
        Step(stage="answer", by="dear", ms=1, cost=None, usage=Usage(prompt=10, completion=20)),
    )
    used = reckoning.used(trace("answer", steps, Usage(prompt=10, completion=20), cost=None))
    assert used(Bound("all", "tokens", 1)) == 30
    assert used(Bound("all", "nano", 1)) is None  # unknown: the reservation stays
    assert used(Bound("all|cheap", "nano", 1, model="cheap")) == 5
    assert used(Bound("all|other", "requests", 1, model="other")) == 0
    failed = reckoning.used(trace("error", steps, cost=5))
    assert failed(Bound("all", "tokens", 1)) == 33


def test_a_change_of_the_limit_holds_within_the_window():
    found = Quota()
    low, high = Bound("key:a", "requests", 1, "day"), Bound("key:a", "requests", 3, "day")

    def take(bound):
        while isinstance(hold := found.reserve((bound,), {"requests": 1}, NOW), Short):
            for counter, need in hold.wanted:
                counter.leases(counter.wants(need, counter.leased), counter.leased, NOW)
        return hold

    assert isinstance(take(low), Hold)
    assert isinstance(take(low), Denied)
    assert isinstance(take(high), Hold)
    assert isinstance(take(low), Denied)


def test_a_clock_that_is_set_back_a_little_opens_no_new_window():
    found, bound = Quota(), Bound("key:a", "requests", 1, "minute")
    counter = found.counter(bound, NOW)
    assert found.counter(bound, counter.start - 59) is counter
    assert found.counter(bound, NOW + 60) is not counter


def test_who_waits_for_a_window_is_not_kept_from_it_by_a_clock_that_was_an_hour_ahead():
    found, bound = Quota(), Bound("key:a", "requests", 1, "minute")

    def reserve(now):
        while isinstance(hold := found.reserve((bound,), {"requests": 1}, now), Short):
            for counter, need in hold.wanted:
                counter.leases(counter.wants(need, counter.leased), counter.leased, now)
        return hold

    assert isinstance(reserve(NOW + 3600), Hold)
    assert isinstance(reserve(NOW), Hold)
    denied = reserve(NOW + 1)
    assert isinstance(denied, Denied)
    assert denied.end <= NOW + 60


async def test_without_a_store_the_windows_are_in_memory():
    admission = Admission(None, lambda: NOW)
    for _ in range(3):
        await admission.reserve((Bound("all", "requests", 3, "day"),), {"requests": 1})
    with pytest.raises(QuotaError, match="3 requests a day for all callers") as caught:
        await admission.reserve((Bound("all", "requests", 3, "day"),), {"requests": 1})
    assert caught.value.retry_after == window("day", NOW)[1] - NOW
    assert isinstance(caught.value, LimitError)


async def test_all_bounds_or_none():
    admission = Admission(None, lambda: NOW)
    bounds = (Bound("all", "requests", 5, "day"), Bound("key:b", "requests", 1, "day"))
    await admission.reserve(bounds, {"requests": 1})
    for _ in range(9):
        with pytest.raises(QuotaError):
            await admission.reserve(bounds, {"requests": 1})
    for _ in range(4):  # the refused ones took nothing of the first
        await admission.reserve(bounds[:1], {"requests": 1})


def test_whose_a_limit_is():
    limits = (
        Limit(key="ci", requests=1), Limit(key="*", requests=2), Limit(team="blue", requests=3), Limit(requests=4),
        Limit(team="*", model="dear", usd=Decimal(5)), Limit(key="other", requests=6),
    )  # fmt: skip
    key = Key(id="a" * 12, name="ci", team="blue", created=0, limits=(Limit(tokens=7, per="day"),))
    caller = callers.of_key(key, limits)
    assert [(bound.subject, bound.limit) for bound in caller.bounds] == [
        ("key:aaaaaaaaaaaa", 7), ("key:aaaaaaaaaaaa", 1), ("key:aaaaaaaaaaaa", 2), ("team:blue", 3), ("all", 4),
    ]  # fmt: skip
    assert caller.scoped["dear"][0].subject == "team:blue|dear"
    alone = callers.of_key(Key(id="b" * 12, name="x", created=0), limits)
    assert [bound.limit for bound in alone.bounds] == [2, 4]
    assert not alone.scoped


@pytest.mark.parametrize(
    "limit",
    [{"per": "day"}, {"requests": -1}, {"usd": "-1"}, {"usd": "NaN"}, {"requests": 1, "per": "year"}, {"rps": 1}],
)
def test_a_limit_that_is_none_is_a_clear_error(limit, tmp_path):
    with pytest.raises(ConfigError):
        callers.anyone(parse({"limit": [limit]}, folder=tmp_path, home=tmp_path, name="x", secrets={}).limits)


def test_the_headers_are_of_the_window_that_is_nearest_to_its_end():
    found, bounds = Quota(), (Bound("a", "requests", 100, "minute"), Bound("a", "requests", 5, "day"))
    while isinstance(hold := found.reserve(bounds, {"requests": 1}, NOW), Short):
        for counter, need in hold.wanted:
            counter.leases(counter.wants(need, 0), 0, NOW)
    said = dict(quota.headers(hold, NOW))
    assert said[b"x-ratelimit-limit-requests"] == b"5"
    assert said[b"x-ratelimit-remaining-requests"] == b"4"
