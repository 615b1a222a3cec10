"""Streams as they are on the wire: order of chunks, statuses before the first byte, failures inside, cancelling."""

import asyncio
import contextlib
import json
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from _gateway import desk, exchange, post, served, settings, until

from trimtab.errors import StorageError
from trimtab.server import app, serving, sse
from trimtab.server.turn import Turn
from trimtab.settings import parse
from trimtab.types import Answer, Delta, Request, Trace, Wishes


def body(text: str, **more: Any) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}], "stream": True, **more}).encode()


def stream(house: Any, text: str, **more: Any) -> list[Any]:
    """The events of a stream: each chunk decoded, the last line as text."""
    host, port = house.url.removeprefix("http://").split(":")
    status, headers, raw = exchange(host, int(port), post("/v1/chat/completions", body(text, **more)))
    assert (status, headers[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    return events(unchunked(raw))


def unchunked(raw: bytes) -> bytes:
    found = b""
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        found, raw = found + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    return found


def events(raw: bytes) -> list[Any]:
    lines = [event.removeprefix(b"data: ") for event in raw.split(b"\n\n") if event]
    return [line.decode() if line == b"[DONE]" else json.loads(line) for line in lines]


def deltas(found: list[Any], index: int = 0) -> list[Any]:
    return [c["delta"] for chunk in found[:-1] for c in chunk.get("choices", ()) if c["index"] == index]


def test_order_of_a_live_stream(house: Any) -> None:
    found = stream(house, "say one two", stream_options={"include_usage": True})
    *chunks, end, usage, done = found
    assert done == "[DONE]"
    assert [c["choices"][0]["delta"] for c in chunks] == [{"role": "assistant", "content": "one"}, {"content": " two"}]
    assert end["choices"][0]["finish_reason"] == "stop"
    assert (usage["choices"], usage["usage"]["total_tokens"]) == ([], 9)
    assert usage["trimtab"]["answered_by"] == "scripted"
    assert {c["id"] for c in found[:-1]} == {end["id"]}
    assert not any("trimtab" in c for c in (*chunks, end))


def test_without_usage_the_finish_carries_trimtab(house: Any) -> None:
    *_, end, done = stream(house, "say one")
    assert (done, end["choices"][0]["finish_reason"], end["trimtab"]["answered_by"]) == ("[DONE]", "stop", "scripted")
    assert "usage" not in end


def test_a_decided_answer_is_rendered(house: Any) -> None:
    found = stream(house, "tool please")
    call = {"index": 0, "id": "call_1", "type": "function"}
    assert deltas(found)[0] == {"role": "assistant", "content": None}
    assert deltas(found)[1]["tool_calls"][0].items() >= call.items()
    assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"
    two = stream(house, "two please", n=2)
    assert "".join(d.get("content") or "" for d in deltas(two)) == "first"
    assert "".join(d.get("content") or "" for d in deltas(two, 1)) == "second"
    finishes = {c["index"]: c["finish_reason"] for chunk in two[:-1] for c in chunk["choices"] if c["finish_reason"]}
    assert finishes == {0: "stop", 1: "length"}


def test_live_tool_calls_and_logprobs_pass(house: Any) -> None:
    found = stream(house, "livetool please", logprobs=True)
    pieces = [d["tool_calls"][0]["function"]["arguments"] for d in deltas(found) if "tool_calls" in d]
    assert json.loads("".join(pieces)) == {"city": "Łódź"}
    assert found[0]["choices"][0]["logprobs"] == {"content": []}


def test_refusal_in_a_stream(house: Any) -> None:
    found = stream(house, "a forbidden thing")
    assert deltas(found)[0] == {"role": "assistant", "refusal": "That word is forbidden."}
    assert found[-2]["choices"][0]["finish_reason"] == "content_filter"
    assert found[-2]["trimtab"]["refused"]["code"] == "forbidden_word"


@pytest.mark.parametrize(("text", "status"), [("down", 503), ("crash", 500), ("risky x", 428)])
def test_an_error_before_the_first_byte_is_a_status(raw: Callable[..., Any], text: str, status: int) -> None:
    model = "auto" if text.startswith("risky") else "scripted"
    code, headers, said = raw(post("/v1/chat/completions", body(text, model=model)))
    assert (code, headers[b"content-type"]) == (status, b"application/json")
    assert json.loads(said)["error"]["code"]


def test_a_failure_inside_is_an_error_event_and_no_done(house: Any) -> None:
    found = stream(house, "cut here")
    assert found[0]["choices"][0]["delta"]["content"] == "half of an ans"
    assert found[-1]["error"]["code"] == "upstream_error"
    assert "[DONE]" not in found


def test_the_openai_client_raises_on_it(house: Any) -> None:
    messages: Any = [{"role": "user", "content": "cut here"}]
    with pytest.raises(openai.APIError, match="cut the connection"):
        list(house.client().chat.completions.create(model="auto", messages=messages, stream=True))


def test_what_came_before_the_failure_arrived(house: Any) -> None:
    messages: Any = [{"role": "user", "content": "cut here"}]
    chunks = iter(house.client().chat.completions.create(model="auto", messages=messages, stream=True))
    assert next(chunks).choices[0].delta.content == "half of an ans"
    with pytest.raises(openai.APIError):
        next(chunks)


@pytest.mark.parametrize("streamed", [True, False])
async def test_leaving_cancels_the_rung_and_is_recorded(house: Any, streamed: bool) -> None:
    house.rung.began.clear()
    house.rung.cancelled.clear()
    host, port = house.url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    connection.sendall(post("/v1/chat/completions", body("slowly please", stream=streamed)))
    assert await asyncio.to_thread(house.rung.began.wait, 5)
    if streamed:
        assert b"w0" in connection.recv(4096) + connection.recv(4096)
    connection.close()
    assert await asyncio.to_thread(house.rung.cancelled.wait, 5)
    trace = house.rung.requests[-1].id
    found = await asyncio.to_thread(until, lambda: recorded(house, trace))
    assert found.outcome == "cancelled"
    assert found.cost_nano == 0


def recorded(house: Any, trace: str) -> Any:
    from sqlalchemy import select

    from trimtab.store.tables import traces

    rows = house.store.rows(select(traces).where(traces.c.id == trace))
    return rows[0] if rows else None


async def test_the_openai_client_cancels_by_closing(house: Any) -> None:
    house.rung.cancelled.clear()
    async with house.asynchronous() as client:
        messages: Any = [{"role": "user", "content": "slowly please"}]
        opened = await client.chat.completions.create(model="auto", messages=messages, stream=True)
        async for _ in opened:
            break
        await opened.close()
        assert await asyncio.to_thread(house.rung.cancelled.wait, 5)


async def test_leaving_reaches_the_upstream_and_the_partial_cost_is_kept(chain: Any) -> None:
    async with openai.AsyncOpenAI(base_url=f"{chain.url}/v1", api_key="x", max_retries=0) as client:
        messages: Any = [{"role": "user", "content": "tell me a story about the sea, " * 40}]
        opened = await client.chat.completions.create(model="large", messages=messages, stream=True)
        seen = 0
        async for chunk in opened:
            seen += bool(chunk.choices and chunk.choices[0].delta.content)
            if seen == 3:
                break
        trace = opened.response.headers["x-trimtab-trace"]
        before = peer_calls(chain)["cancelled"]
        await opened.close()
        assert await asyncio.to_thread(until, lambda: peer_calls(chain)["cancelled"] > before), "else it would finish"
        found = await asyncio.to_thread(until, lambda: kept(chain, trace))
    assert (found["outcome"], found["answered_by"]) == ("cancelled", "")
    assert 0 < found["cost_nano"] < 100_000_000
    assert found["steps"][-1]["usage"]["completion"] >= 3


def peer_calls(chain: Any) -> Any:
    return openai.OpenAI(base_url=chain.mock, api_key="x").get("/mock/calls", cast_to=dict[str, Any])


def kept(chain: Any, trace: str) -> Any:
    with contextlib.suppress(openai.NotFoundError):
        client = openai.OpenAI(base_url=f"{chain.url}/v1", api_key="x")
        return client.get(f"/traces/{trace}", cast_to=dict[str, Any])


def test_the_whole_system_answers_by_code_and_over_http(chain: Any) -> None:
    client = openai.OpenAI(base_url=f"{chain.url}/v1", api_key="x", max_retries=0)
    said = client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "What is 12 * 12?"}])
    assert "144" in (said.choices[0].message.content or "")
    assert said.trimtab["answered_by"] == "code"  # pyright: ignore[reportAttributeAccessIssue]
    messages: Any = [{"role": "user", "content": "Sing of the tide."}]
    chunks = list(client.chat.completions.create(model="large", messages=messages, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert "Sing of the tide." in text
    assert float(chunks[-1].trimtab["cost_usd"]) > 0  # pyright: ignore[reportAttributeAccessIssue]


def test_the_last_rows_are_on_disk_after_the_drain(tmp_path: Path) -> None:
    table = {
        "server": {"port": 0}, "discover": {"environment": False, "loopback": False}, "model": [{"kind": "code"}],
        "record": [{"kind": "ledger"}],
    }  # fmt: skip
    with serving.background(parse(table, folder=tmp_path, home=tmp_path, name="x", secrets={})) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        for i in range(25):
            client.chat.completions.create(model="auto", messages=[{"role": "user", "content": f"What is {i} + 1?"}])
    with sqlite3.connect(tmp_path / "trimtab.db") as database:
        assert database.execute("select count(*) from traces").fetchone() == (25,)


def test_a_stream_that_outlives_the_drain_ends_with_an_error(house: Any, tmp_path: Path) -> None:
    given = settings(tmp_path)
    house.rung.began.clear()
    with served(app.app(desk(house.rung, tmp_path, house.store), given), given) as url:
        host, port = url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=20)
        connection.sendall(post("/v1/chat/completions", body("slowly please")))
        assert house.rung.began.wait(5)
        assert connection.recv(4096)
    raw = b"".join(iter(lambda: connection.recv(65536), b""))
    connection.close()
    assert b'"code":"shutting_down"' in raw
    assert b"[DONE]" not in raw


class Wire:
    """An ASGI `send` that keeps what was sent, and can be slow."""

    def __init__(self) -> None:
        self.body, self.sent = b"", list[Any]()
        self.open = asyncio.Event()
        self.open.set()

    async def send(self, message: Any) -> None:
        await self.open.wait()
        self.body += message.get("body", b"")
        self.sent.append(message)


ASKED = Request(id="tr_1", messages=({"role": "user", "content": "x"},), wishes=Wishes(stream=True))


class Line:
    """A connection as far as a turn knows it."""

    def __init__(self) -> None:
        self.loop, self.transport, self.state = asyncio.get_running_loop(), self, SimpleNamespace(default_headers=[])
        self.writable: asyncio.Future[None] | None = None
        self.sent: list[bytes] = []
        self.unread = 0

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def over(self, turn: Turn) -> None: ...


def turn_on(line: Line) -> Turn:
    return Turn(line, {"method": "POST", "headers": [], "http_version": "1.1", "path": "/"}, True)  # type: ignore[arg-type]


@pytest.mark.parametrize("ours", [True, False])
async def test_a_slow_reader_slows_the_model(ours: bool) -> None:
    wire, line = Wire(), Line()
    opened = sse.Stream(turn_on(line).send if ours else wire.send, ASKED)
    await opened.emit(Delta(text="a"))
    if ours:
        await asyncio.sleep(0)
    wire.open.clear()
    line.writable = line.loop.create_future()
    blocked = asyncio.ensure_future(opened.emit(Delta(text="b")))
    await asyncio.sleep(0.01)
    assert not blocked.done()
    wire.open.set()
    line.writable.set_result(None)
    await blocked
    opened.close()
    body = b"".join(line.sent) if ours else wire.body
    assert body.index(b'"a"') < body.index(b'"b"')


async def test_what_is_written_in_one_turn_leaves_in_one_piece_and_in_order() -> None:
    line = Line()
    opened = sse.Stream(turn_on(line).send, ASKED)
    for text in "abc":
        await opened.emit(Delta(text=text))
    assert not line.sent
    await asyncio.sleep(0)
    assert [piece.count(b"data: ") for piece in line.sent] == [3]
    await opened.emit(Delta(text="d"))
    await opened.fail(KeyError())
    opened.close()
    body = b"".join(line.sent)
    assert [body.count(b'"%c"' % letter) for letter in b"abcd"] == [1, 1, 1, 1]
    assert body.index(b'"c"') < body.index(b'"d"') < body.index(b'"error"')
    assert [piece.endswith(b"0\r\n\r\n") for piece in line.sent] == [False, True]


async def test_silence_is_filled_with_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PING", 0.01)
    wire = Wire()
    opened = sse.Stream(wire.send, ASKED)
    await asyncio.sleep(0.03)
    assert wire.body == b""  # nothing before the first byte: the status is still open
    await opened.emit(Delta(text="a"))
    end = time.monotonic() + 5
    while b": ping\n\n" not in wire.body and time.monotonic() < end:
        await asyncio.sleep(0.005)
    opened.close()
    assert b": ping\n\n" in wire.body
    size = len(wire.body)
    await asyncio.sleep(0.05)
    assert len(wire.body) == size


async def test_a_ping_comes_after_so_long_a_silence_and_not_after_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    wire, looks = Wire(), list[float]()
    opened = sse.Stream(wire.send, ASKED)
    monkeypatch.setattr(opened, "_arm", looks.append)
    await opened.emit(Delta(text="a"))
    await asyncio.sleep(0)
    assert looks == [sse.PING]
    opened._last = time.monotonic() - 4.0
    opened._tick()
    assert looks[-1] == pytest.approx(sse.PING - 4.0, abs=1.0), "so long after the last word, not after the last look"
    assert b": ping" not in wire.body
    opened._last = time.monotonic() - sse.PING
    opened._tick()
    await asyncio.sleep(0.01)
    opened.close()
    assert wire.body.count(b": ping") == 1
    assert looks[-1] == sse.PING


async def test_a_long_decided_answer_leaves_in_a_few_chunks_that_join_to_it() -> None:
    wire, text = Wire(), "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. " * 40
    answer = Answer(text=text, model="m")
    await sse.Stream(wire.send, ASKED).finish(answer, Trace(request=ASKED, at=0, ms=1, outcome="answer"))
    found = [d["content"] for d in deltas(events(wire.body)) if d.get("content")]
    assert "".join(found) == text
    assert 1 < len(found) <= sse.PIECES


async def test_a_fault_after_the_first_byte_ends_the_stream() -> None:
    wire = Wire()
    opened = sse.Stream(wire.send, ASKED)
    await opened.emit(Delta(text="a"))
    await opened.fail(StorageError("The disk is full.", "Make room."))
    said = events(wire.body)[-1]["error"]
    assert said["code"] == "storage_unavailable"
    assert "disk" not in said["message"], "what names this machine's files stays here"
    assert b"[DONE]" not in wire.body
