"""Signals and the router by rules: what is seen in a request, who is left out and why, and the order of the rest."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.errors import ConfigError, NotFoundError, RequestError
from trimtab.ports import Tools
from trimtab.route import _signals, rules
from trimtab.types import FREE, HERE, Decision, Impact, Limits, ModelSpec, Price, Request, Wishes


def spec(*abilities: str, **known: Any) -> ModelSpec:
    return ModelSpec(**{"abilities": frozenset(abilities), "price": FREE, **known})


CHAT = ("chat", "tools", "json", "stream")
MODELS = {
    "code": spec("question"),
    "cache": spec("question", "cache", region=HERE),
    "tiny": spec("chat", context=500),
    "small": spec(*CHAT, context=8000, region="eu"),
    "big": spec(*CHAT, "vision", where="remote", price=Price(input=Decimal(3), output=Decimal(15))),
}


def router(**options: Any) -> rules.Rules:
    def none(*_: Any) -> Any:
        return None

    tools = Tools(
        name="rules", recipe=Path(), home=Path(), encoder=none, store=none, personal=lambda _: (), secret=none,
        starting=none, closing=none, say=none,
    )  # fmt: skip
    return rules.build(msgspec.convert(options, rules.Options), tools)


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def request(*messages: Any, wishes: Wishes | None = None, limits: Limits | None = None, **params: Any) -> Request:
    said = tuple(user(message) if isinstance(message, str) else message for message in messages or ("What is a tax?",))
    return Request(id="t", messages=said, params=params, wishes=wishes or Wishes(), limits=limits or Limits())


async def decide(asked: Request, models: dict[str, ModelSpec] | None = None, **options: Any) -> Decision:
    return await router(**options).route(asked, MODELS if models is None else models)


def facts(asked: Request) -> dict[str, Any]:
    return {signal.name: signal.value for signal in _signals.signals(asked)}


# --- signals


def test_every_signal_is_named_once_and_timed() -> None:
    found = _signals.signals(request(), timed=True)
    assert found != _signals.signals(request())
    assert [(one.name, one.value) for one in found] == [(one.name, one.value) for one in _signals.signals(request())]
    assert tuple(signal.name for signal in found) == _signals.NAMES
    assert len(set(_signals.NAMES)) == len(_signals.NAMES)
    assert all(signal.us > 0 for signal in found)


def test_counts() -> None:
    said = facts(request("one", {"role": "assistant", "content": "x" * 400}, "What is 2?"))
    assert (said["chars"], said["tokens"], said["turns"]) == (10, 3, 2)
    assert said["context_tokens"] >= 100
    assert (said["has_numbers"], said["question_like"]) == (True, True)


def test_tools_count_as_context() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "d" * 4000}}]
    assert facts(request(tools=tools))["context_tokens"] > 1000
    assert facts(request())["context_tokens"] < 10


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is it?", "und-Latn"), ("Où est-il ?", "und-Latn"), ("12 + 3", "und"), ("", "und"),
        ("カードはどこですか", "ja"), ("東京の天気は", "ja"), ("卡在哪里", "zh"), ("카드는 어디에", "ko"),
        ("Где карта?", "und-Cyrl"), ("أين البطاقة", "und-Arab"), ("איפה הכרטיס", "he"), ("Πού είναι", "el"),
    ],
)  # fmt: skip
def test_the_script_gives_the_language_away_as_far_as_it_can(text: str, language: str) -> None:
    assert facts(request(text))["language"] == language


@pytest.mark.parametrize(
    ("text", "code"),
    [("```py\nx\n```", True), ("def f(x):\n  return x", True), ("if (a == b) {\n}", True), ("Import duty?", False)],
)
def test_code_is_seen(text: str, code: bool) -> None:
    assert facts(request(text))["has_code"] is code


@pytest.mark.parametrize(
    ("text", "question"),
    [("how do I pay", True), ("What's this", True), ("Send it?", True), ("Send it.", False), ("Whatever", False)],
)
def test_questions_are_seen(text: str, question: bool) -> None:
    assert facts(request(text))["question_like"] is question


def test_wishes_are_seen() -> None:
    wants = facts(request(tools=[{"type": "function"}], response_format={"type": "json_schema"}))
    assert (wants["wants_tools"], wants["wants_json"], wants["wants_schema"]) == (True, True, True)
    plain = facts(request(tools=[], response_format={"type": "text"}))
    assert (plain["wants_tools"], plain["wants_json"], plain["wants_schema"]) == (False, False, False)
    assert facts(request(response_format="odd", tools="odd"))["wants_json"] is False


def test_images_are_seen() -> None:
    assert facts(request(user([{"type": "image_url", "image_url": {"url": "data:"}}])))["has_images"] is True
    assert facts(request(user([{"type": "text", "text": "image_url"}, "odd"])))["has_images"] is False


@pytest.mark.parametrize(
    ("text", "impact"),
    [
        ("Delete my account.", "irreversible"),
        ("close my account please", "irreversible"),
        ("Can you permanently delete all my data?", "irreversible"),
        ("I want to close my savings account today", "irreversible"),
        ("Log in for me. Then wipe the database", "irreversible"),
        ("drop table users", "irreversible"),
        ("Transfer $5000 to account 1234", "money"),
        ("I'd like to send 500 euros to my landlord", "money"),
        ("please pay my bill of £30", "money"),
        ("What is my diagnosis?", "medical"),
        ("How many mg of ibuprofen can I take?", "medical"),
        ("Should I stop taking my antidepressants?", "medical"),
        ("I have chest pain and feel dizzy", "medical"),
        ("Should I sue my landlord?", "legal"),
        ("Am I liable for the damage?", "legal"),
        ("Give me legal advice on my lease", "legal"),
    ],
)
def test_impact_words_are_seen(text: str, impact: str) -> None:
    assert facts(request(text))["impact"] == impact


@pytest.mark.parametrize(
    "text",
    [
        "Why was my transfer declined?",
        "How do I close my account?",
        "How can I log in and delete my account?",
        "Why was my account closed?",
        "What is the fee to transfer 500 euros abroad?",
        "My card payment was declined",
        "Delete vs truncate a table in SQL?",
        "What is the legal drinking age?",
        "What are the side effects of aspirin?",
        "I was charged twice, what are these charges?",
        "When will my card arrive?",
        "Send me a new card",
        "Close the window",
        "Is there a fee when I withdraw money?",
        "My transfer of 300 pounds is still pending",
        "I have a question about my account",
        "Can you explain how account deletion works?",
        "The transfer has not arrived yet, where is it?",
    ],
)
def test_ordinary_support_questions_are_not_of_high_impact(text: str) -> None:
    assert facts(request(text))["impact"] == ""


def test_a_short_word_is_judged_with_the_message_before_it() -> None:
    shop = {"role": "assistant", "content": "Shall I?"}
    assert facts(request("Please delete my account", shop, "yes, do it"))["impact"] == "irreversible"
    assert facts(request("Please delete my account", shop, "No. " + "Tell me about the card. " * 3))["impact"] == ""


def test_impact_is_found_at_both_ends_of_a_long_text() -> None:
    filler = "Lorem ipsum dolor. " * 5000
    assert facts(request("Delete my account. " + filler))["impact"] == "irreversible"
    assert facts(request(filler + "Delete my account."))["impact"] == "irreversible"


@pytest.mark.parametrize(
    "messages", [(), ({},), ({"role": "user"},), ({"role": "user", "content": [7, None]},)], ids=str
)
def test_signals_bear_odd_messages(messages: tuple[dict[str, Any], ...]) -> None:
    assert len(_signals.signals(Request(id="t", messages=messages))) == len(_signals.NAMES)


# --- who may answer


async def test_a_plain_question_may_go_to_everyone_in_the_order_of_the_settings() -> None:
    decision = await decide(request())
    assert decision.ladder == tuple(MODELS)
    assert (decision.left_out, decision.impact, decision.reasons) == ({}, Impact.LOW, ("auto",))
    assert {signal.name for signal in decision.signals} == set(_signals.NAMES)


async def test_known_prices_put_models_in_order_and_unknown_ones_keep_their_place() -> None:
    models = {
        "dear": spec(*CHAT, price=Price(input=Decimal(5), output=Decimal(20))),
        "unknown": spec(*CHAT, price=None),
        "cheap": spec(*CHAT, price=Price(input=Decimal(1), output=Decimal(2))),
        "same": spec(*CHAT, price=Price(input=Decimal(1), output=Decimal(2))),
    }
    assert (await decide(request(), models)).ladder == ("cheap", "unknown", "same", "dear")


@pytest.mark.parametrize(
    ("asked", "ladder", "left_out"),
    [
        (
            request(tools=[{"type": "function"}]),
            ("small", "big"),
            {"code": "needs_tools", "cache": "needs_tools", "tiny": "needs_tools"},
        ),
        (
            request(response_format={"type": "json_object"}),
            ("small", "big"),
            {"code": "needs_json", "cache": "needs_json", "tiny": "needs_json"},
        ),
        (
            request(user([{"type": "image_url"}])),
            ("big",),
            dict.fromkeys(("code", "cache", "tiny", "small"), "needs_vision"),
        ),
        (request(stop=["x"]), ("tiny", "small", "big"), {"code": "needs_chat", "cache": "needs_chat"}),
        (request(n=2), ("tiny", "small", "big"), {"code": "needs_chat", "cache": "needs_chat"}),
        (request(logprobs=True), ("tiny", "small", "big"), {"code": "needs_chat", "cache": "needs_chat"}),
        (request("a", "b"), ("tiny", "small", "big"), {"code": "follow_up", "cache": "follow_up"}),
        (
            request("a", {"role": "assistant", "content": "b"}),
            ("tiny", "small", "big"),
            {"code": "follow_up", "cache": "follow_up"},
        ),
        (request("x" * 4000), ("code", "cache", "small", "big"), {"tiny": "context_too_small"}),
        (request(limits=Limits(where="local")), ("code", "cache", "tiny", "small"), {"big": "privacy_local"}),
        (
            request(limits=Limits(regions=("eu",))),
            ("cache", "small"),
            dict.fromkeys(("code", "tiny", "big"), "privacy_region"),
        ),
        (request(wishes=Wishes(cache=False)), ("code", "tiny", "small", "big"), {"cache": "no_cache"}),
    ],
    ids=lambda value: value.params if isinstance(value, Request) else None,
)
async def test_who_cannot_answer_is_left_out_with_the_reason(
    asked: Request, ladder: tuple[str, ...], left_out: dict[str, str]
) -> None:
    decision = await decide(asked)
    assert (decision.ladder, decision.left_out) == (ladder, left_out)


@pytest.mark.parametrize(
    "asked",
    [
        request({"role": "system", "content": "Be kind."}, "What is a tax?"),
        request({"role": "developer", "content": "Be kind."}, "What is a tax?"),
        request(temperature=0, n=1, stop=None, tools=[], logprobs=False, response_format={"type": "text"}),
    ],
    ids=str,
)
async def test_what_asks_for_nothing_more_leaves_nobody_out(asked: Request) -> None:
    assert (await decide(asked)).left_out == {}


async def test_follow_ups_reach_question_rungs_only_where_the_settings_say_so() -> None:
    asked = request("How much is it?", {"role": "assistant", "content": "5 dollars."}, "And in euros?")
    assert (await decide(asked)).left_out["code"] == "follow_up"
    assert "code" in (await decide(asked, follow_ups="all")).ladder
    alone = request("How much is it?", {"role": "assistant", "content": "5 dollars."}, "When do you open on Saturday?")
    assert "code" in (await decide(alone)).ladder
    assert (await decide(alone, follow_ups="none")).left_out["code"] == "follow_up"


@pytest.mark.parametrize(
    "question",
    [
        "And in euros?",
        "Is it open?",
        "What about Sunday?",
        "Why?",
        "Can I use that abroad?",
        "Which one is cheaper?",
        "Then no.",
    ],
)
async def test_a_question_that_leans_on_earlier_turns_goes_to_a_chat_model(question: str) -> None:
    asked = request("How much is it?", {"role": "assistant", "content": "5 dollars."}, question)
    assert (await decide(asked)).left_out["code"] == "follow_up"


@pytest.mark.parametrize(
    ("system", "why"),
    [
        ("You are a helpful assistant.", None),
        ("You are Harbour Bank's support desk. Be polite and concise; only answer banking questions.", None),
        ("Answer in French.", "system_form"),
        ("Respond only with one word.", "system_form"),
        ("Reply as JSON.", "system_form"),
        ("Talk like a pirate.", "system_form"),
    ],
)
async def test_a_system_message_that_asks_for_a_form_needs_a_chat_model(system: str, why: str | None) -> None:
    decision = await decide(request({"role": "system", "content": system}, "What is a tax?"))
    assert decision.left_out.get("code") == why


async def test_a_parameter_that_nobody_knows_leaves_nobody_out() -> None:
    decision = await decide(request(foo=1, verbosity="low", tool_choice="none", chat_template_kwargs={"a": 1}))
    assert decision.left_out == {}


# --- pins


async def test_a_pinned_model_answers_alone() -> None:
    decision = await decide(request(wishes=Wishes(model="small")))
    assert (decision.ladder, decision.reasons) == (("small",), ("pinned",))
    assert decision.left_out == dict.fromkeys(("code", "cache", "tiny", "big"), "pinned")


async def test_a_pin_does_not_lift_the_privacy_limit() -> None:
    with pytest.raises(RequestError, match="privacy_local"):
        await decide(request(wishes=Wishes(model="big"), limits=Limits(where="local")))


async def test_large_is_the_model_that_the_settings_mean() -> None:
    decision = await decide(request(wishes=Wishes(model="large")), large="big")
    assert decision.ladder == ("big",)


@pytest.mark.parametrize("options", [{}, {"large": "gone"}], ids=str)
async def test_without_a_large_model_the_error_says_how_to_get_one(options: dict[str, str]) -> None:
    with pytest.raises(NotFoundError) as caught:
        await decide(request(wishes=Wishes(model="large")), **options)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert "TRIMTAB_LARGE" in caught.value.fix


async def test_an_unknown_model_is_refused_with_near_names() -> None:
    with pytest.raises(NotFoundError, match=r"smal.*Did you mean small") as caught:
        await decide(request(wishes=Wishes(model="smal")))
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(NotFoundError) as long:
        await decide(request(wishes=Wishes(model="x" * 10**6)))
    assert len(str(long.value)) < 500


# --- policy


async def test_a_rule_denies_allows_and_keeps_local() -> None:
    long = {"code": "long", "when": {"chars": ">= 100"}, "deny": ["code", "cache"]}
    code = {"code": "source", "when": {"has_code": True}, "allow": ["small", "big"]}
    inside = {"code": "inside", "when": {"language": ["ja", "zh"]}, "local": True}
    options = {"rules": [long, code, inside]}
    assert (await decide(request("Hi"), **options)).left_out == {}
    decision = await decide(request("x" * 100), **options)
    assert decision.left_out == {"code": "long", "cache": "long"}
    assert decision.reasons == ("auto", "long")
    assert (await decide(request("```x```"), **options)).ladder == ("small", "big")
    assert (await decide(request("カード"), **options)).left_out == {"big": "inside"}


async def test_every_condition_of_a_rule_must_hold() -> None:
    both = {"code": "both", "when": {"chars": "> 3", "has_numbers": True}, "deny": ["code"]}
    for text, denied in (("1234", True), ("123", False), ("abcd", False)):
        assert ("code" in (await decide(request(text), rules=[both])).left_out) is denied


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("> 4", False),
        (">= 4", True),
        ("< 4", False),
        ("<= 4", True),
        ("!= 4", False),
        ("!= 5", True),
        (4, True),
        (5, False),
    ],
)
async def test_comparisons(condition: Any, holds: bool) -> None:
    rule = {"code": "it", "when": {"chars": condition}, "deny": ["code"]}
    assert ("code" in (await decide(request("four"), rules=[rule])).left_out) is holds


async def test_impact_marks_the_decision() -> None:
    asked = request("Delete my account")
    decision = await decide(asked)
    assert (decision.impact, decision.reasons) == (Impact.HIGH, ("auto", "impact_irreversible"))
    assert (await decide(asked, impact=False)).impact is Impact.LOW


async def test_a_rule_has_the_last_word_on_impact() -> None:
    low = {"code": "sandbox", "when": {"impact": "irreversible"}, "impact": "low"}
    high = {"code": "long", "when": {"chars": "> 5"}, "impact": "high"}
    assert (await decide(request("Delete my account"), rules=[low])).impact is Impact.LOW
    assert (await decide(request("Delete my account"), rules=[low, high])).impact is Impact.HIGH


@pytest.mark.parametrize(
    ("rule", "match"),
    [
        ({"code": "x", "when": {"charz": 1}}, "charz"),
        ({"code": "x", "when": {"chars": ">> 1"}}, "cannot be read"),
        ({"code": "x", "when": {"chars": ">= many"}}, "cannot be read"),
        ({"code": "x", "when": {}}, "no condition"),
    ],
)
def test_a_rule_that_can_never_hold_is_refused_at_once(rule: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        router(rules=[rule])


async def test_a_rule_on_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="smol"):
        await decide(request(), rules=[{"code": "x", "when": {"chars": "> 999"}, "deny": ["smol"]}])
