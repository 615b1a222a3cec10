"""Idempotency-Key: the same key with the same body is answered once, and the same reply is given again for a day.

Who answers holds a claim meanwhile, on disk, so that all processes of a store ask upstream once; others wait for it.

It stands around the routes that answer, and keeps the bytes of the reply, so that what is given again is what was
given, a stream too. A reply that may not be final (an error, a stream that was cut) is not kept: the next one asks
again. The reply lies in the system's database, in the clear, until its time is over.
"""

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from trimtab.errors import MalformedError, RequestError, StorageError
from trimtab.server import limits
from trimtab.server.limits import Message, Receive, Send

if TYPE_CHECKING:
    from trimtab.store.engine import Store

HEADER = b"idempotency-key"
KEEP = 86400.0
"""Seconds that a reply is given again."""
LONGEST = 255
CAP = 8_000_000
"""Bytes of a reply that is kept."""
SWEEP = 3600.0
LEASE, RENEW = 15.0, 3.0
"""Seconds for which a claim holds, and after which it is renewed: when its process dies, it blocks the key so long. One
that stands still for longer loses it: then two answer, and the later reply is kept.
"""
LOOK, SELDOM = 0.05, 0.5
"""Seconds between two looks at a claim of another process, at first and at most."""
ENDS = (b"data: [DONE]", b"event: message_stop", b"event: response.completed", b"event: response.incomplete")
"""The last event of a stream that came to its end, in each of the three dialects."""

Handler: TypeAlias = Callable[[Mapping[bytes, bytes], Receive, Send], Awaitable[None]]


class Kept(msgspec.Struct, frozen=True):
    """A reply, and the digest of what it answers."""

    asked: bytes
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Replays:
    """The replies of one gateway: those that it gives now in memory, and claimed in the store; the others there."""

    def __init__(self, store: "Store", cap: int) -> None:
        self._store, self._cap = store, cap
        self._owner = f"{os.getpid()}.{secrets.token_hex(8)}"
        self._running: dict[bytes, asyncio.Future[None]] = {}
        self._renewing: asyncio.Task[None] | None = None
        self._swept = float("-inf")

    async def __call__(
        self, principal: str, path: str, headers: Mapping[bytes, bytes], receive: Receive, send: Send, handler: Handler
    ) -> None:
        """Answer from what is kept, else through `handler`. Raises `RequestError`s, `StorageError`, `ClientLeft`."""
        name = headers[HEADER]
        if not 0 < len(name) <= LONGEST:
            raise MalformedError(
                f"Idempotency-Key has {len(name)} bytes.", f"Use 1 to {LONGEST}.", param="Idempotency-Key"
            )
        body = await limits.read(receive, headers, self._cap)
        key, asked = _digest(principal.encode(), path.encode(), name), _digest(body, *_ours(headers))
        while running := self._running.get(key):
            await limits.attended(receive, _ended(running))
        done = self._running[key] = asyncio.get_running_loop().create_future()
        kept: Kept | None = None
        try:
            if kept := await limits.attended(receive, self._claimed(key)):
                await _again(kept, asked, send)
            else:
                await handler(headers, _Said(body, receive), Copy(self, key, asked, principal, send))
        finally:
            try:
                if not kept:  # claimed, or left while it was
                    await self._left(key)
            finally:
                del self._running[key]
                done.set_result(None)

    async def keep(self, key: bytes, principal: str, kept: Kept) -> None:
        """On disk once this returns. Raises `StorageError`."""
        from trimtab.server import claims
        from trimtab.store import sqlite
        from trimtab.store.tables import idempotency

        now = time.time()
        row = {
            "key": key, "body": kept.asked, "expires": now + KEEP, "principal": principal, "status": kept.status,
            "headers": msgspec.json.encode(kept.headers).decode(), "response": kept.body,
        }  # fmt: skip
        await self._store.write(sqlite.upsert(idempotency), row, durable=True)
        if time.monotonic() >= self._swept:
            self._swept = time.monotonic() + SWEEP
            await self._store.transact(lambda connection: claims.sweep(connection, now))

    async def renew(self) -> None:
        """Hold what is claimed for longer. Raises `StorageError`."""
        from trimtab.server import claims

        until = time.time() + LEASE
        await self._store.transact(lambda connection: claims.renew(connection, self._owner, until))

    async def _claimed(self, key: bytes) -> Kept | None:
        """What is kept; None once the claim is ours. Waits while another process has it. Raises `StorageError`."""
        from trimtab.server import claims

        pause = LOOK
        while True:
            now = time.time()
            found = await self._store.transact(
                lambda connection, now=now: claims.take(connection, key, self._owner, now, now + LEASE)
            )
            if found is True:
                self._keep_on()
                return None
            if found:
                headers = msgspec.json.decode(found.headers, type=tuple[tuple[str, str], ...])
                return Kept(found.body, found.status, headers, found.response)
            while not await claims.free(self._store, key, time.time()):
                await asyncio.sleep(pause)
                pause = min(2 * pause, SELDOM)

    async def _left(self, key: bytes) -> None:
        """Let go of a claim, behind the reply that is kept; one that cannot be let go of runs out."""
        from trimtab.server import claims

        with suppress(StorageError):
            await self._store.write(claims.RELEASED, {"held": key, "by": self._owner}, durable=False)

    def _keep_on(self) -> None:
        if not self._renewing or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew_all())

    async def _renew_all(self) -> None:
        """Renew while anything runs."""
        await asyncio.sleep(RENEW)
        while self._running:
            with suppress(StorageError):  # said by the store; the next attempt may be in time
                await self.renew()
            await asyncio.sleep(RENEW)


