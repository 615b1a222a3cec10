"""Replicas, breakers, retries, hedges and queues around a rung, against mock peers over real sockets."""

import asyncio
from random import Random

import aiohttp
import pytest

from trimtab import flow, load, testing
from trimtab.answer import openai_http
from trimtab.answer._breaker import Breaker, Fuse
from trimtab.answer._limits import Limit
from trimtab.answer._queue import Full, Queue
from trimtab.answer._replicas import Replica, choose
from trimtab.answer._upstream import places
from trimtab.errors import ConfigError, UpstreamDownError, UpstreamError
from trimtab.evaluate import mock
from trimtab.testing import Hears, ask
from trimtab.types import Evidence, Usage

NOBODY = "http://127.0.0.1:9/v1"


@pytest.fixture
async def peers():
    async with mock.serving() as one, mock.serving() as two:
        yield one, two


@pytest.fixture
async def rung(tmp_path):
    """Builds rungs of which each call says what it wants of the mock, and closes them."""
    closing = []

    def build(*urls, secret=None, **options):
        first, *others = urls
        given = {"replicas": tuple(openai_http.Place(url=url) for url in others), "sticky": False, **options}
        tools = testing.tools(tmp_path, name="large", closing=closing.append, secret=(secret or {}).get)
        made = openai_http.build(openai_http.Options(url=first, model="up", **given), tools)
        made._random.seed(7)
        return made

    yield build
    for close in closing:
        await close()


async def seen(peer):
    async with aiohttp.ClientSession() as session, session.get(peer.removesuffix("/v1") + "/mock/calls") as response:
        return await response.json()


def call(rung, text="Hello you there", live=False, sink=None, **params):
    return rung.answer(ask(text, params=params), Evidence(), sink or Hears(live=live))


async def fails(rung, times, **script):
    for _ in range(times):
        with pytest.raises(UpstreamError):
            await call(rung, mock=script)


@pytest.mark.parametrize("fault", ["rate_limit", "error", "reset", "error_body", None])
async def test_another_replica_takes_what_one_refuses(rung, peers, fault):
    async with mock.serving(mock.Options(fault=fault or "")) as broken:
        one = rung(broken if fault else NOBODY, peers[0])
        for _ in range(4):
            assert (await call(one)).text == "Hello you there"
        assert one.replicas[1].calls == 4
        assert one.replicas[0].calls < 4 or fault == "error_body"


async def test_a_key_that_is_used_up_is_left_alone_for_another(rung, peers):
    options = {"key_env": "A", "replicas": (openai_http.Place(key_env="B"),), "secret": {"A": "a", "B": "b"}}
    one = rung(peers[0], **options)
    first, second = one.replicas
    await call(one, mock={"fault": "rate_limit", "retry_after": 20, "times": 1})
    resting = first if first.rests_until > second.rests_until else second
    before = resting.calls
    for _ in range(6):
        await call(one)
    assert resting.calls == before
    with pytest.raises(ConfigError, match="variable B, which is not set"):
        rung(peers[0], **{**options, "secret": {"A": "a"}})


async def test_a_short_retry_after_is_waited_for_and_a_long_one_is_not(rung, peers):
    script = {"fault": "rate_limit", "times": 1}
    assert (await call(rung(peers[0]), mock={**script, "retry_after": 0.2})).text
    assert (await seen(peers[0]))["requests"] == 2
    with pytest.raises(UpstreamError) as caught:
        await call(rung(peers[0]), mock={**script, "retry_after": 30, "key": "long"})
    assert (caught.value.code, caught.value.retry_after) == ("upstream_rate_limited", 30)
    assert (await seen(peers[0]))["requests"] == 3


async def test_retries_end_with_their_budget(rung, peers):
    one = rung(peers[0])
    one.replicas[0].breaker = Breaker(Fuse(streak=1000, rate=2.0))
    await fails(one, 40, fault="error", status=503)
    assert 40 + 10 <= one.calls <= 40 * 1.2 + 10
    assert (await seen(peers[0]))["requests"] == one.calls


