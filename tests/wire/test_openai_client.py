"""The real `openai` client, sync and async, against a running gateway."""

import asyncio
import json
from typing import Any

import numpy as np
import openai
import pytest
from _gateway import served, settings

from trimtab.evaluate import mock
from trimtab.server import serving
from trimtab.settings import parse


def ask(house: Any, text: str, **more: Any) -> Any:
    messages = [{"role": "user", "content": text}]
    return house.client().chat.completions.create(**{"model": "auto", "messages": messages, **more})


def test_completion(house: Any) -> None:
    said = ask(house, "say the tide turns")
    assert (said.object, said.model, said.choices[0].message.content) == (
        "chat.completion", "scripted", "the tide turns",
    )  # fmt: skip
    assert said.choices[0].finish_reason == "stop"
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (7, 3, 10)
    assert said.usage.prompt_tokens_details.cached_tokens == 3
    assert said.trimtab["answered_by"] == "scripted"
    assert said.trimtab["reasons"] == ["only_one"]
    assert (said.trimtab["cost_usd"], said.trimtab["baseline_usd"]) == ("0.000000000", None)
    assert said.id == "chatcmpl-" + said.trimtab["trace"].removeprefix("tr_")


def test_headers(house: Any) -> None:
    messages = [{"role": "user", "content": "say yes"}]
    raw = house.client().chat.completions.with_raw_response.create(model="auto", messages=messages)
    trace = raw.parse().trimtab["trace"]
    assert raw.headers["x-trimtab-trace"] == raw.headers["x-request-id"] == trace
    assert raw.headers["x-trimtab-model"] == "scripted"
    assert raw.headers["x-trimtab-reasons"] == "only_one"
    assert float(raw.headers["x-trimtab-cost-usd"]) == 0
    assert "server" not in raw.headers


async def test_async_client(house: Any) -> None:
    async with house.asynchronous() as client:
        asked = [
            client.chat.completions.create(model="auto", messages=[{"role": "user", "content": f"say {i}"}])
            for i in range(20)
        ]
        said = await asyncio.gather(*asked)
    assert [one.choices[0].message.content for one in said] == [str(i) for i in range(20)]
    assert len({one.trimtab["trace"] for one in said}) == 20


async def test_async_stream(house: Any) -> None:
    async with house.asynchronous() as client:
        messages = [{"role": "user", "content": "say one two three"}]
        stream = await client.chat.completions.create(model="auto", messages=messages, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == "one two three"
    assert len(pieces) > 2


def test_tools(house: Any) -> None:
    tools: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    said = ask(house, "tool please", tools=tools, tool_choice="auto")
    call = said.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Łódź"})
    assert (said.choices[0].finish_reason, said.choices[0].message.content) == ("tool_calls", None)
    assert house.rung.requests[-1].params["tools"] == tools


def test_tool_conversation_arrives_as_it_was_sent(house: Any) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "say sun"}]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ]
    house.client().chat.completions.create(model="auto", messages=messages)
    assert list(house.rung.requests[-1].messages) == messages


def test_unknown_fields_and_schema_pass_and_trimtab_does_not(house: Any) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    limits = {"cost_usd": 0.01, "latency_s": 9, "where": "local"}
    extra = {"trimtab": {"limits": limits, "cache": False, "durable": True}, "new_field": {"deep": [1]}}
    ask(house, "say x", response_format=schema, temperature=0.5, extra_body=extra)
    asked = house.rung.requests[-1]
    assert asked.params == {"response_format": schema, "temperature": 0.5, "new_field": {"deep": [1]}}
    assert (asked.limits.cost, asked.limits.latency, asked.limits.where) == (10_000_000, 9.0, "local")
    assert (asked.wishes.cache, asked.wishes.durable, asked.wishes.model) == (False, True, "auto")


