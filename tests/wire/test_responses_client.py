"""The real `openai` client, sync and async, on `/v1/responses`; and the events of its streams on the wire."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from _gateway import Scripted, Words, desk, exchange, post, served, settings
from pydantic import BaseModel

from trimtab.judge import Seat
from trimtab.server import app as gateway_app
from trimtab.server import history
from trimtab.server.responses import begun, response
from trimtab.types import Answer, Delta, Request, Trace

WEATHER: Any = {
    "type": "function", "name": "weather", "description": "Of a city.", "strict": False,
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}  # fmt: skip


class Tide(BaseModel):
    height: float
    port: str


def test_input_tokens(house: Any) -> None:
    count = house.client().responses.input_tokens
    raw = count.with_raw_response.count(model="auto", input="one two three", instructions="Be brief.")
    assert raw.headers["x-trimtab-counted-by"] == "estimate"
    few = raw.parse()
    more = count.count(input="one two three", instructions="Be brief.", tools=[WEATHER])
    assert few.object == "response.input_tokens"
    assert 5 < few.input_tokens < more.input_tokens < 80
    with pytest.raises(openai.BadRequestError):
        count.count()


def ask(house: Any, given: Any, **more: Any) -> Any:
    return house.client().responses.create(**{"model": "auto", "input": given, **more})


def events(house: Any, given: Any, **more: Any) -> list[Any]:
    """The events as they are on the wire: each line `event:` names the type of its data."""
    host, port = house.url.removeprefix("http://").split(":")
    body = json.dumps({"input": given, "stream": True, **more}).encode()
    status, headers, raw = exchange(host, int(port), post("/v1/responses", body))
    assert (status, headers[b"content-type"]) == (200, b"text/event-stream; charset=utf-8")
    plain, found = b"", []
    while raw:
        size, _, raw = raw.partition(b"\r\n")
        plain, raw = plain + raw[: int(size, 16)], raw[int(size, 16) + 2 :]
    for block in plain.decode().split("\n\n")[:-1]:
        name, data = block.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    return found


def test_text(house: Any) -> None:
    said = ask(house, "say the tide turns")
    assert (said.object, said.status, said.model, said.output_text) == (
        "response", "completed", "scripted", "the tide turns",
    )  # fmt: skip
    assert (said.output[0].type, said.output[0].role, said.output[0].content[0].annotations) == (
        "message", "assistant", [],
    )  # fmt: skip
    usage = said.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (7, 3, 10)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (3, 0)
    assert said.trimtab["answered_by"] == "scripted"
    assert said.id == "resp_" + said.trimtab["trace"].removeprefix("tr_")
    assert (said.error, said.incomplete_details, said.store, said.previous_response_id) == (None, None, False, None)


def test_headers(house: Any) -> None:
    raw = house.client().responses.with_raw_response.create(model="auto", input="say yes")
    assert raw.headers["x-trimtab-trace"] == raw.parse().trimtab["trace"]
    assert raw.headers["x-trimtab-model"] == "scripted"


def test_what_was_asked_is_repeated(house: Any) -> None:
    said = ask(
        house, "say x", instructions="Be brief.", tools=[WEATHER], tool_choice="none", max_output_tokens=9,
        temperature=0.5, top_p=0.25, metadata={"a": "b"}, reasoning={"effort": "low"}, parallel_tool_calls=False,
        text={"verbosity": "low"}, prompt_cache_key="k", safety_identifier="s", truncation="auto", store=True,
    )  # fmt: skip
    assert (said.instructions, said.tools[0].name, said.tool_choice, said.max_output_tokens) == (
        "Be brief.", "weather", "none", 9,
    )  # fmt: skip
    assert (said.temperature, said.top_p, said.metadata, said.reasoning.effort) == (0.5, 0.25, {"a": "b"}, "low")
    assert (said.parallel_tool_calls, said.text.verbosity, said.prompt_cache_key) == (False, "low", "k")
    assert (said.store, said.truncation) == (False, "disabled")


def test_the_request_arrives_in_the_chats_shape(house: Any) -> None:
    schema = {"type": "json_schema", "name": "tide", "strict": True, "schema": {"type": "object"}}
    ask(
        house, [{"role": "user", "content": [{"type": "input_text", "text": "say x"}]}], instructions="Be brief.",
        tools=[WEATHER], tool_choice={"type": "function", "name": "weather"}, max_output_tokens=9, store=False,
        reasoning={"effort": "low", "summary": "auto"}, text={"format": schema, "verbosity": "low"}, top_logprobs=2,
        user="u", service_tier="flex", parallel_tool_calls=False, include=["reasoning.encrypted_content"],
        extra_body={"new_field": {"deep": [1]}, "trimtab": {"cache": False}, "seed": 7},
    )  # fmt: skip
    asked = house.rung.requests[-1]
    assert asked.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "say x"})
    assert asked.params == {
        "tools": [{"type": "function", "function": {k: v for k, v in WEATHER.items() if k != "type"}}],
        "tool_choice": {"type": "function", "function": {"name": "weather"}}, "max_completion_tokens": 9,
        "store": False, "reasoning_effort": "low", "verbosity": "low", "logprobs": True, "top_logprobs": 2,
        "response_format": {"type": "json_schema", "json_schema": {k: v for k, v in schema.items() if k != "type"}},
        "user": "u", "service_tier": "flex", "parallel_tool_calls": False, "new_field": {"deep": [1]}, "seed": 7,
    }  # fmt: skip
    assert asked.wishes.cache is False


def test_nothing_is_stored_upstream_either(house: Any) -> None:
    for given in ({"store": True}, {}):
        ask(house, "say x", **given)
        assert "store" not in house.rung.requests[-1].params


def test_tools_round_trip(house: Any) -> None:
    said = ask(house, "tool please", tools=[WEATHER])
    call = said.output[0]
    assert (said.status, [item.type for item in said.output]) == ("completed", ["function_call"])
    assert (call.name, call.call_id, json.loads(call.arguments)) == ("weather", "call_1", {"city": "Łódź"})
    history: Any = [
        {"role": "user", "content": "tool please"}, *said.output,
        {"type": "function_call_output", "call_id": call.call_id, "output": "sun"},
        {"role": "user", "content": "say thanks"},
    ]  # fmt: skip
    assert ask(house, history, tools=[WEATHER]).output_text == "thanks"
    _, asked, result, _ = house.rung.requests[-1].messages
    function = {"name": "weather", "arguments": '{"city":"Łódź"}'}
    assert asked == {
        "role": "assistant", "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
    }  # fmt: skip
    assert result == {"role": "tool", "tool_call_id": "call_1", "content": "sun"}


def test_a_namespace_of_tools(chain: Any) -> None:
    """As Codex offers its agents and MCP servers: the model sees one name, the client its own two."""
    space = {"type": "namespace", "name": "sea", "description": "Of the sea.", "tools": [WEATHER]}
    said = ask_chain(chain, "call sea__weather", tools=[space])
    assert (said.output[0].name, said.output[0].namespace) == ("weather", "sea")
    assert said.tools[0].type == "namespace"
    sent = peer(chain)["tools"][0]["function"]
    assert (sent["name"], sent["description"]) == ("sea__weather", "Of the sea.\n\nOf a city.")
    again: Any = [*said.output, {"type": "function_call_output", "call_id": said.output[0].call_id, "output": "sun"}]
    ask_chain(chain, [*again, {"role": "user", "content": "thanks"}], tools=[space])
    assert peer(chain)["messages"][0]["tool_calls"][0]["function"]["name"] == "sea__weather"


def test_custom_tools_are_passed_on(house: Any) -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: /a+/"}
    patch: Any = {"type": "custom", "name": "patch", "description": "Patches.", "format": form}
    history: Any = [
        {"type": "custom_tool_call", "call_id": "c1", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "done"},
        {"role": "user", "content": "say ok"},
    ]  # fmt: skip
    ask(house, history, tools=[patch])
    asked = house.rung.requests[-1]
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /a+/"}}
    custom = {"name": "patch", "description": "Patches.", "format": grammar}
    assert asked.params["tools"] == [{"type": "custom", "custom": custom}]
    assert asked.messages[0]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    ]


def test_images_files_and_sound_arrive(house: Any) -> None:
    parts: Any = [
        {"type": "input_text", "text": "say x"},
        {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
    ]
    ask(house, [{"role": "user", "content": parts}])
    assert house.rung.requests[-1].messages[0]["content"] == [
        {"type": "text", "text": "say x"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}}, parts[3],
    ]  # fmt: skip


def test_parse(house: Any) -> None:
    said = house.client().responses.parse(model="auto", input='say {"height": 2.5, "port": "Brest"}', text_format=Tide)
    assert said.output_parsed == Tide(height=2.5, port="Brest")
    form = house.rung.requests[-1].params["response_format"]["json_schema"]
    assert (form["name"], form["strict"], set(form["schema"]["properties"])) == ("Tide", True, {"height", "port"})


def test_refusal(house: Any) -> None:
    said = ask(house, "say something forbidden")
    part = said.output[0].content[0]
    assert (said.status, part.type, part.refusal, said.output_text) == (
        "completed", "refusal", "That word is forbidden.", "",
    )  # fmt: skip
    assert said.trimtab["refused"]["code"] == "forbidden_word"


def test_pending_is_428_and_not_retried(house: Any) -> None:
    before = len(house.rung.requests)
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            house.client().with_options(max_retries=3).responses.create(model="auto", input="risky x", stream=stream)
        error = caught.value
        assert (error.status_code, error.code) == (428, "approval_required")
        assert error.response.headers["location"] == f"/approvals/{error.body['ticket']}"
    assert len(house.rung.requests) == before + 2


def test_faults_before_the_first_byte(house: Any) -> None:
    for stream in (False, True):
        with pytest.raises(openai.InternalServerError) as caught:
            ask(house, "down", model="scripted", stream=stream)
        assert (caught.value.status_code, caught.value.code) == (503, "upstream_down")
        assert caught.value.response.headers["retry-after"] == "3"


def test_an_answer_that_was_cut_short_is_incomplete() -> None:
    ends = {"length": "max_output_tokens", "content_filter": "content_filter"}
    for finish, reason in ends.items():
        trace = Trace(request=Request(id="tr_1", messages=()), at=0, ms=1, outcome="answer")
        said = response(begun({}, "tr_1"), Answer(text="half", model="m", finish=finish), trace, False, {})
        assert (said["status"], said["incomplete_details"]) == ("incomplete", {"reason": reason})
        assert said["output"][0]["content"][0]["text"] == "half"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "input"), ({"input": []}, "input"), ({"input": 1}, "input"), ({"input": ["x"]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
         "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file", "file_url": "http://x"}]}]},
         "input[0].content[0].file_data"),
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": {}}]}, "input[0].arguments"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "input[0].output"),
        ({"input": [{"type": "computer_call"}]}, "input[0]"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": "x", "instructions": 5}, "instructions"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "conversation": "conv_1"}, "conversation"),
        ({"input": "x", "prompt": {"id": "p"}}, "prompt"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "n": 2}, "n"),
        ({"input": "x", "tools": 5}, "tools"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"input": "x", "tools": [{"type": "function"}]}, "tools[0].name"),
        ({"input": "x", "tools": [WEATHER, WEATHER]}, "tools"),
        ({"input": "x", "tools": [{**WEATHER, "parameters": {"type": "fish"}}]}, "tools[0].parameters"),
        ({"input": "x", "tool_choice": {"type": "file_search"}}, "tool_choice"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"input": "x", "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "fish"}}}},
         "text.format.schema"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format"),
        ({"input": "x", "text": "json"}, "text"), ({"input": "x", "reasoning": "hard"}, "reasoning"),
        ({"input": "x", "max_output_tokens": "many"}, "max_output_tokens"),
        ({"input": "x", "include": "all"}, "include"),
        ({"input": "x", "model": "gpt-99"}, "model"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_by_its_own_name(house: Any, body: dict[str, Any], param: str) -> None:
    before = len(house.rung.requests)
    for stream in (False, True):
        with pytest.raises(openai.APIStatusError) as caught:
            house.client().post("/responses", body={**body, "stream": stream}, cast_to=dict[str, Any])
        assert caught.value.status_code in (400, 404)
        assert caught.value.param == param
        assert param.partition("[")[0].partition(".")[0] in caught.value.message
    assert len(house.rung.requests) == before


def test_there_are_no_stored_responses(house: Any) -> None:
    client = house.client().responses
    for ask_for in (client.retrieve, client.delete, client.cancel, client.input_items.list):
        with pytest.raises(openai.NotFoundError) as caught:
            list(ask_for("resp_1") or ())
        assert caught.value.code == "nothing_stored"


def test_a_live_stream_in_order(house: Any) -> None:
    found = events(house, "say one two")
    assert [event["type"].removeprefix("response.") for event in found] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    first, last = found[0]["response"], found[-1]["response"]
    assert (first["status"], first["output"], first["usage"]) == ("in_progress", [], None)
    assert [event["delta"] for event in found[4:6]] == ["one", " two"]
    assert found[6]["text"] == found[7]["part"]["text"] == "one two"
    assert last["output"] == [found[8]["item"]]
    assert (last["id"], last["model"], last["usage"]["total_tokens"]) == (first["id"], "scripted", 9)
    assert last["trimtab"]["answered_by"] == "scripted"


def test_the_clients_stream(house: Any) -> None:
    with house.client().responses.stream(model="auto", input="say one two three") as stream:
        types = [event.type for event in stream]
        final = stream.get_final_response()
    assert (types[0], types[-1]) == ("response.created", "response.completed")
    assert final.output_text == "one two three"


def test_the_clients_stream_parses(house: Any) -> None:
    text = 'say {"height": 2.5, "port": "Saint Malo"}'
    with house.client().responses.stream(model="auto", input=text, text_format=Tide) as stream:
        done = [event for event in stream if event.type == "response.output_text.done"]
        assert done[0].parsed == stream.get_final_response().output_parsed == Tide(height=2.5, port="Saint Malo")


@pytest.mark.parametrize("verb", ["tool", "livetool"])
def test_a_streamed_call(house: Any, verb: str) -> None:
    """Decided and then rendered, or live as the model writes it: the client sees the same."""
    found = events(house, f"{verb} please", tools=[WEATHER])
    kinds = [event["type"].removeprefix("response.") for event in found]
    deltas = [event["delta"] for event in found if event["type"].endswith("arguments.delta")]
    assert [kind for kind in dict.fromkeys(kinds) if kind != "in_progress"] == [
        "created", "output_item.added", "function_call_arguments.delta", "function_call_arguments.done",
        "output_item.done", "completed",
    ]  # fmt: skip
    added, done = (next(e["item"] for e in found if e["type"].endswith(f"item.{end}")) for end in ("added", "done"))
    assert (added["arguments"], added["status"], done["status"]) == ("", "in_progress", "completed")
    assert json.loads("".join(deltas)) == json.loads(done["arguments"]) == {"city": "Łódź"}
    assert added["call_id"] == done["call_id"] == "call_1"
    with house.client().responses.stream(model="auto", input=f"{verb} please", tools=[WEATHER]) as stream:
        assert stream.get_final_response().output[0].name == "weather"


def test_refusal_in_a_stream(house: Any) -> None:
    found = events(house, "a forbidden thing")
    kinds = [event["type"].removeprefix("response.") for event in found]
    assert kinds[3:-1] == [
        "content_part.added", "refusal.delta", "refusal.done", "content_part.done", "output_item.done",
    ]  # fmt: skip
    assert found[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "That word is forbidden."}]
    with house.client().responses.stream(model="auto", input="a forbidden thing") as stream:
        assert stream.get_final_response().output[0].content[0].refusal == "That word is forbidden."


def test_a_failure_inside_is_never_a_clean_end(house: Any) -> None:
    found = events(house, "cut here")
    assert [event["type"] for event in found[-2:]] == ["response.failed", "error"]
    failed = found[-2]["response"]
    assert (failed["status"], failed["error"]["code"]) == ("failed", "server_error")
    assert failed["output"][0]["content"][0]["text"] == "half of an ans"
    assert failed["output"][0]["status"] == "incomplete"
    assert found[-1]["error"]["code"] == found[-1]["code"] == "upstream_error"


def test_the_openai_client_raises_on_it(house: Any) -> None:
    seen: list[Any] = []
    with pytest.raises(openai.APIError, match="cut the connection"):
        seen.extend(ask(house, "cut here", stream=True))
    opened = house.client().responses.stream(model="auto", input="cut here")
    with opened as stream, pytest.raises(openai.APIError, match="cut the connection"):
        stream.get_final_response()


async def test_async(house: Any) -> None:
    async with house.asynchronous() as client:
        asked = [client.responses.create(model="auto", input=f"say {i}") for i in range(20)]
        assert [said.output_text for said in await asyncio.gather(*asked)] == [str(i) for i in range(20)]
        async with client.responses.stream(model="auto", input="say one two") as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            assert (deltas, (await stream.get_final_response()).output_text) == (["one", " two"], "one two")


async def test_the_client_cancels_by_closing(house: Any) -> None:
    house.rung.cancelled.clear()
    async with house.asynchronous() as client:
        opened = await client.responses.create(model="auto", input="slowly please", stream=True)
        async for event in opened:
            if event.type == "response.output_text.delta":
                break
        await opened.close()
        assert await asyncio.to_thread(house.rung.cancelled.wait, 5)


def test_leaving_before_the_first_byte_cancels_too(house: Any) -> None:
    house.rung.began.clear()
    house.rung.cancelled.clear()
    host, port = house.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(post("/v1/responses", b'{"input":"slowly please"}'))
        assert house.rung.began.wait(5)
    assert house.rung.cancelled.wait(5)


def ask_chain(chain: Any, given: Any, **more: Any) -> Any:
    client = openai.OpenAI(base_url=f"{chain.url}/v1", api_key="x", max_retries=0)
    return client.responses.create(model="large", input=given, **more)


def peer(chain: Any) -> Any:
    """The last body that the model's server got."""
    return openai.OpenAI(base_url=chain.mock, api_key="x").get("/mock/calls", cast_to=dict[str, Any])["last"]


