"""The ledger and the store under it: what is kept, what is not, what is durable, and what a fault says."""

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
import time

import msgspec
import pytest

from trimtab.errors import ConfigError, NotFoundError, RequestError, StorageError, TooLargeError
from trimtab.ports import Tools
from trimtab.record import _feedback, _read, ledger
from trimtab.record._scrub import Scrub, unquoted
from trimtab.store import sqlite, writer
from trimtab.store.engine import Store
from trimtab.store.tables import feedback, traces
from trimtab.types import (
    Answer,
    Decision,
    Pending,
    Refused,
    Request,
    Signal,
    Span,
    Step,
    Trace,
    Usage,
    Wishes,
)

QUESTION = "Why was my transfer to the landlord of Acacia Avenue declined?"


def personal(text):
    """Finds one name: the finder itself is tested with the guard."""
    at = text.find("Ada Lovelace")
    return () if at < 0 else (Span(kind="NAME", start=at, end=at + 12),)


@pytest.fixture
async def store(tmp_path):
    opened = Store.open(tmp_path / "home" / "trimtab.db")
    yield opened
    await opened.close()


def tools(store, finder=personal):
    return Tools(
        name="ledger", recipe=store.path.parent, home=store.path.parent, encoder=lambda: None, store=lambda: store,
        personal=finder, secret=lambda _: None, starting=lambda _: None, closing=lambda _: None, say=lambda _: None,
    )  # fmt: skip


def trace(id="tr_1", *, question=QUESTION, result=None, outcome="answer", wishes=None, **more):
    request = Request(
        id=id, messages=({"role": "user", "content": question},), principal="ann", wishes=wishes or Wishes()
    )
    answer = result or Answer(text="It was over the limit.", model="small", confidence=0.9)
    given = {
        "at": time.time(), "ms": 12.5, "answered_by": "small" if outcome == "answer" else "", "cost": 1200,
        "baseline": 14_000, "usage": Usage(prompt=10, completion=20), "confidence": 0.9, "result": answer, **more,
    }  # fmt: skip
    return Trace(request=request, outcome=outcome, **given)


async def kept(store, one, **options):
    """The trace as the ledger gives it back."""
    await ledger.build(ledger.Options(**options), tools(store)).record(one)
    return await _read.trace(store, one.request.id)


async def test_a_trace_comes_back_whole(store):
    decision = Decision(
        ladder=("small", "large"), reasons=("default",), left_out={"vision": "no_images"},
        signals=(Signal(name="chars", value=61, us=2.0),),
    )  # fmt: skip
    steps = (
        Step(stage="guard", by="pii", ms=0.1),
        Step(stage="answer", by="small", ms=9.0, score=0.9, cost=1200, usage=Usage(prompt=10, completion=20)),
        Step(stage="answer", by="large", ms=9.0, ok=False, code="upstream_down", cost=None),
    )
    seen = await kept(store, trace(decision=decision, steps=steps, wishes=Wishes(model="auto", stream=True)))
    assert (seen["id"], seen["principal"], seen["outcome"], seen["answered_by"]) == ("tr_1", "ann", "answer", "small")
    assert (seen["model"], seen["stream"], seen["ms"], seen["confidence"]) == ("auto", True, 12.5, 0.9)
    assert (seen["cost_nano"], seen["cost_usd"], seen["saved_usd"]) == (1200, "0.000001200", "0.000012800")
    assert seen["usage"] == {
        "prompt": 10, "completion": 20, "cached": 0, "estimated": False, "reasoning": 0, "cache_write": 0,
        "cache_write_long": 0,
    }  # fmt: skip
    assert seen["decision"]["ladder"] == ["small", "large"]
    assert seen["decision"]["signals"][0]["value"] == 61
    assert [step["by"] for step in seen["steps"]] == ["pii", "small", "large"]
    assert [step["cost_nano"] for step in seen["steps"]] == [0, 1200, None]
    assert seen["steps"][1]["usage"]["completion"] == 20
    assert json.loads(json.dumps(seen)) == seen


