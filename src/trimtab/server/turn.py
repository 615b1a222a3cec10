"""One request on a connection and its response: ASGI's `receive` and `send`."""

import asyncio
import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from trimtab.server.limits import Message
from trimtab.server.logs import TRACE

if TYPE_CHECKING:
    from trimtab.server.http import Connection

LOG = logging.getLogger("trimtab.http")
HIGH = 1 << 16
"""Bytes of a body that may wait for the app, beyond which the client is held up."""
NO_BODY = frozenset({204, 304, *range(100, 200)})
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

STATUS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nx-content-type-options: nosniff\r\n".encode()
    for status in HTTPStatus
}
"""Status lines, with the field that every response has: what we send is never taken for a page or a script."""


class Turn:
    """One request and its response. Called, it is ASGI's `receive`; `send` is ASGI's.

    `arrived`: all of the body is here; `begun`: the head has left; `keep`: the connection outlives the response.
    """

    __slots__ = ("_body", "_chunked", "_connection", "_expects", "_gone", "_head", "_leave", "_over", "_size", "_told",
                 "_waiter", "arrived", "begun", "keep", "loop", "scope", "task")  # fmt: skip

    def __init__(self, connection: "Connection", scope: dict[str, Any], keep: bool) -> None:
        self._connection, self.scope, self.keep, self.loop = connection, scope, keep, connection.loop
        self.task: asyncio.Task[None] | None = None
        self.arrived = self.begun = self._over = self._gone = self._told = self._chunked = False
        self._expects = any(name == b"expect" and value.lower() == b"100-continue" for name, value in scope["headers"])
        self._body: list[bytes] = []
        self._size, self._head = 0, b""
        self._leave: Callable[[], None] | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def run(self, app: Any) -> None:
        """Have the app answer; what it does not answer is a fault of ours."""
        try:
            await app(self.scope, self, self.send)
            if not (self._over or self._gone):
                LOG.error("%s was not answered", self.scope["path"])
                self._failed(RuntimeError("not answered"))
        except Exception as error:
            LOG.exception("%s failed", self.scope["path"])
            self._failed(error)
        finally:
            self._connection.state.tasks.discard(self.task)
            if not (self._over or self._connection.transport.is_closing()):
                self._connection.transport.abort()

    async def __call__(self) -> Message:
        """ASGI's `receive`: what has come of the body, or that the client has left."""
        if self._expects and not (self.begun or self.arrived):
            self._expects = False
            self._connection.transport.write(CONTINUE)
        while not (self._gone or self._over or self._body or (self.arrived and not self._told)):
            self._connection.release()
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._gone or self._over:
            return {"type": "http.disconnect"}
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body, self._size, self._told = [], 0, self.arrived
        return {"type": "http.request", "body": body, "more_body": not self.arrived}

    async def send(self, message: Message) -> None:
        """ASGI's `send`; awaits the connection where the client reads slowly. What is sent to nobody is dropped."""
        if self._gone or self._over:
            return
        if message["type"] == "http.response.start":
            self._head = self._begin(message["status"], message["headers"])
            return
        more = message.get("more_body", False)
        self.write(message.get("body", b""), more)
        if more and self.full:
            await self.drained()

    def write(self, body: bytes, more: bool = True) -> None:
        """The next piece of the body, after the head was sent; it leaves with the others of this turn of the loop."""
        if self._gone or self._over:
            return
        if self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            body = body if more else body + b"0\r\n\r\n"
        elif self.scope["method"] == "HEAD":
            body = b""
        if not self.begun:
            self.begun, body, self._head = True, self._head + body, b""
        if self._connection.writable:
            self._connection.unread += len(body)
        self._connection.transport.write(body)
        if not more:
            self._over = True
            self._connection.over(self)

    @property
    def full(self) -> bool:
        """Whether the client reads more slowly than is written."""
        return self._connection.writable is not None

    async def drained(self) -> None:
        """Wait until the client has read."""
        if self._connection.writable:
            await asyncio.shield(self._connection.writable)

    def leaving(self, callback: Callable[[], None] | None) -> None:
        """Have `callback` called once the client leaves, at once if it has left already; None: nobody attends it."""
        self._leave = callback
        if callback and self._gone:
            callback()

    def came(self, body: bytes) -> None:
        """A piece of the body."""
        if self._over:
            return
        self._body.append(body)
        self._size += len(body)
        if self._size > HIGH:
            self._connection.hold()
        self._wake()

    def complete(self) -> None:
        self.arrived = True
        self._connection.arrived(self)
        self._wake()

    def lost(self) -> None:
        """The client has left, or what it sends is no request."""
        self._gone = not self._over
        self._wake()
        if self._leave:
            self._leave()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _begin(self, status: int, fields: Any) -> bytes:
        """The head; a body without a length is sent in chunks."""
        lines = [STATUS.get(status) or b"HTTP/1.1 %d \r\n" % status]
        sized = status in NO_BODY
        for name, value in (*fields, *self._connection.state.default_headers):
            lines.append(b"%b: %b\r\n" % (name, value))
            sized = sized or name == b"content-length"
        if not sized:
            if self.scope["http_version"] == "1.1":
                self._chunked = self.scope["method"] != "HEAD"
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep = False
        if not self.arrived:
            self.keep = False
        if not self.keep:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

    def _failed(self, error: Exception) -> None:
        """The error in the path's dialect, also behind a head that has not left yet; the connection ends."""
        if self.begun or self._gone:
            return
        from trimtab.server import faults, messages  # they need this module

        path, trace = self.scope["path"], TRACE.get()
        theirs = path.startswith(messages.PATH)
        status, fields, body = messages.response(error, trace) if theirs else faults.response(error, trace, path)
        self.keep, self.begun, self._over, self._chunked = False, True, True, False
        head = self._begin(status, [*fields, (b"content-length", b"%d" % len(body))])
        self._connection.transport.write(head if self.scope["method"] == "HEAD" else head + body)
        self._connection.over(self)


def behind(send: Any) -> Turn | None:
    """The turn that an ASGI `send` ends at, if nothing between the two needs to see what is sent after the head."""
    found = getattr(send, "turn", None) or getattr(send, "__self__", None)
    return found if isinstance(found, Turn) else None
