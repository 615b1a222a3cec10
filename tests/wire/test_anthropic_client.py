"""The real `anthropic` client, sync and async, against a running gateway; and the two dialects across each other."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import openai
import pytest
from _gateway import Chain, exchange, post, served, settings, until

from trimtab import testing
from trimtab.evaluate import mock
from trimtab.server import app as gateway_app
from trimtab.server import blocks, counting, messages, serving, sse
from trimtab.server.place import Place
from trimtab.settings import parse
from trimtab.types import Answer, Delta, Limits, ModelSpec, Trace, Wishes

MASKED = {"reply": "Written to [EMAIL-1].", "extra": {"reasoning_content": "I write to\n[EMAIL-1]."}}
"""What the server says that sees placeholders alone."""
TOOL = {"name": "weather", "description": "Weather.", "input_schema": {"type": "object"}}


def client(url: str, **more: Any) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="none", max_retries=0, timeout=20, **more)


def ask(url: str, text: Any, **more: Any) -> Any:
    given = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}
    return client(url).messages.create(**given)


def streamed(url: str, text: Any, **more: Any) -> list[Any]:
    with contextlib.closing(ask(url, text, stream=True, **more)) as stream:
        return list(stream)


def final(url: str, text: Any, **more: Any) -> Any:
    given = {"model": "auto", "max_tokens": 100, "messages": [{"role": "user", "content": text}], **more}
    with client(url).messages.stream(**given) as stream:
        return stream.get_final_message()


@pytest.fixture(scope="module")
def across(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A gateway with an upstream of each dialect (`claude`, `gpt`), both the mock, and guards on answers too."""
    home = tmp_path_factory.mktemp("across")
    with served(mock.app(mock.Options()), settings(home)) as peer:
        table = {
            "server": {"port": 0, "drain": 1.0}, "discover": {"environment": False, "loopback": False},
            "guard": [{"kind": "patterns"}, {"kind": "secrets"}],
            "model": [
                {"kind": "anthropic_http", "name": "claude", "url": f"{peer}/v1", "model": "claude-mock",
                 "price": {"input": "3", "output": "15"}},
                {"kind": "openai_http", "name": "gpt", "url": f"{peer}/v1", "model": "gpt-mock", "vision": True},
                {"kind": "openai_http", "name": "strict", "url": f"{peer}/v1", "model": "gpt-mock", "strict": True,
                 "vision": True},
                {"kind": "openai_http", "name": "shaky", "url": f"{peer}/v1", "model": "gpt-mock", "retries": 0},
                {"kind": "anthropic_http", "name": "gone", "url": "http://127.0.0.1:9/v1", "model": "claude-mock"},
                {"kind": "anthropic_http", "name": "masked", "url": f"{peer}/v1", "model": "claude-mock", "mask": True,
                 "headers": {"x-mock": json.dumps(MASKED)}},
            ],
            "record": [{"kind": "ledger"}],
        }  # fmt: skip
        given = parse(table, folder=home, home=home, name="across", secrets={})
        with serving.background(given) as url:
            yield Chain(url, peer, home)


def last(across: Chain) -> Any:
    """What the upstream was sent last."""
    return httpx.get(f"{across.mock}/mock/calls").json()["last"]


def test_message(house: Any) -> None:
    said = ask(house.url, "say the tide turns", system="Be brief.", stop_sequences=["END"], metadata={"user_id": "u1"})
    assert (said.type, said.role, said.model, said.stop_reason) == ("message", "assistant", "scripted", "end_turn")
    assert [block.text for block in said.content] == ["the tide turns"]
    usage = said.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (4, 3, 3)
    assert said.trimtab["answered_by"] == "scripted"
    assert said.trimtab["cost_usd"] == "0.000000000"
    assert said.id == "msg_" + said.trimtab["trace"].removeprefix("tr_")
    asked = house.rung.requests[-1]
    assert asked.messages[0] == {"role": "system", "content": "Be brief."}
    assert asked.params == {"max_tokens": 100, "stop": ["END"], "user": "u1"}


