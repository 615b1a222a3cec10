"""A client that hangs up ends the work at once, wherever it is: the calls upstream, the wait for one, and the trace.

What is asserted is that it happens; benchmarks/cancel.py measures with the same parts how long it takes.
"""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest
from _gateway import post, settings

from trimtab import testing
from trimtab.answer import anthropic_http, openai_http
from trimtab.evaluate import faults
from trimtab.flow import Desk
from trimtab.server import app as gateway_app
from trimtab.server import serving
from trimtab.types import Trace

KINDS = {"openai_http": openai_http, "anthropic_http": anthropic_http}
PATIENCE = 10.0
OPENAI = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Once "}}]}]
ANTHROPIC: list[Any] = [
    {"type": "message_start", "message": {"usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Once "}},
]


class Cut(NamedTuple):
    """Milliseconds from the client's hanging up to the close of each connection upstream, and to the trace."""

    upstream: list[float]
    trace: float
    outcome: str


class Peer:
    """A model's server that never comes to an end: silent, or after the first words; it notes when it is left."""

    def __init__(self, kind: str, begins: bool) -> None:
        self._events, self._begins = {"openai_http": OPENAI, "anthropic_http": ANTHROPIC}[kind], begins
        self.asked, self.left = 0, list[float]()

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(length))
        if self._begins:
            said = b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in self._events)
            form = b"text/event-stream" if body.get("stream") else b"application/json"
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + form + b"\r\nContent-Length: 1000000\r\n\r\n" + said)
        self.asked += 1
        try:
            while await reader.read(1024):
                pass
        except ConnectionError:
            pass
        finally:
            self.left.append(time.perf_counter())
            writer.close()


class Notes:
    """A recorder that notes when a trace came."""

    def __init__(self) -> None:
        self.traces: list[tuple[float, Trace]] = []

    async def record(self, trace: Trace) -> None:
        self.traces.append((time.perf_counter(), trace))


class House(NamedTuple):
    """A gateway with one model, and what stands behind it."""

    url: str
    model: Any
    notes: Notes
    peers: tuple[Peer, ...]


@asynccontextmanager
async def gateway(home: Any, kind: str, *urls: str, peers: tuple[Peer, ...] = (), **options: Any) -> Any:
    """A gateway around a model at these places."""
    given, closing, notes = settings(home), list[Callable[[], Awaitable[Any]]](), Notes()
    tools = testing.tools(home, name="large", closing=closing.append, secret=lambda _: None)
    further = tuple(openai_http.Place(url=url) for url in urls[1:])
    made = KINDS[kind].Options(url=urls[0], model="m", replicas=further, sticky=False, connect=60.0, **options)
    model: Any = KINDS[kind].build(made, tools)
    desk: Desk = testing.desk({"large": model}, recorders=(notes,))
    listening, up = socket.create_server(("127.0.0.1", 0)), asyncio.Event()
    server = serving._server(gateway_app.app(desk, given), given, lambda _: up.set())
    running = asyncio.create_task(server.serve(sockets=[listening]))
    await up.wait()
    try:
        yield House(serving.url(listening), model, notes, peers)
    finally:
        server.should_exit = True
        await running
        for close in closing:
            await close()


@asynccontextmanager
async def listening(peers: tuple[Peer, ...]) -> Any:
    """The addresses of peers."""
    servers = [await asyncio.start_server(peer.connected, "127.0.0.1", 0) for peer in peers]
    try:
        yield tuple(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1" for server in servers)
    finally:
        for server in servers:
            server.close()


async def until(said: Callable[[], Any]) -> None:
    """Wait until something is true. Raises `TimeoutError`."""
    async with asyncio.timeout(PATIENCE):
        while not said():
            await asyncio.sleep(0.002)


async def asks(house: House, stream: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client's connection on which a request has been sent."""
    host, port = house.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    body = {"messages": [{"role": "user", "content": "Tell me."}], "stream": stream}
    writer.write(post("/v1/chat/completions", json.dumps(body).encode()))
    return reader, writer


async def hangs_up(house: House, writer: asyncio.StreamWriter, calls: int) -> Cut:
    """Close the connection; what followed once `calls` connections upstream were closed and a trace was made."""
    before, traces = [len(peer.left) for peer in house.peers], len(house.notes.traces)
    began = time.perf_counter()
    writer.close()
    await until(lambda: len(house.notes.traces) > traces)
    await until(lambda: sum(len(peer.left) for peer in house.peers) - sum(before) >= calls)
    at, trace = house.notes.traces[-1]
    left = [at for peer, n in zip(house.peers, before, strict=True) for at in peer.left[n:]]
    return Cut([(at - began) * 1e3 for at in left], (at - began) * 1e3, trace.outcome)


async def during_connect(home: Any, kind: str, stream: bool) -> Cut:
    with faults._full() as url:
        async with gateway(home, kind, url) as house:
            _, writer = await asks(house, stream)
            await until(lambda: upstream(house).calls)
            return await hangs_up(house, writer, 0)


def upstream(house: House) -> Any:
    return getattr(house.model, "upstream", house.model)


async def before_the_first_byte(home: Any, kind: str, stream: bool) -> Cut:
    peers = (Peer(kind, begins=False),)
    async with listening(peers) as urls, gateway(home, kind, *urls, peers=peers) as house:
        _, writer = await asks(house, stream)
        await until(lambda: peers[0].asked)
        return await hangs_up(house, writer, 1)


async def midway(home: Any, kind: str, stream: bool) -> Cut:
    peers = (Peer(kind, begins=True),)
    async with listening(peers) as urls, gateway(home, kind, *urls, peers=peers) as house:
        reader, writer = await asks(house, stream)
        await until(lambda: peers[0].asked)
        if stream:
            await reader.readuntil(b"Once ")
        return await hangs_up(house, writer, 1)


async def while_queued(home: Any, kind: str, stream: bool) -> Cut:
    peers = (Peer(kind, begins=False),)
    async with listening(peers) as urls, gateway(home, kind, *urls, peers=peers, pool=1) as house:
        _, first = await asks(house, stream)
        await until(lambda: peers[0].asked)
        _, second = await asks(house, stream)
        await until(lambda: len(upstream(house)._queue))
        cut = await hangs_up(house, second, 0)
        assert (peers[0].asked, peers[0].left, len(upstream(house)._queue)) == (1, [], 0)
        await hangs_up(house, first, 1)
        return cut


async def while_hedging(home: Any, kind: str, stream: bool) -> Cut:
    peers = (Peer(kind, begins=False), Peer(kind, begins=False))
    async with listening(peers) as urls, gateway(home, kind, *urls, peers=peers, hedge=True) as house:
        hedges = upstream(house)._hedges
        for _ in range(30):
            hedges.began(stream, 0.001)
            hedges.delay(stream)
        _, writer = await asks(house, stream)
        await until(lambda: all(peer.asked for peer in peers))
        return await hangs_up(house, writer, 2)


PHASES = {
    "connect": during_connect, "before the first byte": before_the_first_byte, "midway": midway,
    "queued": while_queued, "hedging": while_hedging,
}  # fmt: skip
CALLS = {"connect": 0, "before the first byte": 1, "midway": 1, "queued": 0, "hedging": 2}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("phase", PHASES)
async def test_hanging_up_ends_the_work(tmp_path: Any, phase: str, kind: str, stream: bool) -> None:
    cut = await PHASES[phase](tmp_path, kind, stream)
    assert cut.outcome == "cancelled"
    assert len(cut.upstream) == CALLS[phase]
