"""HTTP/1.1 for the gateway: an asyncio protocol on httptools that speaks ASGI to the app and takes no client's time.

uvicorn, which binds, counts and drains, makes one `Connection` for each of its connections. Against uvicorn's own
protocol: every phase has a deadline (a head, a body, a reader that stalls), the head's size and fields are capped, a
small response leaves in one write, and a client that leaves is told to whoever attends it without a task that watches.
"""

import asyncio
from collections import deque
from typing import Any
from urllib.parse import unquote

import httptools
import msgspec

from trimtab.errors import MalformedError, TooLargeError
from trimtab.server import faults
from trimtab.server.turn import STATUS, Turn

LONGEST_HEAD, MOST_FIELDS = 1 << 16, 128
"""Bytes of a request's head, and its fields."""
PIPELINED = 8
"""Requests that may wait behind one on a connection."""
LINGER = 5.0
"""Seconds in which the rest of a body that nobody reads is thrown away, so that the client can read its response."""
FOREVER = float("inf")
TICK = 0.5
"""Seconds between two looks at the deadlines."""
UPGRADING = frozenset({b"connection", b"upgrade", b"http2-settings"})
FAULTS = {
    400: MalformedError("The request is not HTTP/1.1."),
    408: MalformedError("The request took too long to arrive.", code="request_timeout"),
    431: TooLargeError(f"The head is over {LONGEST_HEAD:,} bytes or {MOST_FIELDS} fields.", code="head_too_large"),
}
"""What is said before there is a request that the app could answer."""


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: for a head since its first byte, a body since its head, an idle connection, a reader that stalls."""

    head: float = 10.0
    body: float = 60.0
    idle: float = 75.0
    stall: float = 60.0


class Watch:
    """One timer for all connections of a server: each says by when it must have got on."""

    def __init__(self) -> None:
        self._connections: set[Connection] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: "Connection") -> None:
        self._connections.add(connection)
        if not self._timer:
            self._timer = connection.loop.call_later(TICK, self._tick, connection.loop)

    def discard(self, connection: "Connection") -> None:
        self._connections.discard(connection)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for late in [connection for connection in self._connections if connection.deadline < now]:
            late.expired()
        self._timer = loop.call_later(TICK, self._tick, loop) if self._connections else None


def protocol(deadlines: Deadlines) -> Any:
    """What uvicorn makes a connection with."""
    watch = Watch()

    def made(*, config: Any, server_state: Any, _loop: Any = None, **_: Any) -> Connection:
        return Connection(config.loaded_app, server_state, watch, deadlines, _loop or asyncio.get_event_loop())

    return made


class Connection(asyncio.Protocol):
    """One client's connection: its requests are answered one by one, in their order."""

    __slots__ = (
        "_arriving",
        "_current",
        "_head",
        "_queue",
        "_size",
        "_url",
        "_weight",
        "app",
        "client",
        "deadline",
        "deadlines",
        "loop",
        "parser",
        "paused",
        "server",
        "state",
        "transport",
        "unread",
        "watch",
        "writable",
    )  # fmt: skip

    def __init__(
        self, app: Any, state: Any, watch: Watch, deadlines: Deadlines, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.app, self.state, self.watch, self.deadlines, self.loop = app, state, watch, deadlines, loop
        self.parser: Any = httptools.HttpRequestParser(self)
        self.transport: Any = None
        self.client = self.server = None
        self.deadline, self.paused = FOREVER, False
        self.writable: asyncio.Future[None] | None = None
        self._current: Turn | None = None
        self._arriving: Turn | None = None
        self._queue: deque[Turn] = deque()
        self._head: list[tuple[bytes, bytes]] | None = None
        self._size = self._weight = self.unread = 0
        self._url = b""

    # What the transport calls.

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.client, self.server = _address(transport, "peername"), _address(transport, "sockname")
        self.state.connections.add(self)
        self.deadline = self.loop.time() + self.deadlines.head
        self.watch.add(self)

    def data_received(self, data: bytes) -> None:
        if not self.parser:
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._plainly(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._broken(431 if isinstance(error.__context__, _TooManyError) else 400)
            return
        if self._head is not None:
            self._size += len(data)
            if self._size > LONGEST_HEAD:
                self._broken(431)

    def connection_lost(self, exc: Exception | None) -> None:
        self.deadline, self.parser = FOREVER, None
        self.state.connections.discard(self)
        self.watch.discard(self)
        if self.writable:
            self.writable.set_result(None)
            self.writable = None
        for turn in (self._current, *self._queue):
            if turn:
                turn.lost()
        self._queue.clear()

    def eof_received(self) -> None:
        """A client that has said all it wants closes its half: that is how clients leave."""

    def pause_writing(self) -> None:
        if not self.writable:
            self.writable = self.loop.create_future()
            self.unread = self.transport.get_write_buffer_size()
            self.deadline = self.loop.time() + self.deadlines.stall

    def resume_writing(self) -> None:
        if not self.writable:
            return
        self.writable.set_result(None)
        self.writable = None
        if self._current or self.transport.is_closing():
            self.deadline = FOREVER
        elif self._queue or not self._arriving:  # else the rest of a body that was answered is awaited, not for long
            self._next()

    # What the server and the watch call.

    def shutdown(self) -> None:
        """Begin to drain: close once what runs has been answered."""
        if self._current:
            self._current.keep = False
        else:
            self.transport.close()

    def expired(self) -> None:
        """The phase took too long: say so where nothing was said yet. A reader who gets on has not stalled."""
        if self.writable and (unread := self.transport.get_write_buffer_size()) < self.unread:
            self.unread, self.deadline = unread, self.loop.time() + self.deadlines.stall
            return
        self.deadline = FOREVER
        if self.writable or (self._current and (self._current.begun or self._current.arrived)):
            self.transport.abort()
        elif self._head is not None or self._current:
            self._broken(408)
        else:
            self.transport.close()

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._head, self._size, self._weight, self._url = [], 0, 0, b""
        if not (self._current or self.writable):
            self.deadline = self.loop.time() + self.deadlines.head

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._weight += len(url)
        if self._weight > LONGEST_HEAD:
            raise _TooManyError

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if head is None:
            return  # a trailer: nobody here wants one
        head.append((name.lower(), value))
        self._weight += len(name) + len(value)
        if len(head) > MOST_FIELDS or self._weight > LONGEST_HEAD:
            raise _TooManyError

    def on_headers_complete(self) -> None:
        parser, head = self.parser, self._head or []
        self._head = None
        keep, version = parser.should_keep_alive(), parser.get_http_version()
        if parser.should_upgrade():
            self._head = head
            return
        path, raw, query = _target(self._url)
        scope = {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": version,
            "server": self.server, "client": self.client, "scheme": "http", "root_path": "", "headers": head,
            "method": parser.get_method().decode("latin-1"), "path": path, "raw_path": raw, "query_string": query,
        }  # fmt: skip
        self._arriving = turn = Turn(self, scope, keep and version == "1.1")
        if self._current or self.writable:
            self._queue.append(turn)
            if len(self._queue) >= PIPELINED:
                self.hold()
        else:
            self._start(turn)

    def _plainly(self, rest: bytes) -> None:
        """Read a request anew as if it had not asked for another protocol, as RFC 9110 section 7.8 lets a server do."""
        method, head = self.parser.get_method(), self._head or []
        if method == b"CONNECT" or self._current:
            self._broken(400)
            return
        lines = [b"%b: %b\r\n" % (name, value) for name, value in head if name not in UPGRADING]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"%b %b HTTP/1.1\r\n%b\r\n%b" % (method, self._url, b"".join(lines), rest))

    def on_body(self, body: bytes) -> None:
        if self._arriving:
            self._arriving.came(body)

    def on_message_complete(self) -> None:
        if self._arriving:
            self._arriving.complete()
            self._arriving = None

    # What a turn calls.

    def hold(self) -> None:
        """Read no more for now."""
        if not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def release(self) -> None:
        if self.paused and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    def over(self, turn: "Turn") -> None:
        """A response has left: the next request's turn, or the wait for one."""
        self.state.total_requests += 1
        if self._current is not turn:
            return
        self._current = None
        if not turn.arrived and not self.transport.is_closing():
            self.deadline = self.loop.time() + LINGER
        elif not turn.keep or not self.parser:
            self.transport.close()
        elif not self.writable:  # else the next request waits until this response is read: nobody makes us hold many
            self._next()
        if len(self._queue) < PIPELINED:
            self.release()

    def _next(self) -> None:
        """The next request's turn, or the wait for one."""
        if self._queue:
            self._start(self._queue.popleft())
        else:
            self.deadline = self.loop.time() + self.deadlines.idle

    def _start(self, turn: "Turn") -> None:
        self._current = turn
        self.deadline = FOREVER if turn.arrived else self.loop.time() + self.deadlines.body
        turn.task = task = self.loop.create_task(turn.run(self.app))
        self.state.tasks.add(task)

    def arrived(self, turn: "Turn") -> None:
        """All of a request is here."""
        if turn is self._current:
            self.deadline = self.deadline if self.writable else FOREVER
        elif not self._current and not self._queue:  # it was answered long ago, and its rest was thrown away
            self.transport.close()

    def _broken(self, status: int) -> None:
        """What came is no request: say so, unless a response is on its way, and close."""
        self.parser = None
        turn, self._arriving, self._head = self._arriving, None, None
        if turn:
            turn.lost()
        before = self._current or (self._queue[0] if self._queue else None)
        if before and (before is not turn or before.begun):
            before.keep = False
            return
        status, fields, body = faults.response(FAULTS[status])
        fields += [(b"connection", b"close"), (b"content-length", b"%d" % len(body))]
        head = b"".join(b"%b: %b\r\n" % field for field in fields)
        self.transport.write(STATUS[status] + head + b"\r\n" + body)
        self.transport.close()


class _TooManyError(Exception):
    """A head with more fields than anyone needs."""


def _address(transport: Any, name: str) -> tuple[str, int] | None:
    """Host and port of one end; None for a socket that has none."""
    found = transport.get_extra_info(name)
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) >= 2 else None


def _target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's target. Raises what makes the parser refuse the request."""
    if b"?" not in url and b"%" not in url and url.startswith(b"/"):
        return url.decode("ascii"), url, b""
    parts = httptools.parse_url(url)
    raw = parts.path or b"/"
    return unquote(raw.decode("ascii")), raw, parts.query or b""