class Copy:
    """A `send` that keeps what it sends; the last piece leaves once the whole is on disk."""

    def __init__(self, replays: Replays, key: bytes, asked: bytes, principal: str, send: Send) -> None:
        self._replays, self._key, self._asked, self._principal, self._send = replays, key, asked, principal, send
        self._start: Message = {}
        self._pieces: list[bytes] = []
        self._size, self._begun = 0, False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._pieces, self._size = message, [], 0
            return  # it leaves with the first piece, so that a reply that cannot be kept may still become an error
        self._size += len(piece := message.get("body", b""))
        if self._size <= CAP:
            self._pieces.append(piece)
        if not message.get("more_body", False) and (kept := self._whole()):
            await self._replays.keep(self._key, self._principal, kept)
        if not self._begun:
            self._begun = True
            await self._send(self._start)
        await self._send(message)

    def _whole(self) -> Kept | None:
        """The reply, if it is final: an answer or a wait for a person, and as a stream one that came to its end."""
        status, body = self._start.get("status"), b"".join(self._pieces)
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in self._start["headers"])
        if status not in (200, 428) or self._size > CAP:
            return None
        if dict(headers).get("content-type", "").startswith("text/event-stream"):
            last = body.rstrip().rpartition(b"\n\n")[2]
            if not last.startswith(ENDS):
                return None
        return Kept(self._asked, status, headers, body)


async def _again(kept: Kept, asked: bytes, send: Send) -> None:
    if kept.asked != asked:
        raise RequestError(
            "This Idempotency-Key was used with another body.", "Use a new key for a new request.",
            param="Idempotency-Key", code="idempotency_mismatch",
        )  # fmt: skip
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in kept.headers]
    headers.append((b"idempotent-replayed", b"true"))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": kept.body})


async def _ended(running: asyncio.Future[None]) -> None:
    await asyncio.shield(running)


class _Said:
    """A `receive` that gives the body which was read already, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._first: Message | None = {"type": "http.request", "body": body, "more_body": False}
        self._receive = receive
        self.leaving = getattr(receive, "leaving", None)

    async def __call__(self) -> Message:
        first, self._first = self._first, None
        return first or await self._receive()


def _ours(headers: Mapping[bytes, bytes]) -> list[bytes]:
    """The headers that change what is answered."""
    return [b"%s:%s" % (name, headers[name]) for name in sorted(headers) if name.startswith(b"x-trimtab-")]


def _digest(*parts: bytes) -> bytes:
    """SHA-256 of the parts with their lengths, so that none runs into the next."""
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part) + part)
    return found.digest()
