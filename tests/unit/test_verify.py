"""The verifiers of confidence and of form."""

import json
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trimtab.errors import ConfigError, RequestError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Request, Verdict, Wishes
from trimtab.verify import confidence, schema
from trimtab.verify._counted import TooMuchWorkError, allowed
from trimtab.verify.schema import STEPS, _mismatch

QUESTION = ModelSpec(name="skill", abilities=frozenset({"question"}))
CHAT = ModelSpec(name="large", abilities=frozenset({"chat"}))


def tools(name: str) -> Tools:
    def none(*_: Any) -> Any:
        return None

    return Tools(
        name=name, recipe=Path(), home=Path(), encoder=none, store=none, personal=lambda _: (), secret=none,
        starting=none, closing=none, say=none,
    )  # fmt: skip


def request(**params: Any) -> Request:
    return Request(id="t", messages=({"role": "user", "content": "hi"},), params=params)


# --- confidence


def confident(**options: Any) -> confidence.Confidence:
    return confidence.build(msgspec.convert(options, confidence.Options), tools("sure"))


async def sure(score: float | None, model: str = "skill", **options: Any) -> Verdict:
    answer = Answer(text="x", model=model, confidence=score)
    return await confident(**options).verify(request(), Evidence(), answer)


async def test_an_answer_at_the_threshold_stands_and_one_below_does_not() -> None:
    assert (await sure(0.7, threshold=0.7)).ok
    low = await sure(0.69, threshold=0.7)
    assert (low.ok, low.code, low.by, low.score) == (False, "low_confidence", "sure", 0.69)
    assert "0.690" in low.why
    assert "0.700" in low.why


async def test_a_model_s_own_threshold_counts_before_the_common_one() -> None:
    assert not (await sure(0.9, model="skill", models={"skill": 0.95})).ok
    assert (await sure(0.9, model="cache", models={"skill": 0.95})).ok


async def test_an_answer_that_nobody_judged_is_doubted() -> None:
    verdict = await sure(None)
    assert (verdict.ok, verdict.code, verdict.score) == (False, "not_judged", None)


def test_it_applies_to_rungs_with_a_calibrated_confidence() -> None:
    assert confident().applies(request(), QUESTION)
    assert not confident().applies(request(), CHAT), "the large model is trusted"
    assert confident(trust=()).applies(request(), CHAT)
    assert confident(models={"large": 0.5}).applies(request(), CHAT)
    small = msgspec.structs.replace(CHAT, name="small")
    assert confident().applies(request(), small), "a small one must be sure"
    pinned = msgspec.structs.replace(request(), wishes=Wishes(model="small"))
    assert not confident().applies(pinned, small), "the client chose it"


@pytest.mark.parametrize(
    "options", [{"threshold": 1.1}, {"threshold": -0.1}, {"models": {"skill": float("nan")}}], ids=str
)
def test_a_threshold_is_a_probability(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        confident(**options)


# --- schema

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "ages": {"type": "array", "items": {"type": "integer"}}},
    "required": ["name"],
    "additionalProperties": False,
}
WANTS_PERSON = {"response_format": {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}}
WANTS_OBJECT = {"response_format": {"type": "json_object"}}
TOOLS = {
    "tools": [
        {"type": "function", "function": {"name": "save", "parameters": PERSON}},
        {"type": "function", "function": {"name": "ping"}},
        {"type": "custom", "custom": {"name": "shell"}},
    ]
}


def formal(**options: Any) -> schema.Schema:
    return schema.build(schema.Options(**options), tools("form"))


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


async def judged(params: dict[str, Any], text: str | None = None, *calls: dict[str, Any], **more: Any) -> Verdict:
    """What it says of an answer as it is; what is mended is tested in test_mended.py."""
    answer = Answer(text=text, model="m", tool_calls=calls, **more)
    return await formal(mend=False).verify(request(**params), Evidence(), answer)


@pytest.mark.parametrize(
    ("params", "applies"),
    [
        ({}, False), ({"tools": []}, False), ({"response_format": {"type": "text"}}, False),
        (WANTS_OBJECT, True), (WANTS_PERSON, True), (TOOLS, True), ({"functions": [{"name": "f"}]}, True),
    ],
    ids=str,
)  # fmt: skip
def test_it_applies_where_a_form_is_asked_for(params: dict[str, Any], applies: bool) -> None:
    assert formal().applies(request(**params), CHAT) is applies