async def test_an_unknown_cost_is_null_and_never_0(store):
    seen = await kept(store, trace(cost=None, baseline=None))
    assert (seen["cost_nano"], seen["cost_usd"], seen["baseline_nano"], seen["saved_usd"]) == (None, None, None, None)
    assert store.rows(traces.select())[0].cost_nano is None


@pytest.mark.parametrize(
    ("outcome", "result"),
    [
        ("refused", Refused(by="patterns", code="forbidden", why="No.")),
        ("pending", Pending(ticket="tk_1", code="high_impact", why="A person decides.")),
        ("error", None),
        ("cancelled", None),
    ],
)
async def test_what_was_not_answered_is_kept_too(store, outcome, result):
    seen = await kept(store, trace(outcome=outcome, result=result, code="because", baseline=None))
    assert (seen["outcome"], seen["answered_by"], seen["code"]) == (outcome, "", "because")


@pytest.mark.parametrize("how", ["none", "redacted", "full"])
async def test_text_is_kept_as_the_settings_say(store, how):
    said = trace(
        question="I am Ada Lovelace, my key is sk-abcdefghijklmnop1234.",
        result=Answer(text="Hi Ada Lovelace.", model="m"),
    )
    seen = await kept(store, said, store_text=how)
    question, answer = {
        "none": (None, None),
        "redacted": ("I am [NAME], my key is [secret].", "Hi [NAME]."),
        "full": ("I am Ada Lovelace, my key is sk-abcdefghijklmnop1234.", "Hi Ada Lovelace."),
    }[how]
    assert (seen["question"], seen["answer"]) == (question, answer)


async def test_no_text_is_the_default_and_none_is_anywhere_in_the_file(store):
    why = f"The server said: could not parse '{QUESTION}'; key sk-abcdefghijklmnop1234, of Ada Lovelace."
    steps = (Step(stage="answer", by="small", ms=1.0, ok=False, code="upstream_error", why=why),)
    await kept(store, trace(outcome="error", result=None, why=why, steps=steps))
    await store.close()
    for file in store.path.parent.iterdir():
        raw = file.read_bytes()
        assert b"Acacia" not in raw
        assert b"Lovelace" not in raw
        assert b"sk-abcdef" not in raw
    row = sqlite3.connect(store.path).execute("SELECT why, steps FROM traces").fetchone()
    assert row[0] == "The server said: could not parse '[...]'; key [secret], of [NAME]."
    assert "[...]" in row[1]


def test_a_reason_loses_what_it_quotes_and_no_more():
    said = ("one two three four five six seven eight nine ten",)
    assert unquoted("not grounded: 'three four five six seven'.", said) == "not grounded: '[...]'."
    assert unquoted("not grounded: 'three four'.", said) == "not grounded: 'three four'."
    assert unquoted("short", said) == "short"


def test_a_text_that_cannot_be_checked_is_not_kept():
    def broken(_):
        raise RuntimeError("no")

    assert "secret plan" not in Scrub(broken).text("the secret plan")


async def test_what_no_database_takes_is_kept_without_it(store):
    odd = trace(
        question="a \ud800 b", wishes=Wishes(model="m\udfff" + "x" * 900), why="w \ud800", outcome="error", result=None
    )
    seen = await kept(store, odd, store_text="full")
    assert seen["question"] == "a ? b"
    assert seen["model"] == "unknown", "a name that nobody has is the client's own words"


async def test_a_tool_call_is_kept_as_json(store):
    call = {"id": "c1", "type": "function", "function": {"name": "pay", "arguments": '{"to": "Ada Lovelace"}'}}
    seen = await kept(store, trace(result=Answer(text=None, model="m", tool_calls=(call,))), store_text="redacted")
    assert json.loads(seen["answer"])[0]["function"]["arguments"] == '{"to": "[NAME]"}'


async def test_a_trace_is_found_by_the_beginning_of_its_id(store):
    keep = ledger.build(ledger.Options(), tools(store))
    for one in ("tr_aa1", "tr_aa2", "tr_b", "tr_b1"):
        await keep.record(trace(one))
    assert (await _read.trace(store, "tr_aa1"))["id"] == "tr_aa1"
    assert (await _read.trace(store, "tr_b"))["id"] == "tr_b"
    assert await _read.trace(store, "tr_c") is None
    assert await _read.trace(store, "") is None
    assert await _read.trace(store, "tr_%") is None
    with pytest.raises(RequestError, match="Several") as caught:
        await _read.trace(store, "tr_aa")
    assert caught.value.code == "ambiguous_id"


