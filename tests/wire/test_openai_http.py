"""The rung behind a server, against the mock peer over real sockets: answers, streams, faults by name, cancellation."""

import asyncio
import json
import time

import aiohttp
import pytest

from trimtab import testing
from trimtab.answer import openai_http
from trimtab.errors import ConfigError, RequestError, UpstreamDownError, UpstreamError, UpstreamTimeoutError
from trimtab.evaluate import mock
from trimtab.testing import Hears, ask
from trimtab.types import Evidence, Usage


@pytest.fixture
async def peer():
    async with mock.serving() as url:
        yield url


@pytest.fixture
async def rung(peer, tmp_path):
    """Builds rungs, and closes them."""
    closing = []

    def build(url=peer, **options):
        tools = testing.tools(tmp_path, name="large", closing=closing.append, secret={"KEY": "sk-secret"}.get)
        return openai_http.build(openai_http.Options(url=url, model="up", **options), tools)

    yield build
    for close in closing:
        await close()


async def seen(peer):
    async with aiohttp.ClientSession() as session, session.get(peer.removesuffix("/v1") + "/mock/calls") as response:
        return await response.json()


def call(rung, text="Hello you there", live=False, sink=None, **params):
    return rung.answer(ask(text, params=params), Evidence(), sink or Hears(live=live))


async def test_a_whole_answer(rung, peer):
    sink = Hears(live=False)
    answer = await call(rung(), sink=sink, temperature=0, a_new_field={"x": 1})
    assert (answer.text, answer.model, answer.finish) == ("Hello you there", "large", "stop")
    assert answer.usage == sink.usage == Usage(prompt=3, completion=3)
    assert answer.body == {"system_fingerprint": "fp_mock"}
    last = (await seen(peer))["last"]
    assert last == {
        "messages": [{"role": "user", "content": "Hello you there"}], "model": "up", "temperature": 0,
        "a_new_field": {"x": 1},
    }  # fmt: skip


async def test_a_stream_is_the_same_answer(rung, peer):
    sink = Hears()
    answer = await call(rung(), sink=sink)
    assert sink.text == answer.text == "Hello you there"
    assert len([delta for delta in sink.deltas if delta.text]) == 3
    assert answer.usage == sink.usage == Usage(prompt=3, completion=3)
    last = (await seen(peer))["last"]
    assert (last["stream"], last["stream_options"]) == (True, {"include_usage": True})


async def test_stream_options_of_the_client_stay_and_leave_with_the_stream(rung, peer):
    one = rung()
    await call(one, live=True, stream_options={"include_obfuscation": False})
    assert (await seen(peer))["last"]["stream_options"] == {"include_obfuscation": False, "include_usage": True}
    await call(one, stream_options={"include_usage": True})
    assert "stream_options" not in (await seen(peer))["last"]


