"""Virtual keys: made, listed, rotated and revoked in the store, which keeps no secret.

A key is `tt_<id>.<secret>`. The store has HMAC-SHA256 of the secret under the pepper, 32 random bytes in a file beside
the database that only its owner may read: neither the database nor the pepper alone lets anyone check a guess.
"""

import hmac
import os
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import msgspec

from trimtab.errors import ConfigError, NotFoundError, RequestError
from trimtab.settings import Limit

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

Role: TypeAlias = Literal["client", "operator", "admin"]
Priority: TypeAlias = Literal["low", "normal", "high"]

RANK: dict[str, int] = {"client": 0, "operator": 1, "admin": 2}
"""Each role may do what those below it may."""
PRIORITIES: dict[str, int] = {"low": -1, "normal": 0, "high": 1}
"""Who goes first where there is no room for all."""
PREFIX = "tt_"
ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
"""Of ids: no letter that is read as another."""
ID = re.compile(r"[a-z0-9]{12}")
BYTES = 32
LOCAL = "local"
"""Who did something on this machine, where nobody says who."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """One key without its secret; times in epoch seconds. `models` and `routes` empty mean all.

    `priority` is the highest that its requests may claim.
    """

    id: str
    name: str
    team: str = ""
    role: Role = "client"
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    priority: Priority = "normal"
    created: float
    expires: float | None = None
    revoked: float | None = None
    old_until: float | None = None

    def state(self, now: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "active"


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """A key with the digests that its secret is checked against."""

    key: Key
    digest: bytes
    old_digest: bytes | None

    def opens(self, digest: bytes, now: float) -> bool:
        """Whether a digest is that of the secret, or of the one before it while both are good; in constant time."""
        current = hmac.compare_digest(digest, self.digest)
        old = hmac.compare_digest(digest, self.old_digest or b"\0" * BYTES)
        return current or (old and self.key.old_until is not None and now < self.key.old_until)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What a new key shall be."""

    name: str
    team: str = ""
    role: Role = "client"
    models: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    limits: tuple[Limit, ...] = ()
    priority: Priority = "normal"
    expires: float | None = None


def pepper(home: Path) -> bytes:
    """The pepper of a state folder, made on first use. Raises `ConfigError` for one that is not 32 bytes."""
    path = home / "pepper"
    if not path.exists():
        _make(path)
    found = path.read_bytes()
    if len(found) != BYTES:
        raise ConfigError(f"{path} is not the pepper: it has {len(found)} bytes.", "Put it back from a backup.")
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return found


def _make(path: Path) -> None:
    """Write a new pepper whole before it has its name: nobody ever reads half of one, and there is only one."""
    part = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(secrets.token_bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())
        _name(part, path)
    finally:
        part.unlink(missing_ok=True)


def _name(part: Path, path: Path) -> None:
    """Give the file its name, unless another process was first."""
    try:
        path.hardlink_to(part)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        part.replace(path)


def digest(pepper: bytes, id: str, secret: str) -> bytes:
    """HMAC-SHA256 (RFC 2104) of a secret, bound to its key's id."""
    return hmac.digest(pepper, f"{id}.{secret}".encode("utf-8", "replace"), "sha256")


def parts(token: str) -> tuple[str, str] | None:
    """A token's id and secret; None for what is no virtual key."""
    name, dot, secret = token.removeprefix(PREFIX).partition(".")
    return (name, secret) if token.startswith(PREFIX) and dot and secret and ID.fullmatch(name) else None


async def create(store: "Store", home: Path, draft: Draft, by: str = LOCAL) -> tuple[Key, str]:
    """A new key and its token, which is shown nowhere else; on disk once this returns. Raises `RequestError`s.

    `by` is who the audit chain says did it, here as below.
    """
    from trimtab.store import audit
    from trimtab.store.tables import keys

    _check(draft)
    name, secret = "".join(secrets.choice(ALPHABET) for _ in range(12)), secrets.token_urlsafe(BYTES)
    row = {
        "id": name, "name": draft.name, "team": draft.team, "role": draft.role,
        "digest": digest(pepper(home), name, secret), "models": _json(draft.models), "routes": _json(draft.routes),
        "limits": _json(draft.limits), "priority": draft.priority, "created": time.time(), "expires": draft.expires,
    }  # fmt: skip

    def kept(connection: "Connection") -> Key:
        connection.execute(keys.insert().values(**row, changed=_next(connection)))
        return _told(connection, store, by, "key.created", name)

    return await audit.acted(store, kept), f"{PREFIX}{name}.{secret}"


async def rotate(store: "Store", home: Path, id: str, overlap: float, by: str = LOCAL) -> tuple[Key, str]:
    """A new secret for a key; the old one is good for `overlap` more seconds. Raises `NotFoundError`, `RequestError`.

    Id, principal, budgets and tickets stay.
    """
    from trimtab.store import audit

    secret, now = secrets.token_urlsafe(BYTES), time.time()

    def rotated(connection: "Connection") -> Key:
        found = _one(connection, id)
        if (state := found.key.state(now)) != "active":
            raise RequestError(
                f"The key {found.key.id} is {state}.",
                "Create another one.",
                code="key_expired" if state == "expired" else "key_revoked",
            )
        made = digest(pepper(home), found.key.id, secret)
        _set(connection, found.key.id, digest=made, old_digest=found.digest, old_until=now + overlap)
        return _told(connection, store, by, "key.rotated", found.key.id)

    key = await audit.acted(store, rotated)
    return key, f"{PREFIX}{key.id}.{secret}"