def test_headers(house: Any) -> None:
    raw = client(house.url).messages.with_raw_response.create(
        model="auto", max_tokens=9, messages=[{"role": "user", "content": "say yes"}],
        extra_headers={"anthropic-beta": "one, two"}, extra_body={"trimtab": {"cache": False}, "new": 1},
    )  # fmt: skip
    trace = raw.parse().trimtab["trace"]
    assert raw.headers["request-id"] == raw.headers["x-request-id"] == raw.headers["x-trimtab-trace"] == trace
    assert raw.headers["x-trimtab-model"] == "scripted"
    asked = house.rung.requests[-1]
    assert (asked.params["betas"], asked.params["new"], asked.wishes.cache) == (["one", "two"], 1, False)


def test_stream(house: Any) -> None:
    events = streamed(house.url, "say one two three")
    kinds = [event.type for event in events]
    assert kinds == ["message_start", "content_block_start", *["content_block_delta"] * 3, "content_block_stop",
                     "message_delta", "message_stop"]  # fmt: skip
    assert events[0].message.usage.input_tokens > 0
    assert "".join(event.delta.text for event in events if event.type == "content_block_delta") == "one two three"
    end = events[-2]
    assert (end.delta.stop_reason, end.usage.output_tokens, end.usage.input_tokens) == ("end_turn", 3, 4)
    assert end.trimtab["answered_by"] == "scripted"


def test_the_clients_own_stream_puts_it_together(house: Any) -> None:
    said = final(house.url, "say one two three")
    assert [block.text for block in said.content] == ["one two three"]
    assert (said.stop_reason, said.usage.output_tokens) == ("end_turn", 3)


async def test_async_client(house: Any) -> None:
    async with anthropic.AsyncAnthropic(base_url=house.url, api_key="none", max_retries=0) as asking:
        asked = [
            asking.messages.create(model="auto", max_tokens=9, messages=[{"role": "user", "content": f"say {i}"}])
            for i in range(10)
        ]
        said = await asyncio.gather(*asked)
        assert [one.content[0].text for one in said] == [str(i) for i in range(10)]
        async with asking.messages.stream(
            model="auto", max_tokens=9, messages=[{"role": "user", "content": "say one two"}]
        ) as stream:
            assert [text async for text in stream.text_stream] == ["one", " two"]


@pytest.mark.parametrize("how", [ask, final])
@pytest.mark.parametrize("verb", ["tool", "livetool"])
def test_tools_round_trip(house: Any, how: Any, verb: str) -> None:
    said = how(house.url, f"{verb} use it", tools=[TOOL], tool_choice={"type": "any"})
    (block,) = said.content
    assert (said.stop_reason, block.type, block.name, block.input) == (
        "tool_use", "tool_use", "weather", {"city": "Łódź"},
    )  # fmt: skip
    asked = house.rung.requests[-1]
    assert asked.params["tools"] == [
        {"type": "function", "function": {
            "name": "weather", "description": "Weather.", "parameters": {"type": "object"}}}]  # fmt: skip
    assert asked.params["tool_choice"] == "required"
    result = {"type": "tool_result", "tool_use_id": block.id, "content": "rain", "is_error": False}
    turns = [{"role": "user", "content": "tool use it"}, {"role": "assistant", "content": said.content},
                {"role": "user", "content": [result, {"type": "text", "text": "say so"}]}]  # fmt: skip
    assert ask(house.url, "", tools=[TOOL], messages=turns).content[0].text == "so"
    call, tool = house.rung.requests[-1].messages[1:3]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"city": "Łódź"}
    assert tool == {"role": "tool", "tool_call_id": block.id, "content": "rain", "is_error": False}


def test_a_refusal_is_a_message(house: Any) -> None:
    said = ask(house.url, "say forbidden things")
    assert (said.stop_reason, said.content[0].text) == ("refusal", "That word is forbidden.")
    assert said.trimtab["refused"]["code"] == "forbidden_word"
    said = final(house.url, "say forbidden things")
    assert (said.stop_reason, said.content[0].text) == ("refusal", "That word is forbidden.")


def test_the_guards_see_every_block(house: Any) -> None:
    document = {"type": "document", "title": "T", "source": {
        "type": "text", "media_type": "text/plain", "data": "a forbidden text"}}  # fmt: skip
    result = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "forbidden too"}]}
    thought = {"type": "thinking", "thinking": "forbidden", "signature": "s"}
    for hidden in (document, result):
        content = [hidden, {"type": "text", "text": "say it"}]
        assert ask(house.url, content).stop_reason == "refusal"
    turns = [{"role": "user", "content": "say it"}, {"role": "assistant", "content": [thought]},
                {"role": "user", "content": "say more"}]  # fmt: skip
    assert ask(house.url, "", messages=turns).stop_reason == "refusal"


