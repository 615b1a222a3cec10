"""Sixteen faults of a model's server, streamed or not, small or large, alone or with a second rung, end to end.

Each call goes over HTTP through the gateway, the path, the rung and the ledger to a peer that really breaks.
"""

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import NamedTuple

import aiohttp
import msgspec
import pytest
from _gateway import settings, tools

from trimtab import resume
from trimtab.answer import openai_http
from trimtab.errors import UpstreamDownError, UpstreamTimeoutError, row
from trimtab.evaluate import faults
from trimtab.flow import Desk
from trimtab.record import _read, ledger
from trimtab.server import app as gateway_app
from trimtab.server import serving
from trimtab.store.engine import Store
from trimtab.testing import PRICE
from trimtab.types import Decision, ModelSpec

CUT = ("cut stream", "bad JSON")
"""Faults after the first token: the spare rung goes on with what was said."""
LARGE = " ".join(["x" * 5000] * 40)


class Case(NamedTuple):
    """One cell of the matrix: the rung `model` is its own, so that no breaker of another one is in the way."""

    fault: faults.Fault
    stream: bool
    large: bool
    spare: bool

    @property
    def model(self):
        shape = f"{'stream' if self.stream else 'whole'} {'large' if self.large else 'small'}"
        return f"{self.fault.name}, {shape}, {'spare' if self.spare else 'alone'}"


CASES = [
    Case(fault, stream, large, spare)
    for fault in faults.FAULTS
    for stream in (False, True)
    for large in (False, True)
    for spare in (False, True)
]


class End(NamedTuple):
    """What a client saw: status, text, ids of tool calls, an error's code, and whether a stream ended as one does."""

    status: int
    text: str
    ids: tuple[str, ...]
    code: str
    retry_after: str | None
    clean: bool


class Ladders:
    """A router: the rung that is asked for, and the spare one for those that have it."""

    async def route(self, request, models):
        name = request.wishes.model
        return Decision(ladder=(name, "spare") if name.endswith("spare") and name != "spare" else (name,))


@asynccontextmanager
async def gateway(home, peers):
    """The URL of a gateway with a rung for each case, and its ledger."""
    closing, store, given = [], Store.open(home / "trimtab.db"), settings(home)
    shared = msgspec.structs.replace(tools(home, store), closing=closing.append)

    def rung(name, peer, **options):
        made = openai_http.Options(url=peer.url, model="up", **options)
        return openai_http.build(made, msgspec.structs.replace(shared, name=name))

    models = {case.model: rung(case.model, peers[case.fault.name], **case.fault.options) for case in CASES}
    models["spare"] = rung("spare", peers["spare"])
    abilities = frozenset({"chat", "tools", "json", "stream", "resume"})
    desk = Desk(
        guards=(), router=Ladders(), retriever=None, models=models, verifiers=(), approver=None,
        specs={name: ModelSpec(name=name, price=PRICE, abilities=abilities) for name in models},
        recorders=(ledger.build(ledger.Options(), shared),),
    )  # fmt: skip
    listening = socket.create_server(("127.0.0.1", 0))
    up = asyncio.Event()
    server = serving._server(gateway_app.app(desk, given, lambda: store), given, lambda _: up.set())
    running = asyncio.create_task(server.serve(sockets=[listening]))
    await up.wait()
    try:
        yield serving.url(listening), models, store
    finally:
        server.should_exit = True
        await running
        for close in closing:
            await close()
        await store.close()


async def asked(session, url, case):
    """What the client saw of one call."""
    said = LARGE if case.large else "Hello you there"
    body = {"model": case.model, "stream": case.stream, "messages": [{"role": "user", "content": said}]}
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        raw = (await response.read()).decode()
        retry_after = response.headers.get("retry-after")
        if response.headers["content-type"].startswith("text/event-stream"):
            return streamed(response.status, raw, retry_after)
        found = json.loads(raw)
        if error := found.get("error"):
            return End(response.status, "", (), error["code"], retry_after, True)
        message = found["choices"][0]["message"]
        ids = tuple(call["id"] for call in message.get("tool_calls") or ())
        return End(response.status, message["content"] or "", ids, "", retry_after, True)