@pytest.mark.parametrize("live", [False, True])
async def test_tool_calls_further_fields_and_further_choices(rung, live):
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    answer = await call(rung(), live=live, tools=tools, mock={"tool": "f", "arguments": '{"a": "é"}'})
    function = {"name": "f", "arguments": '{"a": "é"}'}
    assert answer.tool_calls == ({"id": "call_0", "type": "function", "function": function},)
    assert (answer.text, answer.finish) == (None, "tool_calls")
    answer = await call(rung(), live=live, mock={"extra": {"reasoning_content": "Hm.", "refusal": None}})
    assert answer.extra == {"reasoning_content": "Hm."}
    answer = await call(rung(), live=live, n=3)
    assert [choice["index"] for choice in answer.choices] == [1, 2]
    assert {choice["message"]["content"] for choice in answer.choices} == {answer.text}


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ({"fault": "reset"}, UpstreamDownError, "upstream_down"),
        ({"fault": "rate_limit", "retry_after": 7}, UpstreamError, "upstream_rate_limited"),
        ({"fault": "error", "status": 500}, UpstreamError, "upstream_error"),
        ({"fault": "error", "status": 503}, UpstreamError, "upstream_error"),
        ({"fault": "error", "status": 401}, UpstreamError, "upstream_auth"),
        ({"fault": "error", "status": 403}, UpstreamError, "upstream_auth"),
        ({"fault": "error", "status": 404}, UpstreamError, "upstream_invalid"),
        ({"fault": "error", "status": 422}, RequestError, "mock_error"),
        ({"fault": "redirect"}, UpstreamError, "upstream_invalid"),
        ({"fault": "error_body"}, UpstreamError, "upstream_error"),
        ({"fault": "garbage"}, UpstreamError, "upstream_invalid"),
        ({"fault": "cut"}, UpstreamError, "upstream_cut"),
        ({"fault": "empty"}, UpstreamError, "empty_completion"),
    ],
)
async def test_a_fault_has_its_name(rung, script, kind, code, live):
    sink = Hears(live=live)
    with pytest.raises((UpstreamError, RequestError)) as caught:
        await call(rung(key_env="KEY"), sink=sink, mock=script)
    error = caught.value
    assert (type(error), error.code) == (kind, code)
    assert "large" in error.message
    assert "sk-secret" not in f"{error!r}{error}{error.__cause__!r}"
    assert error.retry_after == (7 if code == "upstream_rate_limited" else None)
    if script["fault"] in ("reset", "rate_limit", "error", "redirect"):
        assert sink.usage == Usage(), "a call that was turned away costs nothing"


@pytest.mark.parametrize("fault", ["no_done", "drip"])
async def test_what_is_slow_or_ends_without_done_is_still_an_answer(rung, fault):
    assert (await call(rung(), live=True, mock={"fault": fault})).text == "Hello you there"


async def test_the_clients_mistake_keeps_the_servers_words(rung):
    with pytest.raises(RequestError, match="temperature is too high"):
        await call(rung(), mock={"fault": "error", "status": 400, "message": "temperature is too high"})


async def test_nobody_there(rung):
    sink = Hears(live=False)
    with pytest.raises(UpstreamDownError, match="cannot be reached"):
        await call(rung("http://127.0.0.1:9/v1"), sink=sink)
    with pytest.raises(UpstreamDownError, match="cannot be reached"):
        await call(rung("http://no-such-host.invalid/v1"), sink=sink)
    assert sink.usage == Usage()


@pytest.mark.parametrize(("fault", "live"), [("stall", False), ("stall", True), ("stall_stream", True)])
async def test_a_server_that_says_nothing_times_out(rung, peer, fault, live):
    sink = Hears(live=live)
    with pytest.raises(UpstreamTimeoutError, match="did not answer in time"):
        await call(rung(connect=5, first_byte=0.1, between=0.2, total=5), sink=sink, mock={"fault": fault})
    assert sink.usage
    assert sink.usage.prompt > 0, "what was sent may have cost something"
    assert (await seen(peer))["requests"] == 1, "a time-out is not retried"


async def test_the_total_time_holds_even_while_chunks_come(rung):
    with pytest.raises(UpstreamTimeoutError):
        await call(rung(total=0.5), "word " * 500, live=True, mock={"rate": 50})


@pytest.mark.parametrize("script", [{"fault": "reset"}, *({"fault": "error", "status": s} for s in (502, 503, 504))])
async def test_one_retry_before_the_first_byte(rung, peer, script):
    answer = await call(rung(), mock={**script, "times": 1})
    assert answer.text == "Hello you there"
    assert (await seen(peer))["requests"] == 2
    with pytest.raises(UpstreamError):
        await call(rung(), mock={**script, "times": 2, "key": "again"})
    assert (await seen(peer))["requests"] == 4


@pytest.mark.parametrize("script", [{"fault": "cut"}, {"fault": "error", "status": 500}, {"fault": "rate_limit"}])
async def test_no_retry_after_it_or_where_it_does_not_help(rung, peer, script):
    sink = Hears()
    with pytest.raises(UpstreamError):
        await call(rung(), sink=sink, mock={**script, "times": 1})
    assert (await seen(peer))["requests"] == 1