@pytest.mark.parametrize("how", [ask, final])
def test_what_waits_for_a_person(house: Any, how: Any) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        how(house.url, "risky business")
    error = caught.value
    assert (error.status_code, error.type) == (428, "approval_required")
    assert error.body["type"] == "error"
    assert (
        error.body["error"]["url"]
        == error.response.headers["location"]
        == f"/approvals/{error.body['error']['ticket']}"
    )


@pytest.mark.parametrize(
    ("given", "kind", "type_", "says"),
    [
        ({"model": "nobody"}, anthropic.NotFoundError, "not_found_error", "nobody"),
        ({"messages": []}, anthropic.BadRequestError, "invalid_request_error", "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, anthropic.BadRequestError, "invalid_request_error", "role"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, anthropic.BadRequestError,
         "invalid_request_error", "tool_use_id"),
        ({"system": 5}, anthropic.BadRequestError, "invalid_request_error", "system"),
        ({"max_tokens": "many"}, anthropic.BadRequestError, "invalid_request_error", "max_tokens"),
    ],
)  # fmt: skip
def test_errors_are_anthropics(house: Any, given: Any, kind: Any, type_: str, says: str) -> None:
    with pytest.raises(kind) as caught:
        ask(house.url, "say x", **given)
    assert caught.value.type == type_
    assert says in caught.value.api_message
    assert caught.value.request_id


@pytest.mark.parametrize("how", [ask, final])
@pytest.mark.parametrize(
    ("model", "script", "status", "type_"),
    [("gone", {}, 503, "overloaded_error"), ("shaky", {"fault": "error", "status": 500}, 502, "api_error"),
     ("shaky", {"fault": "error", "status": 400, "message": "no such beta"}, 400, "invalid_request_error"),
     ("shaky", {"fault": "rate_limit", "retry_after": 7}, 502, "api_error")],
)  # fmt: skip
def test_faults_are_anthropics(across: Chain, how: Any, model: str, script: Any, status: int, type_: str) -> None:
    with pytest.raises(anthropic.APIStatusError) as caught:
        how(across.url, "Hi", model=model, extra_body={"mock": script})
    assert (caught.value.status_code, caught.value.type) == (status, type_)
    assert script.get("message", "") in caught.value.api_message
    assert script.get("retry_after") is None or caught.value.response.headers["retry-after"] == "7"


def test_what_nobody_foresaw_stays_inside() -> None:
    status, headers, body = messages.response(ZeroDivisionError("the password is hunter2"), "tr_1")
    found = json.loads(body)
    assert (status, found["error"]["type"], found["request_id"]) == (500, "api_error", "tr_1")
    assert b"hunter2" not in body
    assert (b"request-id", b"tr_1") in headers


def test_a_key_is_asked_for_in_anthropics_words(house: Any, tmp_path: Any) -> None:
    given = settings(tmp_path, TRIMTAB_API_KEY="secret")
    from _gateway import desk

    gateway = gateway_app.app(desk(house.rung, tmp_path, house.store), given)
    with served(gateway, given) as url:
        with pytest.raises(anthropic.AuthenticationError) as caught:
            ask(url, "say x")
        assert caught.value.type == "authentication_error"
        mine = anthropic.Anthropic(base_url=url, api_key="secret", max_retries=0)
        said = mine.messages.create(model="auto", max_tokens=9, messages=[{"role": "user", "content": "say x"}])
        assert said.content[0].text == "x"


def test_a_cut_stream_is_an_error_and_never_ends_well(house: Any) -> None:
    kinds = []
    with (
        pytest.raises(anthropic.APIStatusError) as caught,
        contextlib.closing(ask(house.url, "cut it", stream=True)) as stream,
    ):
        kinds += [event.type for event in stream]
    assert caught.value.body["error"]["type"] == "api_error"
    assert "message_stop" not in kinds


def test_a_cancelled_stream_stops_the_work(house: Any) -> None:
    house.rung.cancelled.clear()
    stream = ask(house.url, "slowly please", stream=True)
    next(event for event in stream if event.type == "content_block_delta")
    stream.close()
    assert house.rung.cancelled.wait(5)


