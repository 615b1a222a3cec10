"""Each client's dialect to each upstream's, whole and streamed: what the upstream was sent, what the client reads."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import openai
import pytest
from _gateway import Chain, served, settings, until

from trimtab.evaluate import mock
from trimtab.server import serving
from trimtab.settings import parse

PNG = "aGk="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
PRICE = {"input": "2", "output": "10", "cached": "0.2", "cache_write": "2.5", "cache_write_long": "4"}
THOUGHT = {"reasoning_content": "I should look."}


class Said(msgspec.Struct, kw_only=True):
    """A reply in words of no dialect; `usage` is prompt, cached, written, completion and reasoning."""

    text: str
    thought: str
    call: tuple[str, Any] | None
    usage: tuple[int, int, int, int, int]
    cost: str
    back: list[Any]
    """The turn as this client sends it back."""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """A gateway with an upstream of each dialect (`claude`, `gpt`), both the mock."""
    home = tmp_path_factory.mktemp("pair")
    with served(mock.app(mock.Options()), settings(home)) as peer:
        common = {"url": f"{peer}/v1", "vision": True, "price": PRICE}
        table = {
            "server": {"port": 0, "drain": 1.0}, "discover": {"environment": False, "loopback": False},
            "model": [{"kind": "anthropic_http", "name": "claude", "model": "claude-mock", **common},
                      {"kind": "openai_http", "name": "gpt", "model": "gpt-mock", **common}],
            "record": [{"kind": "ledger"}],
        }  # fmt: skip
        with serving.background(parse(table, folder=home, home=home, name="pair", secrets={})) as url:
            yield Chain(url, peer, home)


def sent(pair: Chain) -> Any:
    """The last body that the upstream got, less the script."""
    body = httpx.get(f"{pair.mock}/mock/calls").json()["last"]
    return {name: value for name, value in body.items() if name not in ("mock", "stream", "stream_options")}


def client(pair: Chain) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{pair.url}/v1", api_key="none", max_retries=0, timeout=20)


def chat(pair: Chain, model: str, stream: bool, turns: list[Any], script: Any, **more: Any) -> Said:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}]
    given: Any = {"model": model, "messages": turns, "tools": tools, "extra_body": {"mock": script}, **more}
    if stream:
        with client(pair).chat.completions.stream(**given, stream_options={"include_usage": True}) as events:
            chunks = [event.chunk for event in events if event.type == "chunk"]
            said, about = events.get_final_completion(), chunks[-1].trimtab
    else:
        said = client(pair).chat.completions.create(**given)
        about = said.trimtab
    message, usage = said.choices[0].message, said.usage
    calls = message.tool_calls or ()
    before, after = usage.prompt_tokens_details, usage.completion_tokens_details
    return Said(
        text=message.content or "", thought=getattr(message, "reasoning_content", None) or "",
        call=(calls[0].function.name, json.loads(calls[0].function.arguments)) if calls else None,
        usage=(usage.prompt_tokens, before.cached_tokens, before.cache_write_tokens, usage.completion_tokens,
               after.reasoning_tokens),
        cost=about["cost_usd"],
        back=[_plain(message.model_dump(exclude_none=True)),
              *({"role": "tool", "tool_call_id": call.id, "content": "rain"} for call in calls)],
    )  # fmt: skip


def _plain(message: Any) -> Any:
    """A message without what the client's stream helper has parsed."""
    for call in message.get("tool_calls", ()):
        call["function"].pop("parsed_arguments", None)
    message.pop("parsed", None)
    return message