@pytest.mark.parametrize("live", [False, True])
async def test_nothing_is_asked_again_once_a_byte_came(rung, peers, live):
    for fault in ("cut", "garbage", "empty"):
        one = rung(*peers)
        with pytest.raises(UpstreamError):
            await call(one, live=live, mock={"fault": fault})
        assert one.calls == 1, fault


async def test_a_breaker_opens_and_one_probe_closes_it(rung, peers):
    one = rung(peers[0])
    await fails(one, 5, fault="error", status=500)
    sent = one.calls
    with pytest.raises(UpstreamDownError, match="left alone") as caught:
        await call(one)
    assert (caught.value.code, one.calls) == ("circuit_open", sent)
    assert 0 < caught.value.retry_after <= 5
    breaker = one.replicas[0].breaker
    breaker._opened -= 5
    slow = [asyncio.ensure_future(call(one, mock={"latency": 0.2})) for _ in range(5)]
    said = await asyncio.gather(*slow, return_exceptions=True)
    assert sorted(getattr(each, "code", "answer") for each in said) == ["answer", *["circuit_open"] * 4]
    assert (await call(one)).text
    assert one.calls == sent + 2


async def test_what_the_client_got_wrong_or_gave_up_opens_nothing(rung, peers):
    one = rung(peers[0])
    for _ in range(12):
        with pytest.raises(Exception, match="asked to fail"):
            await call(one, mock={"fault": "error", "status": 400})
        with pytest.raises(UpstreamError):
            await call(one, mock={"fault": "empty"})
        task = asyncio.ensure_future(call(one, mock={"fault": "stall"}))
        await asyncio.sleep(0.01)
        task.cancel()
    assert one.replicas[0].breaker.state(asyncio.get_running_loop().time()) == "closed"
    assert one.replicas[0].limit.outstanding <= 1


async def test_one_of_three_that_fails_is_ejected_and_the_last_never(rung, peers):
    one = rung(NOBODY, *peers, retries=2)
    for _ in range(40):
        assert (await call(one)).text
    assert one.replicas[0].calls < 10, "it was found out"
    last = rung(NOBODY, NOBODY)
    await fails(last, 3)
    now = asyncio.get_running_loop().time()
    assert any(replica.well(now) for replica in last.replicas)


async def test_a_conversation_stays_where_it_is_until_that_replica_fails(rung, peers):
    one = rung(*peers, sticky=True)
    for _ in range(6):
        await call(one, "the same beginning")
    counts = [replica.calls for replica in one.replicas]
    assert sorted(counts) == [0, 6]
    home = one.replicas[counts.index(6)]
    home.eject(asyncio.get_running_loop().time())
    await call(one, "the same beginning")
    assert home.calls == 6
    for number in range(30):
        await call(one, f"beginning {number}")
    home.out_until = 0
    for number in range(30):
        await call(one, f"beginning {number}")
    assert 40 > home.calls > 10, "other conversations are spread"


async def test_a_busy_home_sends_a_call_elsewhere(rung, peers):
    one = rung(*peers, sticky=True)
    slow = [asyncio.ensure_future(call(one, "the same", mock={"latency": 0.3})) for _ in range(12)]
    await asyncio.gather(*slow)
    assert min(replica.calls for replica in one.replicas) >= 3