async def test_a_silent_stream_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "PING", 0.02)
    sent: list[bytes] = []

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    stream = blocks.Blocks(send, testing.ask("Hi"), late=False)
    await stream.emit(Delta(text="one"))
    while not any(body.startswith(b"event: ping") for body in sent):
        await asyncio.sleep(0.005)
    stream.close()
    assert b'event: ping\ndata: {"type":"ping"}\n\n' in sent


async def test_only_a_model_in_the_regions_of_the_request_counts_its_tokens(tmp_path: Any) -> None:
    class Counts(testing.Says):
        async def count(self, request: Any) -> int:
            return 99

    spec = ModelSpec(name="m", where="local", region="us")
    here = Place(desk=testing.desk({"m": Counts()}, specs={"m": spec}), settings=settings(tmp_path))
    for regions, counted in ((None, 99), (("us",), 99), (("eu",), None)):
        asked = testing.ask("Hi", wishes=Wishes(model="m"), limits=Limits(regions=regions))
        assert (await counting._counted(here, asked))[0] == counted
    here = msgspec.structs.replace(here, desk=msgspec.structs.replace(here.desk, regions=("eu",)))
    assert (await counting._counted(here, testing.ask("Hi", wishes=Wishes(model="m"))))[0] is None


def test_count_tokens(house: Any, across: Chain) -> None:
    turns = [{"role": "user", "content": [{"type": "text", "text": "one two three"}]}]
    raw = client(house.url).messages.with_raw_response.count_tokens(model="auto", messages=turns, system="Be brief.")
    assert raw.headers["x-trimtab-counted-by"] == "estimate"
    few = raw.parse().input_tokens
    more = client(house.url).messages.count_tokens(
        model="auto",
        messages=[{"role": "user", "content": "one two three four five"}],
        system="Be brief.",
        tools=[TOOL],
    )
    assert 5 < few < more.input_tokens < 60
    raw = client(across.url).messages.with_raw_response.count_tokens(model="claude", messages=turns)
    assert (raw.headers["x-trimtab-counted-by"], raw.parse().input_tokens) == ("claude", 3)
    with pytest.raises(anthropic.BadRequestError):
        client(house.url).messages.count_tokens(model="auto", messages=[])


def test_a_message_has_every_field_that_the_format_promises(house: Any, across: Chain) -> None:
    usage = {"cache_creation", "inference_geo", "output_tokens_details", "server_tool_use", "service_tier"}
    for url, model, text in ((house.url, "auto", "say hi"), (house.url, "auto", "say forbidden"),
                             (across.url, "gpt", "hi"), (across.url, "claude", "hi")):  # fmt: skip
        said = ask(url, text, model=model).model_dump(exclude_unset=True)
        assert {"stop_reason", "stop_sequence", "stop_details", "container", "usage"} <= said.keys()
        assert usage <= said["usage"].keys()
        assert said["content"][0]["citations"] is None
    for said in (ask(house.url, "tool"), final(house.url, "tool")):
        assert said.content[0].caller.type == "direct"
    begun = streamed(house.url, "say hi")[0].message.model_dump(exclude_unset=True)
    assert {"stop_reason", "stop_sequence", "stop_details", "container"} <= begun.keys()
    assert usage <= begun["usage"].keys()


def test_a_direct_caller_does_not_go_into_a_chat(across: Chain) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}, "caller": {"type": "direct"}}
    turns = [
        {"role": "user", "content": "x"}, {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "dry"}]},
    ]  # fmt: skip
    client(across.url).messages.create(model="gpt", max_tokens=9, messages=turns, tools=[TOOL])
    sent = httpx.get(f"{across.mock}/mock/calls").json()["last"]["messages"]
    assert [set(call) for turn in sent for call in turn.get("tool_calls", ())] == [{"id", "type", "function"}]


