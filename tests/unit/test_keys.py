"""Virtual keys in the store: what is kept of them, how they change, and what a crash or an upgrade leaves."""

import asyncio
import hashlib
import hmac
import sqlite3
import stat
import time
from decimal import Decimal

import pytest
from alembic import command
from alembic.config import Config

from trimtab.errors import AuthError, ConfigError, NotFoundError, RequestError, StorageError
from trimtab.server import keyring, keys
from trimtab.server.admission import Admission, QuotaError
from trimtab.server.door import door
from trimtab.server.keys import Draft
from trimtab.server.quota import Bound
from trimtab.settings import Limit, parse
from trimtab.store import schema, sqlite
from trimtab.store.engine import Store
from trimtab.store.tables import HEAD

BOUND = (Bound("key:a", "requests", 1000, "month"),)
NOW = 1_772_000_000.0


def ring(store, **server):
    home = store.path.parent
    settings = parse({"server": server}, folder=home, home=home, name="x", secrets={})
    return keyring.Keyring(settings, door(settings), lambda: store)


def bearer(token):
    return {b"authorization": b"Bearer " + token.encode(), b"host": b"localhost"}


async def test_a_key_is_made_of_its_id_and_a_secret_of_256_bits(store, tmp_path):
    key, token = await keys.create(store, tmp_path, Draft(name="ci"))
    secret = token.removeprefix(f"tt_{key.id}.")
    assert len(secret) == 43
    assert keys.parts(token) == (key.id, secret)
    assert len({(await keys.create(store, tmp_path, Draft(name="x")))[1] for _ in range(20)}) == 20


async def test_what_is_stored_is_the_hmac_of_the_secret(store, tmp_path):
    key, token = await keys.create(store, tmp_path, Draft(name="ci"))
    pepper = (tmp_path / "pepper").read_bytes()
    expected = hmac.new(pepper, token.removeprefix("tt_").encode(), hashlib.sha256).digest()
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT digest FROM keys WHERE id = ?", (key.id,)).fetchone() == (expected,)
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "token", ["", "tt_", "tt_abc.x", "tt_ABCDEFGHJKMN.x", "sk_" + "a" * 12 + ".x", "tt_" + "a" * 12]
)
def test_what_is_no_virtual_key(token):
    assert keys.parts(token) is None


def test_a_pepper_that_is_none_is_a_clear_error_and_one_that_others_read_is_closed(tmp_path):
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(ConfigError, match=r"5 bytes.*backup"):
        keys.pepper(tmp_path)
    (tmp_path / "pepper").write_bytes(b"p" * 32)
    (tmp_path / "pepper").chmod(0o644)
    assert keys.pepper(tmp_path) == b"p" * 32
    assert stat.S_IMODE((tmp_path / "pepper").stat().st_mode) == 0o600


def test_two_that_make_the_pepper_at_once_have_the_same(tmp_path, monkeypatch):
    random, others = keys.secrets.token_bytes, []

    def meanwhile(size):
        monkeypatch.setattr(keys.secrets, "token_bytes", random)
        others.append(keys.pepper(tmp_path))  # as another process does between our look and our write
        return random(size)

    monkeypatch.setattr(keys.secrets, "token_bytes", meanwhile)
    assert [keys.pepper(tmp_path)] == others
    assert len(others[0]) == 32
    assert [file.name for file in tmp_path.iterdir()] == ["pepper"]


