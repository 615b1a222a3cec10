"""A peer that speaks OpenAI's protocol and Anthropic's, for tests and benchmarks: the same replies, faults on request.

It is no model: it says the last user text back, or what the body's `mock` field (or an `x-mock` header with the same
JSON) asks for: see `Script`. Files and batches it keeps in memory. `GET /mock/calls` tells what it has seen, cancelled
calls and their times included; `GET /mock/bills` what each `user` was told of tokens.
"""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeAlias

import msgspec

from trimtab.evaluate import _messages, _replies, _shelf, _vectors
from trimtab.evaluate._replies import Bill, Chat, Fault, Script
from trimtab.types import Json

Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]
App: TypeAlias = Callable[[Any, Receive, Send], Awaitable[None]]

JSON = [(b"content-type", b"application/json")]
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
CREATED = 1_700_000_000
ABORT = "trimtab.mock.abort"
FOREVER = 3600.0

_encode = msgspec.json.Encoder().encode


class Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where it listens and how it behaves where a call says nothing: seconds, tokens a second (0: no pacing)."""

    host: str = "127.0.0.1"
    port: int = 8081
    model: str = "mock"
    latency: float = 0.0
    rate: float = 0.0
    fault: Fault = ""


class Calls(msgspec.Struct, kw_only=True):
    """What the peer has seen; `cancelled_at` in seconds of the machine's monotonic clock."""

    requests: int = 0
    in_flight: int = 0
    finished: int = 0
    cancelled: int = 0
    cancelled_at: list[float] = []
    authorization: str = ""
    last: Any = None
    faults: dict[str, int] = {}
    headers: dict[str, str] = {}
    passed: list[Json] = []


class Gone(Exception):  # noqa: N818 - the client hung up
    """The client hung up."""


_chat = msgspec.json.Decoder(Chat)
_asked = msgspec.json.Decoder(_messages.Asked)
_script = msgspec.json.Decoder(Script)


def app(options: Options | None = None) -> App:
    """The ASGI application, with counts of its own."""
    given, calls, bills = options or Options(), Calls(), dict[str, Bill]()

    async def handle(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _shelf.mine(scope["path"]):
            status, kind, body = await shelf.handle(scope, await _read(receive))
            await _bytes(send, status, body, [(b"content-type", kind.encode())])
        elif scope["type"] == "http" and scope["path"] == "/mock/bills":
            await _whole(send, 200, bills)
        elif scope["type"] == "http":
            await _handled(given, calls, bills, scope, receive, send)

    shelf = _shelf.Shelf(partial(_shelf.asked, handle), calls.passed)
    return handle


async def _handled(
    given: Options, calls: Calls, bills: dict[str, Bill], scope: Any, receive: Receive, send: Send
) -> None:
    path = scope["path"]
    if path == "/v1/chat/completions":
        await _counted(partial(_call, bills=bills), given, calls, scope, receive, send)
    elif path == "/v1/messages":
        await _counted(_message, given, calls, scope, receive, send)
    elif path == "/v1/messages/count_tokens":
        asked = msgspec.convert({"max_tokens": 1, **msgspec.json.decode(await _read(receive))}, _messages.Asked)
        await _whole(send, 200, {"input_tokens": _messages.usage(asked, {})["input_tokens"]})
    elif path == "/v1/models":
        model = {"id": given.model, "object": "model", "created": CREATED, "owned_by": "mock"}
        await _whole(send, 200, {"object": "list", "data": [model]})
    elif path == "/v1/embeddings":
        await _whole(send, 200, _vectors.reply(msgspec.json.decode(await _read(receive)), given.model))
    elif path == "/mock/calls":
        await _whole(send, 200, calls)
    else:
        await _whole(send, 404, _error(f"There is no {path} here.", "not_found"))


def serve(options: Options) -> None:
    """Serve until interrupted, on one core."""
    import uvicorn

    uvicorn.Server(_config(options)).run()


@asynccontextmanager
async def serving(options: Options | None = None) -> AsyncIterator[str]:
    """Serve in this event loop, on any free port; gives the address of the API, which ends in `/v1`."""
    import uvicorn

    options = msgspec.structs.replace(options or Options(), port=0)
    server = uvicorn.Server(_config(options))
    with socket.create_server((options.host, 0)) as sock:
        port = sock.getsockname()[1]
        task = asyncio.create_task(server.serve([sock]))
        try:
            while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.005)
            yield f"http://{options.host}:{port}/v1"
        finally:
            server.should_exit = server.force_exit = True
            await task


