"""A money ceiling that is held by giving way: simulated hours of requests down the path, and what the purse says."""

import asyncio
import random
from decimal import Decimal

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from trimtab import flow, settings, testing
from trimtab.errors import ConfigError
from trimtab.odds.thresholds import Thresholds
from trimtab.route import _paced, _purse
from trimtab.settings import Pace
from trimtab.types import FREE, Answer, Decision, ModelSpec, Price, Signal, Usage, Wishes
from trimtab.verify import confidence
from trimtab.wiring import open_system

HOUR = 3600.0
PRICE = Price(input=Decimal(0), output=Decimal(10))
THRESHOLD = 0.6


class Clock:
    now = 1000 * HOUR

    def __call__(self):
        return self.now


class Draws:
    """A model that is as sure, and as long, as the dice say."""

    def __init__(self, name, dice):
        self.name, self.dice = name, dice

    async def answer(self, request, evidence, sink):
        await asyncio.sleep(0)
        usage = Usage(prompt=10, completion=self.dice.randint(40, 256))
        return Answer(text="Yes.", model=self.name, usage=usage, confidence=self.dice.random())


def house(store, clock, pace, price=FREE):
    """A desk with one ceiling, its pacer, and the traces."""
    dice, kept, moves = random.Random(5), testing.Keeps(), Thresholds()
    pacer = _paced.Pacer(pace, lambda: store, clock)
    moves.add(pacer.moved)
    judge = confidence.build(
        confidence.Options(threshold=THRESHOLD), testing.tools(store.path.parent, thresholds=moves)
    )
    specs = {
        "small": ModelSpec(name="small", abilities=frozenset({"chat"}), price=price),
        "large": ModelSpec(name="large", abilities=frozenset({"chat"}), price=PRICE),
    }
    models = {name: Draws(name, dice) for name in specs}
    desk = testing.desk(models, specs=specs, verifiers=(testing.seat(judge),))
    paced = _paced.Paced(desk.router, (pacer,))
    return msgspec.structs.replace(desk, router=paced, recorders=(kept, paced)), pacer, kept


async def hour(desk, clock, arrivals, **changes):
    """Requests at these seconds of the hour; those of one second together. What was spent after each."""
    begin, spent = clock.now, []
    for second in sorted(set(arrivals)):
        clock.now = begin + second
        asked = [testing.ask("Why?", id=f"tr_{second}_{at}", **changes) for at in range(arrivals.count(second))]
        done = await asyncio.gather(*(flow.run(desk, one) for one in asked))
        spent += [(second, trace.cost, trace.answered_by) for _, trace in done]
        await asyncio.sleep(0)
    return spent


