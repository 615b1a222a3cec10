"""The real `openai` client, sync and async, on the legacy `/v1/completions`."""

import asyncio
import json
from typing import Any

import openai
import pytest
from _gateway import exchange, post

from trimtab.server.completions import tokens


def ask(house: Any, prompt: Any, **more: Any) -> Any:
    return house.client().completions.create(**{"model": "auto", "prompt": prompt, **more})


def ask_chain(chain: Any, prompt: Any, **more: Any) -> Any:
    client = openai.OpenAI(base_url=f"{chain.url}/v1", api_key="x", max_retries=0)
    return client.completions.create(model="large", prompt=prompt, **more)


def joined(chunks: list[Any], index: int = 0) -> str:
    return "".join(choice.text for chunk in chunks for choice in chunk.choices if choice.index == index)


def test_text(house: Any) -> None:
    said = ask(house, "say the tide turns", max_tokens=20, stop=["x"], seed=1, extra_body={"new_field": [1]})
    assert (said.object, said.model, said.choices[0].text, said.choices[0].finish_reason) == (
        "text_completion", "scripted", "the tide turns", "stop",
    )  # fmt: skip
    assert (said.usage.prompt_tokens, said.usage.completion_tokens, said.usage.total_tokens) == (7, 3, 10)
    assert said.trimtab["answered_by"] == "scripted"
    assert said.id == "cmpl-" + said.trimtab["trace"].removeprefix("tr_")
    asked = house.rung.requests[-1]
    assert asked.messages == ({"role": "user", "content": "say the tide turns"},)
    assert asked.params == {"max_tokens": 20, "stop": ["x"], "seed": 1, "new_field": [1]}


def test_headers(house: Any) -> None:
    raw = house.client().completions.with_raw_response.create(model="auto", prompt="say yes")
    assert raw.headers["x-trimtab-trace"] == raw.parse().trimtab["trace"]


def test_further_choices(house: Any) -> None:
    said = ask(house, "two please", n=2)
    assert [(c.index, c.text, c.finish_reason) for c in said.choices] == [(0, "first", "stop"), (1, "second", "length")]
    assert said.system_fingerprint == "fp_1"
    chunks = list(ask(house, "two please", n=2, stream=True))
    assert (joined(chunks), joined(chunks, 1)) == ("first", "second")
    ends = {c.index: c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason}
    assert ends == {0: "stop", 1: "length"}


def test_several_prompts_are_requests_of_their_own(house: Any) -> None:
    said = ask(house, ["say one", "two please", "say three"], n=2)
    assert [(c.index, c.text) for c in said.choices] == [(0, "one"), (2, "first"), (3, "second"), (4, "three")]
    assert said.usage.prompt_tokens == 14
    traces = [one["trace"] for one in said.trimtab["prompts"]]
    assert (len(set(traces)), said.trimtab["trace"]) == (3, traces[0])
    assert said.trimtab["cost_usd"] == "0.000000000"
    chunks = list(ask(house, ["say one two", "say three"], stream=True))
    assert (joined(chunks), joined(chunks, 1)) == ("one two", "three")


def test_stream(house: Any) -> None:
    chunks = list(ask(house, "say one two", stream=True, stream_options={"include_usage": True}))
    assert [c.text for chunk in chunks for c in chunk.choices] == ["one", " two", ""]
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert (chunks[-1].choices, chunks[-1].usage.total_tokens) == ([], 9)
    assert chunks[-1].trimtab["answered_by"] == "scripted"
    assert {(chunk.id, chunk.object) for chunk in chunks} == {(chunks[0].id, "text_completion")}
    last = list(ask(house, "say one", stream=True))[-1]
    assert (last.choices[0].finish_reason, last.trimtab["answered_by"], last.usage) == ("stop", "scripted", None)


def test_echo(house: Any) -> None:
    assert ask(house, "say yes", echo=True).choices[0].text == "say yesyes"
    assert joined(list(ask(house, "say yes", echo=True, stream=True))) == "say yesyes"


def test_logprobs_are_asked_for_and_come_in_the_old_shape(house: Any) -> None:
    ask(house, "say yes", logprobs=2)
    assert house.rung.requests[-1].params == {"logprobs": True, "top_logprobs": 2}
    content = [
        {"token": "ye", "logprob": -0.5, "bytes": [], "top_logprobs": [{"token": "ye", "logprob": -0.5, "bytes": []}]},
        {"token": "s", "logprob": -0.1, "bytes": [], "top_logprobs": []},
    ]
    assert tokens({"content": content}, 3) == {
        "tokens": ["ye", "s"], "token_logprobs": [-0.5, -0.1], "top_logprobs": [{"ye": -0.5}, {}],
        "text_offset": [3, 5],
    }  # fmt: skip
    assert tokens(None, 0) is None


