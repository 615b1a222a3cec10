"""A cut stream that another model goes on with, as the real `openai` and `anthropic` clients read it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from _gateway import Chain, exchange, post, served, settings

from trimtab.evaluate import mock
from trimtab.server import serving
from trimtab.settings import parse

MAIL = "jane.doe@example.com"
BEGUN = f"Write to {MAIL} about the brown fox"
"""What the first model would say; its server cuts after the half of it."""
HALF = f"Write to {MAIL} about "


@pytest.fixture(scope="module", params=["openai_http", "anthropic_http"])
def house(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Chain, str]]:
    """A gateway whose first model is cut, and the mock behind its second one, which is masked and may go on."""
    home = tmp_path_factory.mktemp("resume")
    with (
        served(mock.app(), settings(home)) as cut,
        served(mock.app(), settings(home)) as peer,
        serving.background(recipe(home, request.param, cut, peer)) as url,
    ):
        yield Chain(url, peer, home), request.param


def recipe(home: Path, kind: str, cut: str, peer: str) -> Any:
    def model(name: str, url: str, script: Any, **more: Any) -> dict[str, Any]:
        told = {"headers": {"x-mock": json.dumps(script)}, "price": {"input": "1", "output": "2"}}
        return {"kind": kind, "name": name, "url": f"{url}/v1", "model": name, **told, **more}

    table = {
        "server": {"port": 0, "drain": 1.0}, "discover": {"environment": False, "loopback": False},
        "record": [{"kind": "ledger", "store_text": "full"}],
        "model": [
            model("small", cut, {"reply": BEGUN, "fault": "cut"}),
            model("large", peer, {"reply": "[EMAIL-1], and so on."}, mask=True, resume=True),
        ],
    }  # fmt: skip
    return parse(table, folder=home, home=home, name="resume", secrets={})


def last(house: Chain) -> Any:
    return openai.OpenAI(base_url=house.mock + "/v1", api_key="x").get("../mock/calls", cast_to=dict[str, Any])["last"]


def trace(house: Chain, id: str) -> Any:
    return openai.OpenAI(base_url=f"{house.url}/v1", api_key="x").get(f"/traces/{id}", cast_to=dict[str, Any])


def test_the_openai_client_reads_one_stream(house: tuple[Chain, str]) -> None:
    here, _ = house
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="x", max_retries=0)
    chunks = list(
        client.chat.completions.create(
            model="auto", stream=True, stream_options={"include_usage": True}, temperature=0,
            messages=[{"role": "user", "content": f"To {MAIL}?"}],
        )
    )  # fmt: skip
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == f"{HALF}{MAIL}, and so on."
    about: Any = chunks[-1].trimtab  # pyright: ignore[reportAttributeAccessIssue]
    assert about["resumed"] == {"by": "large", "after": ["small"]}
    assert about["answered_by"] == "large"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert len({chunk.id for chunk in chunks}) == 1
    found = trace(here, about["trace"])
    steps = [step for step in found["steps"] if step["stage"] == "answer"]
    assert [(step["by"], step["code"], step["ok"]) for step in steps] == [
        ("small", "upstream_cut", False),
        ("large", "", True),
    ]
    assert all(step["cost_nano"] > 0 for step in steps)
    assert found["cost_nano"] == sum(step["cost_nano"] for step in steps)
    assert found["answer"] == text
    usage = chunks[-1].usage
    assert usage
    assert usage.completion_tokens == sum(step["usage"]["completion"] for step in steps)


def test_what_is_sent_on_is_masked(house: tuple[Chain, str]) -> None:
    here, _ = house
    client = anthropic.Anthropic(base_url=here.url, api_key="x", max_retries=0)
    with client.messages.stream(
        model="auto", max_tokens=100, messages=[{"role": "user", "content": f"To {MAIL}?"}]
    ) as stream:
        ends: Any = [event for event in stream if event.type == "message_delta"]
        message = stream.get_final_message()
    (block,) = message.content
    assert block.type == "text"
    assert block.text == f"{HALF}{MAIL}, and so on."
    assert message.stop_reason == "end_turn"
    assert ends[-1].trimtab["resumed"] == {"by": "large", "after": ["small"]}
    sent = last(here)
    assert MAIL not in json.dumps(sent)
    *_, said, go_on = sent["messages"]
    assert said["role"] == "assistant"
    assert "Write to [EMAIL-1] about" in json.dumps(said["content"])
    assert "cut off" in json.dumps(go_on["content"])
    assert 80 < sent["max_tokens"] < 100


def test_the_responses_stream_goes_on_too(house: tuple[Chain, str]) -> None:
    here, _ = house
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="x", max_retries=0)
    events = list(client.responses.create(model="auto", input=f"To {MAIL}?", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == f"{HALF}{MAIL}, and so on."
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == events[-1].response.output_text


def test_where_tools_are_offered_it_ends_with_the_fault(house: tuple[Chain, str]) -> None:
    here, _ = house
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    client = openai.OpenAI(base_url=f"{here.url}/v1", api_key="x", max_retries=0)
    messages: Any = [{"role": "user", "content": "Go"}]
    with pytest.raises(openai.APIError):
        list(
            client.chat.completions.create(
                model="auto", messages=messages, tools=[tool], tool_choice="none", stream=True
            )
        )
    with pytest.raises(openai.APIError):
        list(client.chat.completions.create(model="small", messages=messages, stream=True))


def test_a_whole_answer_is_not_a_half_one(house: tuple[Chain, str]) -> None:
    here, _ = house
    host, port = here.url.removeprefix("http://").split(":")
    body = json.dumps({"messages": [{"role": "user", "content": f"To {MAIL}?"}]}).encode()
    status, _, raw = exchange(host, int(port), post("/v1/chat/completions", body))
    found = json.loads(raw)
    assert (status, found["choices"][0]["message"]["content"]) == (200, f"{MAIL}, and so on.")
    assert "resumed" not in found["trimtab"]
