"""HTTP/1.1 to one server, and only what a rung needs of it: POST on kept connections, the body as it comes.

A general client spends more on one call than the whole path does. This one writes a request whose head is made once,
and leaves parsing to httptools. No redirects, cookies, proxies or compression: a rung wants none of them.
"""

import asyncio
import socket
import ssl
from base64 import b64encode
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import httptools

from trimtab.egress import Egress

KEEP = 30.0
"""Seconds that an idle connection is kept."""
HIGH = 1 << 18
"""Bytes that may wait to be read, beyond which the server is held up."""
LONGEST_HEAD = 1 << 20
"""Bytes within which a response's head must end."""
FOREVER = float("inf")
BOUNDS = frozenset({b"content-length", b"transfer-encoding"})
"""Headers that say where a body ends; without one it ends with the connection."""
HAPPY = 0.25
"""Seconds until the next address of a name is tried too: RFC 8305 section 5."""

GONE = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 30_000}
"""When the other end is taken to be gone: seconds of silence, between probes, probes; milliseconds without an ACK."""


class Garbled(ConnectionError):  # noqa: N818 - read as "the connection was ..."
    """The server does not speak HTTP."""


class Late(TimeoutError):  # noqa: N818 - read as "the response was ..."
    """What the server had begun to work on did not come in time."""