async def test_a_cut_stream_still_has_its_cost(rung):
    sink = Hears()
    with pytest.raises(UpstreamError):
        await call(rung(), "one two three four", sink=sink, mock={"fault": "cut"})
    assert sink.usage
    assert sink.usage.estimated
    assert sink.usage.completion == len([delta for delta in sink.deltas if delta.text]) > 0


@pytest.mark.parametrize(
    ("live", "script"), [(False, {"fault": "stall"}), (True, {"fault": "stall_stream"}), (True, {"rate": 5})]
)
async def test_a_cancelled_call_closes_its_connection_at_once(rung, peer, live, script):
    sink = Hears(live=live)
    task = asyncio.ensure_future(call(rung(), "one two three four five six", sink=sink, mock=script))
    while not (await seen(peer))["in_flight"] or (live and not sink.text):
        await asyncio.sleep(0.01)
    began = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not (counts := await seen(peer))["cancelled"]:
        await asyncio.sleep(0.005)
    assert counts["in_flight"] == 0
    assert counts["cancelled_at"][0] >= began, "it was the cancel that ended it"


async def test_a_sink_that_stops_the_stream_closes_the_connection(rung, peer):
    class Stops(Hears):
        async def emit(self, delta):
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        await call(rung(), sink=Stops(), mock={"rate": 5})
    while not (await seen(peer))["cancelled"]:
        await asyncio.sleep(0.005)


async def test_a_connection_is_used_again(peer, rung):
    one = rung()
    for live in (False, True, False, True):
        await call(one, live=live)
    client = one.replicas[0].model._client
    assert len(client._all) == len(client._idle) == 1


async def test_the_key_goes_into_the_header_alone(rung, peer):
    # the mock keeps the authorization it saw only where it looked at the headers, so no `mock` field here
    await call(rung(key_env="KEY", headers={"X-Team": "a"}))
    counts = await seen(peer)
    assert counts["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in json.dumps(counts["last"])


async def test_text_that_is_no_unicode_is_the_clients_fault(rung):
    with pytest.raises(RequestError, match="cannot be written as JSON"):
        await call(rung(), "\ud800")


@pytest.mark.parametrize("raw", [b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'{"choices": 1}', b"", b"null",
                                 b'{"choices":[{"message":{"content":5}}]}', b'{"usage":4,"choices":[]}'])  # fmt: skip
@pytest.mark.parametrize("kind", ["application/json", "text/event-stream"])
async def test_any_other_json_is_no_completion(rung, raw, kind):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        body = raw if "json" in kind else b"data: " + raw + b"\n\n"
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        with pytest.raises(UpstreamError, match="large failed"):
            await call(rung(url), live=True)


def test_settings_that_cannot_work(tmp_path):
    with pytest.raises(ConfigError, match="not the address of a server"):
        openai_http.build(openai_http.Options(url="localhost:1234", model="m"), testing.tools(tmp_path))
    with pytest.raises(ConfigError, match="MY_KEY, which is not set"):
        openai_http.build(openai_http.Options(url="http://h/v1", model="m", key_env="MY_KEY"), testing.tools(tmp_path))


@pytest.mark.parametrize(
    ("url", "where"),
    [("http://127.0.0.1:1/v1", "local"), ("http://localhost/v1", "local"), ("http://[::1]:1/v1", "local"),
     ("https://api.openai.com/v1", "remote"), ("http://127.evil.example/v1", "remote"),
     ("http://10.0.0.1/v1", "remote")],
)  # fmt: skip
def test_only_loopback_is_inside(url, where):
    spec = openai_http.spec(openai_http.Options(url=url, model="m", vision=True))
    assert (spec.where, spec.price) == (where, None)
    assert {"chat", "tools", "vision"} <= spec.abilities
