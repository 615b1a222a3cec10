"""What was acknowledged is there after a kill -9, and databases of other versions are migrated or left alone."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from trimtab.approve import _tickets
from trimtab.errors import StorageError
from trimtab.record import _read
from trimtab.store import schema, sqlite
from trimtab.store.engine import Store
from trimtab.store.tables import HEAD, metadata

WRITER = """
import asyncio, os, sys, time
from pathlib import Path
from trimtab.approve import policy
from trimtab.record import ledger
from trimtab.store.engine import Store
from trimtab.testing import ask
from trimtab.ports import Tools
from trimtab.types import Answer, Case, Decision, Impact, Trace, Wishes, OK

def said(line):
    os.write(1, (line + "\\n").encode())  # past every buffer: what is read was acknowledged

async def one(kind, writer, keep, approver):
    for i in range(1_000_000):
        request = ask("Hi", id=f"tr_{writer}_{i}", wishes=Wishes(durable=kind == "trace"))
        answer = Answer(text="Hello.", model="m")
        if kind == "ticket":
            decision = Decision(ladder=("m",), impact=Impact.HIGH)
            case = Case(request=request, decision=decision, answer=answer, verdict=OK)
            pending = await approver.approve(case)
            said(f"ticket {pending.ticket} {pending.digest}")
        else:
            await keep.record(Trace(request=request, at=time.time(), ms=1.0, outcome="answer", result=answer))
            if kind == "trace":
                said(f"trace {request.id} -")
            else:
                await asyncio.sleep(0.001)

async def main():
    home = Path(sys.argv[1])
    store = Store.open(home / "trimtab.db")
    tools = Tools(
        name="x", recipe=home, home=home, encoder=None, store=lambda: store, personal=lambda _: (), secret=None,
        starting=lambda _: None, closing=None, say=print,
    )
    keep, approver = ledger.build(ledger.Options(), tools), policy.build(policy.Options(), tools)
    kinds = ["trace"] * 4 + ["ticket"] * 2 + ["queued"] * 2
    await asyncio.gather(*(one(kind, n, keep, approver) for n, kind in enumerate(kinds)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 60, 400])
async def test_all_that_was_acknowledged_survives_a_kill(tmp_path, acknowledged):
    child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER), tmp_path], stdout=subprocess.PIPE)
    lines = [child.stdout.readline() for _ in range(acknowledged)]
    os.kill(child.pid, signal.SIGKILL)
    lines += child.stdout.read().splitlines(keepends=True)
    assert child.wait(20) == -signal.SIGKILL
    done = [line.decode().split() for line in lines if line.endswith(b"\n")]
    assert len(done) >= acknowledged

    store = Store.open(tmp_path / "trimtab.db")
    for kind, name, digest in done:
        if kind == "trace":
            assert (await _read.trace(store, name))["id"] == name
        else:
            ticket = await _tickets.get(store, name)
            assert (ticket.state, ticket.digest) == ("pending", digest)
            assert _tickets.digest(_tickets.canonical(ticket.answer)) == digest
    assert (await store.transact(lambda c: c.exec_driver_sql("PRAGMA integrity_check").scalar())) == "ok"
    await store.close()