async def revoke(store: "Store", id: str, by: str = LOCAL) -> Key:
    """End a key, its old secret too; once revoked it stays so. Raises `NotFoundError`."""
    from trimtab.store import audit

    def revoked(connection: "Connection") -> Key:
        key = _one(connection, id).key
        if key.revoked is not None:
            return key
        _set(connection, key.id, revoked=time.time(), old_until=None, old_digest=None)
        return _told(connection, store, by, "key.revoked", key.id)

    return await audit.acted(store, revoked)


async def get(store: "Store", id: str) -> Key:
    """The key with that id, that token, or that name where only one has it. Raises `NotFoundError`, `RequestError`."""
    return await store.transact(lambda connection: _one(connection, id).key)


async def list(store: "Store") -> tuple[Key, ...]:  # noqa: A001
    """All keys, the oldest first."""
    from sqlalchemy import select

    from trimtab.store.tables import keys

    return tuple(stored(row).key for row in await store.read(select(keys).order_by(keys.c.created, keys.c.id)))


async def used(store: "Store", id: str, now: float) -> tuple[dict[str, Any], ...]:
    """What gateways have taken of a key's limits in the windows that `now` is in, unspent leases included."""
    from sqlalchemy import or_, select

    from trimtab.store.tables import windows
    from trimtab.store.windows import window

    w = windows.c
    of_key = or_(w.subject == f"key:{id}", w.subject.startswith(f"key:{id}|", autoescape=True))
    rows = await store.read(select(windows).where(of_key).order_by(w.subject, w.what, w.per))
    current = [row for row in rows if row.start == window(row.per, now)[0]]
    return tuple(
        {"model": row.subject.partition("|")[2], "what": row.what, "per": row.per, "taken": row.taken}
        for row in current
    )


def stored(row: Any) -> Stored:
    """A row of the table `keys`."""
    key = Key(
        id=row.id, name=row.name, team=row.team, role=row.role, models=_tuple(row.models), routes=_tuple(row.routes),
        limits=msgspec.json.decode(row.limits, type=tuple[Limit, ...]), priority=row.priority,
        created=row.created, expires=row.expires, revoked=row.revoked, old_until=row.old_until,
    )  # fmt: skip
    return Stored(key=key, digest=row.digest, old_digest=row.old_digest)


def _one(connection: "Connection", id: str) -> Stored:
    from sqlalchemy import or_, select

    from trimtab.store.tables import keys

    name = found[0] if (found := parts(id)) else id.removeprefix(PREFIX)
    rows = connection.execute(select(keys).where(or_(keys.c.id == name, keys.c.name == id))).all()
    exact = [row for row in rows if row.id == name]
    if len(exact or rows) > 1:
        raise RequestError("Several keys have that name.", "Use the id: see `trimtab keys list`.", code="ambiguous_id")
    if not rows:  # a token that was given by mistake is not repeated
        shown = f"key {name!r}" if ID.fullmatch(name) else "such key"
        raise NotFoundError(f"There is no {shown}.", "See `trimtab keys list`.", param="id")
    return stored((exact or rows)[0])


def _told(connection: "Connection", store: "Store", by: str, action: str, id: str) -> Key:
    """The key as it is now, and the audit chain's row of what was done to it: without its digests."""
    from trimtab.store import audit

    key = _one(connection, id).key
    audit.append(connection, by, action, f"key:{id}", key, store.heads)
    return key


def _set(connection: "Connection", id: str, **changes: Any) -> None:
    from trimtab.store.tables import keys

    connection.execute(keys.update().where(keys.c.id == id).values(**changes, changed=_next(connection)))


def _next(connection: "Connection") -> int:
    """The number of this change; transactions that write follow one another."""
    from sqlalchemy import func, select

    from trimtab.store.tables import keys

    return (connection.execute(select(func.max(keys.c.changed))).scalar() or 0) + 1


def _check(draft: Draft) -> None:
    if not draft.name.strip() or len(draft.name) > 200:
        raise RequestError(
            "A key needs a name of at most 200 characters.", "Say whose or what for it is.", param="name"
        )
    if draft.role not in RANK:
        raise RequestError(f"{draft.role!r} is no role.", f"Use one of: {', '.join(RANK)}.", param="role")
    if draft.priority not in PRIORITIES:
        raise RequestError(
            f"{draft.priority!r} is no priority.", f"Use one of: {', '.join(PRIORITIES)}.", param="priority"
        )
    if draft.expires is not None and draft.expires <= time.time():
        raise RequestError("The key would have expired already.", "Give a time to come.", param="expires")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _tuple(text: str) -> tuple[str, ...]:
    return msgspec.json.decode(text, type=tuple[str, ...])