def test_a_full_disk_leaves_no_half_of_a_pepper(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        keys.pepper(tmp_path)
    assert not list(tmp_path.iterdir())


async def test_a_key_keeps_what_it_was_given(store, tmp_path):
    limits = (Limit(usd=Decimal("0.000000001"), per="month"), Limit(concurrency=2, model="large"))
    draft = Draft(name="ci", team="blue", role="operator", models=("a", "b"), routes=("/v1",), limits=limits,
                  expires=time.time() + 60)  # fmt: skip
    key, _ = await keys.create(store, tmp_path, draft)
    assert {name: getattr(key, name) for name in draft.__struct_fields__} == {
        name: getattr(draft, name) for name in draft.__struct_fields__
    }
    assert await keys.get(store, key.id) == await keys.get(store, "ci") == (await keys.list(store))[0] == key


async def test_wrong_wishes_are_clear_errors(store, tmp_path):
    for draft in (Draft(name=" "), Draft(name="x" * 201), Draft(name="x", expires=1.0), Draft(name="x", role="root")):
        with pytest.raises(RequestError):
            await keys.create(store, tmp_path, draft)
    with pytest.raises(NotFoundError) as caught:
        await keys.get(store, "tt_aaaaaaaaaaaa.asecretthatwaspasted")
    assert "asecret" not in str(caught.value)
    for _ in range(2):
        await keys.create(store, tmp_path, Draft(name="twin"))
    with pytest.raises(RequestError, match="id"):
        await keys.get(store, "twin")


async def test_rotation_and_revocation(store, tmp_path):
    key, old = await keys.create(store, tmp_path, Draft(name="ci"))
    again, new = await keys.rotate(store, tmp_path, "ci", 60)
    found = ring(store)
    assert (again.id, old != new) == (key.id, True)
    assert [(await found.caller(bearer(one))).principal for one in (old, new)] == [key.id] * 2
    revoked = await keys.revoke(store, key.id)
    assert (await keys.revoke(store, key.id)).revoked == revoked.revoked
    found = ring(store)
    for token in (old, new):
        with pytest.raises(keyring.AuthError):
            await found.caller(bearer(token))
    with pytest.raises(RequestError, match="revoked"):
        await keys.rotate(store, tmp_path, key.id, 0)


async def test_a_gateway_with_no_key_left_still_asks_for_one(store, tmp_path):
    found = ring(store)
    assert (await found.caller({b"host": b"localhost"})).principal == "local"
    key, _ = await keys.create(store, tmp_path, Draft(name="ci"))
    await keys.revoke(store, key.id)
    with pytest.raises(keyring.AuthError):
        await ring(store).caller({b"host": b"localhost"})


async def test_auth_key_lets_nobody_in_and_may_listen_to_the_world(store):
    with pytest.raises(keyring.AuthError):
        await ring(store, auth="key", host="0.0.0.0").caller({b"host": b"localhost"})
    with pytest.raises(ConfigError):
        ring(store, host="0.0.0.0")


async def test_keys_that_cannot_be_read_let_nobody_in(store, tmp_path):
    _, token = await keys.create(store, tmp_path, Draft(name="ci"))
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TABLE keys")
    for headers in (bearer(token), {b"host": b"localhost"}):
        with pytest.raises(StorageError):
            await ring(store).caller(headers)


async def test_a_crash_forgets_nothing_that_was_spent(tmp_path):
    spent = 0
    for _ in range(3):  # each time the process ends without giving anything back
        store = Store.open(tmp_path / "trimtab.db")
        admission = Admission(lambda s=store: s, lambda: NOW)
        for _ in range(7):
            await admission.settle(await admission.reserve(BOUND, {"requests": 1}), lambda _: 1)
            spent += 1
        await store.close()
    with sqlite3.connect(tmp_path / "trimtab.db") as connection:
        (taken,) = connection.execute("SELECT taken FROM windows").fetchone()
    assert spent <= taken <= spent + 3 * 16  # at most the rest of a lease each


async def test_what_went_over_is_on_disk_too(store):
    admission = Admission(lambda: store, lambda: NOW)
    hold = await admission.reserve((Bound("key:a", "nano", 100, "day"),), {"nano": 10})
    await admission.settle(hold, lambda _: 250)
    with sqlite3.connect(store.path) as connection:
        assert connection.execute("SELECT taken FROM windows").fetchone() == (250,)
    with pytest.raises(QuotaError):
        await admission.reserve((Bound("key:a", "nano", 100, "day"),), {"nano": 1})


async def test_two_gateways_share_a_limit(store):
    both = [Admission(lambda: store, lambda: NOW) for _ in range(2)]
    bound, passed = (Bound("key:a", "requests", 100, "day"),), 0
    for i in range(300):
        try:
            await both[i % 2].reserve(bound, {"requests": 1})
        except QuotaError:
            continue
        passed += 1
    assert passed == 100


async def test_the_hot_path_writes_nothing(store, monkeypatch):
    admission, written = Admission(lambda: store, lambda: NOW), []
    transact = store.transact

    async def counted(fn):
        written.append(fn)
        return await transact(fn)

    monkeypatch.setattr(store, "transact", counted)
    for _ in range(200):
        await admission.settle(await admission.reserve(BOUND, {"requests": 1}), lambda _: 1)
    assert len(written) <= 200 // 16 + 1


async def test_a_lease_that_cannot_be_written_lets_nobody_in(store):
    admission = Admission(lambda: store, lambda: NOW)
    with sqlite3.connect(store.path) as connection:
        connection.execute("DROP TABLE windows")
    for _ in range(2):
        with pytest.raises(StorageError):
            await admission.reserve(BOUND, {"requests": 1})


async def test_a_database_of_the_first_schema_is_upgraded_with_its_rows(tmp_path):
    path = tmp_path / "trimtab.db"
    engine = sqlite.engine(path)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        config = Config()
        config.set_main_option("script_location", str(schema.MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO cached VALUES (x'01', 1, 2, 'p', 'r', '{}')")
        connection.execute(
            "INSERT INTO tickets (id, created, expires, trace_id, principal, code, why, messages, digest, state)"
            " VALUES ('tk_1', 1, 2, 'tr_1', 'local', 'c', 'w', '[]', '', 'pending')"
        )
    lines = []
    store = Store.open(path, lines.append)
    assert f"from schema 0001 to {HEAD}" in lines[0]
    await keys.create(store, tmp_path, Draft(name="ci"))
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT principal FROM cached").fetchall() == [("p",)]
        assert connection.execute("SELECT id, principal FROM tickets").fetchall() == [("tk_1", "local")]
        assert connection.execute("SELECT count(*) FROM keys").fetchone() == (1,)


async def test_a_key_made_just_after_a_wrong_one_was_tried_is_let_in(store, tmp_path):
    """However soon: what was read for the wrong one is not the last word."""
    lock = ring(store, auth="key")
    first, token = await keys.create(store, tmp_path, Draft(name="ci"))
    for number in range(3):
        with pytest.raises(AuthError):
            await lock.caller(bearer(token.replace(first.id, f"{number}" + first.id[1:])))
        key, fresh = await keys.create(store, tmp_path, Draft(name=f"new{number}"))
        assert (await lock.caller(bearer(fresh))).principal == key.id


async def test_a_timer_that_rings_early_locks_no_new_key_out(store, tmp_path, monkeypatch):
    lock, sleep = ring(store, auth="key"), asyncio.sleep
    monkeypatch.setattr(keyring.asyncio, "sleep", lambda seconds: sleep(seconds / 2))
    for number in range(3):
        key, token = await keys.create(store, tmp_path, Draft(name=f"new{number}"))
        assert (await lock.caller(bearer(token))).principal == key.id