@pytest.mark.parametrize("text", ['{"name": "Ada"}', ' {"name": "Ada", "ages": [36]}\n'])
async def test_json_that_fits_stands(text: str) -> None:
    assert (await judged(WANTS_PERSON, text)).ok
    assert (await judged(WANTS_OBJECT, text)).ok


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada",
        "{'name': 'Ada'}",
        '{"name": "Ada"',
        '```json\n{"name": "Ada"}\n```',
        '{"name": NaN}',
        "[" * 100_000,
        None,
    ],
    ids=lambda text: str(text)[:20],
)
async def test_what_is_not_json_falls(text: str | None) -> None:
    for params in (WANTS_PERSON, WANTS_OBJECT):
        verdict = await judged(params, text)
        assert (verdict.ok, verdict.code, verdict.by) == (False, "bad_json", "form")


async def test_an_object_was_promised() -> None:
    assert (await judged(WANTS_OBJECT, "[1]")).code == "bad_json"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"name": 7}', "content.name: "),
        ('{"name": "Ada", "ages": [1, "x"]}', "content.ages[1]: "),
        ('{"ages": []}', "content: "),
        ('{"name": "Ada", "more": 1}', "content: "),
    ],
)
async def test_a_mismatch_says_where(text: str, path: str) -> None:
    verdict = await judged(WANTS_PERSON, text)
    assert (verdict.ok, verdict.code) == (False, "schema_mismatch")
    assert path in verdict.why


async def test_a_refusal_of_the_model_is_no_broken_json() -> None:
    assert (await judged(WANTS_PERSON, None, extra={"refusal": "I cannot."})).ok


async def test_the_further_choices_are_checked_too() -> None:
    good = {"index": 1, "message": {"role": "assistant", "content": '{"name": "Bo"}'}}
    bad = {"index": 2, "message": {"role": "assistant", "content": "Bo"}}
    assert (await judged(WANTS_PERSON, '{"name": "Ada"}', choices=(good,))).ok
    verdict = await judged(WANTS_PERSON, '{"name": "Ada"}', choices=(good, bad))
    assert verdict.code == "bad_json"
    assert "choices[2]" in verdict.why


@pytest.mark.parametrize(
    "one", [call("save", '{"name": "Ada"}'), call("ping", "{}"), call("ping", ""), call("ping", '{"any": 1}')], ids=str
)
async def test_a_call_that_its_tool_can_take_stands(one: dict[str, Any]) -> None:
    assert (await judged(TOOLS, None, one)).ok
    assert (await judged({**TOOLS, **WANTS_PERSON}, None, one)).ok


async def test_a_custom_tool_takes_any_text() -> None:
    assert (await judged(TOOLS, None, {"type": "custom", "custom": {"name": "shell", "input": "ls {"}})).ok


@pytest.mark.parametrize(
    ("one", "code", "where"),
    [
        (call("sieve", "{}"), "unknown_tool", "tool_calls[0]"),
        ({"id": "c", "type": "function"}, "unknown_tool", "tool_calls[0]"),
        (call("save", '{"name": 7}'), "bad_arguments", "function.arguments.name"),
        (call("save", "{}"), "bad_arguments", "function.arguments"),
        (call("save", '{"name": "Ada"'), "bad_arguments", "function.arguments"),
        (call("save", "[]"), "bad_arguments", "function.arguments"),
        (call("save", {"name": "Ada"}), "bad_arguments", "function.arguments"),
        (call("ping", "nothing"), "bad_arguments", "function.arguments"),
    ],
    ids=str,
)
async def test_a_call_that_no_tool_can_take_falls(one: dict[str, Any], code: str, where: str) -> None:
    verdict = await judged(TOOLS, None, call("ping", "{}"), one)
    assert (verdict.ok, verdict.code) == (False, code)
    assert where.replace("[0]", "[1]") in verdict.why


