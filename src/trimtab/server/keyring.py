"""The keys as the gateway knows them: read once, read again when one has changed, and checked in constant time.

Within a second of its commit a change by any process holds: until then the ring is trusted, after that the database is
asked whether anything changed before another request comes in. Nothing here ever remembers a secret.
"""

import asyncio
import hmac
import time
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from secrets import token_bytes
from typing import TYPE_CHECKING

from trimtab.errors import AuthError
from trimtab.server import callers, keys
from trimtab.server.callers import Caller
from trimtab.server.door import Door, shown
from trimtab.server.keys import Stored
from trimtab.settings import Settings

if TYPE_CHECKING:
    from trimtab.store.engine import Store

FRESH = 1.0
"""Seconds that the ring is trusted."""
MISSED = 0.1
"""Seconds between two looks for a key that the ring does not have."""
MOST = 4096
"""Digests that are kept."""
NOBODY = b"\0" * 32

Headers = Mapping[bytes, bytes]


class Keyring:
    """Who a request comes from; without a store there are no virtual keys."""

    def __init__(self, settings: Settings, entrance: Door, store_of: "Callable[[], Store] | None") -> None:
        self._settings, self._door, self._store_of = settings, entrance, store_of
        self._home: Path = settings.home
        self._asks = settings.server.auth == "key" or bool(entrance.key)
        self._admin, self._anyone = callers.admin(settings.limits), callers.anyone(settings.limits)
        self._keys: dict[str, tuple[Stored, Caller]] = {}
        self._pepper, self._salt = NOBODY, token_bytes(32)
        self._digests: dict[bytes, bytes] = {}
        self._changed = 0
        self._until = self._missed = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def caller(self, headers: Headers) -> Caller:
        """Raises `AuthError` for a request that may not come in, `StorageError` where the keys cannot be read."""
        token = shown(headers)
        if self._door.key and hmac.compare_digest(token, self._door.key):
            return self._admin
        if self._store_of and time.monotonic() >= self._until:
            await self._refresh()
        if found := keys.parts(token.decode("latin-1")) if token else None:
            return await self._of_key(*found)
        if self._asks:
            raise _unknown()
        self._door.unkeyed(headers)
        return self._anyone

    async def _of_key(self, id: str, secret: str) -> Caller:
        if id not in self._keys and self._store_of:
            await self._look()
        kept, now = self._keys.get(id), time.time()
        if kept is None:
            hmac.compare_digest(keys.digest(self._pepper, id, secret), NOBODY)
            raise _unknown()
        given = self._digest(id, secret)
        stored, caller = kept
        if not stored.opens(given, now):
            raise _unknown()
        if (state := stored.key.state(now)) != "active":
            raise AuthError(
                f"This key is {state}.",
                "Ask an admin for another one.",
                code="key_expired" if state == "expired" else "key_revoked",
            )
        return caller

    def _digest(self, id: str, secret: str) -> bytes:
        """`keys.digest`, which takes longer than all else that is done for a key: kept under a MAC of this process."""
        mark = blake2b(f"{id}.{secret}".encode("utf-8", "replace"), key=self._salt, digest_size=16).digest()
        if (found := self._digests.get(mark)) is None:
            if len(self._digests) >= MOST:
                self._digests.clear()
            found = self._digests[mark] = keys.digest(self._pepper, id, secret)
        return found

    async def _look(self) -> None:
        """Read again for a key that the ring does not have, no sooner than `MISSED` after the last time: a key that was
        made just then is found, and who guesses keys waits.
        """
        due = self._missed
        if (early := due - time.monotonic()) > 0:
            await asyncio.sleep(early)  # a timer may ring a little early: who is first behind it looks
        if self._missed == due:
            self._missed = time.monotonic() + MISSED
            if self._reading and not self._reading.done():
                await asyncio.shield(self._reading)  # it may have begun before the key was there
            await self._refresh()
        elif self._reading:
            await asyncio.shield(self._reading)

    async def _refresh(self) -> None:
        """Read what changed; whoever comes meanwhile waits for the same reading."""
        if not self._reading or self._reading.done():
            self._reading = asyncio.create_task(self._read())
        await asyncio.shield(self._reading)

    async def _read(self) -> None:
        await asyncio.to_thread(self._load)
        self._until = time.monotonic() + FRESH

    def _load(self) -> None:
        from sqlalchemy import func, select

        from trimtab.store.tables import keys as table

        assert self._store_of  # noqa: S101
        store = self._store_of()
        changed = store.rows(select(func.max(table.c.changed)))[0][0] or 0
        if changed == self._changed:
            return
        rows = [keys.stored(row) for row in store.rows(select(table))]
        if self._pepper == NOBODY:
            self._pepper = keys.pepper(self._home)
            self._digests.clear()
        self._keys = {one.key.id: (one, callers.of_key(one.key, self._settings.limits)) for one in rows}
        self._changed, self._asks = changed, True


def _unknown() -> AuthError:
    return AuthError("The API key is missing or wrong.", "Send Authorization: Bearer <key>.")