def test_refusal(house: Any) -> None:
    said = ask(house, "say something forbidden")
    assert (said.choices[0].text, said.choices[0].finish_reason) == ("", "content_filter")
    assert said.trimtab["refused"]["code"] == "forbidden_word"
    chunks = list(ask(house, "say something forbidden", stream=True))
    assert (joined(chunks), chunks[-1].choices[0].finish_reason) == ("", "content_filter")
    both = ask(house, ["say something forbidden", "say yes"])
    assert [(c.text, c.finish_reason) for c in both.choices] == [("", "content_filter"), ("yes", "stop")]


@pytest.mark.parametrize("prompt", ["risky x", ["say yes", "risky x"]])
def test_pending(house: Any, prompt: Any) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(house, prompt)
    assert (caught.value.status_code, caught.value.code) == (428, "approval_required")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"), ({"prompt": [[1, 2]]}, "prompt"), ({"prompt": []}, "prompt"),
        ({"prompt": None}, "prompt"), ({"prompt": ["x"] * 65}, "prompt"), ({"suffix": "the end"}, "suffix"),
        ({"best_of": 3}, "best_of"), ({"best_of": 3, "n": 2}, "best_of"), ({"echo": True, "logprobs": 1}, "echo"),
        ({"logprobs": "many"}, "logprobs"), ({"echo": "yes"}, "echo"), ({"n": "two"}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ],
)  # fmt: skip
def test_what_cannot_be(house: Any, more: dict[str, Any], param: str) -> None:
    before = len(house.rung.requests)
    with pytest.raises(openai.APIStatusError) as caught:
        house.client().post("/completions", body={"prompt": "say x", **more}, cast_to=dict[str, Any])
    assert caught.value.status_code in (400, 413)
    assert caught.value.param == param
    assert param in caught.value.message
    assert len(house.rung.requests) == before


def test_what_asks_for_nothing_is_no_error(house: Any) -> None:
    said = ask(house, "say x", suffix=None, best_of=1, echo=False, logprobs=None)
    assert (said.choices[0].text, house.rung.requests[-1].params) == ("x", {})


def test_faults(house: Any) -> None:
    for prompt, stream in (("down", False), ("down", True), (["say x", "down"], False)):
        with pytest.raises(openai.InternalServerError) as caught:
            ask(house, prompt, model="scripted", stream=stream)
        assert (caught.value.status_code, caught.value.code) == (503, "upstream_down")


def test_the_fault_of_one_prompt_cancels_the_others(house: Any) -> None:
    house.rung.cancelled.clear()
    with pytest.raises(openai.InternalServerError):
        ask(house, ["slowly please", "down"], model="scripted")
    assert house.rung.cancelled.wait(5)


def test_a_failure_inside_is_an_error_event_and_no_done(house: Any) -> None:
    host, port = house.url.removeprefix("http://").split(":")
    body = json.dumps({"prompt": "cut here", "stream": True}).encode()
    _, _, raw = exchange(host, int(port), post("/v1/completions", body))
    assert b'"text":"half of an ans"' in raw
    assert b'"code":"upstream_error"' in raw
    assert b"[DONE]" not in raw
    with pytest.raises(openai.APIError, match="cut the connection"):
        list(ask(house, "cut here", stream=True))


async def test_async_and_cancel(house: Any) -> None:
    async with house.asynchronous() as client:
        said = await client.completions.create(model="auto", prompt="say one two")
        assert said.choices[0].text == "one two"
        stream = await client.completions.create(model="auto", prompt="say one two", stream=True)
        assert joined([chunk async for chunk in stream]) == "one two"
        house.rung.cancelled.clear()
        opened = await client.completions.create(model="auto", prompt="slowly please", stream=True)
        async for _ in opened:
            break
        await opened.close()
        assert await asyncio.to_thread(house.rung.cancelled.wait, 5)


def test_over_http(chain: Any) -> None:
    said = ask_chain(chain, ["Sing of the tide.", "And of the sea."], n=2, extra_body={"mock": {"rate": 0}})
    assert [c.text for c in said.choices] == ["Sing of the tide."] * 2 + ["And of the sea."] * 2
    assert float(said.trimtab["cost_usd"]) > 0
    chunks = list(ask_chain(chain, "Sing.", n=2, stream=True))
    assert (joined(chunks), joined(chunks, 1)) == ("Sing.", "Sing.")