async def test_a_call_that_was_asked_for_must_come() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "save"}}):
        assert (await judged({**TOOLS, "tool_choice": choice}, "No.")).code == "no_tool_call"
    assert (await judged({**TOOLS, "tool_choice": "auto"}, "No.")).ok
    named = {**TOOLS, "tool_choice": {"type": "function", "function": {"name": "save"}}}
    assert (await judged(named, None, call("ping", "{}"))).code == "unknown_tool"


async def test_checks_can_be_left_out() -> None:
    answer = Answer(text="no json", model="m", tool_calls=())
    assert not formal(json=False).applies(request(**WANTS_PERSON), CHAT)
    assert (await formal(json=False).verify(request(**WANTS_PERSON, **TOOLS), Evidence(), answer)).ok


# --- the client's own faults


@pytest.mark.parametrize(
    "params", [{}, TOOLS, WANTS_PERSON, WANTS_OBJECT, {"tools": []}, {"response_format": None}], ids=str
)
def test_a_request_that_can_be_kept_passes(params: dict[str, Any]) -> None:
    schema.check_request(request(**params))


def _wants(one: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": one}}}


def _brings(one: Any) -> dict[str, Any]:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": one}}]}


@pytest.mark.parametrize(
    ("params", "param"),
    [
        (_wants({"type": "thing"}), "response_format.json_schema.schema"),
        (_wants("object"), "response_format.json_schema.schema"),
        (_wants({"$ref": "file:///etc/hostname"}), "response_format.json_schema.schema"),
        (_wants({"$ref": "#/$defs/missing"}), "response_format.json_schema.schema"),
        (_wants({"enum": ["x" * schema.MAX_SCHEMA]}), "response_format.json_schema.schema"),
        (_brings({"type": "thing"}), "tools[0].function.parameters"),
        (_brings({"properties": {"a": {"pattern": "("}}}), "tools[0].function.parameters"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {"type": "poem"}}, "response_format"),
        ({"tools": {"name": "f"}}, "tools"),
        ({"tools": ["f"]}, "tools[0]"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0]"),
        ({**TOOLS, "tool_choice": {"type": "function", "function": {"name": "gone"}}}, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}] * (schema.MAX_TOOLS + 1)}, "tools"),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_request_that_can_never_be_kept_is_refused(params: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestError) as caught:
        schema.check_request(request(**params))
    assert caught.value.param == param
    assert caught.value.fix


async def test_a_bad_schema_is_the_client_s_fault_in_verifying_too() -> None:
    with pytest.raises(RequestError):
        await judged(_wants({"type": "thing"}), "{}")


def test_a_reference_to_another_server_is_never_followed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        with pytest.raises(RequestError):
            schema.check_request(request(**_wants({"$ref": f"http://127.0.0.1:{server.getsockname()[1]}/x.json"})))
        with pytest.raises(TimeoutError):
            server.accept()


async def test_a_pattern_cannot_take_for_ever() -> None:
    params = _wants({"type": "string", "pattern": "^(a+)+$"})
    assert (await judged(params, json.dumps("a" * 50_000 + "b"))).code == "schema_mismatch"