def test_models_in_anthropics_form(house: Any) -> None:
    strict = client(house.url, _strict_response_validation=True)
    assert [model.id for model in strict.models.list(limit=1)] == ["auto", "scripted", "all-MiniLM-L6-v2"]
    page = strict.models.list(limit=1, after_id="auto")
    assert ([model.id for model in page.data], page.has_more, page.first_id) == (["scripted"], True, "scripted")
    page = strict.models.list(limit=1, before_id="all-MiniLM-L6-v2")
    assert ([model.id for model in page.data], page.has_more) == (["scripted"], True)
    assert not strict.models.list(after_id="all-MiniLM-L6-v2").data
    one = strict.models.retrieve("scripted")
    assert (one.display_name, one.max_input_tokens, one.lifecycle) == ("scripted", 4096, "active")
    for wrong in ({"limit": 0}, {"limit": 1001}, {"after_id": "nobody"}, {"extra_query": {"limit": "9" * 5000}}):
        with pytest.raises(anthropic.BadRequestError) as refused:
            strict.models.list(**wrong)
        assert refused.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.NotFoundError) as unknown:
        strict.models.retrieve("nobody")
    assert unknown.value.body["error"]["code"] == "model_not_found"


def test_a_schema_that_is_none_is_told_in_this_formats_words(house: Any) -> None:
    tool = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": "bar"}}}
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(house.url, "x", tools=[tool])
    assert refused.value.body["error"]["param"] == "tools[0].input_schema"
    with pytest.raises(anthropic.BadRequestError) as refused:
        ask(house.url, "x", output_config={"format": {"type": "json_schema", "schema": 5}})
    assert refused.value.body["error"]["param"].startswith("output_config.format")


@pytest.mark.parametrize("how", [ask, final])
@pytest.mark.parametrize("model", ["claude", "gpt"])
def test_the_same_from_either_upstream(across: Chain, how: Any, model: str) -> None:
    said = how(across.url, "Hello you there", model=model, system="Be brief.")
    assert [block.text for block in said.content] == ["Hello you there"]
    assert (said.model if how is ask else "", said.stop_reason) == (model if how is ask else "", "end_turn")
    assert said.usage.output_tokens == 3
    assert said.usage.input_tokens == 5
    said = how(across.url, "weather in Łódź", model=model, tools=[TOOL],
               extra_body={"mock": {"arguments": '{"city": "Łódź"}'}})  # fmt: skip
    (block,) = said.content
    assert (said.stop_reason, block.name, block.input) == ("tool_use", "weather", {"city": "Łódź"})
    turns = [{"role": "user", "content": "weather"}, {"role": "assistant", "content": said.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "rain"},
                                             {"type": "text", "text": "and now?"}]}]  # fmt: skip
    assert how(across.url, "", model=model, tools=[TOOL], messages=turns).content[0].text == "and now?"


@pytest.mark.parametrize("how", [ask, final])
def test_thoughts_pass_through_with_their_signatures(across: Chain, how: Any) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    thought = {"mock": {"extra": {"reasoning_content": "One.\n\nTwo."}}}
    said = how(across.url, "weather Hi", model="claude", tools=[TOOL], max_tokens=2000, thinking=thinking,
               extra_body=thought)  # fmt: skip
    assert [block.type for block in said.content] == ["thinking", "tool_use"]
    assert said.content[0].thinking == "One.\n\nTwo."
    assert said.content[0].signature.startswith("sig_")
    turns = [{"role": "user", "content": "weather Hi"}, {"role": "assistant", "content": said.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": said.content[1].id, "content": "x"},
                                             {"type": "text", "text": "go on"}]}]  # fmt: skip
    again = how(across.url, "", model="claude", messages=turns)  # the mock refuses a signature that is not its own
    assert again.content[0].text == "go on"
    second = {"type": "thinking", "thinking": "Three.", "signature": "sig"}
    script = {"mock": {"extra": {"reasoning_content": "One.\n\nTwo.", "blocks": [second]}}}
    two = how(across.url, "Hi", model="claude", extra_body=script)
    assert [block.thinking for block in two.content[:2]] == ["One.\n\nTwo.", "Three."]
    other = how(across.url, "Hi", model="gpt", extra_body=thought)
    assert [block.type for block in other.content] == ["thinking", "text"]
    assert (other.content[0].thinking, other.content[0].signature) == ("One.\n\nTwo.", "")