def responses(pair: Chain, model: str, stream: bool, turns: list[Any], script: Any, **more: Any) -> Said:
    tools: Any = [{"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}]
    given: Any = {"model": model, "input": turns, "tools": tools, "extra_body": {"mock": script}, **more}
    if stream:
        with client(pair).responses.stream(**given) as events:
            said = events.get_final_response()
    else:
        said = client(pair).responses.create(**given)
    items = {item.type: item for item in said.output}
    call, thought, usage = items.get("function_call"), items.get("reasoning"), said.usage
    before = usage.input_tokens_details
    return Said(
        text=said.output_text, thought=thought.content[0].text if thought else "",
        call=(call.name, json.loads(call.arguments)) if call else None,
        usage=(usage.input_tokens, before.cached_tokens, before.cache_write_tokens, usage.output_tokens,
               usage.output_tokens_details.reasoning_tokens),
        cost=said.trimtab["cost_usd"],
        back=[*(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in said.output),
              *([{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}] if call else ())],
    )  # fmt: skip


def messages(pair: Chain, model: str, stream: bool, turns: list[Any], script: Any, **more: Any) -> Said:
    tools = [{"name": "weather", "input_schema": SCHEMA}]
    given: Any = {
        "model": model, "max_tokens": 300, "messages": turns, "tools": tools, "extra_body": {"mock": script}, **more,
    }  # fmt: skip
    mine = anthropic.Anthropic(base_url=pair.url, api_key="none", max_retries=0, timeout=20)
    if stream:
        with mine.messages.stream(**given) as events:
            last = [event for event in events if event.type == "message_delta"][-1]
            said, about = events.get_final_message(), last.trimtab  # type: ignore[attr-defined]
            usage = last.usage
    else:
        said = mine.messages.create(**given)
        usage, about = said.usage, said.trimtab
    blocks = {block.type: block for block in said.content}
    call, read, written = blocks.get("tool_use"), usage.cache_read_input_tokens, usage.cache_creation_input_tokens
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": "rain"}] if call else []
    return Said(
        text=blocks["text"].text if "text" in blocks else "",
        thought=blocks["thinking"].thinking if "thinking" in blocks else "",
        call=(call.name, call.input) if call else None,
        usage=(usage.input_tokens + read + written, read, written, usage.output_tokens,
               usage.output_tokens_details.thinking_tokens),
        cost=about["cost_usd"],
        back=[{"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in said.content]},
              *([{"role": "user", "content": results}] if results else ())],
    )  # fmt: skip


DIALECTS: list[Callable[..., Said]] = [chat, responses, messages]
IMAGE: dict[Any, Any] = {
    chat: {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
    responses: {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
    messages: {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
}
TEXT = {chat: "text", responses: "input_text", messages: "text"}

six = pytest.mark.parametrize(
    ("ask", "model"), [(ask, model) for ask in DIALECTS for model in ("gpt", "claude")],
    ids=lambda part: part if isinstance(part, str) else part.__name__,
)  # fmt: skip
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def asked(ask: Any, text: str) -> dict[str, Any]:
    return {"role": "user", "content": [IMAGE[ask], {"type": TEXT[ask], "text": text}]}


@six
@both
def test_images_and_tools_and_reasoning_there_and_back(pair: Chain, ask: Any, model: str, stream: bool) -> None:
    question = asked(ask, "weather in Łódź?")
    script = {"arguments": '{"city": "Łódź"}', "extra": THOUGHT}
    said = ask(pair, model, stream, [question], script)
    assert (said.call, said.thought) == (("weather", {"city": "Łódź"}), "I should look.")
    seen = sent(pair)
    if model == "gpt":
        picture, text = seen["messages"][0]["content"]
        assert (picture["type"], picture["image_url"]["url"]) == ("image_url", f"data:image/png;base64,{PNG}")
        assert seen["tools"][0]["function"]["name"] == "weather"
        assert seen["tools"][0]["function"]["parameters"] == SCHEMA
    else:
        picture, text = seen["messages"][0]["content"]
        assert picture == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        assert (seen["tools"][0]["name"], seen["tools"][0]["input_schema"]) == ("weather", SCHEMA)
    assert text == {"type": "text", "text": "weather in Łódź?"}

    again = ask(pair, model, stream, [question, *said.back, {"role": "user", "content": "and now?"}], {"reply": "Wet."})
    assert (again.text, again.call) == ("Wet.", None)
    turns = sent(pair)["messages"]
    if model == "gpt":
        roles = [turn["role"] for turn in turns]
        assert roles == ["user", "assistant", "tool", "user"]
        (call,) = turns[1]["tool_calls"]
        assert (call["function"]["name"], json.loads(call["function"]["arguments"])) == ("weather", {"city": "Łódź"})
        assert (turns[2]["tool_call_id"], turns[2]["content"]) == (call["id"], "rain")
        assert turns[1].get("reasoning_content") == "I should look."
    else:
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        kinds = {block["type"]: block for block in turns[1]["content"]}
        assert kinds["thinking"]["thinking"] == "I should look.", "signed: the mock refuses another's"
        assert (kinds["tool_use"]["name"], kinds["tool_use"]["input"]) == ("weather", {"city": "Łódź"})
        result, further = turns[2]["content"]
        assert (result["tool_use_id"], result["content"]) == (kinds["tool_use"]["id"], "rain")
        assert further["text"] == "and now?"


COUNTS = {
    "gpt": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 30,
                                      "cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 10}},
            "completion_tokens_details": {"reasoning_tokens": 35}},
    "claude": {"input_tokens": 30, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 30,
               "output_tokens": 50,
               "cache_creation": {"ephemeral_5m_input_tokens": 20, "ephemeral_1h_input_tokens": 10},
               "output_tokens_details": {"thinking_tokens": 35}},
}  # fmt: skip
COST = 30 * 2000 + 40 * 200 + 20 * 2500 + 10 * 4000 + 50 * 10_000
"""Nanodollars of either."""


@six
@both
def test_the_tokens_are_the_upstreams_and_so_is_the_cost(pair: Chain, ask: Any, model: str, stream: bool) -> None:
    turn = {"role": "user", "content": "Hi"}
    said = ask(pair, model, stream, [turn], {"reply": "Hello.", "usage": COUNTS[model]})
    assert said.usage == (100, 40, 30, 50, 35)
    assert said.cost == f"0.{COST:09d}"


def test_the_ledger_keeps_them(pair: Chain) -> None:
    said = client(pair).chat.completions.create(
        model="claude", messages=[{"role": "user", "content": "Hi"}], extra_body={"mock": {"usage": COUNTS["claude"]}}
    )
    found = until(lambda: client(pair).get(f"/traces/{said.trimtab['trace']}", cast_to=dict[str, Any]))  # type: ignore[attr-defined]
    assert found["usage"] == {
        "prompt": 100, "completion": 50, "cached": 40, "estimated": False, "reasoning": 35, "cache_write": 30,
        "cache_write_long": 10,
    }  # fmt: skip
    assert found["cost_nano"] == COST


SAMPLING = {"temperature": 0.5, "top_p": 0.9}
TURN: Any = {"role": "user", "content": "Hi"}


def test_a_chats_parameters_reach_a_server_of_its_dialect(pair: Chain) -> None:
    given: Any = {
        **SAMPLING, "n": 2, "seed": 7, "stop": ["END", "FIN"], "presence_penalty": 0.5, "frequency_penalty": -0.5,
        "logprobs": True, "top_logprobs": 3, "logit_bias": {"50256": -100}, "max_completion_tokens": 40, "user": "u1",
        "reasoning_effort": "low", "service_tier": "auto", "parallel_tool_calls": False, "metadata": {"a": "b"},
        "response_format": {"type": "json_object"}, "store": False, "prompt_cache_key": "k", "verbosity": "low",
    }  # fmt: skip
    said = client(pair).chat.completions.create(
        model="gpt", messages=[TURN], extra_body={"new_field": {"deep": [1, None]}}, **given
    )
    assert sent(pair) == {"model": "gpt-mock", "messages": [TURN], **given, "new_field": {"deep": [1, None]}}
    assert [(one.index, one.message.content) for one in said.choices] == [(0, '{"said":"Hi"}'), (1, '{"said":"Hi"}')]


@both
def test_choices_of_a_stream_keep_their_index(pair: Chain, stream: bool) -> None:
    given: Any = {"model": "gpt", "messages": [{"role": "user", "content": "one two"}], "n": 3}
    if not stream:
        choices = client(pair).chat.completions.create(**given).choices
        assert [(one.index, one.message.content, one.finish_reason) for one in choices] == [
            (i, "one two", "stop") for i in range(3)
        ]
        return
    texts, ends, usages = ["", "", ""], dict[int, str](), list[Any]()
    options: Any = {"include_usage": True}
    for chunk in client(pair).chat.completions.create(**given, stream=True, stream_options=options):
        usages += [chunk.usage] if chunk.usage else []
        for one in chunk.choices:
            texts[one.index] += one.delta.content or ""
            ends |= {one.index: one.finish_reason} if one.finish_reason else {}
    assert (texts, ends) == (["one two"] * 3, dict.fromkeys(range(3), "stop"))
    assert [usage.completion_tokens for usage in usages] == [6]


def test_a_stream_has_its_usage_only_where_it_is_asked_for(pair: Chain) -> None:
    chunks = list(client(pair).chat.completions.create(model="gpt", messages=[TURN], stream=True))
    assert not any(chunk.usage for chunk in chunks)
    body = httpx.get(f"{pair.mock}/mock/calls").json()["last"]
    assert body["stream_options"] == {"include_usage": True}, "the gateway counts all the same"
    assert client(pair).get(f"/traces/{chunks[-1].trimtab['trace']}", cast_to=dict[str, Any])["usage"] == {  # type: ignore[attr-defined]
        "prompt": 1, "completion": 1, "cached": 0, "estimated": False, "reasoning": 0, "cache_write": 0,
        "cache_write_long": 0,
    }  # fmt: skip


def test_a_chats_parameters_reach_a_server_of_the_other_dialect(pair: Chain) -> None:
    client(pair).chat.completions.create(
        model="claude", messages=[TURN], stop=["END"], seed=7, presence_penalty=0.5, frequency_penalty=-0.5,
        max_completion_tokens=40, user="u1", n=1, **SAMPLING,
    )  # fmt: skip
    assert sent(pair) == {
        "model": "claude-mock", "messages": [TURN], "max_tokens": 40, "stop_sequences": ["END"],
        "metadata": {"user_id": "u1"}, **SAMPLING,
    }  # fmt: skip


@pytest.mark.parametrize("wish", [{"n": 2}, {"logprobs": True}])
def test_what_the_other_dialect_cannot_say_is_refused_and_not_dropped(pair: Chain, wish: Any) -> None:
    before = httpx.get(f"{pair.mock}/mock/calls").json()["requests"]
    with pytest.raises(openai.APIStatusError):
        client(pair).chat.completions.create(model="claude", messages=[TURN], **wish)
    assert httpx.get(f"{pair.mock}/mock/calls").json()["requests"] == before


@pytest.mark.parametrize("model", ["gpt", "claude"])
def test_parameters_of_the_other_two_dialects(pair: Chain, model: str) -> None:
    responses(pair, model, False, [TURN], {}, max_output_tokens=40, user="u1", **SAMPLING)
    of_responses = sent(pair)
    further = {"extra_body": {"mock": {}, **SAMPLING}, "metadata": {"user_id": "u1"}, "stop_sequences": ["END"]}
    messages(pair, model, False, [TURN], {}, max_tokens=40, **further)
    of_messages = sent(pair)
    if model == "claude":
        same = {"max_tokens": 40, "metadata": {"user_id": "u1"}, **SAMPLING}
        assert same.items() <= of_responses.items()
        assert {**same, "stop_sequences": ["END"]}.items() <= of_messages.items()
    else:
        assert {"max_completion_tokens": 40, "user": "u1", **SAMPLING}.items() <= of_responses.items()
        assert {"max_tokens": 40, "user": "u1", "stop": ["END"], **SAMPLING}.items() <= of_messages.items()