async def test_references_inside_a_schema_are_followed() -> None:
    inside = {"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert (await judged(_wants(inside), '{"a": 1}')).ok
    assert (await judged(_wants(inside), '{"a": "x"}')).code == "schema_mismatch"


@pytest.mark.parametrize(
    ("schema", "value", "fine"),
    [
        ({"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}, '{"ab": 1}', True),
        ({"patternProperties": {"^a": {"type": "integer"}}, "additionalProperties": False}, '{"b": 1}', False),
        ({"patternProperties": {"^a": {"type": "integer"}}}, '{"ab": "x"}', False),
        ({"additionalProperties": {"type": "integer"}, "properties": {"b": {}}}, '{"a": 1, "b": "x"}', True),
        ({"additionalProperties": {"type": "integer"}}, '{"a": "x"}', False),
        ({"$defs": {"n": {"type": "integer"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}, '{"a": "x"}', False),
        ({"$ref": "#"}, "{}", False),
    ],
)
def test_the_keywords_that_are_ours_mean_what_json_schema_says(schema: dict[str, Any], value: str, fine: bool) -> None:
    with allowed(10_000):
        said = _mismatch(schema, json.loads(value), "response_format")
    assert (said == "") == fine, said


@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"$ref": "https://example.org/schema.json"}}},
        {"properties": {"a": {"$ref": "#/$defs/nowhere"}}},
        {"patternProperties": {"a(?=b)": {}}},
        {"patternProperties": {"a": {}}, "unevaluatedProperties": False},
    ],
)
def test_a_schema_that_leads_elsewhere_or_cannot_be_linear_is_the_clients_error(schema: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        _mismatch(schema, {}, "response_format")
    assert caught.value.code == "bad_schema"


# --- schemas and answers made to take for ever


def _doubling(levels: int, key: str = "allOf") -> dict[str, Any]:
    steps = {f"d{i}": {key: [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(levels)}
    return {"$defs": {**steps, f"d{levels}": {"type": "object"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize("key", ["allOf", "anyOf", "oneOf"])
def test_references_that_double_are_refused_at_the_door(key: str) -> None:
    for params in (_wants(_doubling(22, key)), _brings(_doubling(22, key))):
        with pytest.raises(RequestError) as caught:
            schema.check_request(request(**params))
        assert caught.value.code == "bad_schema"
    schema.check_request(request(**_wants(_doubling(8, key))))


NESTED = json.loads("[" * 60 + "]" * 60)
MEMBERS = {f"k{i}": {} for i in range(2000)}
HOSTILE = {
    "doubling in every member": ({**_doubling(11), "additionalProperties": {"$ref": "#/$defs/d0"}}, MEMBERS),
    "doubling by depth": ({"contains": {"oneOf": [{"$ref": "#"}, {"not": {"$ref": "#"}}]}}, NESTED),
    "items twice": ({"allOf": [{"items": {"$ref": "#"}}] * 2}, NESTED),
    "if": ({"if": {"items": {"$ref": "#"}}, "then": {"items": {"$ref": "#"}}, "else": False}, NESTED),
    "dependent": (
        {"dependentSchemas": {"a": {"properties": {"a": {"$ref": "#"}}}}, "properties": {"a": {"$ref": "#"}}},
        json.loads('{"a":' * 60 + "1" + "}" * 60),
    ),
    "many branches": ({"anyOf": [{"type": "string"}] * 5000}, ["x" * 50] * 5000),
    "many names": ({"items": {"properties": {f"p{i}": {} for i in range(5000)}}}, [MEMBERS] * 20),
    "many patterns": ({"patternProperties": {f"^a{i}$": {} for i in range(2000)}}, MEMBERS),
    "long texts": ({"items": {"allOf": [{"pattern": "[a-q][^u-z]{100}x$"}] * 50}}, ["a" * 100_000] * 10),
    "unevaluated": ({"allOf": [{"unevaluatedProperties": True}] * 3000}, MEMBERS),
    "unevaluated items": ({"allOf": [{"contains": {"type": "string"}}] * 300, "unevaluatedItems": False}, [1] * 9000),
    "another dialect inside": (
        {
            "items": {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "allOf": [{"items": {"enum": [{"a": 1}]}}] * 300,
            }
        },
        [[{"a": 1}] * 500] * 20,
    ),
}


def _calls(work: Any) -> int:
    """How many functions `work` calls, by Python's own count: not by the counter that is under test."""
    count = 0

    def seen(_: Any, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


@pytest.mark.parametrize("name", HOSTILE)
def test_no_schema_makes_checking_endless(name: str) -> None:
    steps, (hostile, value) = 10_000, HOSTILE[name]
    schema._compiled(hostile, "made beforehand: that is linear in the schema")

    def checked() -> None:
        with allowed(steps), pytest.raises(TooMuchWorkError):
            _mismatch(hostile, value, "response_format")

    assert _calls(checked) < 100 * steps


async def test_an_answer_that_takes_too_long_to_check_has_failed() -> None:
    hostile, value = HOSTILE["doubling in every member"]
    verdict = await judged(_wants(hostile), json.dumps(dict.fromkeys(value, 1) | {"k0": {}}))
    assert (verdict.ok, verdict.code) == (False, "schema_mismatch")
    hostile, value = HOSTILE["doubling by depth"]
    verdict = await judged(_wants(hostile), json.dumps(value))
    assert (verdict.ok, verdict.code) == (False, "schema_mismatch")
    assert str(STEPS) in verdict.why


async def test_a_large_answer_that_fits_stands() -> None:
    people = [{"name": f"Ada {i}", "ages": [i, i + 1]} for i in range(4000)]
    assert (await judged(_wants({"type": "array", "items": PERSON, "uniqueItems": True}), json.dumps(people))).ok
    people[3999] = people[0]
    verdict = await judged(_wants({"type": "array", "items": PERSON, "uniqueItems": True}), json.dumps(people))
    assert (verdict.code, "item 3999" in verdict.why) == ("schema_mismatch", True)


async def test_other_requests_go_on_while_a_large_answer_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    real = schema.fault

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return real(*args)

    monkeypatch.setattr(schema, "fault", watched)
    await judged(_wants({"items": {"type": "integer"}}), json.dumps([1] * 9000))
    await judged(_wants({"items": {"type": "integer"}}), json.dumps([1] * 10))
    assert [name == threading.main_thread().name for name in threads] == [False, True]


@pytest.mark.parametrize(
    ("items", "unique"),
    [
        ([1, 1.0], False), ([1, True], True), ([0, False], True), (["1", 1], True), ([[1], [1.0]], False),
        ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False), ([{"a": 1}, {"a": True}], True), ([None, None], False),
        ([1.5, 1.5], False), ([[], {}], True), (["a", ["a"]], True),
    ],
    ids=str,
)  # fmt: skip
async def test_items_are_unique_as_json_schema_counts_them(items: list[Any], unique: bool) -> None:
    assert (await judged(_wants({"uniqueItems": True}), json.dumps(items))).ok is unique


@pytest.mark.parametrize(
    "wrong",
    [
        {"minLength": -1}, {"minLength": "1"}, {"required": "a"}, {"required": [1]}, {"properties": []},
        {"properties": {"a": 1}}, {"items": 3}, {"anyOf": []}, {"allOf": {}}, {"enum": "a"}, {"multipleOf": 0},
        {"type": ["string", "thing"]}, {"$ref": 1}, {"pattern": 1}, {"uniqueItems": "yes"}, {"not": None},
        {"$defs": {"a": {"type": 1}}}, {"dependencies": {"a": 1}}, {"if": []}, {"dependentRequired": {"a": "b"}},
        {"$ref": "#/x", "x": {"type": "thing"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_schema_that_is_none_is_refused_with_its_place(wrong: dict[str, Any]) -> None:
    with pytest.raises(RequestError) as caught:
        schema.check_request(request(**_wants(wrong)))
    assert caught.value.code == "bad_schema"
    assert "$" in caught.value.message


def test_what_only_looks_like_a_schema_s_keyword_is_left_alone() -> None:
    fine = {
        "properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "items": {"type": "array"}},
        "default": {"$ref": "http://elsewhere.example", "pattern": "("}, "examples": [{"type": "thing"}],
        "const": {"type": 3}, "enum": [{"minLength": -1}], "x-vendor": {"anyOf": []},
    }  # fmt: skip
    schema.check_request(request(**_wants(fine)))


def test_all_schemas_of_a_request_have_a_limit_together() -> None:
    one = {"enum": ["x" * (schema.MAX_SCHEMA - 100)]}
    tools_ = [{"type": "function", "function": {"name": f"f{i}", "parameters": one}} for i in range(6)]
    with pytest.raises(RequestError) as caught:
        schema.check_request(request(tools=tools_))
    assert caught.value.param == "tools"


def test_schemas_of_clients_are_kept_by_their_bytes_not_by_their_number():
    kept = schema.Kept(1000)
    made = [kept.of(b'{"minimum": %d}' % i) for i in range(3)]
    assert kept.of(b'{"minimum": 0}') is made[0]
    large = b'{"description": "%b"}' % (b"x" * 950)
    assert kept.of(large)
    assert kept.of(b'{"minimum": 0}') is made[0], "it was used after the others"
    assert kept.of(b'{"minimum": 1}') is not made[1]
    assert kept._size == sum(map(len, kept._made)) <= 1000
    with pytest.raises(ValueError, match="type"):
        kept.of(b'{"type": 1}')