class Client:
    """The connections to one server; `connect` in seconds. How many there are is for the caller to say.

    Raises `ValueError` for a header that would break the request, `Denied` for an address that `egress` does not allow.
    """

    def __init__(self, url: str, headers: Mapping[str, str], *, connect: float, egress: Egress) -> None:
        parts = urlsplit(url)
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._head = _head(url, headers)
        self._connect, self._egress = connect, egress
        egress.check(self._host)
        self._context: ssl.SSLContext | None = None
        self._idle: list[Response] = []
        self._all: set[Response] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None

    async def post(self, body: bytes, more: bytes = b"", *, until: float) -> "Response":
        """The response once its head is there; give it back with `release`. `more` are the lines of further headers,
        `until` the loop's time by which the head must have come.

        Raises `OSError` where the connection fails, `TimeoutError` (an OSError too) where it takes too long to open,
        `Late` (a TimeoutError) where the head does not come.
        """
        response = self._idle.pop() if self._idle else await self._opened()
        self.expect(response, until)
        try:
            await response.asked(b"%b%d\r\n%b\r\n%b" % (self._head, len(body), more, body))
        except BaseException:
            response.drop()
            raise
        return response

    def expect(self, response: "Response", until: float) -> None:
        """Fail what waits for the response with `Late` at the loop's time `until`, unless that is moved on.

        One timer serves all calls: it wakes for the earliest and looks who is late, so that a call that is answered in
        time sets no timer at all.
        """
        response.until = until
        if not self._alarm or until < self._alarm.when():
            self._wakes(until)

    def _wakes(self, at: float) -> None:
        if self._alarm:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(at, self._ring)

    def _ring(self) -> None:
        now = asyncio.get_running_loop().time()
        self._alarm, soonest = None, FOREVER
        for response in tuple(self._all):
            if response.until <= now:
                response.late()
            else:
                soonest = min(soonest, response.until)
        if soonest < FOREVER:
            self._wakes(soonest)

    def release(self, response: "Response") -> None:
        """Keep the connection if its response has come to its end, else close it at once: the server sees it."""
        response.until = FOREVER
        if not (response.ended and response.keep):
            response.drop()
            return
        loop = asyncio.get_running_loop()
        response.since = loop.time()
        self._idle.append(response)
        if not self._sweeper:
            self._sweeper = loop.call_later(KEEP, self._sweep, loop)

    def close(self) -> None:
        """Close all connections."""
        for timer in (self._sweeper, self._alarm):
            if timer:
                timer.cancel()
        for response in tuple(self._all):
            response.drop()

    async def _opened(self) -> "Response":
        from aiohappyeyeballs import start_connection

        loop = asyncio.get_running_loop()
        async with asyncio.timeout(self._connect):
            addresses = await self._egress.resolved(self._host, self._port)
            connected = await start_connection(addresses, happy_eyeballs_delay=HAPPY, interleave=1, loop=loop)
            _watched(connected)
            try:
                _, response = await loop.create_connection(
                    lambda: Response(self._gone), sock=connected, ssl=self._secured(),
                    server_hostname=self._host if self._tls else None,
                )  # fmt: skip
            except BaseException:
                connected.close()
                raise
        self._all.add(response)
        return response

    def _secured(self) -> ssl.SSLContext | None:
        if self._tls and not self._context:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context

    def _gone(self, response: "Response") -> None:
        self._all.discard(response)
        if response in self._idle:
            self._idle.remove(response)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close what was idle for too long, and look again when the next one will have been."""
        old = loop.time() - KEEP
        for response in [found for found in self._idle if found.since <= old]:
            response.drop()
        self._idle = [found for found in self._idle if found.since > old]
        self._sweeper = loop.call_at(self._idle[0].since + KEEP, self._sweep, loop) if self._idle else None


class Response(asyncio.Protocol):
    """A connection, and the response that comes on it.

    `until` the time by which what is waited for must have come, `since` when (of its last use, of the last look at its
    pace), `taken` bytes so far.
    `ended`: all of the body is here, though it may not be read yet; `keep`: the connection can be used again.
    """

    def __init__(self, gone: Any) -> None:
        self._gone, self._loop = gone, asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._transport: Any = None
        self._waiter: asyncio.Future[None] | None = None
        self._fault: OSError | None = None
        self.keep, self.since, self.until = True, 0.0, FOREVER
        self._begin()

    async def asked(self, request: bytes) -> None:
        """Write a request and wait for the head of its response. Raises `OSError`."""
        self._begin()
        self._transport.write(request)
        while not self._headed and not self._fault:
            await self._more()
        if self._fault:
            raise self._fault

    async def read(self) -> bytes:
        """What has come of the body, at least a byte; none at its end. Raises `OSError` where it was cut."""
        while not self._body and not self.ended and not self._fault:
            await self._more()
        if self._body:
            body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body, self._size = [], 0
            if self._paused and not self._transport.is_closing():
                self._transport.resume_reading()
            self._paused = False
            return body
        if self._fault and not self.ended:
            raise self._fault
        return b""

    @property
    def waiting(self) -> bool:
        """Whether `read` would have to wait."""
        return not (self._body or self.ended or self._fault)

    def paced(self, now: float) -> float:
        """Bytes a second since `since`, which is now from here on."""
        took, self.since = now - self.since, now
        came, self._paced = self.taken - self._paced, self.taken
        return came / took

    @property
    def headers(self) -> dict[str, str]:
        """The response's, by their names in Title-Case."""
        return {
            name.decode("latin-1").title(): value.decode("utf-8", "surrogateescape") for name, value in self._fields
        }

    def late(self) -> None:
        """What is waited for has not come in time."""
        self.until = FOREVER
        self._fail(Late("the server took too long"))
        self._wake()

    def drop(self) -> None:
        """Close the connection now; what is not yet sent or read is lost."""
        self.keep = False
        if self._transport:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self.taken += len(data)
        try:
            self._parser.feed_data(data)
            if not self._headed and self.taken > LONGEST_HEAD:
                self._fail(Garbled("a head without an end"))
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Garbled(f"no HTTP response: {error}"))
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self.keep = False
        if self._headed and not self._bounded and exc is None:
            self.ended = True
        elif not self.ended and not self._fault:
            self._fault = exc if isinstance(exc, OSError) else ConnectionResetError("the server closed the connection")
        self._gone(self)
        self._wake()

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self.ended:
            raise ValueError("more than one response")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value))
        if name.lower() in BOUNDS:
            self._bounded = True

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._headed = self.status >= 200

    def on_body(self, body: bytes) -> None:
        self._body.append(body)
        self._size += len(body)
        if self._size > HIGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        if self._headed:
            self.ended, self.keep = True, self._parser.should_keep_alive()
        else:  # 100 Continue and its like: the response is still to come
            self._fields, self._bounded = [], False

    def _begin(self) -> None:
        self.status, self._fields, self.ended = 0, list[tuple[bytes, bytes]](), False
        self._headed = self._bounded = self._paused = False
        self._body, self._size, self.taken, self._paced = list[bytes](), 0, 0, 0

    def _fail(self, error: OSError) -> None:
        if not self.ended:
            self._fault = error
        self.drop()

    async def _more(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)


def _watched(connected: socket.socket) -> None:
    """Have the system notice a server that went away without a word: a half-open connection looks idle for ever."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in GONE.items():
        if option := getattr(socket, name, None):  # not all of them on every system
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def _head(url: str, headers: Mapping[str, str]) -> bytes:
    """A request's head but for its length. Raises `ValueError`."""
    parts = urlsplit(url)
    login, _, host = parts.netloc.rpartition("@")
    fields = {"Host": host.encode("idna").decode(), "Accept": "*/*"}
    if login:
        fields["Authorization"] = f"Basic {b64encode(unquote(login).encode()).decode()}"
    for name, value in headers.items():
        fields[name.title()] = value
    lines = [f"{name}: {value}" for name, value in fields.items()]
    if wrong := next((line for line in lines if not line.isprintable()), None):
        raise ValueError(f"the header {wrong.partition(':')[0]!r} has a line end or another control character")
    target = quote(parts._replace(scheme="", netloc="", fragment="").geturl(), safe="%/?=&:@!$'()*+,;~[]")
    return "\r\n".join((f"POST {target} HTTP/1.1", *lines, "Content-Length: ")).encode()