class Thinker(Scripted):
    """A rung that thinks, speaks and calls, token by token."""

    async def _think(self, request: Request, rest: str, sink: Any) -> Answer:
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for delta in (
            Delta(extra={"reasoning_content": "I should "}), Delta(extra={"reasoning_content": "look."}),
            Delta(text="Let me "), Delta(text="look."), Delta(extra={"tool_calls": [{"index": 0, **call}]}),
        ):  # fmt: skip
            await sink.emit(delta)
        extra = {"reasoning_content": "I should look."}
        return Answer(text="Let me look.", model="scripted", tool_calls=(call,), extra=extra, finish="tool_calls")


@pytest.mark.parametrize("guarded", [False, True])
def test_reasoning_words_and_calls_of_one_turn(house: Any, tmp_path: Path, guarded: bool) -> None:
    """Under a guard all that is no text comes at the end; the client's own bookkeeping holds either way."""
    seat = Seat(name="words", judge=Words(), on=frozenset({"answer"}))
    made = msgspec.structs.replace(desk(Thinker(), tmp_path, house.store), guards=(seat,) if guarded else ())
    given = settings(tmp_path)
    with served(gateway_app.app(made, given), given) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        with client.responses.stream(model="auto", input="think", tools=[WEATHER]) as stream:
            seen = list(stream)
            final = stream.get_final_response()
    kinds = ["message", "reasoning"] if guarded else ["reasoning", "message"]
    assert [item.type for item in final.output] == [*kinds, "function_call"]
    said = {item.type: item for item in final.output}
    assert (said["message"].content[0].text, said["reasoning"].content[0].text) == ("Let me look.", "I should look.")
    done = [event.item for event in seen if event.type == "response.output_item.done"]
    assert [item.id for item in done] == [item.id for item in final.output]
    if not guarded:  # reasoning is done before the first word
        types = [event.type for event in seen]
        assert types.index("response.output_item.done") < types.index("response.output_text.delta")
    back = history.messages([item.to_dict() for item in final.output], None)
    assert sum(len(message.get("tool_calls", ())) for message in back) == 1
    assert {message["role"] for message in back} == {"assistant"}


