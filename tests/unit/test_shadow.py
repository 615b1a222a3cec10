"""Shadow audits: who is asked again, what is kept of it, and what a broken promise does, in this process and others."""

import asyncio
import math

import msgspec
import pytest
from sqlalchemy import select

from trimtab import asking, flow, grade, shadow, testing
from trimtab.errors import ConfigError
from trimtab.route import _audited, _promised, _watch
from trimtab.settings import Contract
from trimtab.store.tables import monitors, shadows
from trimtab.types import Decision, Limits, Origin, Signal, Step, Text, Trace, Wishes

PROMISE = Contract(small="small", large="large", allowed=0.1, share=1.0)


def house(store, contract=PROMISE, policy="p", **models):
    """A desk whose promise is watched, its audits, its watch, and the traces that were recorded."""
    given = {"small": testing.Says("It is 4."), "large": testing.Says("It is 5."), **models}
    kept, watch = testing.Keeps(), _watch.Watch(lambda: store, [contract], {contract.name: policy})
    verifiers = (testing.seat(testing.Judges(lambda answer: "4" in answer.text or answer.model == "large")),)
    desk = testing.desk(given, recorders=(kept,), verifiers=verifiers)
    audits = shadow.Shadows(desk, watch)
    whole = msgspec.structs.replace(desk, router=_promised.Promised(desk.router, watch), recorders=(kept, audits))
    return whole, audits, watch, kept


async def asked(desk, audits, times=1, **changes):
    """The traces of so many requests, once their audits have ended."""
    found = []
    for at in range(times):
        _, trace = await flow.run(desk, testing.ask("What is 2 + 2?", **{"id": f"tr_{at}", **changes}))
        found.append(trace)
        await audits.idle()
    return found


async def rows(store):
    return await store.read(select(shadows).order_by(shadows.c.seq))


async def test_the_other_model_is_asked_after_the_reply_and_the_pair_is_kept(store):
    desk, audits, _, kept = house(store)
    await asked(desk, audits)
    (row,) = await rows(store)
    assert (row.answered, row.how, row.small, row.large, row.share) == ("small", "reference", 0.0, 1.0, 1.0)
    first, audit = kept.traces
    assert (audit.request.principal, audit.answered_by, audit.request.wishes.cache) == ("audit", "large", False)
    assert row.cost_nano == audit.cost > 0, "what the audit cost is its own, and stands in the ledger too"
    assert (row.small_nano, row.large_nano) == (first.cost, audit.cost)
    assert msgspec.json.decode(row.tokens) == {"small": [10, 5], "large": [10, 5]}


async def test_the_client_does_not_wait_for_an_audit(store):
    gate = asyncio.Event()

    class Slow(testing.Says):
        async def answer(self, request, evidence, sink):
            await gate.wait()
            return await super().answer(request, evidence, sink)

    desk, audits, _, _ = house(store, large=Slow("It is 4."))
    _, trace = await flow.run(desk, testing.ask("What is 2 + 2?"))
    assert trace.answered_by == "small"
    assert not await rows(store)
    gate.set()
    await audits.idle()
    assert [row.how for row in await rows(store)] == ["same"]


async def test_a_large_answer_is_audited_by_the_small_model_and_no_verifier_stops_it(store):
    doubted = testing.Says("I do not know.")
    desk, audits, watch, _ = house(store, small=doubted)
    (trace,) = await asked(desk, audits)
    assert trace.answered_by == "large"
    (row,) = await rows(store)
    assert (row.answered, row.small, row.large) == ("large", 0.0, 1.0)
    assert not await store.read(select(monitors)), "what the client did not get tells nothing of what they lost"
    assert not await watch.broken()


@pytest.mark.parametrize("change", [
    {"wishes": Wishes(model="small")}, {"limits": Limits(where="local"), "local": True}, {"principal": "other"},
    {"small": testing.Says(None, tool_calls=({"id": "c"},))},
])  # fmt: skip
async def test_what_the_other_model_may_not_have_or_was_not_left_to_choose_is_not_audited(store, change):
    contract = msgspec.structs.replace(PROMISE, principals=("local",))
    desk, audits, _, kept = house(store, contract, **({"small": change.pop("small")} if "small" in change else {}))
    desk = msgspec.structs.replace(desk, verifiers=())
    if change.pop("local", False):
        away = msgspec.structs.replace(desk.specs["large"], where="remote")
        desk = msgspec.structs.replace(desk, specs={**desk.specs, "large": away})
    await asked(desk, audits, **change)
    assert not await rows(store)
    assert len(kept.traces) == 1


def test_the_share_is_drawn_by_the_id_alone():
    some = msgspec.structs.replace(PROMISE, share=0.2)
    ids = [f"tr_{at}" for at in range(5000)]
    found = [shadow.drawn(one, some) for one in ids]
    assert sum(found) / len(found) == pytest.approx(0.2, abs=0.025)
    assert found == [shadow.drawn(one, some) for one in ids]
    assert found != [shadow.drawn(one, msgspec.structs.replace(some, name="other")) for one in ids]


