"""The ledger is exact: with clients that leave, with a gateway that is killed, and after traffic of every kind.

Smaller runs of benchmarks/exact.py and benchmarks/soak.py, which say what they promise.
"""

import asyncio
import importlib
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
exact, soak, traffic = (importlib.import_module(name) for name in ("exact", "soak", "traffic"))


@pytest.fixture
def mock(tmp_path):
    with traffic.mock(tmp_path) as port:
        yield port


@pytest.fixture
def folder(tmp_path):
    found = tmp_path / "gateway"
    found.mkdir()
    return found


def test_each_request_that_the_upstream_heard_has_one_trace_with_its_tokens(folder, mock):
    found = asyncio.run(exact.leaving(folder, mock, 120, 1))
    assert found["wrong"] == []
    assert found["holds"]
    assert found["same_tokens"] > 20
    assert found["cancelled"] > 20


def test_after_a_kill_each_durable_request_that_was_acknowledged_is_there(folder, mock):
    found = asyncio.run(exact.killed(folder, mock, 2, 1))
    assert found["durable"] > 5
    assert (found["durable_lost"], found["traces_twice"], found["tokens_differ"], found["database"]) == (0, 0, 0, "ok")


def test_the_control_a_ledger_that_lacks_a_row_or_has_other_tokens_is_found(folder, mock):
    asyncio.run(exact.leaving(folder, mock, 16, 1))
    house = traffic.House.__new__(traffic.House)
    house.folder = folder
    rows, _ = exact.traces(house)
    name, row = next((name, row) for name, row in rows.items() if row.outcome == "answer")
    bills = exact.billed(f"http://127.0.0.1:{mock}")
    reply = traffic.Reply(200, {"x-request-id": row.id}, b"{}", True)
    asked = [exact.Asked(name, "", False, reply, 0.0)]
    assert exact.judged(asked, {name: bills[name]}, house)["holds"]
    assert not exact.judged(asked, {name: {"calls": 1, "told": [[1, 2]]}}, house)["holds"]
    assert not exact.judged([asked[0]._replace(name="nobody")], {}, house)["holds"]
    assert not exact.judged(asked, {"nobody": bills[name]}, house)["holds"]


def test_mixed_traffic_is_in_the_ledger_and_replays_are_the_same(folder, mock):
    house = soak.housed(folder, mock)
    load = soak.Traffic(house, 3)
    house.start()
    try:
        asyncio.run(load.run(250, 16))
        asyncio.run(asyncio.sleep(0.5))
    finally:
        house.stop()
    found = soak.judged([soak.NOTHING] * soak.CHECKS, load, house)
    assert found["ledger"]["missing"] == found["ledger"]["of_nobody"] == found["replays_unequal"] == 0
    assert found["ledger"]["answers_and_errors"] > 150
    assert not any(" 500" in status for status in found["statuses"])