def _config(options: Options) -> Any:
    import uvicorn
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

    class Protocol(HttpToolsProtocol):
        """Lets a scripted fault reset the connection, which ASGI has no word for."""

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self.scope["extensions"] = {ABORT: {"call": self.transport.abort}}  # pyright: ignore[reportGeneralTypeIssues, reportArgumentType]

    return uvicorn.Config(
        app(options), host=options.host, port=options.port, http=Protocol, loop="auto", access_log=False,
        log_level="error", lifespan="off", timeout_graceful_shutdown=1, backlog=4096,
    )  # fmt: skip


async def _counted(call: Any, given: Options, calls: Calls, scope: Any, receive: Receive, send: Send) -> None:
    """One call for an answer, counted whatever becomes of it."""
    calls.requests += 1
    calls.in_flight += 1
    try:
        await call(given, calls, scope, receive, send)
        calls.finished += 1
    except (Gone, asyncio.CancelledError):
        calls.cancelled += 1
        calls.cancelled_at.append(time.monotonic())
    finally:
        calls.in_flight -= 1


async def _call(given: Options, calls: Calls, scope: Any, receive: Receive, send: Send, bills: dict[str, Bill]) -> None:
    raw = await _read(receive)
    try:
        chat = _chat.decode(raw)
        script = chat.mock or _of_headers(scope["headers"], calls) or Script()
    except msgspec.DecodeError as error:
        await _whole(send, 400, _error(f"The body is not a chat: {error}.", "invalid_request_error"))
        return
    calls.last = msgspec.Raw(raw)  # as it came: it is shown again, not read
    bill = bills.setdefault(chat.user, Bill()) if chat.user else Bill()
    bill.calls += 1
    fault = _fault(given, calls, script)
    await _pause(receive, given.latency if script.latency is None else script.latency)
    if fault and await _failed(fault, script, scope, receive, send):
        return
    choices = [_replies.choice(chat, script, fault, index) for index in range(chat.n or 1)]
    usage = _replies.usage(chat, choices) | script.usage
    if chat.stream:
        await _stream(chat, given, script, fault, choices, usage, receive, send)
    else:
        await _complete(chat, given, script, fault, choices, usage, receive, send)
    bill.tell(chat, fault, usage)


async def _message(given: Options, calls: Calls, scope: Any, receive: Receive, send: Send) -> None:
    """One call of Anthropic's protocol."""
    raw = await _read(receive)
    try:
        asked = _asked.decode(raw)
        calls.last = msgspec.Raw(raw)
        script = asked.mock or _of_headers(scope["headers"], calls) or Script()
        _messages.check(msgspec.json.decode(raw), dict(scope["headers"]))
    except (msgspec.DecodeError, _messages.UnwellError) as error:
        await _whole(send, 400, _messages.error(str(error), "invalid_request_error"))
        return
    calls.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    fault = _fault(given, calls, script)
    await _pause(receive, given.latency if script.latency is None else script.latency)
    if fault and await _failed(fault, script, scope, receive, send, _messages.error):
        return
    message, rate = _messages.reply(asked, script, fault), _rate(given, script)
    if asked.stream:
        events = _messages.events(message)
        await _events_sent(events[:-1], b"" if fault == "no_done" else events[-1], rate, fault, receive, send)
        return
    if rate:
        await _pause(receive, message["usage"]["output_tokens"] / rate)
    await _body_sent(_encode(message), fault, receive, send)


def _of_headers(headers: Any, calls: Calls) -> Script | None:
    script = None
    for key, value in headers:
        if key == b"authorization":
            calls.authorization = value.decode("latin-1")
        elif key == b"x-mock":
            script = _script.decode(value)
    return script


def _fault(given: Options, calls: Calls, script: Script) -> Fault:
    fault = given.fault if script.fault is None else script.fault
    if fault and script.times is not None:
        key = script.key or fault
        calls.faults[key] = calls.faults.get(key, 0) + 1
        return fault if calls.faults[key] <= script.times else ""
    return fault


async def _failed(
    fault: Fault,
    script: Script,
    scope: Any,
    receive: Receive,
    send: Send,
    form: Callable[[str, str], Json] | None = None,
) -> bool:
    """Whether the fault was all there is to the response."""
    form = form or _error
    if fault == "reset":
        scope["extensions"][ABORT]["call"]()
    elif fault == "stall":
        await _pause(receive, FOREVER)
    elif fault == "rate_limit":
        error = form("Too many requests.", "rate_limit_exceeded")
        await _whole(send, 429, error, [(b"retry-after", f"{script.retry_after:g}".encode())])
    elif fault == "error":
        await _whole(send, script.status, form(script.message, "mock_error"))
    elif fault == "error_body":
        await _whole(send, 200, form(script.message, "mock_error"))
    elif fault == "redirect":
        await _whole(send, 302, {}, [(b"location", b"/v1/models")])
    else:
        return False
    return True