def test_what_a_server_signed_survives_a_client_that_keeps_no_unknown_fields(chain: Any) -> None:
    """As Codex: it sends back what it knows of an item, `encrypted_content` unread."""
    blocks = [{"type": "thinking", "signature": "s1", "lines": 1}]
    mock = {"reply": "At noon.", "extra": {"reasoning_content": "Tides.", "thinking_blocks": blocks}, "rate": 0}
    for stream in (False, True):
        said = ask_chain(chain, "When?", extra_body={"mock": mock}, stream=stream)
        thought, message = (list(said)[-1].response if stream else said).output
        known = {name: getattr(thought, name) for name in ("id", "type", "summary", "encrypted_content")}
        ask_chain(chain, [known, message.to_dict(), {"role": "user", "content": "Sure?"}])
        assert peer(chain)["messages"][0] == {
            "role": "assistant", "content": "At noon.", "thinking_blocks": blocks,
        }  # fmt: skip
    with pytest.raises(openai.BadRequestError, match="as this gateway gave it"):
        ask_chain(chain, [{**known, "encrypted_content": "trimtab.1.%%"}, {"role": "user", "content": "Sure?"}])
    foreign = {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "gAAAA"}
    ask_chain(chain, [foreign, {"role": "user", "content": "Sure?"}])
    assert peer(chain)["messages"] == [{"role": "user", "content": "Sure?"}]