async def test_a_late_first_token_is_hedged_and_both_are_paid(rung, peers):
    one = rung(*peers, hedge=True, retries=0)
    slow, fast = one.replicas
    fast.limit.outstanding += 1  # the first call goes to the slow one
    for _ in range(30):
        one._hedges.began(True, 0.02)
        one._hedges.began(False, 0.02)
        one._hedges.delay(True)
    for live in (True, False):
        one._hedges._tokens = 1.0
        sink = Hears(live=live)
        script = {"latency": 2.0, "times": 1} if live else {"latency": 2.0}
        slow.model = Late(slow.model, 2.0) if live else slow.model
        before = slow.calls, fast.calls
        answer = await call(one, sink=sink, live=live, mock={})
        assert answer.text == "Hello you there", script
        assert (slow.calls, fast.calls) == (before[0] + 1, before[1] + 1)
        assert answer.usage == sink.usage == Usage(prompt=3, completion=3), "the answer's own, as its server counted"
        (lost,) = sink.gone
        assert lost.estimated
        assert lost.prompt > 3, "the loser read its prompt too"
        assert not live or sink.text == "Hello you there"
    assert slow.limit.outstanding == 0
    assert slow.breaker.state(asyncio.get_running_loop().time()) == "closed"


async def test_what_a_losing_hedge_spent_is_a_step_of_its_own(rung, peers):
    one = rung(*peers, hedge=True, retries=0)
    one.replicas[1].limit.outstanding += 1  # the first call goes to the one that is late
    one.replicas[0].model = Late(one.replicas[0].model, 5.0)
    for _ in range(30):
        one._hedges.began(False, 0.01)
        one._hedges.delay(False)
    outcome, trace = await flow.run(testing.desk({"large": one}), ask("Hello you there"))
    lost, won = [step for step in trace.steps if step.stage == "answer"]
    assert (lost.code, lost.by, lost.usage.completion, won.code, won.by) == ("hedge_lost", "large", 0, "", "large")
    assert outcome.usage == won.usage == trace.usage == Usage(prompt=3, completion=3)
    assert lost.cost == 1000 * lost.usage.prompt > 0
    assert trace.cost == lost.cost + won.cost
    assert won.at <= lost.at


class Late:
    """A rung that begins late: it tells its cost first, as one that has sent its request does."""

    def __init__(self, inner, seconds):
        self.inner, self.seconds = inner, seconds

    async def answer(self, request, evidence, sink):
        sink.spent(Usage(prompt=4, estimated=True))
        await asyncio.sleep(self.seconds)
        return await self.inner.answer(request, evidence, sink)

    async def close(self):
        await self.inner.close()


async def test_hedges_are_few_and_none_comes_after_a_token(rung, peers):
    one = rung(*peers, hedge=True)
    one._hedges._kept = {True: Always(5.0)}
    one._hedges._tokens = 5.0
    assert (await call(one, "one two three", live=True, mock={"rate": 50})).text
    assert one.calls == 1, "the first token is in time, however long the others take"
    one._hedges._kept = {True: Always(0.01)}
    one._hedges._tokens = 0.0
    for _ in range(45):
        await call(one, live=True, mock={"latency": 0.03})
    assert 46 < one.calls <= 46 + 45 * 0.05


class Always:
    """A quantile that knows."""

    def __init__(self, value):
        self.value = value

    def add(self, value):
        pass


async def test_a_cancelled_hedge_leaves_nothing_behind(rung, peers):
    one = rung(*peers, hedge=True)
    for _ in range(30):
        one._hedges.began(True, 0.01)
    one._hedges._tokens = 1.0
    task = asyncio.ensure_future(call(one, live=True, mock={"fault": "stall"}))
    while one.calls < 2:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [replica.limit.outstanding for replica in one.replicas] == [0, 0]


def test_a_hedge_needs_somewhere_to_go(rung, peers):
    with pytest.raises(ConfigError, match="second replica"):
        rung(peers[0], hedge=True)
    with pytest.raises(ConfigError, match="above 0"):
        rung(peers[0], replicas=(openai_http.Place(weight=0.0),))


