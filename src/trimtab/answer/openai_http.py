"""A rung behind any server that speaks OpenAI's chat protocol: unknown fields pass through, failures get their names.

One call of a `Server` is one POST; what is asked again, when and where, is `_upstream`'s to say, which `build` puts
around it. Cancelling a call closes its connection, so that the server stops writing.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias
from urllib.parse import urlsplit

import msgspec

from trimtab import texts
from trimtab.answer import _failures as failures
from trimtab.answer._assembly import OF_CHUNK, Assembly, counted, of_choices
from trimtab.answer._chunk import Plain
from trimtab.answer._chunk import plain as plain_chunk
from trimtab.answer._http import Client, Late, Response
from trimtab.answer._plain import plain, strict
from trimtab.answer._sse import Decoder
from trimtab.answer._upstream import Place, Upstream, built, places
from trimtab.egress import Denied, Egress, on_this_machine
from trimtab.errors import ConfigError, RequestError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Delta, Evidence, Json, ModelSpec, Request, Usage, Verdict

SAYING = frozenset({"refusal", "function_call", "audio", "reasoning_content", "reasoning", "reasoning_details"})
"""Further fields of a message that are an answer without a text."""
CUT = frozenset({"length", "content_filter"})
"""Finish reasons with which a server may rightly say nothing."""
LARGEST = 64_000_000
"""Bytes of a whole response, after which a server is taken to be broken."""

SHOWN = 100_000
"""Bytes of an error that are read."""
LINGER = 0.02
NOT_ONE = (ValueError, LookupError, TypeError, AttributeError)
"""What reading a body raises that is no completion; a decoding error of msgspec is a ValueError."""

Said: TypeAlias = tuple[bytes, bytes]
"""A request's body, and the lines of its further headers."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`url` ends in `/v1`; `key_env` names the variable that holds the key; times in seconds.

    `connect` to open a connection, `first_byte` until the response begins, `between` its chunks, `total` for all of it;
    a response of less than `slowest` bytes a second over `between` is given up. `pool` calls at a time, `queue` wait.
    A `strict` server refuses fields that it does not know, so those that Anthropic's clients bring are not sent to it;
    where it is not said, OpenAI's own servers are.
    `replicas` are further servers or keys of the same model; a conversation stays on its own where they are `sticky`.
    `retries` a call, `patience` for a Retry-After; `hedge` asks a second replica where the first is late.
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
    strict: bool | None = None
    slowest: float = 1.0
    replicas: tuple[Place, ...] = ()
    sticky: bool = True
    retries: int = 1
    patience: float = 1.0
    hedge: bool = False
    queue: int = 1024


def spec(options: Options) -> ModelSpec:
    """Servers on loopback are local unless the settings say `where = "remote"`, as they must of one that passes on what
    it is asked; their price, like any server's, is unknown unless the settings say it."""
    abilities = {"chat", "tools", "json", "stream"} | ({"vision"} if options.vision else set())
    inside = all(on_this_machine(_host(place.url)) for place in places(options))
    return ModelSpec(where="local" if inside else "remote", abilities=frozenset(abilities))


def build(options: Options, tools: Tools) -> Upstream:
    """Raises `ConfigError` for an address that is none, or a key that is not set. Nothing is sent yet."""
    gate = egress(options, tools)
    return built(options, tools, lambda place: Server(place, tools.name, key(place, tools), gate))


def egress(options: Options, tools: Tools) -> Egress:
    """Where the model's servers may be, by what it is declared to be."""
    return Egress(where=(tools.spec or spec(options)).where, networks=tools.networks)


def key(options: Options, tools: Tools) -> str | None:
    """The key that the options name. Raises `ConfigError` for an address that is none, or a key that is not set."""
    if not _host(options.url):
        raise ConfigError(
            f"[[model]] {tools.name}: its url is not the address of a server.",
            'Write url = "http://host:port/v1"; a key belongs in the variable that key_env names.',
        )
    found = tools.secret(options.key_env) if options.key_env else None
    if options.key_env and not found:
        raise ConfigError(
            f"[[model]] {tools.name} needs the variable {options.key_env}, which is not set.",
            f"Set {options.key_env} to your key, or take key_env out.",
        )
    return found


def traced(request: Request) -> bytes:
    """The header line by which the server's spans join the client's trace."""
    return b"traceparent: %b\r\n" % request.traceparent.encode() if request.traceparent else b""