BURSTY = [at for at in range(0, 3600, 120) for _ in range(60)]  # sixty at once every two minutes
EARLY = [at // 4 for at in range(1200)] + list(range(300, 3600, 10))  # two thirds in the first twelfth
STEADY = [at * 2 for at in range(1800)]


@pytest.mark.parametrize("arrivals", [BURSTY, EARLY, STEADY], ids=["bursty", "early", "steady"])
@pytest.mark.parametrize("price", [FREE, Price(input=Decimal(0), output=Decimal("0.2"))], ids=["free", "priced"])
async def test_a_ceiling_is_held_and_not_spent_in_the_first_tenth(store, arrivals, price):
    clock = Clock()
    budget = len(arrivals) * 150 * 10_000 // 5  # a fifth of what all at the large model would cost
    pace = Pace(small="small", large="large", usd=Decimal(budget) / 10**9, per="hour")
    desk, _, kept = house(store, clock, pace, price)
    spent = await hour(desk, clock, arrivals)
    whole = sum(cost for _, cost, _ in spent)
    assert whole <= budget, "never overspent"
    assert whole > (0.75 if arrivals is not EARLY else 0.3) * budget, "and not hoarded"
    first = sum(cost for second, cost, _ in spent if second < 360)
    assert first <= (0.1 + _purse.AHEAD) * budget + 1, "not all in the first tenth"
    refused = [trace for trace in kept.traces if trace.outcome != "answer"]
    assert not refused
    least = [float(step.why.rstrip(".").split()[-1]) for trace in kept.traces for step in trace.steps
             if step.stage == "verify" and trace.answered_by == "small"]  # fmt: skip
    between = [one for one in least if 0.02 < one < THRESHOLD - 0.02]
    assert len(between) > len(least) / (40 if arrivals is EARLY else 5), "it moves by steps, it is no switch"
    assert max(least) <= THRESHOLD


async def test_without_the_ceiling_the_same_requests_cost_more(store):
    """The control: three times the budget is what they would take."""
    clock = Clock()
    desk, _, _ = house(store, clock, Pace(small="small", large="large", usd=Decimal(1000), per="hour"))
    spent = await hour(desk, clock, STEADY[:600])
    large = sum(by == "large" for _, _, by in spent) / len(spent)
    assert large == pytest.approx(THRESHOLD, abs=0.06), "an ample budget changes nothing"


@pytest.mark.parametrize("more", [1, 10, 1000])
async def test_more_money_never_sends_more_than_the_threshold_to_the_large_model(store, more):
    clock = Clock()
    desk, pacer, _ = house(store, clock, Pace(small="small", large="large", usd=Decimal(more), per="hour"))
    spent = await hour(desk, clock, list(range(200)))
    assert sum(by == "large" for _, _, by in spent) / len(spent) < THRESHOLD + 0.1
    assert pacer.moved(testing.ask("?"), "small", 0.5, 0.6) <= 0.6


async def test_processes_share_a_purse_and_a_restart_forgets_nothing(store):
    clock, pace = Clock(), Pace(small="small", large="large", usd=Decimal("0.02"), per="hour")
    first, one, _ = house(store, clock, pace)
    second, two, _ = house(store, clock, pace)
    clock.now += 1800
    spent = await hour(first, clock, list(range(300)))
    await one.close()
    await two.refresh()
    assert two._purse.large == one._purse.large == sum(cost for _, cost, _ in spent)
    clock.now += 2 * HOUR
    assert (one.openness, two.openness) == (1.0, 1.0), "another window, another purse"
    await hour(second, clock, [0])


async def test_the_purse_of_a_clock_that_was_hours_ahead_is_left(store):
    clock, pace = Clock(), Pace(small="small", large="large", usd=Decimal("0.02"), per="hour")
    desk, pacer, _ = house(store, clock, pace)
    clock.now += 5 * HOUR + 1800
    await hour(desk, clock, list(range(300)))
    assert pacer._purse.large
    clock.now -= 5 * HOUR
    assert (pacer.openness, pacer._purse.large) == (1.0, 0)
    await hour(desk, clock, [0, 5])
    await pacer.close()
    assert pacer._read <= clock.now, "what others spent is read again"


async def test_a_process_that_had_nothing_to_do_knows_what_the_others_have_spent(store):
    """A burst that meets it late in the window is not paid a second time from the same purse."""
    clock, begin = Clock(), Clock.now
    budget = 300 * 150 * 10_000 // 5
    pace = Pace(small="small", large="large", usd=Decimal(budget) / 10**9, per="hour")
    busy, one, _ = house(store, clock, pace)
    idle, two, _ = house(store, clock, pace)
    await asyncio.gather(one.refresh(), two.refresh())
    spent = sum(cost for _, cost, _ in await hour(busy, clock, [at * 12 for at in range(290)]))
    await one.close()
    assert spent > 0.75 * budget
    clock.now = begin
    spent += sum(cost for _, cost, _ in await hour(idle, clock, [3500] * 200))
    assert spent <= budget


async def test_money_that_comes_back_meanwhile_leaves_no_answer_without_a_rung(store):
    """The large model was left out for want of money; what others then pay back must not raise the threshold again."""
    clock, pace = Clock(), Pace(small="small", large="large", usd=Decimal("0.1"), per="hour")
    desk, pacer, _ = house(store, clock, pace)
    await pacer.refresh()
    pacer._purse.held = 10**9
    asked = testing.ask("Why?", id="tr_short")
    decision = await desk.router.route(asked, desk.specs)
    assert decision.left_out["large"] == "paced"
    pacer._purse.held = 0
    assert pacer.openness == 1
    assert pacer.moved(asked, "small", 0.1, THRESHOLD) == 0
    assert pacer._purse.held == 0, "and nothing is set aside for a climb that cannot be"


class Drawn:
    """A router that has drawn a ladder without the small model with a chance of 0.98."""

    decision = Decision(ladder=("large",), left_out={"small": "unlikely_right"},
                        signals=(Signal(name="propensity", value=0.98), Signal(name="turns", value=1)))  # fmt: skip

    async def route(self, request, models):
        return self.decision


async def test_a_drawn_ladder_that_is_changed_no_longer_tells_its_chance(store):
    """With the odds' own draw the small model is tried in any case now: a logged 0.98 would be wrong."""
    clock, pace = Clock(), Pace(small="small", large="large", usd=Decimal(1), per="hour")
    desk, pacer, _ = house(store, clock, pace)
    router = _paced.Paced(Drawn(), (pacer,))
    decision = await router.route(testing.ask("Why?"), desk.specs)
    assert decision == Drawn.decision, "an open purse changes nothing"
    pacer._purse.held = 10**9
    decision = await router.route(testing.ask("Why?"), desk.specs)
    assert decision.ladder == ("small",)
    assert [one.name for one in decision.signals] == ["turns"]


async def test_only_the_tenant_s_requests_are_paced_and_a_pinned_model_stays(store):
    clock = Clock()
    pace = Pace(small="small", large="large", usd=Decimal("0.000001"), per="hour", principals=("team",))
    desk, _, kept = house(store, clock, pace)
    await hour(desk, clock, list(range(40)), principal="team")
    assert {trace.answered_by for trace in kept.traces} == {"small"}
    assert "paced" in kept.traces[0].decision.reasons
    assert kept.traces[0].decision.left_out["large"] == "paced"
    kept.traces.clear()
    await hour(desk, clock, list(range(50, 90)), principal="other")
    assert "large" in {trace.answered_by for trace in kept.traces}
    kept.traces.clear()
    await hour(desk, clock, [95], principal="team", wishes=Wishes(model="large"))
    assert kept.traces[0].answered_by == "large"


@given(st.integers(1, 10**12), st.floats(0, 2), st.integers(0, 10**12), st.integers(0, 10**12), st.integers(0, 10**12))
@tuned(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_purse_opens_with_money_and_time_and_closes_with_what_is_spent(budget, gone, large, rest, held):
    purse = _purse.Purse(budget=budget, start=0, end=100, large=large, rest=rest, held=held)
    now = gone * 100
    assert 0 <= purse.openness(now) <= 1
    assert purse.free(now) <= budget
    richer = msgspec.structs.replace(purse, budget=budget * 2)
    assert richer.free(now) >= purse.free(now)
    assert msgspec.structs.replace(purse, large=large + 5).openness(now) <= purse.openness(now)


@pytest.mark.parametrize(("change", "said"), [
    ({"usd": "0"}, "no amount"), ({"usd": "nan"}, "no amount"), ({"small": "nobody"}, "nobody"),
    ({"per": "week"}, "week"), ({"large": "small"}, "price of small is unknown"),
])  # fmt: skip
async def test_a_ceiling_that_cannot_be_held_is_refused(tmp_path, change, said):
    table = {
        "pace": [{"small": "small", "large": "large", "usd": "1", **change}],
        "model": [{"kind": "openai_http", "name": name, "url": "http://127.0.0.1:9/v1", "model": name}
                  | ({"price": {"input": "1", "output": "1"}} if name == "large" else {})
                  for name in ("small", "large")],
        "discover": {"environment": False, "loopback": False},
    }  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        async with open_system(settings.parse(table, folder=tmp_path, home=tmp_path, name="p", secrets={})):
            pass
