"""A gateway on a free port, in a thread of its own: real path, ledger, tickets and encoder; a scripted rung."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import openai

from trimtab import texts
from trimtab.approve import policy
from trimtab.encode.encoder import Encoder
from trimtab.errors import NotFoundError, UpstreamDownError, UpstreamError
from trimtab.flow import Desk
from trimtab.judge import Seat
from trimtab.ports import Tools
from trimtab.record import ledger
from trimtab.server import serving
from trimtab.settings import Settings, parse
from trimtab.store.engine import Store
from trimtab.types import (
    FREE,
    OK,
    Answer,
    Decision,
    Delta,
    Evidence,
    Impact,
    ModelSpec,
    Request,
    Span,
    Usage,
    Verdict,
)


class Scripted:
    """A rung that does what the last user text's first word says; it notes what it was asked and when it was cut."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.cancelled = threading.Event()
        self.began = threading.Event()

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer | Verdict:
        self.requests.append(request)
        verb, _, rest = texts.question(request).partition(" ")
        sink.spent(Usage(prompt=7, completion=0, estimated=True))
        try:
            return await getattr(self, f"_{verb}", self._say)(request, rest, sink)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def _say(self, request: Request, rest: str, sink: Any) -> Answer:
        words = rest.split(" ")
        for i, word in enumerate(words):
            if sink.live:
                await sink.emit(Delta(text=word if i == 0 else f" {word}"))
        return Answer(text=rest, model="scripted", usage=Usage(prompt=7, completion=len(words), cached=3))

    async def _slowly(self, request: Request, rest: str, sink: Any) -> Answer:
        self.began.set()
        for i in range(400):
            await sink.emit(Delta(text=f"w{i} "))
            await asyncio.sleep(0.02)
        return Answer(text=rest, model="scripted")

    async def _tool(self, request: Request, rest: str, sink: Any) -> Answer:
        call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Łódź"}'}}
        return Answer(text=None, model="scripted", tool_calls=(call,), finish="tool_calls", usage=Usage(prompt=1))

    async def _livetool(self, request: Request, rest: str, sink: Any) -> Answer:
        for piece in ('{"city"', ':"Łódź"}'):
            call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": piece}}
            await sink.emit(Delta(extra={"tool_calls": [call]}, logprobs={"content": []}))
        return await self._tool(request, rest, sink)

    async def _two(self, request: Request, rest: str, sink: Any) -> Answer:
        second = {"index": 1, "message": {"role": "assistant", "content": "second"}, "finish_reason": "length"}
        return Answer(text="first", model="scripted", choices=(second,), body={"system_fingerprint": "fp_1"})

    async def _cut(self, request: Request, rest: str, sink: Any) -> Answer:
        await sink.emit(Delta(text="half of an ans"))
        raise UpstreamError("The upstream cut the connection.", "Try again.")

    async def _down(self, request: Request, rest: str, sink: Any) -> Answer:
        raise UpstreamDownError("The large model cannot be reached.", "Start it.", retry_after=2.2)

    async def _crash(self, request: Request, rest: str, sink: Any) -> Answer:
        raise ZeroDivisionError("the password is hunter2")

    async def _risky(self, request: Request, rest: str, sink: Any) -> Answer:
        return Answer(text=rest, model="scripted", impact=Impact.HIGH, usage=Usage(prompt=1, completion=1))


class Words:
    """A guard that finds the word `forbidden` in what is asked."""

    async def check(self, said: Any, request: Request) -> Verdict:
        for text in said:
            if (at := text.text.find("forbidden")) >= 0:
                found = Span(kind="WORD", start=at, end=at + 9, path=text.path)
                return Verdict(ok=False, code="forbidden_word", why="That word is forbidden.", spans=(found,))
        return OK


class Only:
    """A router with one rung; high impact for a text that begins with `risky`."""

    async def route(self, request: Request, models: Any) -> Decision:
        if request.wishes.model not in ("auto", *models):
            raise NotFoundError(
                f"There is no model {request.wishes.model!r}.", "See /v1/models.", param="model", code="model_not_found"
            )
        impact = Impact.HIGH if texts.question(request).startswith("risky") else Impact.LOW
        return Decision(ladder=("scripted",), reasons=("only_one",), impact=impact)


class House(msgspec.Struct, frozen=True):
    """A running gateway and what stands behind it."""

    url: str
    rung: Scripted
    store: Store

    def client(self, **more: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=20, **more)

    def asynchronous(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, timeout=20)


def settings(home: Path, server: dict[str, Any] | None = None, **secrets: str) -> Settings:
    return parse({"server": {"drain": 1.0, **(server or {})}}, folder=home, home=home, name="wire", secrets=secrets)


@contextmanager
def served(gateway: Any, given: Settings) -> Iterator[str]:
    """The URL of a gateway that runs in a thread on a free port."""
    up: list[Any] = []
    ready = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    server = serving._server(gateway, given, lambda server: (up.append(server), ready.set()))

    def work() -> None:
        with asyncio.Runner(loop_factory=serving._loop) as runner:
            runner.run(server.serve(sockets=[listening]))

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(20)
    try:
        yield serving.url(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def tools(home: Path, store: Store) -> Tools:
    def no_encoder() -> Encoder:
        raise AssertionError

    return Tools(
        name="part", recipe=home, home=home, encoder=no_encoder, store=lambda: store, personal=lambda _: (),
        secret=lambda _: None, starting=lambda _: None, closing=lambda _: None, say=lambda _: None,
    )  # fmt: skip


def desk(rung: Scripted, home: Path, store: Store) -> Desk:
    given = tools(home, store)
    spec = ModelSpec(name="scripted", price=FREE, abilities=frozenset({"chat", "tools", "stream"}), context=4096)
    return Desk(
        guards=(Seat(name="words", judge=Words()),), router=Only(), retriever=None, models={"scripted": rung},
        specs={"scripted": spec}, verifiers=(), approver=policy.build(policy.Options(), given),
        recorders=(ledger.build(ledger.Options(), given),),
    )  # fmt: skip


def exchange(host: str, port: int, sent: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    """One request over a socket of its own, and the response read by its content-length or to its end."""
    with socket.create_connection((host, port), timeout=20) as connection:
        connection.sendall(sent)
        held = b""
        while piece := connection.recv(65536):
            held += piece
            head, found, body = held.partition(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
            if found and b"content-length" in fields and len(body) >= int(fields[b"content-length"]):
                return int(head.split()[1]), fields, body
            if found and head.split()[1] == b"304":  # has no body
                return 304, fields, b""
            if found and held.endswith(b"0\r\n\r\n"):
                return int(head.split()[1]), fields, body
    raise AssertionError(held)


def post(path: str, body: bytes, *more: str) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", "host: localhost", f"content-length: {len(body)}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def until(said: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something is true and return it; what it last was where it never is."""
    end = time.monotonic() + seconds
    while not (found := said()) and time.monotonic() < end:
        time.sleep(0.005)
    return found


class Chain(msgspec.Struct, frozen=True):
    """A whole system from its settings, and the peer it calls as its large model."""

    url: str
    mock: str
    home: Path
