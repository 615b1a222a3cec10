"""Thinking first: the order and its budget go in, the thoughts stay out of the answer and of its stream."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import flow
from trimtab.answer._thought import Hidden, Thinking, parted
from trimtab.errors import ConfigError
from trimtab.settings import parse
from trimtab.testing import Hears, Passes, Says, ask, desk
from trimtab.types import Answer, Delta, Evidence, Request, Usage, Verdict, Wishes

THOUGHT = "<think>\nTwo and two.\n</think>\n\nIt is 4."


async def said(text: str, request: Request | None = None, live: bool = False, **more: Any) -> tuple[Any, Hears, Says]:
    model, sink = Says(text, **more), Hears(live=live)
    found = await Thinking(model, "small", 100).answer(request or ask("What is 2 + 2?"), Evidence(), sink)
    return found, sink, model


async def test_it_is_told_to_think_and_the_client_s_limit_is_for_the_answer() -> None:
    _, _, model = await said(THOUGHT, ask("What is 2 + 2?", params={"max_tokens": 50}))
    asked = model.asked[0]
    assert asked.messages[0]["content"].startswith("What is 2 + 2?\n\nFirst think")
    assert "no more than 60 words" in asked.messages[0]["content"]
    assert asked.params == {"max_tokens": 150}
    assert (await said(THOUGHT))[2].asked[0].params == {}, "where the client sets no limit there is none"


async def test_thoughts_are_hidden_counted_and_shown_where_they_are_asked_for() -> None:
    found, _, _ = await said(THOUGHT, usage=Usage(prompt=10, completion=20))
    assert (found.text, found.extra) == ("It is 4.", {})
    assert 0 < found.usage.reasoning <= 20
    assert found.usage.completion == 20
    found, _, _ = await said(THOUGHT, ask("?", wishes=Wishes(reasoning=True)))
    assert (found.text, found.extra) == ("It is 4.", {"reasoning_content": "Two and two."})


async def test_what_a_server_tells_as_reasoning_is_hidden_too() -> None:
    told = {"reasoning_content": "Two and two.", "other": 1}
    found, _, _ = await said("It is 4.", extra=told)
    assert found.extra == {"other": 1}
    found, _, _ = await said("It is 4.", ask("?", wishes=Wishes(reasoning=True)), extra=told)
    assert found.extra == told


@pytest.mark.parametrize(
    "params",
    [{"tools": [{"type": "function"}]}, {"response_format": {"type": "json_object"}}, {"n": 2}, {"stop": ["x"]},
     {"logprobs": True}],
    ids=str,
)  # fmt: skip
async def test_where_the_answer_has_a_form_nothing_is_changed(params) -> None:
    request = ask("?", params=params)
    found, _, model = await said(THOUGHT, request)
    assert model.asked[0] is request
    assert found.text == THOUGHT


async def test_one_that_only_thought_has_passed_and_is_paid() -> None:
    small = Says("<think>And then, and then", finish="length")
    outcome, trace = await flow.run(desk({"small": Thinking(small, "small", 100), "large": Says("4.")}), ask("?"))
    assert outcome.model == "large"
    assert [(step.code, step.cost) for step in trace.steps if step.stage == "answer"] == [
        ("only_thought", 10_000), ("", 20_000)
    ]  # fmt: skip


async def test_one_whose_thoughts_the_client_has_read_cannot_pass_any_more() -> None:
    found, sink, _ = await said("<think>And then", ask("?", wishes=Wishes(reasoning=True)), live=True, finish="length")
    assert (found.text, found.finish) == ("", "length")
    assert sink.deltas


async def test_a_pass_is_a_pass() -> None:
    assert isinstance(await Thinking(Passes(), "small", 100).answer(ask("?"), Evidence(), Hears()), Verdict)


WRITTEN = [THOUGHT, "<think></think>4", "  <think>a</think>", "No thought <think>", "<thin", "", "<think>a <"]


@given(st.sampled_from(WRITTEN), st.lists(st.integers(1, 9), max_size=40), st.booleans())
async def test_a_stream_hides_them_however_it_is_cut(text: str, cuts: list[int], shown: bool) -> None:
    sink = Hears()
    hidden, at = Hidden(sink, shown), 0
    for size in [*cuts, len(text)]:
        await hidden.emit(Delta(text=text[at : at + size]))
        at += size
    await hidden.close()
    thought, answer = parted(text)
    assert sink.text.strip() == answer.strip()
    told = "".join(delta.extra.get("reasoning_content", "") for delta in sink.deltas)
    if "</think>" in text:
        assert told.strip() == (thought if shown else "")
    assert shown or not told


async def test_nothing_is_streamed_while_it_thinks() -> None:
    """So that another rung may still answer."""
    found, sink, _ = await said("<think>a b c d e</think>f g", live=True)
    assert isinstance(found, Answer)
    assert sink.text.split() == ["f", "g"]


def test_a_budget_that_is_none_is_refused(tmp_path) -> None:
    def settings(think: int) -> Any:
        table = {"model": [{"kind": "code", "think": think}]}
        return parse(table, folder=tmp_path, home=tmp_path, name="test", secrets={})

    assert settings(64).models[0].think == 64
    with pytest.raises(ConfigError, match="think"):
        settings(0)