def encoded(body: Json) -> bytes:
    """The body as JSON. Raises `RequestError` for text that cannot be written."""
    try:
        return _encode(body)
    except (UnicodeEncodeError, TypeError, OverflowError, RecursionError) as error:
        raise RequestError(
            f"The request cannot be written as JSON: {error}.", "Send text that is whole Unicode.", param="messages"
        ) from error


class Server:
    """The rung. Its connections are opened by the calls that need one. Raises `ConfigError` for a wrong header.

    `reads` is how the commonest event is read, None where it is another.
    """

    reads: Callable[[bytes], Plain | None] = staticmethod(plain_chunk)

    def __init__(
        self, options: Options, name: str, key: str | None, egress: Egress, path: str = "chat/completions",
        **headers: str,
    ) -> None:  # fmt: skip
        self._options, self._name, self._key = options, name, (key or "").encode()
        self._strict = strict(options.url) if options.strict is None else options.strict
        shown = {"Authorization": f"Bearer {key}"} if key else {}
        sent = {
            "Content-Type": "application/json",
            "Accept-Encoding": "identity",
            **options.headers,
            **shown,
            **headers,
        }
        url = f"{options.url.rstrip('/')}/{path}"
        try:
            self._client = Client(url, sent, connect=options.connect, egress=egress)
        except Denied as error:
            raise ConfigError(f"[[model]] {name} cannot be asked: {error}", error.fix) from error
        except ValueError as error:
            raise ConfigError(
                f"[[model]] {name} cannot be asked: {error}.", "Correct its url, headers or key."
            ) from error

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        """Raises `UpstreamError`s for the server's faults and `RequestError` where it says that the client is wrong.

        A call that ends before its server counted is billed by an estimate of its prompt.
        """
        said, clock = self._said(request, sink.live), asyncio.get_running_loop().time
        end, bill = clock() + self._options.total, Tally(sink, request)
        try:
            response = await self._begun(said, clock, end)
            try:
                if sink.live and _is_stream(response):
                    return await self._streamed(response, bill, clock, end)
                return await self._whole(response, bill, clock, end)
            finally:
                self._client.release(response)
        except TimeoutError as error:
            raise failures.timed_out(self._name, self._options.url) from error
        except (failures.Unbilled, failures.Wrong) as error:
            bill.spent(Usage())
            raise error.what from error.__cause__
        finally:
            if not bill.told:
                bill.spent(bill.estimated())

    async def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _said(self, request: Request, live: bool) -> Said:
        said = (
            plain(request.params, request.messages)
            if self._strict
            else {**request.params, "messages": request.messages}
        )
        body: Json = {**said, "model": self._options.model}
        if live:
            body["stream"] = True
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        else:
            body.pop("stream_options", None)  # servers refuse it without a stream
        return encoded(body), traced(request)

    async def _begun(self, said: Said, clock: Any, end: float) -> Response:
        """The response at its first byte, with status 200."""
        until = min(end, clock() + self._options.connect + self._options.first_byte)
        try:
            response = await self._client.post(*said, until=until)
        except Late:
            raise
        except TimeoutError as error:
            raise failures.Unbilled(failures.timed_out(self._name, self._options.url)) from error
        except OSError as error:
            raise failures.Unbilled(failures.down(self._name, self._options.url, error)) from error
        if response.status != 200:
            await self._refused(response)
        response.since = clock()
        return response

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
        raise failures.Unbilled(failures.of_status(self._name, response.status, self._hidden(raw), response.headers))

    def _hidden(self, raw: bytes) -> bytes:
        """What a server said, less our own key, which some quote."""
        return raw.replace(self._key, b"[the gateway's key]") if self._key else raw

    def _quoted(self, error: Any) -> Any:
        return _decode(self._hidden(_encode(error)))

    async def _whole(self, response: Response, bill: "Tally", clock: Any, end: float) -> Answer:
        raw = await self._chunk(response, clock, end)
        while chunk := await self._chunk(response, clock, end):
            raw += chunk
            if len(raw) > LARGEST:
                raise failures.broken(self._name, f"its response has more than {LARGEST:,} bytes")
        try:
            found = _decode(raw)
            if isinstance(found, dict) and found.get("error"):
                raise failures.Wrong(failures.in_body(self._name, self._quoted(found["error"])))
            answer = self._read(found, bill)
        except NOT_ONE as error:
            raise failures.broken(self._name, f"its response is no completion ({error})") from error
        bill.spent(answer.usage)
        return self._full(answer)

    def _read(self, found: Json, bill: "Tally") -> Answer:
        """The answer in a whole response. Raises one of `NOT_ONE` where there is none."""
        usage = counted(found["usage"]) if found.get("usage") else None
        choices = _checked(found["choices"])
        if usage is None:
            said = sum(estimate(choice["message"].get("content") or "") for choice in choices)
            usage = bill.estimated(said)
        body = {key: value for key, value in found.items() if key not in OF_CHUNK and value is not None}
        return of_choices(choices, body, self._name, usage)

    async def _streamed(self, response: Response, bill: "Tally", clock: Any, end: float) -> Answer:
        response.until = end  # a sink may take its time
        decoder, assembly, done = Decoder(), self._assembly(), False
        try:
            while chunk := await self._chunk(response, clock, end):
                if done := await self._emitted(self._events(decoder, chunk), assembly, bill.sink):
                    await _ended(response)
                    break
            else:
                done = await self._emitted(decoder.flush(), assembly, bill.sink)
        finally:
            usage = assembly.usage or bill.estimated(assembly.tokens)
            bill.spent(usage)
        if not (assembly.finished or (done and assembly.choices)):
            raise failures.broken(self._name, "its stream was cut before its end", "upstream_cut")
        try:
            answer = assembly.answer(self._name, usage)
        except NOT_ONE as error:  # each event was one, but together they are not
            raise failures.broken(self._name, f"its stream is no completion ({error})") from error
        return self._full(answer)

    def _assembly(self) -> Any:
        return Assembly()

    def _events(self, decoder: Decoder, chunk: bytes) -> list[bytes]:
        try:
            return decoder.feed(chunk)
        except ValueError as error:
            raise failures.broken(self._name, f"its stream has {error}") from error

    async def _emitted(self, events: list[bytes], assembly: Any, sink: Sink) -> bool:
        """Emit what these events say; whether the last of all was among them."""
        done = False
        for event in events:
            if event == b"[DONE]":
                done = True
            elif said := self.reads(event):
                if (delta := assembly.piece(said)).text:
                    await sink.emit(delta)
            else:
                for delta in self._taken(event, assembly):
                    if delta.text or delta.extra or delta.logprobs:
                        await sink.emit(delta)
        return done

    def _taken(self, event: bytes, assembly: Any) -> list[Delta]:
        try:
            chunk = _decode(event)
            if error := chunk.get("error"):
                raise failures.in_body(self._name, self._quoted(error))
            return assembly.take(chunk)
        except NOT_ONE as error:
            raise failures.broken(self._name, f"its stream is no completion ({error})") from error

    async def _chunk(self, response: Response, clock: Any, end: float) -> bytes:
        """What has come of the body, nothing at its end; each chunk that must be waited for has its own time."""
        if response.waiting:
            now, between = clock(), self._options.between
            if now - response.since > between and response.paced(now) < self._options.slowest:
                raise TimeoutError
            self._client.expect(response, min(end, now + between))
        try:
            chunk = await response.read()
        except Late:
            raise
        except OSError as error:
            why = f"it cut the connection ({type(error).__name__})"
            raise failures.broken(self._name, why, "upstream_cut") from error
        response.until = end
        return chunk

    def _full(self, answer: Answer) -> Answer:
        """The answer, if it says anything at all."""
        said = answer.text or answer.tool_calls or answer.extra.keys() & SAYING or answer.finish in CUT
        if not said and not any(choice["message"].get("content") for choice in answer.choices):
            raise failures.broken(self._name, "its answer is empty", "empty_completion")
        return answer


class Tally:
    """What one call is billed: its server's count, or an estimate, which is made only where it is needed."""

    __slots__ = ("_request", "sink", "told")

    def __init__(self, sink: Sink, request: Request) -> None:
        self.sink, self._request, self.told = sink, request, False

    def spent(self, usage: Usage) -> None:
        self.told = True
        self.sink.spent(usage)

    def estimated(self, completion: int = 0) -> Usage:
        prompt = sum(estimate(text.text) for text in texts.texts(self._request.messages))
        return Usage(prompt=prompt, completion=completion, estimated=True)


def _host(url: str) -> str:
    """The host of a server's address; empty where it is none, or has a login in it, which errors would show."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in ("http", "https") and parts.username is None and (parts.port or 1)
    except ValueError:
        return ""
    return (parts.hostname or "") if fine else ""


def _is_stream(response: Response) -> bool:
    """A server that cannot stream answers with one JSON body: it is taken as it is."""
    return "json" not in response.headers.get("Content-Type", "")


async def _ended(response: Response) -> None:
    """Give the body's end a moment to arrive after `[DONE]`, so that the connection can be used again."""
    if not response.ended:
        with suppress(OSError):
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
