"""A rung behind any server that speaks OpenAI's chat protocol: unknown fields pass through, failures get their names.

One call is one POST. Nothing of it is retried after the first byte; before it, once, where the connection failed or
the server said 502, 503 or 504. Cancelling a call closes its connection, so that the server stops writing.
"""

import asyncio
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, NoReturn
from urllib.parse import urlsplit

import msgspec

from trimtab import texts
from trimtab.answer import _failures as failures
from trimtab.answer._assembly import OF_CHUNK, Assembly, counted, of_choices
from trimtab.answer._http import Client, Response
from trimtab.answer._sse import Decoder
from trimtab.errors import ConfigError, RequestError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Delta, Evidence, Json, ModelSpec, Request, Usage

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
    """The rung. Its connections are opened by the calls that need one. Raises `ConfigError` for a wrong header."""

    def __init__(self, options: Options, name: str, key: str | None) -> None:
        self._options, self._name = options, name
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **options.headers}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            self._client = Client(
                f"{options.url.rstrip('/')}/chat/completions", headers, connect=options.connect, size=options.pool
            )
        except ValueError as error:
            raise ConfigError(
                f"[[model]] {name} cannot be asked: {error}.", "Correct its url, headers or key."
            ) from error

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer:
        """Raises `UpstreamError`s for the server's faults and `RequestError` where it says that the client is wrong."""
        body = self._body(request, sink.live)
        prompt = sum(estimate(text.text) for text in texts.texts(request.messages))
        clock = asyncio.get_running_loop().time
        end = clock() + self._options.total
        sink.spent(Usage(prompt=prompt, estimated=True))
        try:
            async with asyncio.timeout(None) as limit:
                response = await self._begun(body, clock, end, limit)
                try:
                    if sink.live and _is_stream(response):
                        return await self._streamed(response, sink, prompt, clock, end, limit)
                    return await self._whole(response, sink, prompt, clock, end, limit)
                finally:
                    self._client.release(response)
        except TimeoutError as error:
            raise failures.timed_out(self._name, self._options.url) from error
        except (failures.Unbilled, failures.Wrong) as error:
            sink.spent(Usage())
            raise error.what from error.__cause__

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()

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

    async def _begun(self, body: bytes, clock: Any, end: float, limit: asyncio.Timeout) -> Response:
        """The response at its first byte, with status 200."""
        half = clock() + (end - clock()) / 2
        for again in (True, False):
            limit.reschedule(min(end, clock() + self._options.connect + self._options.first_byte))
            last = not again or clock() > half
            response = await self._posted(body, last)
            if response is None or (response.status in AGAIN and not last):
                if response is not None:
                    self._client.release(response)
                continue
            if response.status == 200:
                return response
            await self._refused(response)
        raise AssertionError("the last attempt returns or raises")

    async def _posted(self, body: bytes, last: bool) -> Response | None:
        """None where the connection failed and there is another attempt."""
        try:
            return await self._client.post(body)
        except TimeoutError as error:
            if last:
                raise failures.Unbilled(failures.timed_out(self._name, self._options.url)) from error
        except OSError as error:
            if last:
                raise failures.Unbilled(failures.down(self._name, self._options.url, error)) from error
        return None

    async def _refused(self, response: Response) -> NoReturn:
        """Raise what a status other than 200 means."""
        raw = b""
        try:
            while len(raw) <= SHOWN and (chunk := await response.read()):
                raw += chunk
        except OSError:
            response.drop()  # what came before the cut is all there is to show
        finally:
            self._client.release(response)
        raise failures.Unbilled(failures.of_status(self._name, response.status, raw, response.headers))

    async def _whole(
        self, response: Response, sink: Sink, prompt: int, clock: Any, end: float, limit: asyncio.Timeout
    ) -> Answer:
        raw = bytearray()
        while chunk := await self._chunk(response, clock, end, limit):
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
        self, response: Response, sink: Sink, prompt: int, clock: Any, end: float, limit: asyncio.Timeout
    ) -> Answer:
        limit.reschedule(end)  # a sink may take its time
        decoder, assembly, done = Decoder(), Assembly(), False
        try:
            while chunk := await self._chunk(response, clock, end, limit):
                for event in self._events(decoder, chunk):
                    done = await self._event(event, assembly, sink) or done
                if done:
                    await _ended(response)
                    break
            else:
                for event in decoder.flush():
                    done = await self._event(event, assembly, sink) or done
        finally:
            usage = assembly.usage or Usage(prompt=prompt, completion=assembly.tokens, estimated=True)
            sink.spent(usage)
        if not (assembly.finished or (done and assembly.choices)):
            raise failures.broken(self._name, "its stream was cut before its end", "upstream_cut")
        return self._full(assembly.answer(self._name, usage))

    def _events(self, decoder: Decoder, chunk: bytes) -> list[bytes]:
        try:
            return decoder.feed(chunk)
        except ValueError as error:
            raise failures.broken(self._name, f"its stream has {error}") from error

    async def _event(self, event: bytes, assembly: Assembly, sink: Sink) -> bool:
        """Whether it was the last one."""
        if event == b"[DONE]":
            return True
        for delta in self._deltas(event, assembly):
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

    async def _chunk(self, response: Response, clock: Any, end: float, limit: asyncio.Timeout) -> bytes:
        """What has come of the body, nothing at its end; each chunk that must be waited for has its own time."""
        if waits := response.waiting:
            limit.reschedule(min(end, clock() + self._options.between))
        try:
            chunk = await response.read()
        except OSError as error:
            why = f"it cut the connection ({type(error).__name__})"
            raise failures.broken(self._name, why, "upstream_cut") from error
        if waits:
            limit.reschedule(end)
        return chunk

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


def _is_stream(response: Response) -> bool:
    """A server that cannot stream answers with one JSON body: it is taken as it is."""
    return "json" not in response.headers.get("Content-Type", "")


async def _ended(response: Response) -> None:
    """Give the body's end a moment to arrive after `[DONE]`, so that the connection can be used again."""
    if not response.ended:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await response.read()


def _checked(choices: Any) -> list[Json]:
    """The choices, each with a message. Raises `ValueError`."""
    if not isinstance(choices, list) or not choices:
        raise ValueError("no choices")
    for choice in choices:
        message = choice.get("message")
        if not isinstance(message, dict) or not isinstance(message.get("content"), str | None):
            raise TypeError("a choice without a message")
    return choices