async def test_tail_gives_the_latest_and_then_what_came_after(store):
    keep = ledger.build(ledger.Options(), tools(store))
    for i in range(5):
        await keep.record(trace(f"tr_{9 - i}"))
    last = await _read.tail(store, 2)
    assert [row["id"] for row in last] == ["tr_6", "tr_5"]
    await keep.record(trace("tr_x"))
    assert [row["id"] for row in await _read.tail(store, 9, since_id="tr_5")] == ["tr_x"]
    assert await _read.tail(store, 9, since_id="tr_x") == []


async def test_totals_count_what_is_unknown_apart(store):
    keep = ledger.build(ledger.Options(), tools(store))
    await keep.record(trace("a", cost=1000, baseline=5000))
    await keep.record(trace("b", cost=None, baseline=7000))
    await keep.record(trace("c", cost=300, baseline=None, answered_by="large"))
    await keep.record(trace("d", outcome="refused", result=Refused(by="g", code="c", why="w"), cost=40, baseline=None))
    await keep.record(trace("old", at=10.0))
    seen = await _read.totals(store, since=1000.0)
    assert seen["requests"] == 4
    assert seen["by_outcome"] == {"answer": 3, "refused": 1}
    assert seen["answered_by"]["small"]["requests"] == 2
    assert seen["answered_by"]["large"] == {"requests": 1, "cost_nano": 300, "cost_usd": "0.000000300"}
    assert (seen["cost_nano"], seen["unknown_cost"]) == (1340, 1)
    assert (seen["baseline_nano"], seen["unknown_baseline"]) == (12_000, 1)
    assert (seen["saved_nano"], seen["compared"]) == (4000, 1)


async def test_totals_of_nothing_are_0(store):
    seen = await _read.totals(store)
    assert (seen["requests"], seen["cost_nano"], seen["saved_nano"], seen["by_outcome"]) == (0, 0, 0, {})


async def test_old_traces_and_their_feedback_go(store):
    keep = ledger.build(ledger.Options(), tools(store))
    await keep.record(trace("tr_old", at=time.time() - 9 * 86400))
    await _feedback.give(store, "tr_old", label="good")
    await ledger.build(ledger.Options(keep_days=7), tools(store)).record(trace("tr_new"))
    assert [row.id for row in await store.read(traces.select())] == ["tr_new"]
    assert await store.read(feedback.select()) == []


@pytest.mark.parametrize("days", [0, -1, float("nan")])
def test_days_that_keep_nothing_are_refused(days):
    with pytest.raises(ConfigError, match="keep_days"):
        ledger.build(ledger.Options(keep_days=days), None)


async def test_feedback_is_of_a_trace_that_exists_even_just_queued(store):
    await ledger.build(ledger.Options(), tools(store)).record(trace())
    await _feedback.give(store, "tr_1", score=0.25, comment="meh", principal="ann")
    await _feedback.give(store, "tr_1", label="good")
    seen = (await _read.trace(store, "tr_1"))["feedback"]
    assert [(one["score"], one["label"], one["comment"]) for one in seen] == [(0.25, None, "meh"), (1.0, "good", "")]
    with pytest.raises(NotFoundError, match="tr_2"):
        await _feedback.give(store, "tr_2", label="good")


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, RequestError),
        ({"score": 1.5}, RequestError),
        ({"score": float("nan")}, RequestError),
        ({"label": "great"}, RequestError),
        ({"label": "good", "comment": "x" * 5000}, TooLargeError),
    ],
)
async def test_feedback_that_says_nothing_is_refused(store, given, error):
    await ledger.build(ledger.Options(), tools(store)).record(trace())
    with pytest.raises(error):
        await _feedback.give(store, "tr_1", **given)
    assert await store.read(feedback.select()) == []