async def test_the_writer_syncs_each_commit_and_logs_ahead(tmp_path):
    store = Store.open(tmp_path / "trimtab.db")
    seen = await store.transact(
        lambda c: [
            c.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert seen == ["wal", 2, 1]  # 2 is FULL
    await store.close()


async def test_an_empty_file_is_brought_to_the_schema_of_the_code(tmp_path):
    (tmp_path / "trimtab.db").touch()
    lines = []
    store = Store.open(tmp_path / "trimtab.db", lines.append)
    difference = await store.transact(lambda c: compare_metadata(MigrationContext.configure(c), metadata))
    await store.close()
    assert difference == []
    assert lines == []


def test_every_migration_leads_to_the_one_head():
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(schema.MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [HEAD]
    assert len({revision.revision for revision in script.walk_revisions()}) == len(
        list(schema.MIGRATIONS.glob("versions/*.py"))
    )


def test_a_migration_that_fails_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "trimtab.db"
    migrate = schema._create

    def breaks(connection):
        migrate(connection)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(schema, "_create", breaks)
    with pytest.raises(StorageError, match=r"No space left.*Free space"):
        Store.open(path)
    assert sqlite3.connect(path).execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)


async def test_a_newer_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "trimtab.db"
    await Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StorageError, match=r"newer Trimtab.*9999.*Upgrade") as caught:
        Store.open(path)
    assert caught.value.code == "newer_database"
    assert sqlite3.connect(path).execute("SELECT version_num FROM alembic_version").fetchone() == ("9999",)


async def test_an_older_database_is_migrated_with_its_rows(tmp_path, monkeypatch):
    """The migration after the last one is made here."""
    path, folder = tmp_path / "trimtab.db", tmp_path / "migrations"
    await Store.open(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO cached VALUES (x'01', 1, 2, 'p', 'r', '{}')")
    (folder / "versions").mkdir(parents=True)
    for file in (schema.MIGRATIONS / "env.py", *schema.MIGRATIONS.glob("versions/*.py")):
        (folder / file.relative_to(schema.MIGRATIONS)).write_text(file.read_text())
    (folder / "versions" / "9998_note.py").write_text(
        "import sqlalchemy as sa\nfrom alembic import op\nrevision = '9998'\n"
        f"down_revision = '{HEAD}'\n"
        "def upgrade():\n    op.add_column('cached', sa.Column('note', sa.Text()))\n"
    )
    monkeypatch.setattr(schema, "MIGRATIONS", folder)
    monkeypatch.setattr(schema, "HEAD", "9998")
    lines = []
    await Store.open(path, lines.append).close()
    assert f"from schema {HEAD} to 9998" in lines[0]
    assert sqlite3.connect(path).execute("SELECT key, note FROM cached").fetchall() == [(b"\x01", None)]


def test_opening_what_is_new_or_up_to_date_does_not_import_alembic(tmp_path):
    code = (
        "import asyncio, sys; from pathlib import Path; from trimtab.store.engine import Store;"
        f"asyncio.run(Store.open(Path({str(tmp_path)!r}) / 'trimtab.db').close()); print('alembic' in sys.modules)"
    )
    said = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(2)]
    assert [one.stdout.strip() for one in said] == ["False", "False"]


def test_two_processes_may_open_a_new_file_at_once(tmp_path):
    code = (
        "import asyncio, sys; from pathlib import Path; from trimtab.store.engine import Store;"
        f"asyncio.run(Store.open(Path({str(tmp_path)!r}) / 'trimtab.db').close())"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    assert [(one.communicate()[1], one.returncode) for one in both] == [(b"", 0)] * 3


def test_the_tables_have_no_type_that_postgresql_lacks():
    from sqlalchemy.dialects import postgresql
    from sqlalchemy.schema import CreateTable

    for table in metadata.sorted_tables:
        assert str(CreateTable(table).compile(dialect=postgresql.dialect()))
        statement = str(sqlite.upsert(table).compile(dialect=create_engine("sqlite://").dialect))
        assert "ON CONFLICT" in statement


GATEWAY = """
import sys
from pathlib import Path
from trimtab.server.serving import run
from trimtab.settings import parse

home, peer = Path(sys.argv[1]), sys.argv[2]
large = {"kind": "openai_http", "name": "large", "url": peer, "model": "m", "price": {"input": "2", "output": "8"}}
table = {
    "server": {"port": 0, "drain": float(sys.argv[3])}, "discover": {"environment": False, "loopback": False},
    "model": [large], "record": [{"kind": "ledger"}],
}
run(parse(table, folder=home, home=home, name="x", secrets={}), lambda line: print(line, flush=True))
"""


def open_to(host, port):
    with socket.socket() as sock:
        return sock.connect_ex((host, port)) == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_requests_in_flight_at_the_end_are_told_and_recorded_with_their_cost(tmp_path, signals):
    """A second signal ends the drain at once, and still nothing is lost."""
    peer = socket.create_server(("127.0.0.1", 0), backlog=64)  # takes calls and never answers
    peer.settimeout(20)
    url = f"http://127.0.0.1:{peer.getsockname()[1]}/v1"
    drain = "1" if signals == 1 else "60"  # longer than anybody here waits
    child = subprocess.Popen([sys.executable, "-c", GATEWAY, tmp_path, url, drain], stdout=subprocess.PIPE, text=True)
    line = next(line for line in child.stdout if line.startswith("Listening on "))
    host, port = line.split("//")[1].strip().split(":")
    clients = [socket.create_connection((host, int(port)), timeout=20) for _ in range(16)]
    for i, client in enumerate(clients):
        body = json.dumps({"messages": [{"role": "user", "content": "Why?"}], "stream": bool(i % 2)}).encode()
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
        )
        client.sendall(body)
    calls = [peer.accept()[0] for _ in clients]
    for _ in range(signals):
        child.send_signal(signal.SIGTERM)
        while open_to(host, int(port)):  # heard: of two that come before it hears one, it would hear one
            time.sleep(0.01)
    replies = [b"".join(iter(lambda client=client: client.recv(65536), b"")) for client in clients]
    assert child.wait(20) == 0
    for reply in replies:
        assert reply.startswith(b"HTTP/1.1 503 ")
        assert b'"code":"shutting_down"' in reply
        assert bytes(tmp_path) not in reply
    with sqlite3.connect(tmp_path / "trimtab.db") as database:
        rows = database.execute("SELECT outcome, cost_nano > 0 FROM traces").fetchall()
    assert rows == [("cancelled", 1)] * 16
    for opened in (*clients, *calls, peer):
        opened.close()


def test_a_new_database_is_what_the_migrations_make(tmp_path):
    """A new one is made at once; columns, defaults, keys and indices must be those of one that was migrated."""

    def made(path, build):
        engine = sqlite.engine(path)
        with engine.connect().execution_options(writes=True) as connection, connection.begin():
            build(connection)
        engine.dispose()
        with sqlite3.connect(path) as connection:
            tables = [row[0] for row in connection.execute("select name from sqlite_master where type = 'table'")]
            columns = {name: connection.execute(f"pragma table_info({name})").fetchall() for name in tables}
            indices = {name: connection.execute(f"pragma index_list({name})").fetchall() for name in tables}
        return (
            {name: sorted(row[1:] for row in rows) for name, rows in columns.items()},
            {name: sorted(row[1:4] for row in rows) for name, rows in indices.items()},
        )

    fresh, migrated = made(tmp_path / "a.db", schema._create), made(tmp_path / "b.db", schema._upgrade)
    assert {"traces", "keys", "owned"} <= set(fresh[0])
    assert fresh == migrated