async def test_one_that_says_it_has_too_much_gets_less_and_what_does_not_fit_is_shed(rung, peers):
    one = rung(peers[0], pool=2, queue=1)
    slow = [asyncio.ensure_future(call(one, mock={"latency": 0.3})) for _ in range(3)]
    while not len(one._queue):
        await asyncio.sleep(0)
    with pytest.raises(UpstreamDownError, match="as many calls as it bears") as caught:
        await call(one)
    assert (caught.value.code, caught.value.retry_after) == ("overloaded", 1.0)
    assert [answer.text for answer in await asyncio.gather(*slow)] == ["Hello you there"] * 3
    assert one.replicas[0].limit.outstanding == len(one._queue) == 0
    many = rung(peers[0], pool=8)
    bursts = [call(many, mock={"fault": "rate_limit", "retry_after": 30, "latency": 0.05}) for _ in range(8)]
    await asyncio.gather(*bursts, return_exceptions=True)
    assert many.replicas[0].limit.limit == pytest.approx(8 * 0.7)


async def test_a_queue_serves_the_highest_priority_first_and_sheds_the_lowest():
    queue, served = Queue(3), []

    async def waits(name, priority):
        try:
            await queue.wait(priority)
            served.append(name)
        except Full:
            served.append(f"{name} shed")

    tasks = [asyncio.ensure_future(waits(name, priority)) for name, priority in (("a", 0), ("b", 1), ("c", 0))]
    await asyncio.sleep(0)
    tasks += [asyncio.ensure_future(waits("d", 2)), asyncio.ensure_future(waits("e", 0))]
    await asyncio.sleep(0)
    assert (served, len(queue)) == (["e shed"], 3) or served == []
    await asyncio.sleep(0)
    assert sorted(served) == ["c shed", "e shed"]
    tasks[1].cancel()  # b, which waits no more
    await asyncio.sleep(0)
    for _ in range(3):
        queue.wake()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert served[2:] == ["d", "a"]
    assert len(queue) == 0
    with pytest.raises(Full):
        await queue.wait(0, 0.01)
    assert len(queue) == 0


async def test_a_turn_of_one_that_went_away_goes_to_the_next():
    queue = Queue(5)
    first, second = (asyncio.ensure_future(queue.wait()) for _ in range(2))
    await asyncio.sleep(0)
    queue.wake()
    first.cancel()
    await asyncio.wait({first, second}, timeout=1)
    assert (first.cancelled(), second.done(), len(queue)) == (True, True, 0)


async def test_the_policies_print_themselves(rung, peers):
    said = str(rung(*peers, hedge=True))
    for part in ("large: ", "127.0.0.1:", "0 of 0 failed", "0 of 256 at a time", "breaker: opens at 5", "retries: 1",
                 "at most 20%", "of 1024 waiting", "hedging: at the 95th"):  # fmt: skip
        assert part in said
    assert "large" not in str(Limit(3))


def test_a_recipe_says_where_the_replicas_are():
    table = {
        "url": "http://a/v1", "model": "m", "key_env": "A", "sticky": False,
        "replicas": [{"url": "http://b/v1", "weight": 2.0}, {"key_env": "C"}],
    }  # fmt: skip
    given = load.options("answer", "openai_http", table)
    assert [(place.url, place.key_env) for place in places(given)] == [
        ("http://a/v1", "A"), ("http://b/v1", "A"), ("http://a/v1", "C"),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="replicas"):
        load.options("answer", "openai_http", {**table, "replicas": [{"uri": "http://b/v1"}]})


def test_local_only_where_all_replicas_are():
    inside = openai_http.Options(url="http://127.0.0.1:1/v1", model="m")
    assert openai_http.spec(inside).where == "local"
    far = openai_http.Options(
        url="http://127.0.0.1:1/v1", model="m", replicas=(openai_http.Place(url="https://api.openai.com/v1"),)
    )
    assert openai_http.spec(far).where == "remote"


def test_two_choices_prefer_the_less_busy():
    replicas = [Replica(f"r{i}", None, 1.0, Fuse(), 100) for i in range(3)]
    replicas[0].limit.outstanding = 50
    picks = [choose(replicas, (), None, 0.0, Random(i)) for i in range(60)]
    assert replicas[0] not in picks