@pytest.mark.parametrize("how", [ask, final])
def test_a_masked_thought_still_has_its_signature_when_it_comes_back(across: Chain, how: Any) -> None:
    asked = {"role": "user", "content": "Write to ann.lee@example.com please"}
    said = how(across.url, "", messages=[asked], model="masked")
    assert "ann.lee" not in json.dumps(last(across))
    assert said.content[0].thinking == "I write to\nann.lee@example.com."
    assert said.content[1].text == "Written to ann.lee@example.com."
    turns = [asked, {"role": "assistant", "content": said.content}, {"role": "user", "content": "go on"}]
    assert how(across.url, "", messages=turns, model="masked").content[1].text == "Written to ann.lee@example.com."
    assert last(across)["messages"][1]["content"][0]["thinking"] == "I write to\n[EMAIL-1]."


def test_nothing_of_a_request_is_lost_on_the_way_to_its_own_dialect(across: Chain) -> None:
    marked = {"cache_control": {"type": "ephemeral"}}
    document = {"type": "document", "title": "T", "citations": {"enabled": True},
                "source": {"type": "text", "media_type": "text/plain", "data": "The tide is high."}}  # fmt: skip
    given = {
        "model": "claude", "max_tokens": 2000, "system": [{"type": "text", "text": "Be brief.", **marked}],
        "messages": [{"role": "user", "content": [
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}, **marked},
            document, {"type": "text", "text": "Hi", **marked}]}],
        "tools": [{**TOOL, **marked}, {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "top_k": 4, "temperature": 0.5,
        "thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}, "metadata": {"user_id": "u"},
        "container": "c_1", "unheard_of": [1, {"a": None}], "stop_sequences": ["END"], "service_tier": "auto",
    }  # fmt: skip
    status, _, body = exchange(*_address(across.url), post("/v1/messages", json.dumps(given).encode()))
    assert status == 200, body
    usage = json.loads(body)["usage"]
    assert (usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]) == (3, 1)
    assert usage["service_tier"] == "standard"
    assert last(across) == {**given, "model": "claude-mock"}


def test_a_strict_server_gets_what_it_knows(across: Chain) -> None:
    marked = {"cache_control": {"type": "ephemeral"}}
    document = {"type": "document", "title": "T", "source": {
        "type": "text", "media_type": "text/plain", "data": "The tide is high."}}  # fmt: skip
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "Hi", **marked}, document]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {}},
            {"type": "text", "text": "Yes."}, {"type": "tool_use", "id": "t1", "name": "weather", "input": {"a": 1}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "rain", "is_error": True}]},
    ]  # fmt: skip
    given = {"max_tokens": 2000, "tools": [{**TOOL, **marked}], "thinking": {"type": "enabled", "budget_tokens": 1500}}
    said = ask(across.url, "", model="strict", messages=turns, system="Be brief.", **given,
               extra_headers={"anthropic-beta": "b"}, extra_body={"top_k": 3, "unheard_of": 1})  # fmt: skip
    assert said.stop_reason == "end_turn"
    call = {"id": "t1", "type": "function", "function": {"name": "weather", "arguments": '{"a":1}'}}
    assert last(across) == {
        "model": "gpt-mock", "max_completion_tokens": 2000, "unheard_of": 1, "reasoning_effort": "low",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "T"},
                                         {"type": "text", "text": "The tide is high."}]},
            {"role": "assistant", "content": [{"type": "text", "text": "Yes."}], "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": "rain"},
        ],
        "tools": [{"type": "function", "function": {
            "name": "weather", "description": "Weather.", "parameters": {"type": "object"}}}],
    }  # fmt: skip


def test_the_mock_itself_speaks_anthropic(across: Chain) -> None:
    said = final(across.mock, "weather in Łódź", max_tokens=2000, tools=[TOOL], thinking={"type": "adaptive"})
    assert [block.type for block in said.content] == ["thinking", "tool_use"]
    assert ask(across.mock, "Hello you").content[0].text == "Hello you"
    with pytest.raises(anthropic.BadRequestError, match="Extra inputs are not permitted"):
        ask(across.mock, "Hi", extra_body={"n": 2})
    with pytest.raises(anthropic.RateLimitError) as caught:
        ask(across.mock, "Hi", extra_body={"mock": {"fault": "rate_limit", "retry_after": 4}})
    assert caught.value.response.headers["retry-after"] == "4"