def streamed(status, raw, retry_after):
    *events, last = [event.removeprefix("data: ") for event in raw.split("\n\n") if event.startswith("data: ")]
    chunks = [json.loads(event) for event in (events if last == "[DONE]" else [*events, last])]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", ())]
    calls = [call for delta in deltas for call in delta.get("tool_calls") or ()]
    text = "".join(delta.get("content") or "" for delta in deltas)
    code = next((chunk["error"]["code"] for chunk in chunks if "error" in chunk), "")
    ids = tuple(call["id"] for call in calls if call.get("id"))
    return End(status, text, ids, code, retry_after, last == "[DONE]")


async def run(home):
    """Every case's end, what the ledger has, and what the peers counted: all of it run at once."""
    async with (
        faults.peers() as peers,
        gateway(home, peers) as (url, models, store),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=32)) as session,
    ):
        await asyncio.gather(*(asked(session, url, case) for case in CASES if case.fault.name == "half-open"))
        said = await asyncio.gather(*(asked(session, url, case) for case in CASES))
        ends = {case.model: end for case, end in zip(CASES, said, strict=True)}
        await store.flush()
        traces = [await _read.trace(store, each["id"]) for each in await _read.tail(store, 1000)]
        counts = {name: await peer.count() for name, peer in peers.items()}
        return ends, traces, counts, {name: model.calls for name, model in models.items()}


@pytest.fixture(scope="module")
def matrix(tmp_path_factory):
    return asyncio.run(run(tmp_path_factory.mktemp("faults")))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.model)
def test_a_fault_ends_as_it_must(matrix, case):
    end, fault = matrix[0][case.model], case.fault
    if case.spare or not fault.code:
        assert (end.status, end.code, end.clean) == (200, "", True)
        said = {"duplicated ids": "", "half-open": "Still here."}.get(
            fault.name, LARGE if case.large else "Hello you there"
        )
        begun = end.text.removesuffix(resume.GO_ON)  # the spare one says back what it is asked last
        if case.stream and fault.name in CUT:
            assert begun != end.text
            assert begun
            assert said.startswith(begun)
        else:
            assert end.text == said
    else:
        assert end.code == fault.code
        if case.stream and fault.begins and end.status == 200:
            assert not end.clean, "a stream that was cut does not end as if it were whole"
        else:
            kind = {"upstream_down": UpstreamDownError, "upstream_timeout": UpstreamTimeoutError}.get(fault.code)
            assert end.status == (row(kind("")).status if kind else 502)
        assert end.retry_after == ("2" if fault.name.startswith("429") else None)
    if fault.name == "duplicated ids":
        assert len(end.ids) == len(set(end.ids)) == 2


def test_the_ledger_has_every_request_once_and_the_peers_count_every_call(matrix):
    ends, traces, counts, calls = matrix
    warm = [case for case in CASES if case.fault.name == "half-open"]
    assert len(traces) == len(ends) + len(warm)
    for fault in faults.FAULTS:
        cases = [case for case in CASES if case.fault is fault]
        warmed = fault.name == "half-open"
        sent = sum(calls[case.model] for case in cases)
        assert sent == len(cases) * ((fault.asked or 2) + warmed), "what no peer heard was tried twice"
        assert counts[fault.name] == len(cases) * (fault.asked + warmed), fault.name
    for trace in traces:
        case = next(case for case in CASES if trace["steps"][1]["by"] == case.model)
        fell, code = case.spare and bool(case.fault.code), case.fault.code
        _, first, *rest = [(step["by"], step.get("code", "")) for step in trace["steps"]]
        assert first[0] == case.model
        assert rest == ([("spare", "")] if fell else [])
        recorded = (first[1] if fell else trace["code"]) or ""
        assert recorded == code
        assert trace["outcome"] == ("answer" if case.spare or not code else "error")
    assert counts["spare"] == calls["spare"] == sum(case.spare and bool(case.fault.code) for case in CASES)
