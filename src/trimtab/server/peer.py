"""A model's server as files and batches are passed to it: our key, our path, no redirect, one connection pool.

It is the cold path: aiohttp streams bodies both ways, where the client of `answer` sends whole ones.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from trimtab.answer import _failures as failures
from trimtab.egress import Egress, networks
from trimtab.errors import ConfigError, MalformedError, TooLargeError
from trimtab.escalate import kept_from
from trimtab.server.limits import ClientLeft, Receive
from trimtab.settings import ModelPart, Settings
from trimtab.types import Json, Limits, ModelSpec

if TYPE_CHECKING:
    from aiohttp import BaseConnector, ClientResponse, ClientSession

PASSED = frozenset({400, 404, 409, 410, 412, 413, 415, 422})
"""Statuses with which the server tells the client what is wrong: they and their JSON leave as they came."""
LARGEST = 64_000_000
"""Bytes of a JSON reply, after which a server is taken to be broken."""
SHOWN = 100_000
"""Bytes of an error that are read."""
STALL = 60.0
"""Seconds that a client may send nothing of a body that it has begun."""
STUCK = 60.0
"""Seconds that a server may take no more of one."""


class Said(Exception):  # noqa: N818 - a reply that is passed on
    """The server says that the client is wrong: its status and its JSON."""

    def __init__(self, status: int, found: Json) -> None:
        super().__init__(str(status))
        self.status, self.found = status, found


class Upload:
    """A client's body on its way, never more than a piece of it in memory; `length` is what was announced.

    What goes wrong with it is kept in `fault`: the HTTP client in between has an error of its own for that. `given` is
    called with True when the server has a piece to take, with False once it has taken it.
    """

    def __init__(self, receive: Receive, headers: Mapping[bytes, bytes], cap: int) -> None:
        self._receive, self._cap = receive, cap
        given = headers.get(b"content-length", b"")
        self.length = int(given) if given.isdigit() else None
        self.fault: Exception | None = None
        self.given: Callable[[bool], None] = lambda _: None

    def check(self) -> None:
        """Raises `TooLargeError` for a body that is announced to be over the cap."""
        if self.length is not None and self.length > self._cap:
            raise _too_large(self._cap)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            size, more = 0, True
            while more:
                piece, more = await self._next()
                size += len(piece)
                if size > self._cap:
                    raise _too_large(self._cap)
                if piece:
                    self.given(True)
                    yield piece
                    self.given(False)
        except Exception as error:
            self.fault = error
            raise

    async def _next(self) -> tuple[bytes, bool]:
        try:
            async with asyncio.timeout(STALL):
                message = await self._receive()
        except TimeoutError as error:
            raise MalformedError(
                f"The body stopped coming for {STALL:g} s.", "Send it again.", code="body_timeout"
            ) from error
        if message["type"] == "http.disconnect":
            raise ClientLeft
        return message.get("body", b""), message.get("more_body", False)


class Peer:
    """The server of the model `name`. Nothing is opened before the first call."""

    def __init__(
        self, name: str, options: Any, headers: Mapping[str, str], key: str, egress: Egress, spec: ModelSpec
    ) -> None:
        self.name, self.spec, self._egress = name, spec, egress
        self._options, self._headers, self._key = options, headers, key.encode()
        self._opened: ClientSession | None = None

    @asynccontextmanager
    async def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Upload | bytes | None = None,
    ) -> "AsyncIterator[ClientResponse]":
        """The response with its status, which is 200 to 299. Raises `UpstreamError`s, `Said`, and what `body` raises.

        `path` is ours: what a client may have put into it was checked.
        """
        from aiohttp import ClientError
        from yarl import URL

        url = URL(f"{self._options.url.rstrip('/')}/{path}", encoded=True).extend_query(query)
        sent = {"Accept-Encoding": "identity", **self._headers, **headers}
        if isinstance(body, Upload) and body.length is not None:
            sent["Content-Length"] = str(body.length)
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout(None) as limit:
                if isinstance(body, Upload):
                    body.given = lambda waits: limit.reschedule(clock() + STUCK if waits else None)
                response = await self._session().request(method, url, headers=sent, data=body, allow_redirects=False)
        except (ClientError, OSError, ValueError) as error:  # a TimeoutError is an OSError
            raise self._fault(error, body) from error
        try:
            if not 200 <= response.status < 300:
                await self._refused(response)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise failures.broken(self.name, "its response is compressed, which was not asked for")
            yield response
        finally:
            response.close()

    async def read(self, response: "ClientResponse") -> Json:
        """The JSON object of a response. Raises `UpstreamError`s."""
        raw = await self._bytes(response, LARGEST)
        if len(raw) > LARGEST:
            raise failures.broken(self.name, f"its response has more than {LARGEST:,} bytes")
        if (found := _object(raw)) is None:
            raise failures.broken(self.name, "its response is no JSON object")
        return found

    async def pieces(self, response: "ClientResponse", cap: int) -> AsyncGenerator[bytes, None]:
        """A response's body, as it comes. Raises `UpstreamError`s."""
        from aiohttp import ClientError

        size = 0
        try:
            async for piece in response.content.iter_any():
                size += len(piece)
                if size > cap:
                    raise failures.broken(self.name, f"its response is over server.max_file ({cap:,} bytes)")
                yield piece
        except (ClientError, OSError) as error:
            raise failures.broken(self.name, "it cut the connection", "upstream_cut") from error

    async def close(self) -> None:
        """Close the connections."""
        if self._opened:
            await self._opened.close()

    def _session(self) -> "ClientSession":
        if self._opened is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar

            options = self._options
            clocks = ClientTimeout(total=None, sock_connect=options.connect, sock_read=options.first_byte)
            self._opened = ClientSession(
                connector=self._connector(), timeout=clocks, cookie_jar=DummyCookieJar(), trust_env=False,
                auto_decompress=False, headers={"User-Agent": "trimtab"},
            )  # fmt: skip
        return self._opened

    def _connector(self) -> "BaseConnector":
        """What opens the connections: the place where every address that is dialled can be checked."""
        from aiohttp import TCPConnector

        host = urlsplit(self._options.url).hostname or ""
        return TCPConnector(limit=self._options.pool, socket_factory=self._egress.dialler(host))

    def _fault(self, error: Exception, body: Upload | bytes | None) -> Exception:
        """Whose fault a call was that got no response."""
        if isinstance(body, Upload) and body.fault:
            return body.fault
        if isinstance(error, TimeoutError):
            return failures.timed_out(self.name, self._options.url)
        return failures.down(self.name, self._options.url, error)

    async def _refused(self, response: "ClientResponse") -> None:
        """Raise what a status other than 2xx means; what the server says never shows our key."""
        raw = await self._bytes(response, SHOWN)
        raw = raw.replace(self._key, b"[the gateway's key]") if self._key else raw
        found = _object(raw)
        if response.status in PASSED and found is not None:
            raise Said(response.status, found)
        raise failures.of_status(self.name, response.status, raw, response.headers)

    async def _bytes(self, response: "ClientResponse", most: int) -> bytes:
        """The body, or of a longer one a little more than `most`."""
        raw = bytearray()
        async with aclosing(self.pieces(response, most + SHOWN)) as pieces:
            async for piece in pieces:
                raw += piece
                if len(raw) > most:
                    break
        return bytes(raw)