def test_the_stricter_limit_wins(house: Any) -> None:
    headers = {"x-trimtab-max-cost": "0.5", "x-trimtab-max-latency": "3", "x-trimtab-where": "local"}
    ask(house, "say x", extra_headers=headers, extra_body={"trimtab": {"limits": {"cost_usd": 0.2, "latency_s": 8}}})
    limits = house.rung.requests[-1].limits
    assert (limits.cost, limits.latency, limits.where) == (200_000_000, 3.0, "local")


def test_regions_hold_by_body_and_header(tmp_path: Any) -> None:
    """A pinned model elsewhere is refused, a ladder leaves it out; the peer hears only what may go there."""
    with served(mock.app(mock.Options()), settings(tmp_path)) as peer:
        far = {"kind": "openai_http", "url": f"{peer}/v1", "model": "mock", "where": "remote", "mask": False}
        models = [{**far, "name": "us", "region": "us"}, {**far, "name": "eu", "region": "eu"}]
        table = {"model": models, "discover": {"environment": False, "loopback": False}, "server": {"port": 0}}
        given = parse(table, folder=tmp_path, home=tmp_path, name="regions", secrets={})
        with (
            serving.background(given) as url,
            openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client,
        ):

            def asked(model: str, header: str, *body: str) -> Any:
                headers = {"x-trimtab-regions": header} if header else {}
                extra = {"trimtab": {"limits": {"regions": list(body)}}} if body else {}
                said = [{"role": "user", "content": "Hello"}]
                return client.chat.completions.create(
                    model=model, messages=said, extra_headers=headers, extra_body=extra
                ).model

            assert [asked("auto", ""), asked("auto", "eu"), asked("auto", "", "eu")] == ["us", "eu", "eu"]
            assert asked("auto", "eu, us", "eu", "ch") == "eu"
            with pytest.raises(openai.BadRequestError, match="privacy_region"):
                asked("us", "eu")
            with pytest.raises(openai.InternalServerError, match="No model may take this request"):
                asked("auto", "us", "eu")
            assert client.models.retrieve("eu").model_extra["trimtab"]["region"] == "eu"


def test_further_choices_and_body_fields(house: Any) -> None:
    said = ask(house, "two please", n=2)
    assert [(c.index, c.message.content, c.finish_reason) for c in said.choices] == [
        (0, "first", "stop"), (1, "second", "length"),
    ]  # fmt: skip
    assert said.system_fingerprint == "fp_1"


def test_refusal_is_a_completion(house: Any) -> None:
    said = ask(house, "say something forbidden")
    choice = said.choices[0]
    assert (choice.message.content, choice.message.refusal) == (None, "That word is forbidden.")
    assert choice.finish_reason == "content_filter"
    assert said.trimtab["refused"] == {
        "by": "words", "code": "forbidden_word", "why": "That word is forbidden.", "score": None,
        "spans": [{"kind": "WORD", "start": 14, "end": 23, "path": "messages[0].content"}],
    }  # fmt: skip


def test_pending_is_428_and_not_retried(house: Any) -> None:
    before = len(house.rung.requests)
    client = house.client().with_options(max_retries=3)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "risky move"}])
    error = caught.value
    assert (error.status_code, error.code, error.type) == (428, "approval_required", "approval_required")
    assert error.response.headers["location"] == f"/approvals/{error.body['ticket']}"
    assert int(error.response.headers["retry-after"]) > 0
    assert len(error.body["digest"]) == 64
    assert error.body["cost_usd"] == error.response.headers["x-trimtab-cost-usd"]
    assert len(house.rung.requests) == before + 1


def test_upstream_down(house: Any) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        house.client().chat.completions.create(model="scripted", messages=[{"role": "user", "content": "down"}])
    assert (caught.value.status_code, caught.value.code) == (503, "upstream_down")
    assert caught.value.response.headers["retry-after"] == "3"
    assert caught.value.response.headers["x-should-retry"] == "true"
    assert "Start it." in caught.value.body["message"]