async def test_calls_wait_for_the_words_that_guards_hold_back() -> None:
    """With guards on answers the last words come after the calls that followed them."""
    calls = [Delta(extra={"tool_calls": [{"index": i, "id": f"c{i}", "function": {"name": "f", "arguments": "{}"}}]})
             for i in (0, 1)]  # fmt: skip
    for late in (True, False):
        sent: list[bytes] = []

        async def send(message: Any, sent: list[bytes] = sent) -> None:
            sent.append(message.get("body", b""))

        stream = blocks.Blocks(send, testing.ask("Hi"), late)
        for delta in (Delta(text="Hel"), *calls, Delta(text="lo")):
            await stream.emit(delta)
        trace = Trace(request=testing.ask("Hi"), at=0, ms=0, outcome="answer")
        await stream.finish(Answer(text="Hello", model="m", finish="tool_calls"), trace)
        stream.close()
        begun = [
            line for line in b"".join(sent).split(b"\n") if line.startswith(b'data: {"type":"content_block_start"')
        ]
        kinds = [json.loads(line[6:])["content_block"]["type"] for line in begun]
        assert kinds == (["text", "tool_use", "tool_use"] if late else ["text", "tool_use", "tool_use", "text"])


def test_blocks_that_a_chat_has_no_word_for_pass_through(across: Chain) -> None:
    search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "tides"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [
        {"type": "web_search_result", "url": "https://x", "title": "T", "encrypted_content": "abc"}]}  # fmt: skip
    citation = {"type": "web_search_result_location", "url": "https://x", "title": "T", "cited_text": "noon",
                "encrypted_index": "e"}  # fmt: skip
    cited = {"type": "text", "text": "High at noon. ", "citations": [citation]}
    script = {"mock": {"reply": "Go then.", "extra": {"blocks": [search, found, cited]}}}
    for how in (ask, final):
        said = how(across.url, "When?", model="claude", extra_body=script)
        assert [block.type for block in said.content] == ["server_tool_use", "web_search_tool_result", "text", "text"]
        assert [block.text for block in said.content[2:]] == ["High at noon. ", "Go then."]
        assert said.content[2].citations[0].cited_text == "noon"


def test_an_openai_client_and_an_anthropic_upstream(across: Chain) -> None:
    mine = openai.OpenAI(base_url=f"{across.url}/v1", api_key="none", max_retries=0)
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    asked = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "weather in Łódź"}]
    script = {"arguments": '{"city": "Łódź"}', "extra": {"reasoning_content": "One.\n\nTwo."}}
    given = {"model": "claude", "messages": asked, "tools": [tool], "extra_body": {"mock": script}}
    said = mine.chat.completions.create(**given)
    message = said.choices[0].message
    assert said.choices[0].finish_reason == "tool_calls"
    assert json.loads(message.tool_calls[0].function.arguments) == {"city": "Łódź"}
    assert message.reasoning_content == "One.\n\nTwo."
    assert (said.usage.prompt_tokens, said.usage.completion_tokens) == (5, 1)
    assert said.trimtab["cost_usd"] == "0.000030000"
    chunks = list(mine.chat.completions.create(**given, stream=True, stream_options={"include_usage": True}))
    pieces = [call for chunk in chunks for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert json.loads("".join(piece.function.arguments or "" for piece in pieces)) == {"city": "Łódź"}
    assert chunks[-1].usage.prompt_tokens == 5
    call = message.tool_calls[0]
    again = [*asked, message.model_dump(exclude_none=True),
             {"role": "tool", "tool_call_id": call.id, "content": "x"},
             {"role": "user", "content": "go on"}]  # fmt: skip
    done = mine.chat.completions.create(model="claude", messages=again, tools=[tool])
    assert done.choices[0].message.content == "go on"
    assert last(across)["messages"][1]["content"][0]["signature"].startswith("sig_")


def test_the_ledger_counts_what_the_upstream_counted(across: Chain) -> None:
    from trimtab.record import _read
    from trimtab.store.engine import Store

    said = ask(across.url, [{"type": "text", "text": "one two three four", "cache_control": {"type": "ephemeral"}}],
               model="claude")  # fmt: skip

    async def read() -> Any:
        store = Store.open(across.home / "trimtab.db")
        try:
            return await _read.trace(store, said.trimtab["trace"])
        finally:
            await store.close()

    trace = until(lambda: asyncio.run(read()))
    assert (trace["usage"]["prompt"], trace["usage"]["cached"]) == (1 + 4 + 2, 4)


def _address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)