async def test_a_read_sees_all_that_was_queued_before_it(store):
    keep = ledger.build(ledger.Options(), tools(store))
    for i in range(500):
        await keep.record(trace(f"tr_{i}"))
    assert [row.id for row in await store.read(traces.select().order_by(traces.c.seq))] == [
        f"tr_{i}" for i in range(500)
    ]


async def test_one_bad_row_takes_no_other_with_it(store):
    keep = ledger.build(ledger.Options(), tools(store))
    durable = Wishes(durable=True)
    said = await asyncio.gather(
        *(keep.record(trace(one, wishes=durable)) for one in ("tr_1", "tr_2", "tr_1", "tr_3")), return_exceptions=True
    )
    assert [type(one) for one in said] == [type(None), type(None), StorageError, type(None)]
    assert said[2].code == "row_not_taken"
    assert QUESTION not in str(said[2])
    assert {row.id for row in await store.read(traces.select())} == {"tr_1", "tr_2", "tr_3"}


async def test_a_full_disk_is_loud_and_mends_itself(tmp_path):
    lines = []
    store = Store.open(tmp_path / "trimtab.db", lines.append)
    keep = ledger.build(ledger.Options(store_text="full"), tools(store))
    pages = await store.transact(lambda c: c.exec_driver_sql("PRAGMA page_count").scalar())
    big = "x" * 100_000
    # Each new connection of the pool has its own limit, so the one there is must be the one that is used again.
    await store.transact(lambda c: c.exec_driver_sql(f"PRAGMA max_page_count = {pages + 2}").scalar())
    with pytest.raises(StorageError, match=r"full.*Free space"):
        await keep.record(trace("tr_1", question=big, wishes=Wishes(durable=True)))
    await keep.record(trace("tr_2", question=big))  # not durable: no error for the request
    await keep.record(trace("tr_3", question=big))
    await store.flush()
    assert (store.failed.lost, store.failed.kept) == (1, 2)  # who waited was told; the others are tried again
    assert len(lines) == 1
    assert "does not take writes" in lines[0]
    await store.transact(lambda c: c.exec_driver_sql("PRAGMA max_page_count = 100000").scalar())
    await store.check()
    assert store.failed is None
    assert [row.id for row in await store.read(traces.select())] == ["tr_2", "tr_3"]
    await keep.record(trace("tr_4", question=big, wishes=Wishes(durable=True)))
    await store.close()


@pytest.fixture
def held(tmp_path, monkeypatch):
    """A store whose file another connection holds for writing until `release`; what it says is in `lines`."""
    monkeypatch.setattr(sqlite, "WAIT", 0.02)
    path, lines = tmp_path / "held.db", []
    store = Store.open(path, lines.append)
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    yield Held(store, lines, holder)
    holder.close()


class Held(msgspec.Struct):
    store: Store
    lines: list[str]
    holder: sqlite3.Connection

    def release(self):
        self.holder.execute("COMMIT")

    async def record(self, *ids, **more):
        keep = ledger.build(ledger.Options(), tools(self.store))
        for name in ids:
            await keep.record(trace(name, **more))

    async def ids(self):
        return [row.id for row in await self.store.read(traces.select())]


async def test_a_database_that_is_held_loses_no_row(held):
    await held.record("tr_1", "tr_2")
    await held.store.flush()
    assert held.store.failed.kept == 2
    await held.record("tr_3")
    with pytest.raises(StorageError, match="Another process holds the database"):
        await held.record("tr_4", wishes=Wishes(durable=True))
    with pytest.raises(StorageError, match="locked"):
        await held.store.check()
    assert await held.ids() == []
    held.release()
    await held.store.check()
    assert await held.ids() == ["tr_1", "tr_2", "tr_3"]
    assert held.store.failed is None
    assert len(held.lines) == 1
    assert "kept and tried again" in held.lines[0]
    await held.store.close()


async def test_what_is_kept_is_written_with_no_request_to_help(held):
    await held.record("tr_1")
    await held.store.flush()
    held.release()
    while held.store.failed:
        await asyncio.sleep(0.01)
    assert held.store.rows(traces.select())[0].id == "tr_1"
    await held.store.close()