async def test_a_broken_promise_leaves_the_small_model_out_here_and_in_every_other_process(store):
    desk, audits, watch, _ = house(store)
    before = await asked(desk, audits, 12)
    assert before[0].answered_by == "small"
    assert await watch.broken() == {"default"}
    (after,) = await asked(desk, audits, id="tr_after")
    assert (after.answered_by, after.decision.left_out) == ("large", {"small": "promise_broken"})
    assert "promise_broken" in after.decision.reasons
    assert (await rows(store))[-1].answered == "large", "audits go on, so that there is something to calibrate on"
    pinned = await asked(desk, audits, id="tr_pin", wishes=Wishes(model="small"))
    assert pinned[0].answered_by == "small", "who asks for it by name gets it"

    again, more, other, _ = house(store)
    await other.start()
    assert (await asked(again, more, id="tr_restarted"))[0].answered_by == "large"
    changed, rest, anew, _ = house(store, policy="other thresholds")
    await anew.start()
    assert (await asked(changed, rest, id="tr_changed"))[0].answered_by == "small", "another promise begins anew"


async def test_workers_share_one_monitor(store):
    first, second = house(store), house(store)
    for at in range(6):
        await asked(first[0], first[1], id=f"tr_a{at}")
        await asked(second[0], second[1], id=f"tr_b{at}")
    (row,) = await store.read(select(monitors))
    state = msgspec.json.decode(row.state)
    assert state["audits"] == sum(one.answered == "small" for one in await rows(store))
    assert row.alarm is not None


async def test_the_router_goes_on_with_what_it_knew_while_the_database_cannot_be_read(store, monkeypatch):
    desk, audits, watch, _ = house(store)
    await asked(desk, audits, 12)
    monkeypatch.setattr(_watch, "FRESH", -1.0)
    monkeypatch.setattr(store, "rows", lambda _: (_ for _ in ()).throw(_watch.StorageError("held")))
    assert await watch.broken() == {"default"}


@pytest.mark.parametrize("small", ["It is 4.", "It is 6."])
async def test_the_small_answer_is_judged_against_the_rung_above_it_whoever_asked_for_it(store, small):
    """A score against the large model and one of an answer alone are not of one kind: a threshold parts only one."""
    beside = []

    def judged(answer):
        if answer.model == "small":
            beside.append(getattr(asking.above("small"), "name", None))
        return "4" in answer.text or answer.model == "large"

    watch = _watch.Watch(lambda: store, [PROMISE], {PROMISE.name: "p"})
    desk = testing.desk({"small": testing.Says(small), "large": testing.Says("It is 5.")},
                        verifiers=(testing.seat(testing.Judges(judged)),))  # fmt: skip
    audits = shadow.Shadows(desk, watch)
    await asked(msgspec.structs.replace(desk, recorders=(audits,)), audits)
    (row,) = await rows(store)
    assert row.answered == ("small" if "4" in small else "large")
    assert beside == ["large"] * (1 if "4" in small else 2), "of the client's answer, and of the audit's"


async def test_a_judge_sees_each_answer_first_half_of_the_time_and_its_marks_go_to_the_right_one(store):
    class Grader(testing.Says):
        async def answer(self, request, evidence, sink):
            shown = request.messages[-1]["content"]
            self.text = '{"a": 0, "b": 1}' if shown.index("It is 4") > shown.index("It is 5") else '{"a": 1, "b": 0}'
            return await super().answer(request, evidence, sink)

    judge = Grader()
    desk, audits, _, _ = house(store, msgspec.structs.replace(PROMISE, judge="judge"), judge=judge)
    await asked(desk, audits, 24)
    found = await rows(store)
    assert {(row.how, row.small, row.large) for row in found} == {("judged", 1.0, 0.0)}
    first = ["It is 4" in one.messages[-1]["content"].split("answer_a")[1] for one in judge.asked]
    assert 4 < sum(first) < 20


async def test_what_cannot_be_graded_is_kept_as_such_and_tells_the_monitor_nothing(store):
    down = testing.Breaks(OSError("down"))
    desk, audits, _, _ = house(store, large=down)
    await asked(desk, audits, 2)
    assert [(row.how, row.small) for row in await rows(store)] == [("unanswered", None)] * 2
    assert not await store.read(select(monitors))


async def test_more_than_may_run_are_left_out_and_closing_gives_up_what_hangs(store, monkeypatch):
    monkeypatch.setattr(shadow, "LAST", 0.01)

    class Hangs(testing.Says):
        async def answer(self, request, evidence, sink):
            await asyncio.Event().wait()

    desk, audits, _, _ = house(store, msgspec.structs.replace(PROMISE, running=2), large=Hangs())
    for at in range(5):
        await flow.run(desk, testing.ask("What is 2 + 2?", id=f"tr_{at}"))
    assert audits.missed == 3
    await audits.close()
    await audits.idle()


