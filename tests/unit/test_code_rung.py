"""The deterministic rung: a hand-checked set without one wrong answer, and the requests that it must leave alone."""

import json
from pathlib import Path
from typing import Any

import pytest

from trimtab.answer import code
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Delta, Evidence, Request, Usage, Verdict

QUESTIONS = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data/code_questions.jsonl").read_text("utf-8").splitlines()
]
NOW = "2026-11-20T12:00:00+00:00"


class Listener:
    """A sink that keeps what it hears."""

    live = True

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def emit(self, delta: Delta) -> None:
        self.heard.append(delta.text)

    def spent(self, usage: Usage) -> None: ...

    def lost(self, usage: Usage, ms: float) -> None: ...


def rung(**options: Any) -> code.Code:
    def none(*_: Any) -> Any:
        return None

    tools = Tools(
        name="sums", recipe=Path(), home=Path(), encoder=none, store=none, personal=lambda _: (), secret=none,
        starting=none, closing=none, say=none,
    )  # fmt: skip
    return code.build(code.Options(**{"now": NOW, **options}), tools)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


async def ask(*messages: dict[str, Any], built: code.Code | None = None, **params: Any) -> Answer | Verdict:
    request = Request(id="t", messages=messages, params=params)
    return await (built or rung()).answer(request, Evidence(), Listener())


@pytest.mark.parametrize("case", QUESTIONS, ids=lambda case: case["question"])
def test_the_set(case: dict[str, str]) -> None:
    reading = rung().read(case["question"])
    assert (reading.text if reading else None) == case["answer"]


def test_the_set_is_large_enough() -> None:
    passes = sum(case["answer"] is None for case in QUESTIONS)
    assert len(QUESTIONS) >= 200
    assert passes >= 60
    assert all(case.get("why") for case in QUESTIONS if case["answer"] is None)


async def test_an_answer_says_its_parse_and_is_sure() -> None:
    said = await ask(user("what is 15% of 240?"))
    assert isinstance(said, Answer)
    assert (said.text, said.model, said.confidence, said.label) == ("36", "sums", 1.0, "arithmetic: 15 / 100 * 240")
    assert said.usage.estimated


async def test_the_answer_reaches_the_sink() -> None:
    sink = Listener()
    await rung().answer(Request(id="t", messages=(user("2 + 3"),)), Evidence(), sink)
    assert sink.heard == ["5"]


async def test_a_pass_says_who_and_why() -> None:
    said = await ask(user("what is love"))
    assert isinstance(said, Verdict)
    assert (said.ok, said.by, said.code) == (False, "sums", "not_parsed")
    assert said.why


@pytest.mark.parametrize(
    "params",
    [
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"n": 2},
        {"logprobs": True},
        {"stop": ["4"]},
        {"modalities": ["audio"]},
        {"max_tokens": 1},
    ],
    ids=str,
)
async def test_a_wish_it_cannot_grant_passes(params: dict[str, Any]) -> None:
    said = await ask(user("what is 100000 * 100000"), **params)
    assert isinstance(said, Verdict)
    assert said.code == "not_plain"


@pytest.mark.parametrize(
    "params",
    [
        {"temperature": 0.2, "max_tokens": 64, "seed": 1, "user": "u"},
        {"n": 1},
        {"tools": []},
        {"logprobs": False},
        {"stop": None},
        {"response_format": {"type": "text"}},
    ],
    ids=str,
)
async def test_a_wish_that_changes_nothing_does_not(params: dict[str, Any]) -> None:
    assert isinstance(await ask(user("2 + 2"), **params), Answer)


@pytest.mark.parametrize(
    "messages",
    [
        (),
        (user("what is 2 + 2"), {"role": "assistant", "content": "4"}, user("and times 3?")),
        ({"role": "assistant", "content": "2 + 2"},),
        (user([{"type": "text", "text": "2 + 2"}, {"type": "image_url", "image_url": {"url": "data:"}}]),),
        (user(None),),
        (user(7),),
        ({"role": "system", "content": "Answer in French."}, user("2 + 2")),
        ({"role": "system", "content": "You are helpful."}, {"role": "system", "content": "In verse."}, user("2 + 2")),
        ({"role": "system", "content": "You are a pirate."}, user("2 + 2")),
        ({"role": "system", "content": "Reply as JSON"}, user("2 + 2")),
    ],
    ids=str,
)
async def test_what_is_not_one_plain_question_passes(messages: tuple[dict[str, Any], ...]) -> None:
    said = await ask(*messages)
    assert isinstance(said, Verdict)
    assert said.code in ("not_plain", "not_parsed")