async def test_what_is_kept_has_a_bound_and_the_oldest_go(held, monkeypatch):
    monkeypatch.setattr(writer, "KEPT", 3)
    await held.record(*(f"tr_{i}" for i in range(5)))
    await held.store.flush()
    assert (held.store.failed.kept, held.store.failed.lost) == (3, 2)
    held.release()
    await held.store.check()
    assert await held.ids() == ["tr_2", "tr_3", "tr_4"]
    assert "rows are lost" in held.lines[1]
    await held.store.close()


async def test_closing_waits_for_a_held_database_and_gives_up_in_the_end(held, monkeypatch):
    monkeypatch.setattr(writer, "LAST", 0.1)
    await held.record("tr_1")
    await held.store.close()
    assert "rows are lost: 1 are given up" in held.lines[-1]
    held.release()


async def test_closing_writes_what_was_kept(held):
    await held.record("tr_1")
    await held.store.flush()
    closing = asyncio.create_task(held.store.close())
    await asyncio.sleep(0.05)
    held.release()
    await closing
    assert held.holder.execute("SELECT id FROM traces").fetchall() == [("tr_1",)]


async def test_the_writer_outlives_who_listens_to_it(held, monkeypatch):
    said = []

    def broken(line):
        said.append(line)
        raise BrokenPipeError

    monkeypatch.setattr(held.store._writer, "_say", broken)
    await held.record("tr_1")
    await held.store.flush()
    assert said
    held.release()
    async with asyncio.timeout(5):
        await held.record("tr_2", wishes=Wishes(durable=True))
    assert await held.ids() == ["tr_1", "tr_2"]
    await held.store.close()


async def test_the_writer_outlives_the_loop_that_waits_on_it(held):
    def ask():
        async def leave():
            asyncio.create_task(held.record("tr_1", wishes=Wishes(durable=True)))  # noqa: RUF006 - nobody stays
            await asyncio.sleep(0)

        asyncio.run(leave())

    await asyncio.to_thread(ask)
    held.release()
    async with asyncio.timeout(5):
        await held.record("tr_2", wishes=Wishes(durable=True))
    await held.store.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_were_the_writer_to_die_nobody_would_hang(store, monkeypatch):
    def dies(items):
        raise SystemError

    monkeypatch.setattr(store._writer, "_attempt", dies)
    async with asyncio.timeout(5):
        with pytest.raises(StorageError, match="closed"):
            await store.flush()
        with pytest.raises(StorageError, match="closed"):
            await ledger.build(ledger.Options(), tools(store)).record(trace("tr_1"))


async def test_check_raises_as_long_as_nothing_can_be_written(tmp_path):
    store = Store.open(tmp_path / "trimtab.db")
    keep = ledger.build(ledger.Options(), tools(store))
    await store.transact(lambda c: c.exec_driver_sql("PRAGMA query_only = ON"))
    await keep.record(trace())
    await store.flush()
    with pytest.raises(StorageError, match="readonly"):
        await store.check()
    assert store.failed
    while not store._engine.pool.checkedin():  # the writer answers before it lets go of its connection
        await asyncio.sleep(0.001)
    with store._engine.connect() as connection:  # the writer's own: there is no other yet
        connection.exec_driver_sql("PRAGMA query_only = OFF")
    await store.check()
    assert store.failed is None
    await store.close()


async def test_a_full_queue_makes_the_writer_wait_and_loses_nothing(store, monkeypatch):
    monkeypatch.setattr("trimtab.store.engine.LIMIT", 20)
    keep = ledger.build(ledger.Options(), tools(store))
    deepest = 0
    for i in range(300):
        await keep.record(trace(f"tr_{i}"))
        deepest = max(deepest, store._writer.queued)
    assert deepest <= 21
    assert len(await store.read(traces.select())) == 300


async def test_a_transaction_that_fails_leaves_nothing(store):
    row = ledger.build(ledger.Options(), tools(store)).row(trace())

    def half(connection):
        connection.execute(traces.insert(), row)
        raise RequestError("Changed my mind.")

    with pytest.raises(RequestError, match="Changed my mind"):
        await store.transact(half)
    assert await store.read(traces.select()) == []
    assert store.failed is None