class Row(msgspec.Struct):
    trace_id: str
    share: float
    score: float | None = 0.5
    small: float | None = 1.0
    large: float | None = 1.0
    small_nano: int | None = 1000
    large_nano: int | None = None
    how: str = "judged"


def test_audits_of_unlike_shares_become_a_plain_sample():
    often = [Row(f"a{at}", 0.5, small=0.0) for at in range(4000)]
    seldom = [Row(f"b{at}", 0.05) for at in range(400)]
    found = _audited.rows([*often, *seldom, Row("c", 0.05, score=None), Row("d", 0.05, small=None)])
    assert len(found.small) == pytest.approx(800, abs=80)
    assert found.small.mean() == pytest.approx(0.5, abs=0.06), "both halves of the traffic count alike again"
    assert found.small_cost[0] == pytest.approx(1e-6)
    assert math.isnan(found.large_cost[0])
    with pytest.raises(ConfigError, match="none has a score"):
        _audited.rows([Row("c", 0.05, score=None)])


@pytest.mark.parametrize(("question", "one", "two", "alike"), [
    ("q", "It is  so.", "it is so", True), ("2+2?", "4", "4.0", True), ("2+2?", "4", "5", False),
    ("2+2?", "So the answer is 4.", "We add. The answer is 4.", True),
    ("When?", "It was built a long time ago, well before anybody here was born, namely in the year 1900.",
     "Nobody knows, but most of the books about it that I could find here name the year 1900", False),
    ("Which?\nA. x\nB. y", "The answer is (B).", "B", True), ("q", "", "x", False),
])  # fmt: skip
def test_answers_are_alike_where_they_say_so_and_not_where_they_name_one_number(question, one, two, alike):
    assert grade.same(question, one, two) is alike
    assert grade.same(question, two, one) is alike


@pytest.mark.parametrize(("said", "marks"), [
    ('{"a": 1, "b": 0}', (1, 0)), ('Sure:\n```json\n{"a": 0.5, "b": 1}\n```', (0.5, 1)), ('{"a": 2, "b": 0}', None),
    ("", None), ("{" * 5000, None), ('{"a": 1}', None), ('{"x": {}} {"a": 0, "b": 0}', (0, 0)),
])  # fmt: skip
def test_a_judge_s_marks_are_read_and_nothing_else(said, marks):
    assert grade.parsed(said) == marks


def test_a_judge_is_shown_the_request_and_both_answers_and_no_more_than_fits():
    messages = grade.grade((Text(text="Why?", origin=Origin.USER),), "one" * 10_000, "two")
    assert "[user] Why?" in messages[1]["content"]
    assert len(messages[1]["content"]) < grade.MOST + 500


def test_a_score_is_the_verifier_s_of_that_model_s_answer():
    steps = (
        Step(stage="answer", by="small", ms=1), Step(stage="verify", by="confidence", ms=1, score=0.3),
        Step(stage="answer", by="large", ms=1), Step(stage="verify", by="confidence", ms=1, score=0.9),
    )  # fmt: skip
    decision = Decision(ladder=("small", "large"), signals=(Signal(name="p_stays:small", value=0.7),))
    trace = Trace(request=testing.ask("q"), at=0, ms=1, outcome="answer", steps=steps, decision=decision)
    assert shadow.score(trace, "small") == 0.3
    assert shadow.score(msgspec.structs.replace(trace, steps=steps[2:]), "small") == 0.7
    assert shadow.score(msgspec.structs.replace(trace, steps=(), decision=None), "small") is None


def test_an_opinion_is_part_of_judging_the_answer_and_of_its_cost():
    """So that audits have the score that the policy went by, and `calibrate --ledger` the cost of reaching it."""
    steps = (
        Step(stage="answer", by="small", ms=1, cost=10), Step(stage="answer", by="second", ms=1, code="asked", cost=3),
        Step(stage="answer", by="small", ms=1, code="asked", cost=10),
        Step(stage="verify", by="confidence", ms=1, score=0.9),
        Step(stage="answer", by="large", ms=1, cost=500), Step(stage="answer", by="small", ms=1, code="asked", cost=7),
        Step(stage="verify", by="confidence", ms=1, score=0.4),
    )  # fmt: skip
    trace = Trace(request=testing.ask("q"), at=0, ms=1, outcome="answer", steps=steps)
    assert (shadow.score(trace, "small"), shadow.score(trace, "large")) == (0.9, 0.4)
    assert (shadow.spent(trace, "small"), shadow.spent(trace, "large")) == (23, 507)
    unknown = msgspec.structs.replace(steps[1], cost=None)
    assert shadow.spent(msgspec.structs.replace(trace, steps=(steps[0], unknown)), "small") is None
