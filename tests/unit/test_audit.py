"""The audit chain: every change, gap, swap, cut and insertion is found; acts and rows come together or not at all."""

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import sys

import hypothesis
import msgspec
import pytest
from hypothesis import strategies as st

from trimtab.approve import _tickets
from trimtab.errors import ConfigError, RequestError, StorageError
from trimtab.server import acts, keys
from trimtab.server.keys import Draft
from trimtab.settings import parse
from trimtab.store import audit, head, schema, sqlite
from trimtab.store.audit import Entry
from trimtab.store.engine import Store
from trimtab.store.head import ZERO, Head
from trimtab.store.tables import metadata
from trimtab.types import OK, Answer, Case, Decision, Request

COLUMNS = ("at", "actor", "action", "subject", "payload", "hash")
TRIGGERS = ("audit_insert", "audit_update", "audit_delete")


@pytest.fixture
async def store(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    opened = Store.open(tmp_path / "trimtab.db", head=tmp_path / "elsewhere" / "kept.head")
    yield opened
    await opened.close()


async def enter(store, n=1):
    for i in range(n):
        await audit.acted(store, audit.entering(store, "ann", "key.created", f"key:{i}", {"n": i}))


def forged(store, *statements):
    """What somebody does who may write the file: the triggers do not hinder them."""
    with sqlite3.connect(store.path) as connection:
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER IF EXISTS {trigger}")
        for statement in statements:
            connection.execute(*((statement,) if isinstance(statement, str) else statement))


def chain(n, seed=0):
    made, last = [], ZERO
    for seq in range(1, n + 1):
        told = (seq, 1_000 * seq + seed, "ann", "key.created", f"key:{seq}", audit.digest(seq))
        last = audit.link(last, *told)
        made.append(Entry(*told, last))
    return made


async def test_a_row_is_the_hash_of_the_hash_before_it_and_of_itself(store):
    await enter(store, 3)
    before = ZERO
    for entry in await audit.entries(store):
        row = [before, entry.seq, entry.at, "ann", "key.created", f"key:{entry.seq - 1}", entry.payload]
        before = hashlib.sha256(json.dumps(row, separators=(",", ":")).encode()).hexdigest()
        assert entry.hash == before
        assert entry.payload == hashlib.sha256(b'{"n":%d}' % (entry.seq - 1)).hexdigest()
    assert [path.read_text() for path in store.heads] == [f"3 {before}\n"] * 2
    assert await audit.verify(store) == audit.Report(entries=3, head=Head(seq=3, hash=before))


@pytest.mark.parametrize("way", ["new", "migrated", "metadata"])
async def test_the_table_refuses_to_be_changed_however_it_was_made(tmp_path, way):
    path = tmp_path / "trimtab.db"
    if way == "new":
        await Store.open(path).close()
    else:
        engine = sqlite.engine(path)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            schema._upgrade(connection) if way == "migrated" else metadata.create_all(connection)
        engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO audit VALUES (1, 1, 'a', 'b', 'c', 'd', 'e')")
        for statement in (
            "UPDATE audit SET actor = 'eve'", "DELETE FROM audit",
            "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1",
            "INSERT INTO audit SELECT seq + 7, at, actor, action, subject, payload, hash FROM audit",
        ):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


@pytest.mark.parametrize("column", COLUMNS)
async def test_a_changed_cell_is_found_at_its_row(store, column):
    await enter(store, 5)
    forged(store, f"UPDATE audit SET {column} = {column} || '0' WHERE seq = 3")  # noqa: S608
    report = await audit.verify(store)
    assert (report.row, report.entries) == (3, 2)
    assert "Row 3 does not follow" in report.fault


@hypothesis.given(
    n=st.integers(2, 8),
    at=st.integers(0, 7),
    column=st.sampled_from(COLUMNS),
    where=st.integers(0),
    bit=st.integers(0, 7),
)
def test_any_bit_of_any_cell_is_found(n, at, column, where, bit):
    made = chain(n)
    entry = made[at % n]
    raw = bytearray(str(getattr(entry, column)).encode())
    raw[where % len(raw)] ^= 1 << bit
    try:
        value = int(raw) if column == "at" else raw.decode()
    except (ValueError, UnicodeDecodeError):
        value = bytes(raw)  # SQLite keeps what is no text or number as it comes
    made[at % n] = msgspec.structs.replace(entry, **{column: value})
    if made != chain(n):
        assert audit.follow(made).row == at % n + 1


@hypothesis.given(n=st.integers(2, 9), data=st.data())
def test_a_gap_a_swap_and_an_insertion_are_found(n, data):
    sound = chain(n)
    assert not audit.follow(sound).fault
    at = data.draw(st.integers(0, n - 2))
    gap = sound[:at] + sound[at + 1 :]
    swapped = [*sound[:at], sound[at + 1], sound[at], *sound[at + 2 :]]
    inserted = [*sound[:at], *chain(1, 7), *sound[at:]]
    for wrong in (gap, swapped, inserted, [*sound, chain(n + 1, 7)[-1]]):
        assert audit.follow(wrong).fault
        assert audit.follow(msgspec.structs.replace(entry, seq=i + 1) for i, entry in enumerate(wrong)).fault


async def test_bytes_in_the_place_of_a_text_are_found_though_their_json_is_the_same(store):
    await audit.acted(store, audit.entering(store, "YWJj", "key.created", "key:1", {}))
    forged(store, ("UPDATE audit SET actor = ?", (b"abc",)))
    assert (await audit.verify(store)).row == 1


@pytest.mark.parametrize("left", [0, 2, 4])
async def test_rows_that_were_cut_off_at_the_end_are_found(store, left):
    await enter(store, 5)
    last = (await audit.entries(store))[-1].hash
    forged(store, f"DELETE FROM audit WHERE seq > {left}")  # noqa: S608
    if left:
        assert "tells of row 5, and the chain ends at" in (await audit.verify(store)).fault
    else:  # nothing is left: a head that was kept elsewhere tells, and so does the next row
        assert "No row has the hash" in (await audit.verify(store, last)).fault
        await enter(store)
        assert "tells of row 5" in (await audit.verify(store)).fault


async def test_a_table_that_was_written_anew_is_found(store):
    await enter(store, 5)
    rows = [("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?)", msgspec.structs.astuple(entry)) for entry in chain(9)]
    forged(store, "DELETE FROM audit", *rows)
    assert not audit.follow(await audit.entries(store)).fault
    assert "Row 5 is not the one that" in (await audit.verify(store)).fault


async def test_a_head_that_the_chain_does_not_lead_to_is_kept_as_the_proof(store):
    await enter(store, 5)
    kept, lines = store.heads[0].read_text(), []
    forged(store, "DELETE FROM audit WHERE seq > 3")
    store.say = lines.append
    await enter(store, 4)  # beyond what was cut
    assert store.heads[0].read_text() == kept
    assert "Row 5 is not the one" in lines[-1]
    assert "Row 5 is not the one" in (await audit.verify(store)).fault


async def test_a_head_that_was_taken_away_or_spoilt_is_found_and_not_made_anew(store):
    await enter(store, 2)
    for path in store.heads:
        was = path.read_text()
        path.unlink()
        await enter(store)
        assert f"{path} is missing" in (await audit.verify(store)).fault
        path.write_text("3 nonsense")
        assert f"{path} cannot be read" in (await audit.verify(store)).fault
        path.write_text(was)
        assert not (await audit.verify(store)).fault


async def test_a_head_that_was_kept_elsewhere_is_asked_for_by_its_hash(store):
    await enter(store, 3)
    old = (await audit.entries(store))[1].hash
    for one, fine in ((old, True), (old.upper(), True), (ZERO, False), ("f" * 64, False), ("x", False)):
        assert bool((await audit.verify(store, one)).fault) is not fine


async def test_what_an_operator_accepts_is_entered_and_the_heads_follow(store):
    await enter(store, 5)
    forged(store, "DELETE FROM audit WHERE seq > 3")
    store.heads[1].unlink()
    entry = await audit.accept(store, "ann")
    assert (entry.action, entry.seq) == ("audit.accepted", 4)
    assert await audit.verify(store) == audit.Report(entries=4, head=Head(seq=4, hash=entry.hash))


async def test_an_empty_chain_is_fine(store):
    assert await audit.verify(store) == audit.Report(entries=0, head=Head(seq=0, hash=ZERO))
    assert not store.heads[0].exists()


async def test_a_head_that_cannot_be_written_undoes_nothing_and_is_said(store):
    await enter(store)
    lines = []
    store.say = lines.append
    store.heads[1].parent.rename(store.heads[1].parent.with_name("gone"))
    await enter(store)
    assert "kept.head is missing" in lines[0]
    assert len(await audit.entries(store)) == 2
    assert head.read(store.heads[0]).seq == 2


async def test_a_chain_does_not_begin_where_its_head_cannot_be_written(tmp_path):
    store = Store.open(tmp_path / "trimtab.db", head=tmp_path / "missing" / "kept.head")
    with pytest.raises(StorageError, match=r"kept\.head.*cannot be written"):
        await keys.create(store, tmp_path, Draft(name="ci"))
    assert await keys.list(store) == ()
    await store.close()


async def test_an_act_that_fails_leaves_no_row(store, tmp_path):
    key, _ = await keys.create(store, tmp_path, Draft(name="ci"))
    await keys.revoke(store, key.id)
    with pytest.raises(RequestError, match="revoked"):
        await keys.rotate(store, tmp_path, key.id, 0)
    await keys.revoke(store, key.id)  # changes nothing
    assert [entry.action for entry in await audit.entries(store)] == ["key.created", "key.revoked"]


async def test_keys_are_entered_with_who_did_it_and_without_their_secret(store, tmp_path):
    key, token = await keys.create(store, tmp_path, Draft(name="ci"), "ann")
    _, second = await keys.rotate(store, tmp_path, key.id, 60, "bob")
    await keys.revoke(store, key.id, "eve")
    found = [(entry.actor, entry.action, entry.subject) for entry in await audit.entries(store)]
    did = (("ann", "created"), ("bob", "rotated"), ("eve", "revoked"))
    assert found == [(who, f"key.{what}", f"key:{key.id}") for who, what in did]
    kept = msgspec.json.encode(await audit.entries(store)) + b"".join(path.read_bytes() for path in store.heads)
    for secret in (token, second, token.partition(".")[2]):
        assert secret.encode() not in kept


async def test_decisions_and_timeouts_of_tickets_are_entered(store):
    async def ticket(expires=60.0):
        request = Request(id="tr_1", messages=({"role": "user", "content": "my secret question"},))
        case = Case(
            request=request, decision=Decision(ladder=("a",)), answer=Answer(text="mine", model="a"), verdict=OK
        )
        return await _tickets.create(store, case, code="doubted_answer", why="Doubted.", expires=expires)

    late, one, two = await ticket(0.01), await ticket(), await ticket()
    await asyncio.sleep(0.02)
    await _tickets.approve(store, one.ticket, "ann", one.digest, actor="key1/ann")
    await _tickets.deny(store, two.ticket, "bob", "no")
    found = [(entry.actor, entry.action, entry.subject) for entry in await audit.entries(store)]
    assert found == [
        ("time", "ticket.expired", late.ticket), ("key1/ann", "ticket.approved", one.ticket),
        ("bob", "ticket.denied", two.ticket),
    ]  # fmt: skip
    assert (await _tickets.get(store, late.ticket)).state == "expired"
    assert [found.id for found in await _tickets.list(store, "expired")] == [late.ticket]
    assert b"question" not in msgspec.json.encode(await audit.entries(store))
    assert not (await audit.verify(store)).fault


async def test_settings_are_entered_by_their_hash_and_limits_when_they_change(store, tmp_path):
    def settings(key="s3cret", **table):
        return parse(table, folder=tmp_path, home=tmp_path, name="x", secrets={"OPENAI_API_KEY": key})

    limits = [{"requests": 5}]
    await acts.started(store, settings())
    await acts.reloaded(store, settings("another"))
    await acts.reloaded(store, settings(limit=limits))
    await acts.reloaded(store, settings(limit=limits, server={"drain": 3}))
    await acts.stopped(store, settings())
    found = await audit.entries(store)
    assert [entry.action for entry in found] == [
        "gateway.started", "config.loaded", "config.reloaded", "config.reloaded", "limits.changed", "config.reloaded",
        "gateway.stopped",
    ]  # fmt: skip
    assert found[1].payload == found[2].payload  # a secret is not in it
    assert len({found[i].payload for i in (2, 3, 5)}) == 3
    assert "s3cret" not in json.dumps(acts.shape(settings()))


def test_a_relative_head_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no absolute path"):
        parse({"audit": {"head": "x"}}, folder=tmp_path, home=tmp_path, name="x", secrets={})


APPEND = """
import asyncio, sys
from pathlib import Path
from trimtab.store import audit
from trimtab.store.engine import Store

async def main():
    store = Store.open(Path(sys.argv[1]))
    for i in range(int(sys.argv[2])):
        await audit.acted(store, audit.entering(store, sys.argv[3], "key.created", f"key:{i}", i))
    await store.close()

asyncio.run(main())
"""


async def test_processes_that_append_at_the_same_time_never_fork_the_chain(tmp_path):
    store = Store.open(tmp_path / "trimtab.db")
    command = [sys.executable, "-c", APPEND, str(store.path), "20"]
    await asyncio.gather(*(asyncio.to_thread(subprocess.run, [*command, f"p{i}"], check=True) for i in range(4)))
    found = await audit.entries(store)
    assert len(found) == 80
    assert {entry.actor for entry in found} == {"p0", "p1", "p2", "p3"}
    assert head.read(store.heads[0]) == Head(seq=80, hash=found[-1].hash)
    assert not (await audit.verify(store)).fault
    await store.close()


KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from trimtab.store import audit
from trimtab.store.engine import Store

async def main():
    store = Store.open(Path(sys.argv[1]))
    await audit.acted(store, audit.entering(store, "ann", "key.created", "key:1", 1))
    audit._advance = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    await audit.acted(store, audit.entering(store, "ann", "key.created", "key:2", 2))

asyncio.run(main())
"""


async def test_a_kill_between_the_commit_and_the_head_leaves_a_head_that_is_behind(tmp_path):
    path = tmp_path / "trimtab.db"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -9
    store = Store.open(path)
    assert head.read(store.heads[0]).seq == 1
    report = await audit.verify(store)
    assert (report.fault, report.entries) == ("", 2)
    assert "is 1 behind the chain, which goes on from it" in report.notes[0]
    await enter(store)
    assert (await audit.verify(store)).notes == ()
    await store.close()
