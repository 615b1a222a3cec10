"""A rung behind any server that speaks OpenAI's chat protocol: unknown fields pass through, failures get their names.

One call is one POST. Nothing of it is retried after the first byte; before it, once, where the connection failed or
the server said 502, 503 or 504. Cancelling a call closes its connection, so that the server stops writing.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from trimtab import texts
from trimtab.answer import _failures as failures
from trimtab.answer._assembly import OF_CHUNK, Assembly, counted, of_choices
from trimtab.answer._sse import Decoder
from trimtab.errors import ConfigError, RequestError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Delta, Evidence, Json, ModelSpec, Request, Usage

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

AGAIN = frozenset({502, 503, 504})
LARGEST = 64_000_000
"""Bytes of a whole response, after which a server is taken to be broken."""

SHOWN = 100_000
"""Bytes of an error that are read."""
LINGER = 0.02
NOT_ONE = (ValueError, LookupError, TypeError, AttributeError)
"""What reading a body raises that is no completion; a decoding error of msgspec is a ValueError."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`url` ends in `/v1`; `key_env` names the variable that holds the key; times in seconds.

    `connect` to open a connection, `first_byte` until the response begins, `between` its chunks, `total` for all of it.
    """

    url: str
    model: str
    key_env: str | None = None
    headers: dict[str, str] = {}
    connect: float = 5.0
    first_byte: float = 60.0
    between: float = 30.0
    total: float = 600.0
    pool: int = 256
    vision: bool = False


def spec(options: Options) -> ModelSpec:
    """A server on loopback is inside; its price, like any server's, is unknown unless the settings say it."""
    abilities = {"chat", "tools", "json", "stream"} | ({"vision"} if options.vision else set())
    inside = _inside(urlsplit(options.url).hostname or "")
    return ModelSpec(where="local" if inside else "remote", abilities=frozenset(abilities))


def build(options: Options, tools: Tools) -> "Server":
    """Raises `ConfigError` for an address that is none, or a key that is not set. Nothing is sent yet."""
    parts = urlsplit(options.url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"[[model]] {tools.name}: {options.url!r} is not the address of a server.",
            'Write url = "http://host:port/v1".',
        )
    key = tools.secret(options.key_env) if options.key_env else None
    if options.key_env and not key:
        raise ConfigError(
            f"[[model]] {tools.name} needs the variable {options.key_env}, which is not set.",
            f"Set {options.key_env} to your key, or take key_env out.",
        )
    server = Server(options, tools.name, key)
    tools.closing(server.close)
    return server


