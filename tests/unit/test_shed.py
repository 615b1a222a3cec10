"""The gateway's own limit: who gets in, who waits, who is sent away, and how much room there is."""

import asyncio
from random import Random

import pytest

from trimtab.errors import OverloadError
from trimtab.server import shed
from trimtab.server.callers import OPEN, Caller
from trimtab.server.shed import HEADER, LEAST, Shed

LOW, HIGH = {HEADER: b"low"}, {HEADER: b"high"}


async def waits(door, headers=None, caller=OPEN):
    task = asyncio.ensure_future(door.turn(headers or {}, caller))
    await asyncio.sleep(0)
    return task


async def test_room_is_taken_and_given_back():
    door = Shed(2, 0)
    assert door.enters()
    assert door.enters()
    assert not door.enters()
    with pytest.raises(OverloadError) as caught:
        await door.turn({}, OPEN)
    assert caught.value.retry_after == shed.RETRY
    assert door.sent_away == {-1: 0, 0: 1, 1: 0}
    door.left()
    assert door.enters()


async def test_the_highest_goes_first_and_the_lowest_makes_way():
    door = Shed(1, 3)
    assert door.enters()
    low, normal, high = [await waits(door, headers) for headers in (LOW, {}, HIGH)]
    late = await waits(door, HIGH)
    with pytest.raises(OverloadError):
        await low
    with pytest.raises(OverloadError):
        await door.turn(LOW, OPEN)
    order = []
    for task, name in ((normal, "normal"), (high, "high"), (late, "late")):
        task.add_done_callback(lambda _, name=name: order.append(name))
    for _ in range(3):
        door.left()
        await asyncio.sleep(0.01)
    assert order == ["high", "late", "normal"]
    assert (door.running, len(door.queue), door.sent_away) == (1, 0, {-1: 2, 0: 0, 1: 0})


async def test_nobody_claims_more_than_the_key_allows_and_anybody_less():
    door, key = Shed(1, 1), Caller(principal="k", priority=0)
    assert door.enters()
    first = await waits(door, {}, OPEN)
    with pytest.raises(OverloadError):
        await door.turn(HIGH, key)
    await waits(door, HIGH, OPEN)
    with pytest.raises(OverloadError):
        await first
    with pytest.raises(OverloadError):
        await door.turn({HEADER: b"urgent"}, key)
    assert door.sent_away == {-1: 0, 0: 3, 1: 0}


async def test_who_waits_too_long_is_sent_away(monkeypatch):
    monkeypatch.setattr(shed, "LONGEST", 0.01)
    door = Shed(1, 1)
    assert door.enters()
    with pytest.raises(OverloadError):
        await door.turn({}, OPEN)
    assert (door.running, len(door.queue)) == (1, 0)


async def test_one_that_goes_away_leaves_its_turn_to_the_next():
    door = Shed(1, 2)
    assert door.enters()
    first, second = await waits(door), await waits(door)
    door.left()
    first.cancel()
    assert await asyncio.wait_for(second, 5)
    assert door.running == 1


async def test_a_late_loop_has_less_room_and_gets_it_back():
    door = Shed(1000, 10)
    for _ in range(400):
        assert door.enters()
    door.adapt(0.01)
    assert door.room == 1000
    door.adapt(0.5)
    assert door.room == 280
    assert not door.enters()
    first = await waits(door)
    for _ in range(20):
        door.adapt(0.5)
    assert door.room == 280, "what runs has yet to end"
    door.adapt(0.0)
    assert door.room == 300
    for _ in range(100):
        door.adapt(0.0)
    assert door.room == 1000
    assert await asyncio.wait_for(first, 5), "room that comes back is given to those who wait"
    small = Shed(4, 0)
    small.adapt(9.0)
    assert small.room == 4
    idle = Shed(1000, 0)
    idle.adapt(9.0)
    assert idle.room == LEAST


async def test_it_looks_at_the_clock_only_while_something_runs(monkeypatch):
    monkeypatch.setattr(shed, "TICK", 0.001)
    door = Shed(10, 0)
    assert door._timer is None
    assert door.enters()
    assert door._timer is not None
    await asyncio.sleep(0.02)
    assert door._timer is not None
    door.left()
    for _ in range(4000):
        if door._timer is None:
            break
        await asyncio.sleep(0.005)
    assert door._timer is None


async def test_any_course_of_events_keeps_the_count():
    random = Random(5)
    door, inside, waiting = Shed(3, 4), 0, []
    for _ in range(3000):
        if random.random() < 0.5:
            if door.enters():
                inside += 1
            else:
                waiting.append(await waits(door, random.choice([{}, LOW, HIGH])))
        elif inside and random.random() < 0.8:
            door.left()
            inside -= 1
        elif waiting:
            waiting.pop(random.randrange(len(waiting))).cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done = [task for task in waiting if task.done()]
        waiting = [task for task in waiting if not task.done()]
        inside += sum(1 for task in done if not task.cancelled() and not task.exception())
        assert door.running == inside <= 3
        assert len(door.queue) == len(waiting) <= 4
        assert not waiting or inside == 3, "nobody waits beside room"
    for task in waiting:
        task.cancel()