def test_over_http_with_reasoning_and_back(chain: Any) -> None:
    """A model's reasoning is an item of its own, with what its server put beside it, and goes back as it came."""
    mock = {"reply": "At noon.", "extra": {"reasoning_content": "Tides.", "signature": "s1"}, "rate": 0}
    whole = ask_chain(chain, "When?", extra_body={"mock": mock})
    streamed = list(ask_chain(chain, "When?", extra_body={"mock": mock}, stream=True))[-1].response
    for said in (whole, streamed):
        thought, message = said.output
        assert (thought.type, thought.content[0].text, thought.summary) == ("reasoning", "Tides.", [])
        assert (message.content[0].text, message.signature) == ("At noon.", "s1")
        assert float(said.trimtab["cost_usd"]) > 0
        ask_chain(chain, [{"role": "user", "content": "When?"}, *said.output, {"role": "user", "content": "Sure?"}])
        assert peer(chain)["messages"][1] == {
            "role": "assistant", "content": "At noon.", "reasoning_content": "Tides.", "signature": "s1",
        }  # fmt: skip


def test_the_streams_of_a_real_upstream(chain: Any) -> None:
    said = list(ask_chain(chain, "Sing of the tide.", stream=True))
    text = "".join(event.delta for event in said if event.type == "response.output_text.delta")
    final = said[-1].response
    assert text == final.output_text == "Sing of the tide."
    assert final.usage.output_tokens == 4
    called = list(ask_chain(chain, "call weather", tools=[WEATHER], stream=True, extra_body={"mock": {"rate": 0}}))
    assert called[-1].response.output[0].arguments == '{"city":"text"}'


def test_a_cut_upstream_is_never_a_clean_end(chain: Any) -> None:
    found: list[Any] = []
    with pytest.raises(openai.APIError):
        found.extend(ask_chain(chain, "a b c d " * 40, stream=True, extra_body={"mock": {"fault": "cut", "rate": 0}}))
    assert not any(event.type == "response.completed" for event in found)