def peer(setting: str, kind: str, part: ModelPart, spec: ModelSpec, given: Settings) -> Peer:
    """The server of a model that `setting` names. Raises `ConfigError` where nothing may be passed to it."""
    from trimtab import load
    from trimtab.answer.anthropic_http import VERSION
    from trimtab.wiring import masks

    name = f'[server] {setting} = "{part.name}"'
    if part.kind != kind:
        raise ConfigError(f"{name}: that model is of the kind {part.kind}.", f"Name one of the kind {kind}.")
    if masks(part, spec):
        raise ConfigError(
            f"{name}: what is in a file cannot be masked, and that model is asked masked.",
            f'Name a model that is inside, or set mask = false on [[model]] name = "{part.name}".',
        )
    if kept_from(spec, Limits(regions=given.egress.regions)):
        raise ConfigError(
            f"{name}: that model's region is not one of [egress] regions.",
            f"Name one whose region is: {', '.join(given.egress.regions or ())}.",
        )
    options = load.options("answer", part.kind, part.options)
    key = given.secrets.get(options.key_env, "") if options.key_env else ""
    shown = {"Authorization": f"Bearer {key}"} if key else {}
    if kind == "anthropic_http":
        shown = {"x-api-key": key} if key and options.auth == "x-api-key" else shown
        shown = {"anthropic-version": VERSION, **shown}
    gate = Egress(where=spec.where, networks=networks(given.egress.networks))
    return Peer(part.name, options, {**options.headers, **shown}, key, gate, spec)


def _object(raw: bytes) -> Json | None:
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _too_large(cap: int) -> TooLargeError:
    return TooLargeError(
        f"The file is over {cap:,} bytes.", "Send a smaller one, or raise server.max_file.", code="body_too_large"
    )
