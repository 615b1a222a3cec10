"""Thresholds that move as audits arrive: when it is looked, what must be shown, who hears of it, and after an alarm."""

import random

import msgspec
from sqlalchemy import select

from trimtab import testing
from trimtab.route import _audited, _recalibrate, _watch
from trimtab.settings import Contract
from trimtab.store.tables import audit, monitors, shadows, thresholds

PROMISE = Contract(small="small", large="large", allowed=0.3, share=1.0, keep=0.85)


def watching(store, contract=PROMISE, policy="p"):
    return _watch.Watch(lambda: store, [contract], {contract.name: policy})


async def audited(watch, count, dice, contract=PROMISE, right=lambda score: score, start=0):
    """So many audits: the small model is right with a chance that its score tells, the large one nearly always."""
    threshold = watch.moved(testing.ask("?"), "small", 0.0, 0.8)
    for at in range(count):
        score = dice.random()
        small, large = float(dice.random() < right(score)), float(dice.random() < 0.95)
        await watch.add(_watch.Shadow(
            trace_id=f"tr_{start + at}", contract=contract, answered="small" if score >= threshold else "large",
            how="judged", score=score, small=small, large=large, small_nano=1, large_nano=100,
        ))  # fmt: skip


async def rows(store, table):
    return await store.read(select(table))


async def test_the_threshold_moves_to_one_that_is_proven_and_everybody_hears(store):
    watch, dice = watching(store), random.Random(1)
    await audited(watch, _recalibrate.FIRST - 1, dice)
    assert not await rows(store, thresholds), "it is not looked before its time"
    await audited(watch, 1200, dice, start=1000)
    found = await rows(store, thresholds)
    assert [one.look for one in found] == [1, 2, 3]
    assert [one.rows for one in found] == [200, 400, 800]
    proven = [one for one in found if one.threshold is not None]
    assert proven
    assert all(one.p_value <= 0.1 / 2**one.look for one in proven), "later looks may err less"
    moved = watch.moved(testing.ask("?"), "small", 0.5, 0.8)
    assert moved == proven[-1].threshold
    assert 0.3 < moved < 0.8
    assert watch.moved(testing.ask("?"), "other", 0.5, 0.8) == 0.8

    again = watching(store)
    await again.start()
    assert again.moved(testing.ask("?"), "small", 0.5, 0.8) == moved
    other = watching(store, policy="other odds")
    await other.start()
    assert other.moved(testing.ask("?"), "small", 0.5, 0.8) == 0.8, "another policy's proof is none"
    (state,) = await rows(store, monitors)
    assert msgspec.json.decode(state.state)["allowed"] == proven[-1].allowed, "the monitor watches the new promise"
    entries = [one for one in await rows(store, audit) if one.action == "threshold.moved"]
    assert [one.subject for one in entries] == ["default"] * len(proven)


async def test_answers_that_no_judge_could_grade_are_no_proof(store):
    """Without them only pairs that are alike would be left: all right, whatever the small model says."""
    watch, dice = watching(store), random.Random(5)
    for at in range(400):
        alike = dice.random() < 0.6
        await watch.add(_watch.Shadow(
            trace_id=f"tr_{at}", contract=PROMISE, answered="small", how="same" if alike else "unreadable",
            score=0.9, small=1.0 if alike else None, large=1.0 if alike else None,
        ))  # fmt: skip
    found = await rows(store, thresholds)
    assert [(one.rows, one.threshold) for one in found] == [(200, None), (400, None)]
    assert watch.moved(testing.ask("?"), "small", 0.5, 0.8) == 0.8
    stands = await _audited.standing(store, PROMISE, "p")
    unread = sum(one.how == "unreadable" for one in await rows(store, shadows))
    assert 100 < unread == stands["unread"] == 400 - stands["watched"]


async def test_nothing_moves_where_nothing_is_shown_or_nobody_asked_for_it(store):
    strict = msgspec.structs.replace(PROMISE, keep=0.999, allowed=0.99)
    watch, dice = watching(store, strict), random.Random(2)
    await audited(watch, 450, dice, strict, right=lambda _: 0.05)
    found = await rows(store, thresholds)
    assert [one.threshold for one in found] == [None, None]
    assert watch.moved(testing.ask("?"), "small", 0.5, 0.8) == 0.8
    assert not [one for one in await rows(store, audit) if one.action == "threshold.moved"]
    still = msgspec.structs.replace(PROMISE, keep=None, name="still")
    await audited(watching(store, still), 250, dice, still, start=5000)
    assert {one.contract for one in await rows(store, thresholds)} == {"default"}


async def test_after_an_alarm_only_what_came_since_can_bring_the_small_model_back(store):
    contract = msgspec.structs.replace(PROMISE, allowed=0.05)
    watch, dice = watching(store, contract), random.Random(3)
    await audited(watch, 150, dice, contract, right=lambda _: 0.1)
    assert await watch.broken() == {"default"}
    await audited(watch, 450, dice, contract, right=lambda score: 0.5 + score / 2, start=1000)
    found = await rows(store, thresholds)
    assert all(one.since > 0 and one.rows < 450 for one in found)
    assert found[-1].threshold is not None
    assert not await watch.broken(), "a proven threshold brings the small model back"
    (state,) = await rows(store, monitors)
    assert (state.alarm, msgspec.json.decode(state.state)["audits"] < 450) == (None, True)


async def test_two_processes_keep_one_look(store):
    first, second = watching(store), watching(store)
    dice = random.Random(4)
    await audited(first, _recalibrate.FIRST - 1, dice)
    await second.start()
    await audited(second, 1, dice, start=9000)
    assert await _recalibrate.look(store, PROMISE, "p", None) is None
    assert [one.look for one in await rows(store, thresholds)] == [1]