async def test_a_cancelled_wait_does_not_unwrite(store):
    keep = ledger.build(ledger.Options(), tools(store))
    task = asyncio.create_task(keep.record(trace(wishes=Wishes(durable=True))))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(await store.read(traces.select())) == 1


async def test_a_closed_store_says_so(tmp_path):
    store = Store.open(tmp_path / "trimtab.db")
    await store.close()
    await store.close()
    with pytest.raises(StorageError, match="closed"):
        await store.write(traces.insert(), {}, durable=False)


async def test_two_stores_write_the_same_file(tmp_path):
    one, two = Store.open(tmp_path / "trimtab.db"), Store.open(tmp_path / "trimtab.db")
    keeps = [ledger.build(ledger.Options(), tools(store)) for store in (one, two)]
    await asyncio.gather(*(keeps[i % 2].record(trace(f"tr_{i}", wishes=Wishes(durable=True))) for i in range(60)))
    assert len(await one.read(traces.select())) == 60
    await one.close()
    await two.close()


async def test_a_reload_keeps_the_locks_so_that_nobody_deletes_the_log(store):
    """A second opening in the same process, as a reload is, and then a visitor that takes itself for the last one."""
    kept = Wishes(durable=True)
    await ledger.build(ledger.Options(), tools(store)).record(trace("tr_before", wishes=kept))
    again = Store.open(store.path)
    await again.read(traces.select())
    await store.close()
    look = "import sqlite3, sys; print(*next(zip(*sqlite3.connect(sys.argv[1]).execute('select id from traces'))))"
    visit = [sys.executable, "-c", look, str(store.path)]
    try:
        assert subprocess.run(visit, capture_output=True, text=True, check=True).stdout.split() == ["tr_before"]
        assert store.path.with_name("trimtab.db-wal").exists(), "the visitor deleted the log that we write to"
        await ledger.build(ledger.Options(), tools(again)).record(trace("tr_after", wishes=kept))
        seen = subprocess.run(visit, capture_output=True, text=True, check=True).stdout.split()
        assert sorted(seen) == ["tr_after", "tr_before"]
    finally:
        await again.close()


async def test_the_file_is_its_owners_alone(store):
    await ledger.build(ledger.Options(), tools(store)).record(trace(wishes=Wishes(durable=True)))
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700
    files = list(store.path.parent.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert len(files) == 3  # the database, its log and its index


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"This is a text file, not a database. " * 200, r"not a database.*Move the file aside"),
        (b"SQLite format 3\x00" + b"\x10\x00\x02\x02" + b"\xff" * 5000, r"Move the file aside|cannot be used"),
    ],
)
def test_a_damaged_file_is_said_to_be(tmp_path, content, says):
    (tmp_path / "trimtab.db").write_bytes(content)
    with pytest.raises(StorageError, match=says):
        Store.open(tmp_path / "trimtab.db")
    assert (tmp_path / "trimtab.db").read_bytes() == content


def test_a_folder_that_cannot_be_is_said_to_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be used"):
        Store.open(tmp_path / "file" / "trimtab.db")
    with pytest.raises(StorageError, match="cannot be used"):
        Store.open(tmp_path)


def test_a_database_of_something_else_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / "trimtab.db") as other:
        other.execute("CREATE TABLE birds (name)")
    with pytest.raises(StorageError, match="something else"):
        Store.open(tmp_path / "trimtab.db")
    tables = sqlite3.connect(tmp_path / "trimtab.db").execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("birds",)]


def test_options_name_what_is_wrong():
    with pytest.raises(msgspec.ValidationError, match="store_text"):
        msgspec.convert({"store_text": "some"}, ledger.Options)


async def test_a_row_that_takes_another_s_place_is_compiled_once(store):
    """By a caller too that makes its statement anew for every row."""
    from trimtab.store.tables import idempotency

    row = {"body": b"", "expires": 9e9, "principal": "", "status": 200, "headers": "[]", "response": b""}
    for at in range(20):
        await store.write(sqlite.upsert(idempotency), {"key": bytes([at]), **row}, durable=True)
    assert len(store._writer._rows._plans) == 1
