"""Answers of the wrong form: what is mended without asking, what is left alone, and the one second question."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import asking, flow
from trimtab.errors import ConfigError, NotFoundError, UpstreamDownError
from trimtab.testing import PRICE, Breaks, Keeps, Says, ask, desk, seat, tools
from trimtab.types import Answer, Evidence, Limits, ModelSpec, Request, Usage, Verdict
from trimtab.verify import _reasked, schema
from trimtab.verify._mend import mended

PERSON = {
    "response_format": {
        "type": "json_schema",
        "json_schema": {"name": "p", "schema": {"type": "object", "required": ["name"], "properties": {
            "name": {"type": "string"}, "age": {"type": "integer"}}}},
    }
}  # fmt: skip
WEATHER = {
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": {
        "type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}}}]
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('```\n[1, 2]\n```', [1, 2]),
        ('Here you are:\n```json\n{"a": 1}\n```\nAnything else?', {"a": 1}),
        ('Sure! {"a": 1} I hope that helps.', {"a": 1}),
        ("{'a': 'b'}", {"a": "b"}),
        ("{'a': 'it\\'s'}", {"a": "it's"}),
        ("{a: 1, b_2: 'c'}", {"a": 1, "b_2": "c"}),
        ('{"a": [1, 2,], }', {"a": [1, 2]}),
        ('{"a": True, "b": None, "c": False}', {"a": True, "b": None, "c": False}),
        ('{"a": 1, // one\n "b": 2 /* two */ }', {"a": 1, "b": 2}),
        ('{"a": "two\nlines\tand a tab"}', {"a": "two\nlines\tand a tab"}),
        ("{“a”: “b”}", {"a": "b"}),
        ('{"a": .5, "b": +1, "c": 2.}', {"a": 0.5, "b": 1, "c": 2}),
        ("\ufeff{\"a\": \"\\u00e9\"}", {"a": "é"}),
        ("{'a': 'say \"hi\"'}", {"a": 'say "hi"'}),
        ("[]", []),
    ],
)  # fmt: skip
def test_what_is_certain_is_mended(text: str, value: Any) -> None:
    found = mended(text)
    assert found is not None
    assert json.loads(found) == value


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1', '{"a": "cut', '{"a": [1, 2', '{"a":', "{", "[",  # cut short
        '{"a": 1} {"b": 2}', '{"a": 1}\n```json\n{"b": 2}\n```', '```json\n{"a": 1}\n```\n```json\n{"b": 2}\n```',
        '{"a": 1, "a": 2}', "{a: 1, 'a': 2}",  # which one?
        "{'a': 'it's'}", '{"a": "say "hi""}', '{"a": 1 "b": 2}', '{"a" 1}', '{"a": 1,, "b": 2}', "{,}",
        '{"a": NaN}', '{"a": 010}', '{"a": 0x1f}', '{"a": 1.2.3}', '{"a": undefined}', '{"a": ...}', '{"a": b}',
        "See [1] and [2].", "See [1]: {\"a\": 2}", "no JSON at all", "", "[" * 5000, '{"a":' * 5000,
        '{"a": "\\x"}', '{"a": \'\\x\'}',
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_what_is_not_certain_is_left_alone(text: str) -> None:
    assert mended(text) is None


def test_numbers_stay_as_they_were_written() -> None:
    assert mended("{'a': 1.10, 'b': 123456789012345678901234567890, 'c': 1e400}") == (
        '{"a":1.10,"b":123456789012345678901234567890,"c":1e400}'
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    VALUES.filter(lambda value: isinstance(value, dict | list)), st.sampled_from(["{}", "```json\n{}\n```", " {}\n"])
)
def test_json_itself_never_changes_its_meaning(value: Any, around: str) -> None:
    text = json.dumps(value, default=float)
    found = mended(around.replace("{}", text))
    if "```" not in text:  # a fence inside of a string may close the fence around it
        assert found is not None
        assert json.loads(found, parse_float=Decimal) == json.loads(text, parse_float=Decimal)


@given(VALUES.filter(lambda value: isinstance(value, dict)))
def test_python_s_own_writing_is_read_or_left_alone(value: Any) -> None:
    plain = json.loads(json.dumps(value, default=float))
    found = mended(repr(plain))
    assert found is None or json.loads(found) == plain


@given(st.text(alphabet="{}[]:,\"'\\ab1 \n`/*#", max_size=60))
def test_any_text_gives_json_or_nothing(text: str) -> None:
    found = mended(text)
    assert found is None or isinstance(json.loads(found), dict | list)


# --- the verifier


def judge(tmp_path, **options: Any) -> Any:
    built = schema.build(schema.Options(**options), tools(tmp_path, name="form", ask=asking.ask))
    return seat(built, "form")


async def run(tmp_path, models: dict[str, Any], request: Request, **options: Any) -> tuple[Any, Any]:
    parts = {name: options.pop(name) for name in ("specs", "regions") if name in options}
    keeps = Keeps()
    given_ = desk(models, verifiers=(judge(tmp_path, **options),), recorders=(keeps,), **parts)
    return await flow.run(given_, request)


class Turns(Says):
    """A model that says one thing after the other."""

    def __init__(self, *texts: str, usage: Usage | None = None) -> None:
        super().__init__(texts[0], usage=usage)
        self.texts = list(texts)

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
        self.text = self.texts.pop(0)
        return await super().answer(request, evidence, sink)


async def test_a_mended_answer_leaves_mended_and_nobody_is_asked_again(tmp_path) -> None:
    small = Says("Sure:\n```json\n{'name': 'Ada', 'age': 36,}\n```")
    outcome, trace = await run(tmp_path, {"small": small}, ask("Who?", params=PERSON))
    assert outcome.text == '{"name":"Ada","age":36}'
    assert len(small.asked) == 1
    assert [(step.stage, step.code) for step in trace.steps][-1] == ("verify", "mended")


async def test_arguments_of_a_call_are_mended(tmp_path) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{'city': 'Rome'}"}}
    small = Says("", tool_calls=(call,))
    outcome, _ = await run(tmp_path, {"small": small}, ask("Where?", params=WEATHER))
    assert outcome.tool_calls[0]["function"]["arguments"] == '{"city":"Rome"}'


async def test_an_answer_that_was_cut_is_not_mended(tmp_path) -> None:
    small, large = Says('{"name": "Ada"}, and', finish="length"), Says('{"name": "Eve"}')
    outcome, _ = await run(tmp_path, {"small": small, "large": large}, ask("Who?", params=PERSON), reask=0)
    assert outcome.model == "large"


async def test_a_wrong_answer_is_asked_for_once_more_and_both_calls_are_paid(tmp_path) -> None:
    small, large = Turns('{"age": 36}', '{"name": "Ada"}'), Says("{}")
    request = ask("Who?", params={**PERSON, "max_tokens": 50, "n": 1})
    outcome, trace = await run(tmp_path, {"small": small, "large": large}, request)
    assert (outcome.model, outcome.text) == ("small", '{"name": "Ada"}')
    assert large.asked == []
    again = small.asked[1]
    assert again.params["max_tokens"] == 50, "the client's own limit stays"
    assert "n" not in again.params
    assert again.messages[-2] == {"role": "assistant", "content": '{"age": 36}'}
    assert "'name' is a required property" in again.messages[-1]["content"]
    steps = [(step.stage, step.by, step.code) for step in trace.steps if step.stage in ("answer", "verify")]
    assert steps == [("answer", "small", ""), ("answer", "small", "asked"), ("verify", "form", "asked_again")]
    once = 10 * 1000 + 5 * 2000  # nanodollars of Says' usage at testing.PRICE
    assert trace.cost == 2 * once


async def test_it_is_asked_again_once_then_the_next_rung_has_its_turn(tmp_path) -> None:
    small, large = Turns("nonsense", "nonsense", "nonsense"), Says('{"name": "Eve"}')
    outcome, trace = await run(tmp_path, {"small": small, "large": large}, ask("Who?", params=PERSON))
    assert (outcome.model, len(small.asked)) == ("large", 2)
    assert trace.cost == 3 * 20_000


async def test_an_answer_in_the_name_of_no_rung_is_not_asked_for_again(tmp_path) -> None:
    class Recorded(Says):
        async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
            return msgspec.structs.replace(await super().answer(request, evidence, sink), model="whoever-it-was")

    small, large = Recorded('{"age": 36}'), Says('{"name": "Eve"}')
    outcome, trace = await run(tmp_path, {"small": small, "large": large}, ask("Who?", params=PERSON))
    assert (outcome.model, len(small.asked)) == ("large", 1)
    assert "schema_mismatch:refuse" in [step.code for step in trace.steps]


@pytest.mark.parametrize("reask", [0, 20])
async def test_nobody_is_asked_again_beyond_the_budget(tmp_path, reask) -> None:
    small, large = Turns("nonsense", '{"name": "Ada"}'), Says('{"name": "Eve"}')
    outcome, _ = await run(tmp_path, {"small": small, "large": large}, ask("Who?", params=PERSON), reask=reask)
    assert (outcome.model, len(small.asked)) == ("large", 1)
    small = Turns("nonsense", '{"name": "Ada"}')
    outcome, _ = await run(tmp_path, {"small": small, "large": large}, ask("Who?", params=PERSON), reask=400)
    assert (outcome.model, small.asked[1].params["max_tokens"] <= 400) == ("small", True), "the control"


@pytest.mark.parametrize(
    "more",
    [{"finish": "length"}, {"finish": "content_filter"}, {"extra": {"refusal": "No."}}, {"choices": ({"index": 1},)}],
    ids=str,
)
def test_nobody_is_asked_again_who_would_say_no_better(more) -> None:
    request = ask("Who?", params=PERSON)
    assert _reasked.asked(request, Answer(text="no", model="small", **more), "Not JSON.", 4000) is None
    assert _reasked.asked(request, Answer(text="no", model="small"), "Not JSON.", 4000) is not None, "the control"


async def test_a_second_call_that_fails_is_no_answer_and_its_unknown_cost_is_unknown(tmp_path) -> None:
    class Falls(Says):
        async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
            if self.asked:
                raise UpstreamDownError("It is down.")
            return await super().answer(request, evidence, sink)

    large = Says('{"name": "Eve"}')
    outcome, trace = await run(tmp_path, {"small": Falls("no"), "large": large}, ask("Who?", params=PERSON))
    assert outcome.model == "large"
    first, again = (step for step in trace.steps if step.by == "small")
    assert (first.code, again.code, again.ok) == ("", "asked", False)
    assert "in vain (upstream_down)" in again.why
    assert trace.cost is None


def specs(**changes: Any) -> dict[str, ModelSpec]:
    chat = frozenset({"chat", "json"})
    return {"small": ModelSpec(**{"name": "small", "price": PRICE, "abilities": chat, **changes})}


async def test_a_model_that_takes_no_conversation_is_not_asked_again(tmp_path) -> None:
    small = Turns("nonsense", '{"name": "Ada"}')
    given_ = {"small": small}
    with pytest.raises(Exception, match="not JSON"):
        await run(tmp_path, given_, ask("Who?", params=PERSON), specs=specs(abilities=frozenset({"question"})))
    assert len(small.asked) == 1


async def test_a_judge_s_question_keeps_the_request_s_limits(tmp_path) -> None:
    """Of cost and of place: what a rung may not do, a judge may not ask for."""

    class AsksLarge:
        def __init__(self) -> None:
            self.said: list[Answer | Verdict] = []

        def applies(self, request: Request, spec: ModelSpec) -> bool:
            return True

        async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
            self.said.append(await asking.ask("large", request, evidence, "curious"))
            return Verdict(ok=True)

    async def asked(limits: Limits, where: str = "local") -> Answer | Verdict:
        curious, large = AsksLarge(), Says("Yes.")
        known = {**specs(), "large": ModelSpec(name="large", where=where, price=PRICE, abilities=frozenset({"chat"}))}
        models = {"small": Says("No."), "large": large}
        await flow.run(desk(models, specs=known, verifiers=(seat(curious),)), ask("?", limits=limits))
        assert len(large.asked) == isinstance(curious.said[0], Answer)
        return curious.said[0]

    assert isinstance(await asked(Limits()), Answer)
    kept = await asked(Limits(where="local"), "remote")
    assert isinstance(kept, Verdict)
    assert (kept.code, "may not go there" in kept.why) == ("not_asked", True)
    poor = await asked(Limits(cost=530_000))
    assert isinstance(poor, Verdict)
    assert "cost limit" in poor.why
    assert isinstance(await asked(Limits(cost=60_000_000)), Answer), "the control"


async def test_a_judge_can_ask_only_in_its_turn_and_only_models_that_there_are(tmp_path) -> None:
    said = await asking.ask("small", ask("?"), Evidence(), "nobody")
    assert isinstance(said, Verdict)
    assert said.code == "not_asked"

    class AsksNobody:
        def applies(self, request: Request, spec: ModelSpec) -> bool:
            return True

        async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
            with pytest.raises(NotFoundError, match="small"):
                await asking.ask("nobody", request, evidence, "curious")
            return Verdict(ok=True)

    outcome, _ = await flow.run(desk({"small": Says("Yes.")}, verifiers=(seat(AsksNobody()),)), ask("?"))
    assert isinstance(outcome, Answer)


async def test_a_model_that_crashes_when_a_judge_asks_is_no_fault_of_the_path(tmp_path) -> None:
    class AsksBroken:
        def applies(self, request: Request, spec: ModelSpec) -> bool:
            return True

        async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
            said = await asking.ask("broken", request, evidence, "curious")
            assert isinstance(said, Verdict)
            return Verdict(ok=True, code="ok", why=said.code)

    models = {"small": Says("Yes."), "broken": Breaks(ValueError("x"))}
    outcome, trace = await flow.run(desk(models, verifiers=(seat(AsksBroken()),)), ask("?"))
    assert isinstance(outcome, Answer)
    assert trace.steps[-1].why == "rung_crashed"


def test_a_budget_below_0_is_refused_at_start(tmp_path) -> None:
    with pytest.raises(ConfigError, match="reask"):
        judge(tmp_path, reask=-1)