async def test_what_is_parsed_leans_on_no_earlier_turn() -> None:
    said = await ask(user("what is 2 + 2"), {"role": "assistant", "content": "4"}, user("5 + 5"))
    assert isinstance(said, Answer)
    assert said.text == "10"


async def test_text_parts_and_a_plain_system_message_are_fine() -> None:
    parts = user([{"type": "text", "text": "what is 2 + 2?"}])
    assert isinstance(await ask({"role": "system", "content": "You are a helpful assistant."}, parts), Answer)


async def test_the_operator_may_let_any_system_message_pass() -> None:
    system = {"role": "system", "content": "You are the clerk of a shop. " * 200}
    assert isinstance(await ask(system, user("2 + 2"), built=rung(system="any")), Answer)


@pytest.mark.parametrize(
    "text",
    [
        "1 + " * 25_000 + "1", "(" * 299, "9" * 299, "2^" * 149 + "2", "√" * 299, "what is " * 37, "a " * 149,
        "how many days between " + "1 and " * 45, "convert 1 " + "a " * 140, "factorial of 99999999999",
        "4096^340 * 4096^340", "1e999 * 1e999 * 1e999 * 1e999", "what is 3 + 4\n+ 5", "\x00", "\ud800",
    ],
    ids=lambda text: text[:20].encode("unicode_escape").decode(),
)  # fmt: skip
def test_a_hostile_text_is_left_alone(text: str) -> None:
    assert rung().read(text) is None


def test_brackets_may_nest_but_not_endlessly() -> None:
    assert rung().read("(" * 10 + "1 + 1" + ")" * 10 + " * 2") is not None
    assert rung().read("(" * 30 + "1 + 1" + ")" * 30 + " * 2") is None


def test_skills_can_be_left_out() -> None:
    assert rung(skills=("units",)).read("2 + 2") is None
    assert rung(skills=("units",)).read("5 miles in km") is not None


def test_without_a_zone_nobody_knows_what_today_is() -> None:
    assert rung(zone="").read("what is the date today") is None
    assert rung(zone="").read("how many days between 2026-01-01 and 2026-01-02") is not None


def test_today_is_the_zone_s() -> None:
    late = rung(zone="Asia/Tokyo", now="2026-11-20T18:00:00+00:00").read("what is the date today")
    assert late is not None
    assert late.text == "Saturday, 21 November 2026 (Asia/Tokyo)"


def test_the_clock_runs_where_it_is_not_fixed() -> None:
    reading = rung(now="").read("what is the date today")
    assert reading is not None
    assert reading.parse.startswith("clock: today: 2")


@pytest.mark.parametrize(
    ("question", "clock"),
    [
        ("what is the date today", True),
        ("what is the date in 3 weeks", True),
        ("what day is tomorrow", True),
        ("what time is it in Tokyo", True),
        ("what date is 3 weeks after 2026-01-01", False),
        ("2 + 2", False),
    ],
)
def test_an_answer_that_will_not_hold_tomorrow_says_so_in_its_parse(question: str, clock: bool) -> None:
    reading = rung().read(question)
    assert reading is not None
    assert reading.parse.startswith("clock: ") is clock


@pytest.mark.parametrize("options", [{"zone": "Mars/Base"}, {"now": "soon"}, {"now": "2026-01-01T00:00:00"}], ids=str)
def test_bad_settings_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        rung(**options)
    assert caught.value.fix


def test_its_spec_is_free_and_takes_plain_questions_only() -> None:
    spec = code.spec(code.Options())
    assert spec.price is not None
    assert spec.price.input == spec.price.output == 0
    assert (spec.where, spec.abilities) == ("local", frozenset({"question"}))