class Server:
    """The rung. Its one session is opened by the first call."""

    def __init__(self, options: Options, name: str, key: str | None) -> None:
        self._options, self._name = options, name
        self._url: Any = options.url.rstrip("/") + "/chat/completions"
        self._headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **options.headers}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._session: ClientSession | None = None

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer:
        """Raises `UpstreamError`s for the server's faults and `RequestError` where it says that the client is wrong."""
        body = self._body(request, sink.live)
        prompt = sum(estimate(text.text) for text in texts.texts(request.messages))
        clock = asyncio.get_running_loop().time
        end = clock() + self._options.total
        sink.spent(Usage(prompt=prompt, estimated=True))
        try:
            async with asyncio.timeout_at(end) as limit:
                response = await self._begun(body, clock, end, limit)
                try:
                    if sink.live and _is_stream(response):
                        return await self._streamed(response, sink, prompt, clock, end, limit)
                    return await self._whole(response, sink, prompt, clock, end, limit)
                finally:
                    _release(response)
        except TimeoutError as error:
            raise failures.timed_out(self._name, self._options.url) from error
        except (failures.Unbilled, failures.Wrong) as error:
            sink.spent(Usage())
            raise error.what from error.__cause__

    async def close(self) -> None:
        """Close the session and its connections."""
        if self._session:
            await self._session.close()
            self._session = None

    def _body(self, request: Request, live: bool) -> bytes:
        body: Json = {**request.params, "model": self._options.model, "messages": request.messages}
        if live:
            body["stream"] = True
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        else:
            body.pop("stream_options", None)  # servers refuse it without a stream
        try:
            return _encode(body)
        except (UnicodeEncodeError, TypeError, OverflowError, RecursionError) as error:
            raise RequestError(
                f"The request cannot be written as JSON: {error}.", "Send text that is whole Unicode.", param="messages"
            ) from error

    def _open(self) -> "ClientSession":
        if self._session is None:
            from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
            from yarl import URL

            self._url = URL(self._url)
            self._session = ClientSession(
                connector=TCPConnector(limit=self._options.pool, ttl_dns_cache=60, keepalive_timeout=30),
                cookie_jar=DummyCookieJar(), headers=self._headers, trust_env=False, auto_decompress=False,
                timeout=ClientTimeout(total=None, sock_connect=self._options.connect),
                skip_auto_headers=("User-Agent",), read_bufsize=1 << 18,
            )  # fmt: skip
        return self._session

    async def _begun(self, body: bytes, clock: Any, end: float, limit: asyncio.Timeout) -> "ClientResponse":
        """The response at its first byte, with status 200."""
        half = clock() + (end - clock()) / 2
        for again in (True, False):
            limit.reschedule(min(end, clock() + self._options.connect + self._options.first_byte))
            last = not again or clock() > half
            response = await self._posted(body, last)
            if response is None or (response.status in AGAIN and not last):
                if response is not None:
                    response.close()
                continue
            if response.status == 200:
                return response
            await self._refused(response)
        raise AssertionError("the last attempt returns or raises")

    async def _posted(self, body: bytes, last: bool) -> "ClientResponse | None":
        """None where the connection failed and there is another attempt."""
        from aiohttp import ClientError, ServerTimeoutError

        try:
            return await self._open().post(self._url, data=body, allow_redirects=False)
        except ServerTimeoutError as error:
            if last:
                raise failures.Unbilled(failures.timed_out(self._name, self._options.url)) from error
        except (ClientError, OSError) as error:
            if last:
                raise failures.Unbilled(failures.down(self._name, self._options.url, error)) from error
        return None

    async def _refused(self, response: "ClientResponse") -> NoReturn:
        """Raise what a status other than 200 means."""
        from aiohttp import ClientError

        raw = bytearray()
        try:
            async for chunk in response.content.iter_any():
                raw += chunk
                if len(raw) > SHOWN:
                    break
        except ClientError:
            response.close()  # what came before the cut is all there is to show
        finally:
            _release(response)
        raise failures.Unbilled(failures.of_status(self._name, response.status, bytes(raw), response.headers))

    async def _whole(
        self, response: "ClientResponse", sink: Sink, prompt: int, clock: Any, end: float, limit: asyncio.Timeout
    ) -> Answer:
        raw = bytearray()
        async for chunk in self._chunks(response, clock, end, limit):
            raw += chunk
            if len(raw) > LARGEST:
                raise failures.broken(self._name, f"its response has more than {LARGEST:,} bytes")
        try:
            found = _decode(raw)
            if isinstance(found, dict) and found.get("error"):
                raise failures.Wrong(failures.in_body(self._name, found["error"]))
            usage = counted(found["usage"]) if found.get("usage") else None
            choices = _checked(found["choices"])
        except NOT_ONE as error:
            raise failures.broken(self._name, f"its response is no completion ({error})") from error
        if usage is None:
            said = sum(estimate(choice["message"].get("content") or "") for choice in choices)
            usage = Usage(prompt=prompt, completion=said, estimated=True)
        sink.spent(usage)
        body = {key: value for key, value in found.items() if key not in OF_CHUNK and value is not None}
        return self._full(of_choices(choices, body, self._name, usage))

    async def _streamed(
        self, response: "ClientResponse", sink: Sink, prompt: int, clock: Any, end: float, limit: asyncio.Timeout
    ) -> Answer:
        decoder, assembly, done = Decoder(), Assembly(), False
        async for chunk in self._chunks(response, clock, end, limit):
            for event in self._events(decoder, chunk):
                done = await self._event(event, assembly, sink, prompt) or done
            if done:
                await _ended(response)
                break
        else:
            for event in decoder.flush():
                done = await self._event(event, assembly, sink, prompt) or done
        if not (assembly.finished or (done and assembly.choices)):
            raise failures.broken(self._name, "its stream was cut before its end", "upstream_cut")
        usage = assembly.usage or Usage(prompt=prompt, completion=assembly.tokens, estimated=True)
        sink.spent(usage)
        return self._full(assembly.answer(self._name, usage))

    def _events(self, decoder: Decoder, chunk: bytes) -> list[bytes]:
        try:
            return decoder.feed(chunk)
        except ValueError as error:
            raise failures.broken(self._name, f"its stream has {error}") from error

    async def _event(self, event: bytes, assembly: Assembly, sink: Sink, prompt: int) -> bool:
        """Whether it was the last one."""
        if event == b"[DONE]":
            return True
        deltas = self._deltas(event, assembly)
        sink.spent(assembly.usage or Usage(prompt=prompt, completion=assembly.tokens, estimated=True))
        for delta in deltas:
            if delta.text or delta.extra or delta.logprobs:
                await sink.emit(delta)
        return False

    def _deltas(self, event: bytes, assembly: Assembly) -> list[Delta]:
        try:
            chunk = _decode(event)
            if error := chunk.get("error"):
                raise failures.in_body(self._name, error)
            return assembly.take(chunk)
        except NOT_ONE as error:
            raise failures.broken(self._name, f"its stream is no completion ({error})") from error

    async def _chunks(
        self, response: "ClientResponse", clock: Any, end: float, limit: asyncio.Timeout
    ) -> AsyncIterator[bytes]:
        """The body as it comes; each chunk has its own time."""
        from aiohttp import ClientError

        content = response.content
        try:
            while True:
                limit.reschedule(min(end, clock() + self._options.between))
                chunk = await content.readany()
                if not chunk:
                    return
                limit.reschedule(end)
                yield chunk
        except (ClientError, OSError) as error:
            if isinstance(error, TimeoutError):
                raise
            raise failures.broken(
                self._name, f"it cut the connection ({type(error).__name__})", "upstream_cut"
            ) from error

    def _full(self, answer: Answer) -> Answer:
        """The answer, if it says anything at all."""
        said = answer.text or answer.tool_calls or answer.extra.keys() & {"refusal", "function_call", "audio"}
        if not said and not any(choice["message"].get("content") for choice in answer.choices):
            raise failures.broken(self._name, "its answer is empty", "empty_completion")
        return answer


def _inside(host: str) -> bool:
    """Whether it is this machine: a name that only looks like a loopback address is not."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _is_stream(response: "ClientResponse") -> bool:
    """A server that cannot stream answers with one JSON body: it is taken as it is."""
    return "json" not in response.headers.get("Content-Type", "")


async def _ended(response: "ClientResponse") -> None:
    """Give the body's end a moment to arrive after `[DONE]`, so that the connection can be used again."""
    if not response.content.at_eof():
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await response.content.readany()


def _release(response: "ClientResponse") -> None:
    """Back to the pool if it was read to its end, else closed at once: the server sees it and stops."""
    if response.content.at_eof():
        response.release()
    else:
        response.close()


def _checked(choices: Any) -> list[Json]:
    """The choices, each with a message. Raises `ValueError`."""
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices")
    for choice in choices:
        message = choice.get("message")
        if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
            raise TypeError("a choice without a message")
    return choices
