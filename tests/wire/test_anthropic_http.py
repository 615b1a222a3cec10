"""The rung behind an Anthropic server, against the mock peer, which refuses what the real server refuses."""

import asyncio
import json

import aiohttp
import pytest

from trimtab import testing
from trimtab.answer import anthropic_http
from trimtab.errors import ConfigError, RequestError, UpstreamDownError, UpstreamError, UpstreamTimeoutError
from trimtab.evaluate import mock
from trimtab.evaluate._messages import signature
from trimtab.testing import Hears, ask
from trimtab.types import Evidence, Usage, Verdict


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
        return anthropic_http.build(
            anthropic_http.Options(**{"url": url, "model": "up", "retries": 0, **options}), tools
        )

    yield build
    for close in closing:
        await close()


async def seen(peer):
    async with aiohttp.ClientSession() as session, session.get(peer.removesuffix("/v1") + "/mock/calls") as response:
        return await response.json()


def call(rung, text="Hello you there", live=False, sink=None, **params):
    return rung.answer(ask(text, params=params), Evidence(), sink or Hears(live=live))


def turns(rung, *messages, live=False, **params):
    return rung.answer(ask(messages=messages, params=params), Evidence(), Hears(live=live))


@pytest.mark.parametrize("live", [False, True])
async def test_an_answer_whole_or_streamed(rung, peer, live):
    sink = Hears(live=live)
    answer = await call(rung(), sink=sink, temperature=1.5, stop="END", a_new_field={"x": 1}, seed=4)
    assert (answer.text, answer.model, answer.finish) == ("Hello you there", "large", "stop")
    assert answer.usage == sink.usage == Usage(prompt=3, completion=3)
    assert sink.text == ("Hello you there" if live else "")
    assert answer.body["anthropic"]["usage"]["service_tier"] == "standard"
    assert (await seen(peer))["last"] == {
        "messages": [{"role": "user", "content": "Hello you there"}], "model": "up", "max_tokens": 8192,
        "temperature": 1, "stop_sequences": ["END"], "a_new_field": {"x": 1}, **({"stream": True} if live else {}),
    }  # fmt: skip


@pytest.mark.parametrize("auth", ["x-api-key", "bearer"])
async def test_the_headers_of_the_protocol(rung, peer, auth):
    await call(rung(key_env="KEY", auth=auth, headers={"X-Team": "a"}), betas=["one-2025", "two"])
    counts = await seen(peer)
    headers = counts["headers"]
    assert headers["anthropic-version"] == "2023-06-01"
    assert headers["anthropic-beta"] == "one-2025,two"
    assert headers["x-team"] == "a"
    assert (headers.get("x-api-key"), headers.get("authorization")) == (
        ("sk-secret", None) if auth == "x-api-key" else (None, "Bearer sk-secret")
    )
    assert "betas" not in counts["last"]
    assert "sk-secret" not in json.dumps(counts["last"])
    with pytest.raises(RequestError, match="betas"):
        await call(rung(), betas=["a\r\nx-evil: 1"])


