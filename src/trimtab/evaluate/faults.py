"""Sixteen ways for a model's server to go wrong, each with a peer that does it and what a gateway must make of it.

What HTTP has a word for, the mock does; the rest are sockets that break below it. Every peer counts what it was asked.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, TypeAlias
from urllib.request import urlopen

import msgspec

from trimtab.evaluate import mock

PATIENCE = 1.0
"""Seconds that a rung waits for a peer that will never answer."""
SLOW = {"connect": PATIENCE, "first_byte": PATIENCE, "between": PATIENCE, "slowest": 1000.0}

Talk: TypeAlias = Callable[[Any, asyncio.StreamWriter, int], Awaitable[bool]]
"""Answers a body on a connection, the how-manieth of it; whether the connection goes on."""

_encode = msgspec.json.Encoder().encode


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """`code` is the error's where there is no other rung, "" where the answer comes all the same.

    `asked` is how often the peer hears one call; `begins` whether it may break after a token; `mock` a scripted fault.
    """

    name: str
    code: str
    asked: int = 1
    begins: bool = False
    mock: str = ""
    options: dict[str, Any] = {}


FAULTS = (
    Fault(name="connect refused", code="upstream_down", asked=0),
    Fault(name="reset", code="upstream_down", asked=2, mock="reset"),
    Fault(name="stall", code="upstream_timeout", mock="stall", options=SLOW),
    Fault(name="blackhole", code="upstream_timeout", asked=0, options=SLOW),
    Fault(name="cut stream", code="upstream_cut", begins=True, mock="cut"),
    Fault(name="garbage", code="upstream_down", asked=2),
    Fault(name="429 with Retry-After", code="upstream_rate_limited", mock="rate_limit"),
    Fault(name="500", code="upstream_error", mock="error"),
    Fault(name="200 with error body", code="upstream_error", mock="error_body"),
    Fault(name="slow drip", code="upstream_timeout", begins=True, options=SLOW),
    Fault(name="empty completion", code="empty_completion", mock="empty"),
    Fault(name="bad JSON", code="upstream_invalid", begins=True, mock="garbage"),
    Fault(name="duplicated ids", code=""),
    Fault(name="expired DNS", code="upstream_down", asked=0),
    Fault(name="TLS failure", code="upstream_down", asked=0),
    Fault(name="half-open", code="", asked=2),
)


class Peer(msgspec.Struct):
    """Where it listens, and how often a raw one was asked; a mock counts for itself."""

    url: str
    mocked: bool = False
    asked: int = 0

    async def count(self) -> int:
        """How often it was asked for an answer, by its own count."""
        if not self.mocked:
            return self.asked
        raw = await asyncio.to_thread(_get, self.url.removesuffix("/v1") + "/mock/calls")
        return int(msgspec.json.decode(raw)["requests"])


@asynccontextmanager
async def peers() -> AsyncIterator[dict[str, Peer]]:
    """A peer for each fault by its name, and a healthy one called `spare`."""
    async with AsyncExitStack() as stack:
        found = {fault.name: await _peer(fault, stack) for fault in FAULTS}
        yield found | {"spare": Peer(await stack.enter_async_context(mock.serving()), mocked=True)}


async def _peer(fault: Fault, stack: AsyncExitStack) -> Peer:
    if fault.mock:
        options = msgspec.convert({"fault": fault.mock}, mock.Options)
        return Peer(await stack.enter_async_context(mock.serving(options)), mocked=True)
    if fault.name == "expired DNS":
        return Peer("http://no-such-host.invalid/v1")
    if fault.name in ("connect refused", "blackhole"):
        return Peer(stack.enter_context(_closed() if fault.name == "connect refused" else _full()))
    peer = Peer("")
    talk = _plain if fault.name == "TLS failure" else _raw(peer, TALKS[fault.name])
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    stack.callback(server.close)
    scheme = "https" if fault.name == "TLS failure" else "http"
    peer.url = f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    return peer


def _raw(peer: Peer, talk: Talk) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """A server of requests that are read whole, counted, and answered by `talk`."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        try:
            while body := await _body(reader):
                peer.asked, number = peer.asked + 1, number + 1
                if not await talk(msgspec.json.decode(body), writer, number):
                    break
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()

    return connected


async def _body(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b"0")
    return await reader.readexactly(int(length))


async def _plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks no TLS where it is expected."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def _garbage(_: Any, writer: asyncio.StreamWriter, __: int) -> bool:
    writer.write(b"\x00\x15\x03\x01 this is no HTTP\r\n\r\n")
    await writer.drain()
    return False


async def _drips(body: Any, writer: asyncio.StreamWriter, _: int) -> bool:
    """A byte at a time, often enough that no pause is too long, for ever."""
    kind = b"text/event-stream" if body.get("stream") else b"application/json"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(PATIENCE / 10)


async def _twins(body: Any, writer: asyncio.StreamWriter, _: int) -> bool:
    """Two tool calls of one id, in a response whose own id is always the same."""
    calls: list[Any] = [
        {"index": i, "id": "call_0", "type": "function", "function": {"name": "f", "arguments": f'{{"a": {i}}}'}}
        for i in range(2)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    whole = {"id": "chatcmpl-0", "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    events = [
        {"id": "chatcmpl-0", "choices": [{"index": 0, "delta": message}]},
        {"id": "chatcmpl-0", "choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    ]
    _answer(writer, events if body.get("stream") else whole)
    await writer.drain()
    return True


async def _once(body: Any, writer: asyncio.StreamWriter, number: int) -> bool:
    """Answers once on a connection and forgets it, as a server that was started again: the next call meets a reset."""
    if number > 1:
        writer.transport.abort()
        return False
    message = {"role": "assistant", "content": "Still here."}
    events = [{"choices": [{"index": 0, "delta": message, "finish_reason": "stop"}]}]
    whole = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    _answer(writer, events if body.get("stream") else whole)
    await writer.drain()
    return True


TALKS = {"garbage": _garbage, "slow drip": _drips, "duplicated ids": _twins, "half-open": _once}


def _answer(writer: asyncio.StreamWriter, said: Any) -> None:
    """A whole response, or the events of a stream."""
    stream = isinstance(said, list)
    raw = (
        b"".join(b"data: " + _encode(event) + b"\n\n" for event in said) + b"data: [DONE]\n\n"
        if stream
        else _encode(said)
    )
    kind = b"text/event-stream" if stream else b"application/json"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n%b" % (kind, len(raw), raw))


@contextmanager
def _closed() -> Iterator[str]:
    """An address that is taken but where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@contextmanager
def _full() -> Iterator[str]:
    """An address whose queue is full: what is sent there vanishes (on Linux)."""
    with socket.socket() as server, socket.socket() as filler:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        filler.connect(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


def _get(url: str) -> bytes:
    with urlopen(url, timeout=10) as response:  # noqa: S310 - our own address
        return response.read()
