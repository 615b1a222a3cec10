"""The mock peer: what it says is made from the request, its faults are real, and its counts are right."""

import asyncio
import json

import aiohttp
import pytest

from trimtab.evaluate import mock


@pytest.fixture
async def peer():
    async with mock.serving() as url, aiohttp.ClientSession() as session:
        yield url, session


async def chat(peer, text="Hello you", **body):
    url, session = peer
    messages = [{"role": "user", "content": text}]
    async with session.post(f"{url}/chat/completions", json={"messages": messages, "model": "m", **body}) as response:
        return response.status, response.headers, await response.read()


async def said(peer, *args, **body):
    status, _, raw = await chat(peer, *args, **body)
    assert status == 200
    return json.loads(raw)


async def seen(peer):
    url, session = peer
    async with session.get(url.removesuffix("/v1") + "/mock/calls") as response:
        return await response.json()


async def test_it_says_the_last_user_text_and_counts(peer):
    first, second = await said(peer), await said(peer)
    assert first == second
    assert first["choices"][0]["message"] == {"role": "assistant", "content": "Hello you"}
    assert first["usage"]["completion_tokens"] == 2
    assert (await seen(peer))["finished"] == 2


async def test_a_script_in_body_or_header_decides_the_reply(peer):
    assert (await said(peer, mock={"reply": "Yes."}))["choices"][0]["message"]["content"] == "Yes."
    url, session = peer
    body = {"messages": [], "model": "m"}
    async with session.post(f"{url}/chat/completions", json=body, headers={"X-Mock": '{"reply": "No."}'}) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "No."
    assert (await chat(peer, mock={"falt": "x"}))[0] == 400


async def test_a_stream_carries_the_same_text_usage_and_end(peer):
    _, headers, raw = await chat(peer, "one two three", stream=True, stream_options={"include_usage": True}, n=2)
    assert headers["content-type"].startswith("text/event-stream")
    *events, done = [line.removeprefix("data: ") for line in raw.decode().split("\n\n") if line]
    assert done == "[DONE]"
    chunks = [json.loads(event) for event in events]
    for index in (0, 1):
        parts = [c["delta"].get("content") or "" for chunk in chunks for c in chunk["choices"] if c["index"] == index]
        assert "".join(parts) == "one two three"
    assert chunks[-1]["usage"]["completion_tokens"] == 6


async def test_tools_and_schemas(peer):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters}}]
    called = (await said(peer, "use weather please", tools=tools))["choices"][0]
    assert called["finish_reason"] == "tool_calls"
    assert json.loads(called["message"]["tool_calls"][0]["function"]["arguments"]) == {"city": "text"}
    assert (await said(peer, "hello", tools=tools))["choices"][0]["message"]["content"] == "hello"
    assert (await said(peer, "hello", tools=tools, tool_choice="required"))["choices"][0]["message"]["tool_calls"]
    schema = {"type": "json_schema", "json_schema": {"name": "s", "schema": parameters}}
    replied = (await said(peer, response_format=schema))["choices"][0]["message"]["content"]
    assert json.loads(replied) == {"city": "text"}


@pytest.mark.parametrize(
    ("fault", "status", "says"),
    [("rate_limit", 429, b"rate_limit"), ("error", 500, b"asked to fail"), ("error_body", 200, b'"error"'),
     ("garbage", 200, b"<html>"), ("empty", 200, b'"content":""'), ("bad_json", 200, b"answer"),
     ("drip", 200, b"Hello you")],
)  # fmt: skip
async def test_faults_that_are_responses(peer, fault, status, says):
    found, headers, raw = await chat(peer, mock={"fault": fault})
    assert (found, says in raw) == (status, True)
    assert fault != "rate_limit" or headers["retry-after"] == "2"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["reset", "cut"])
async def test_faults_of_the_connection(peer, fault, stream):
    if (fault, stream) == ("cut", True):
        assert b"[DONE]" not in (await chat(peer, stream=True, mock={"fault": "cut"}))[2]
        return
    with pytest.raises(aiohttp.ClientError):
        await chat(peer, stream=stream, mock={"fault": fault})


async def test_a_fault_for_the_first_calls_only(peer):
    script = {"fault": "error", "status": 503, "times": 2, "key": "k"}
    assert [(await chat(peer, mock=script))[0] for _ in range(3)] == [503, 503, 200]


@pytest.mark.parametrize("script", [{"fault": "stall"}, {"latency": 60}])
async def test_a_client_that_hangs_up_is_seen(peer, script):
    call = asyncio.ensure_future(chat(peer, mock=script))
    while not (await seen(peer))["in_flight"]:
        await asyncio.sleep(0.01)
    call.cancel()
    for _ in range(2000):
        if (await seen(peer))["cancelled"]:
            break
        await asyncio.sleep(0.01)
    counts = await seen(peer)
    assert (counts["in_flight"], counts["cancelled"], len(counts["cancelled_at"])) == (0, 1, 1)


async def test_models_and_embeddings(peer):
    url, session = peer
    async with session.get(f"{url}/models") as response:
        assert (await response.json())["data"][0]["id"] == "mock"
    body = {"input": ["a", "b", "a"], "dimensions": 8}
    async with session.post(f"{url}/embeddings", json=body) as response:
        vectors = [item["embedding"] for item in (await response.json())["data"]]
    assert vectors[0] == vectors[2] != vectors[1]
    assert sum(value * value for value in vectors[0]) == pytest.approx(1)