async def _complete(
    chat: Chat,
    given: Options,
    script: Script,
    fault: Fault,
    choices: list[Json],
    usage: Json,
    receive: Receive,
    send: Send,
) -> None:
    if rate := _rate(given, script):
        await _pause(receive, usage["completion_tokens"] / rate)
    body = _encode(_head(chat, given, "chat.completion") | {
        "choices": choices, "usage": usage, "system_fingerprint": "fp_mock",
    })  # fmt: skip
    await _body_sent(body, fault, receive, send)


async def _body_sent(body: bytes, fault: Fault, receive: Receive, send: Send) -> None:
    """A whole body, or what a fault makes of it."""
    body = b"<html>not JSON</html>" if fault == "garbage" else body
    length = len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [*JSON, (b"content-length", b"%d" % length)]})
    if fault == "cut":
        await send({"type": "http.response.body", "body": body[: length // 2], "more_body": True})
        raise Gone
    if fault == "drip":
        await _drip(body, receive, send)
    await send({"type": "http.response.body", "body": b"" if fault == "drip" else body})


async def _stream(
    chat: Chat,
    given: Options,
    script: Script,
    fault: Fault,
    choices: list[Json],
    usage: Json,
    receive: Receive,
    send: Send,
) -> None:
    head, rate = _head(chat, given, "chat.completion.chunk"), _rate(given, script)
    events = [
        _event(head, delta, choice["index"], None) for choice in choices for delta in _replies.deltas(choice["message"])
    ]
    ends = b"".join(_event(head, {}, choice["index"], choice["finish_reason"]) for choice in choices)
    if (chat.stream_options or {}).get("include_usage"):
        ends += b"data: " + _encode(head | {"choices": [], "usage": usage}) + b"\n\n"
    ends += b"" if fault == "no_done" else b"data: [DONE]\n\n"
    await _events_sent(events, ends, rate, fault, receive, send)


async def _events_sent(
    events: list[bytes], ends: bytes, rate: float, fault: Fault, receive: Receive, send: Send
) -> None:
    """A stream's events and its end, or what a fault makes of them."""
    await send({"type": "http.response.start", "status": 200, "headers": EVENTS})
    for number, event in enumerate(events):
        if fault == "drip":
            await _drip(event, receive, send)
        else:
            await send({"type": "http.response.body", "body": event, "more_body": True})
        if number == len(events) // 2:
            await _midway(fault, receive, send)
        if rate:
            await _pause(receive, 1 / rate)
    await send({"type": "http.response.body", "body": ends})


async def _midway(fault: Fault, receive: Receive, send: Send) -> None:
    """What goes wrong in the middle of a stream."""
    if fault == "cut":
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        raise Gone
    if fault == "stall_stream":
        await _pause(receive, FOREVER)
    if fault == "garbage":
        await send({"type": "http.response.body", "body": b"data: {not JSON\n\n", "more_body": True})


async def _drip(body: bytes, receive: Receive, send: Send) -> None:
    for start in range(0, len(body), 64):
        await send({"type": "http.response.body", "body": body[start : start + 64], "more_body": True})
        await _pause(receive, 0.002)


async def _pause(receive: Receive, seconds: float) -> None:
    """Wait, unless the client hangs up first."""
    if seconds <= 0:
        return
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return
    raise Gone


def _rate(given: Options, script: Script) -> float:
    return given.rate if script.rate is None else script.rate


def _event(head: Json, delta: Json, index: int, finish: str | None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return b"data: " + _encode(head | {"choices": [choice]}) + b"\n\n"


def _head(chat: Chat, given: Options, what: str) -> Json:
    return {"id": "chatcmpl-mock", "object": what, "created": CREATED, "model": chat.model or given.model}


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise Gone
    return body


async def _whole(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]] | None = None) -> None:
    await _bytes(send, status, _encode(body), [*JSON, *(headers or ())])


async def _bytes(send: Send, status: int, raw: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", b"%d" % len(raw))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": raw})


def _error(message: str, code: str) -> Json:
    return {"error": {"message": message, "type": code, "param": None, "code": code}}