def test_a_crash_says_nothing_of_itself(house: Any, caplog: Any) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(house, "crash now", model="scripted")
    assert (caught.value.status_code, caught.value.code) == (500, "internal_error")
    assert "hunter2" not in caught.value.response.text
    trace = caught.value.response.headers["x-trimtab-trace"]
    assert trace in caught.value.body["message"]
    assert trace in caplog.text


def test_unknown_model(house: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(house, "say x", model="gpt-99")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_latency_limit(house: Any) -> None:
    with pytest.raises(openai.InternalServerError) as caught:
        ask(house, "slowly", extra_body={"trimtab": {"limits": {"latency_s": 0.05}}})
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")


def test_models(house: Any) -> None:
    models = {model.id: model for model in house.client().models.list()}
    assert {"auto", "scripted"} <= set(models)
    about = house.client().models.retrieve("scripted").trimtab
    assert (about["where"], about["context"]) == ("local", 4096)
    assert about["abilities"] == ["chat", "stream", "tools"]
    assert about["price"]["input_usd_per_mtok"] == "0"
    with pytest.raises(openai.NotFoundError):
        house.client().models.retrieve("no/such")


def test_embeddings(house: Any) -> None:
    client, texts = house.client(), ["The ferry leaves at noon.", "The boat departs at 12.", "Fish soup needs salt."]
    packed = client.embeddings.create(model="auto", input=texts)
    plain = client.embeddings.create(model="all-MiniLM-L6-v2", input=texts, encoding_format="float")
    a, b = (np.array([row.embedding for row in said.data]) for said in (packed, plain))
    assert a.shape == (3, 384)
    assert np.abs(a - b).max() < 1e-6
    assert a[0] @ a[1] > a[0] @ a[2] + 0.3
    assert packed.usage.prompt_tokens > 10
    assert len(client.embeddings.create(model="auto", input="one text").data) == 1
    nothing = {"model": None, "encoding_format": None, "dimensions": None}
    said = client.embeddings.create(model="auto", input=texts, extra_body=nothing)
    assert isinstance(said.data[0].embedding, list), "null is as good as nothing"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": [1, 2, 3]}, "input"), ({"input": [[1, 2]]}, "input"), ({"input": []}, "input"),
        ({"input": ""}, "input"), ({"dimensions": 64}, "dimensions"), ({"model": "text-embedding-3-small"}, "model"),
        ({"input": ["x" * 500_000]}, "input"),
    ],
)  # fmt: skip
def test_embeddings_that_cannot_be(house: Any, more: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        house.client().embeddings.create(**{"model": "auto", "input": "x", **more})
    assert caught.value.status_code in (400, 404, 413)
    assert caught.value.param == param


def test_trace_and_feedback(house: Any) -> None:
    client, trace = house.client(), ask(house, "say hm").trimtab["trace"]
    found = client.get(f"/traces/{trace}", cast_to=dict[str, Any])
    assert (found["id"], found["outcome"], found["answered_by"]) == (trace, "answer", "scripted")
    assert [step["stage"] for step in found["steps"]] == ["guard", "route", "answer", "approve"]
    kept = client.post("/feedback", body={"trace": trace, "label": "good", "comment": "ok"}, cast_to=dict[str, Any])
    assert (kept["score"], kept["label"]) == (1.0, "good")
    assert client.get(f"/traces/{trace}", cast_to=dict[str, Any])["feedback"][0]["comment"] == "ok"
    for wrong in ({"trace": trace}, {"trace": trace, "score": 2}, {"label": "good"}, {"trace": trace, "stars": 5}):
        with pytest.raises(openai.BadRequestError):
            client.post("/feedback", body=wrong, cast_to=dict[str, Any])
    for unknown in (trace[:-1], "tr_nothing"):
        with pytest.raises(openai.NotFoundError):
            client.get(f"/traces/{unknown}", cast_to=dict[str, Any])
        with pytest.raises(openai.NotFoundError):
            client.post("/feedback", body={"trace": unknown, "score": 1}, cast_to=dict[str, Any])