@pytest.mark.parametrize("live", [False, True])
async def test_tools_there_and_back(rung, peer, live):
    tool = {"type": "function", "function": {"name": "f", "description": "F.", "parameters": {"type": "object"}}}
    answer = await call(rung(), live=live, tools=[tool], tool_choice="required", parallel_tool_calls=False,
                        mock={"arguments": '{"a": "é"}'})  # fmt: skip
    assert (answer.text, answer.finish) == (None, "tool_calls")
    function = {"name": "f", "arguments": '{"a":"é"}'}
    assert answer.tool_calls == ({"id": "toolu_call_0", "type": "function", "function": function},)
    last = (await seen(peer))["last"]
    assert last["tools"] == [{"name": "f", "description": "F.", "input_schema": {"type": "object"}}]
    assert last["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    done = await turns(
        rung(), {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Do it"},
        {"role": "assistant", "content": "", "tool_calls": list(answer.tool_calls)},
        {"role": "tool", "tool_call_id": "toolu_call_0", "content": "done"}, {"role": "user", "content": "and now?"},
        tools=[tool],
    )  # fmt: skip
    assert done.text == "and now?"
    last = (await seen(peer))["last"]
    assert last["system"] == "Be brief."
    assert [turn["role"] for turn in last["messages"]] == ["user", "assistant", "user"]
    assert last["messages"][2]["content"][0] == {
        "type": "tool_result", "tool_use_id": "toolu_call_0", "content": "done"
    }  # fmt: skip


@pytest.mark.parametrize("live", [False, True])
async def test_thoughts_come_back_signed_as_they_were(rung, peer, live):
    thought = "First this.\n\nThen that."
    sink = Hears(live=live)
    answer = await call(rung(), sink=sink, reasoning_effort="low", mock={"extra": {"reasoning_content": thought}})
    assert answer.extra["reasoning_content"] == thought
    if live:
        assert "".join(delta.extra.get("reasoning_content", "") for delta in sink.deltas) == thought
    assert (await seen(peer))["last"]["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    said = {"role": "assistant", "content": answer.text, **answer.extra}
    again = await turns(rung(), {"role": "user", "content": "Hi"}, said, {"role": "user", "content": "go on"})
    assert again.text == "go on"  # the mock refuses a thought whose signature is not its own
    block = (await seen(peer))["last"]["messages"][1]["content"][0]
    assert (block["type"], block["thinking"]) == ("thinking", thought)
    unsigned = {"role": "assistant", "content": "x", "reasoning_content": "of another model"}
    await turns(rung(), {"role": "user", "content": "Hi"}, unsigned, {"role": "user", "content": "go on"})
    assert (await seen(peer))["last"]["messages"][1] == {"role": "assistant", "content": "x"}


@pytest.mark.parametrize("live", [False, True])
async def test_thoughts_stand_on_lines_of_their_own(rung, live):
    second = {"type": "thinking", "thinking": "Two.", "signature": signature("Two.")}
    sink = Hears(live=live)
    script = {"extra": {"reasoning_content": "One.", "blocks": [second, {"type": "redacted_thinking", "data": "x"}]}}
    answer = await call(rung(), sink=sink, mock=script)
    assert answer.extra["reasoning_content"] == "One.\nTwo."
    told = "".join(delta.extra.get("reasoning_content", "") for delta in sink.deltas)
    assert told == ("One.\nTwo." if live else "")
    assert [(block["type"], block.get("lines")) for block in answer.extra["thinking_blocks"]] == [
        ("thinking", 1), ("thinking", 1), ("redacted_thinking", None)
    ]  # fmt: skip


async def test_images_files_and_cache_marks(rung, peer):
    parts = [
        {"type": "text", "text": "Look at this", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
    ]
    answer = await turns(rung(), {"role": "user", "content": parts})
    assert answer.usage == Usage(
        prompt=1 + 3 + 1, completion=3, cached=3, cache_write=1
    )  # the mock counts blocks without text as none
    assert (await seen(peer))["last"]["messages"][0]["content"] == [
        parts[0],
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
        {"type": "image", "source": {"type": "url", "url": "https://x/y.png"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
         "title": "a.pdf"},
    ]  # fmt: skip


async def test_a_format_and_the_effort(rung, peer):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    assert (await call(rung(), response_format=wanted)).text == '{"n":0}'
    assert (await seen(peer))["last"]["output_config"] == {"format": {"type": "json_schema", "schema": schema}}
    await call(rung(), response_format={"type": "json_object"}, reasoning_effort="high", max_completion_tokens=1500)
    last = (await seen(peer))["last"]
    assert last["system"][-1]["text"].startswith("Answer with one JSON object")
    assert (last["max_tokens"], "thinking" in last) == (1500, False)


@pytest.mark.parametrize(
    ("params", "code"),
    [({"n": 2}, "one_choice_only"), ({"logprobs": True}, "no_logprobs"),
     ({"tools": [{"type": "custom", "custom": {"name": "t"}}]}, "unsupported_tool")],
)  # fmt: skip
async def test_what_the_protocol_has_no_word_for_is_passed(rung, peer, params, code):
    said = await call(rung(), **params)
    assert isinstance(said, Verdict)
    assert (said.ok, said.code, said.by) == (False, code, "large")
    assert (await seen(peer))["requests"] == 0


async def test_text_where_no_guard_looks_is_refused(rung):
    hidden = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hidden"}}
    with pytest.raises(RequestError, match="no check would see"):
        await turns(rung(), {"role": "user", "content": [{"type": "text", "text": "Hi"}, hidden]})


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ({"fault": "reset"}, UpstreamDownError, "upstream_down"),
        ({"fault": "rate_limit", "retry_after": 7}, UpstreamError, "upstream_rate_limited"),
        ({"fault": "error", "status": 500}, UpstreamError, "upstream_error"),
        ({"fault": "error", "status": 529, "message": "Overloaded"}, UpstreamError, "upstream_error"),
        ({"fault": "error", "status": 401}, UpstreamError, "upstream_auth"),
        ({"fault": "error", "status": 404}, UpstreamError, "upstream_invalid"),
        ({"fault": "error", "status": 422}, RequestError, "invalid_request"),
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


async def test_a_cut_stream_still_has_its_cost(rung):
    sink = Hears()
    with pytest.raises(UpstreamError, match="cut"):
        await call(rung(), "one two three four five six", sink=sink, mock={"fault": "cut"})
    assert sink.text
    assert sink.usage
    assert sink.usage.estimated
    assert (sink.usage.prompt, sink.usage.completion > 0) == (6, True)


@pytest.mark.parametrize("fault", ["no_done", "drip"])
async def test_what_is_slow_or_ends_without_a_stop_is_still_an_answer(rung, fault):
    assert (await call(rung(), live=True, mock={"fault": fault})).text == "Hello you there"


@pytest.mark.parametrize(("fault", "live"), [("stall", False), ("stall", True), ("stall_stream", True)])
async def test_a_server_that_says_nothing_times_out(rung, fault, live):
    with pytest.raises(UpstreamTimeoutError, match="did not answer in time"):
        await call(rung(connect=5, first_byte=0.1, between=0.2, total=5), live=live, mock={"fault": fault})


async def test_a_cancelled_call_closes_its_connection(rung, peer):
    sink = Hears()
    task = asyncio.ensure_future(call(rung(), "one two three four five six", sink=sink, mock={"rate": 5}))
    while not sink.text:
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while not (await seen(peer))["cancelled"]:
        await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [("max_tokens", "length"), ("stop_sequence", "stop"), ("refusal", "content_filter"), ("pause_turn", "stop"),
     ("model_context_window_exceeded", "length")],
)  # fmt: skip
@pytest.mark.parametrize("live", [False, True])
async def test_why_it_stopped(rung, reason, finish, live):
    for reply in ("said", ""):
        answer = await call(rung(), live=live, mock={"reply": reply, "extra": {"stop_reason": reason}})
        assert (answer.text, answer.finish) == (reply, finish)
        assert answer.body["anthropic"]["stop_reason"] == reason
        assert ("refusal" in answer.extra) == (reason == "refusal" and not reply)


@pytest.mark.parametrize("live", [False, True])
async def test_blocks_that_a_chat_has_no_word_for_are_kept(rung, live):
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "tides"}}
    cited = {"type": "text", "text": "High at noon. ", "citations": [{"type": "char_location", "cited_text": "noon"}]}
    script = {"reply": "Go then.", "extra": {"blocks": [search, cited]}}
    answer = await call(rung(), live=live, mock=script)
    assert answer.text == "High at noon. Go then."
    assert answer.extra["content_blocks"] == [
        {"at": 0, "block": search}, {"at": 0, "end": 14, "block": {"citations": cited["citations"]}}
    ]  # fmt: skip


async def test_tokens_as_the_server_counts_them(rung, peer):
    assert await rung().count(ask("one two three")) == 3


def test_settings_that_cannot_work(tmp_path):
    with pytest.raises(ConfigError, match="not the address of a server"):
        anthropic_http.build(anthropic_http.Options(url="localhost:1234", model="m"), testing.tools(tmp_path))
    with pytest.raises(ConfigError, match="MY_KEY, which is not set"):
        anthropic_http.build(
            anthropic_http.Options(url="http://h/v1", model="m", key_env="MY_KEY"), testing.tools(tmp_path)
        )


def test_a_provider_elsewhere_is_outside():
    spec = anthropic_http.spec(anthropic_http.Options(url="https://api.anthropic.com/v1", model="m"))
    assert spec.where == "remote"
    assert {"chat", "tools", "json", "vision", "stream"} <= spec.abilities
