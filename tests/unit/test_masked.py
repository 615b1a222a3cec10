"""The mask: what leaves, what comes back, in the whole answer and in a stream, and what happens when masking fails."""

import json
import threading

import pytest

from trimtab import testing
from trimtab.answer import masked
from trimtab.errors import ConfigError
from trimtab.guard import pii
from trimtab.types import Answer, Delta, Evidence, Passage, Request, Span, Verdict

MAIL = "jane.doe@example.com"
NONE = Evidence()
NICK = 'Ann "Nee" O\'Hara\nJr'


class Echo:
    """Answers with `text` and `calls` made from what it was sent; keeps that."""

    def __init__(self, say=lambda request: request.messages[-1]["content"], pieces=None, **answer):
        self.say, self.pieces, self.more, self.asked, self.evidence = say, pieces, answer, None, None

    async def answer(self, request, evidence, sink):
        self.asked, self.evidence = request, evidence
        for delta in self.pieces(request) if self.pieces else ():
            await sink.emit(delta)
        return Answer(text=self.say(request), model="kind", **{k: f(request) for k, f in self.more.items()})


def personal(text):
    """Structured data, and one name that holds a quote and a line end."""
    names = [Span(kind="PERSON", start=at, end=at + len(NICK)) for at in range(len(text)) if text.startswith(NICK, at)]
    return (*pii.find(text), *names)


async def through(tmp_path, inner, request, evidence=NONE, sink=None, find=personal):
    tools = testing.tools(tmp_path, inner=inner, personal=find, names=None)
    return await masked.build(masked.Options(), tools).answer(request, evidence, sink or testing.Hears())


async def test_the_model_sees_placeholders_and_the_client_its_own_bytes(tmp_path):
    inner = Echo()
    said = await through(tmp_path, inner, testing.ask(f"Write to {MAIL}, yes {MAIL}, or call +44 20 7946 0018."))
    assert inner.asked.messages[0]["content"] == "Write to [EMAIL-1], yes [EMAIL-1], or call [PHONE-1]."
    assert said.text == f"Write to {MAIL}, yes {MAIL}, or call +44 20 7946 0018."


async def test_a_value_found_once_is_hidden_everywhere(tmp_path):
    inner = Echo()
    await through(tmp_path, inner, testing.ask("My phone is 3660170548.", "Order 3660170548 it is."))
    assert "3660170548" not in str(inner.asked.messages)


async def test_what_looks_like_a_placeholder_already_is_not_mistaken_for_one(tmp_path):
    inner = Echo()
    text = f"The form [EMAIL-1] stands for {MAIL}; [EMAIL-9] for nobody."
    said = await through(tmp_path, inner, testing.ask(text))
    assert inner.asked.messages[0]["content"] == "The form [EMAIL-1] stands for [EMAIL-2]; [EMAIL-9] for nobody."
    assert said.text == text


async def test_a_placeholder_that_the_model_invents_stays(tmp_path):
    said = await through(tmp_path, Echo(say=lambda _: "Ask [PHONE-1] or [EMAIL-1]."), testing.ask(MAIL))
    assert said.text == f"Ask [PHONE-1] or {MAIL}."


async def test_nothing_personal_means_nothing_is_touched(tmp_path):
    inner, request = Echo(), testing.ask("What is 2 + 2?")
    await through(tmp_path, inner, request)
    assert inner.asked is request


async def test_tool_calls_and_results_stay_json_both_ways(tmp_path):
    arguments = json.dumps({"to": [MAIL, NICK], "card": 4111111111111111, "n": 3})
    result = json.dumps({"note": f"line\n{MAIL}", "who": NICK})
    messages = (
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "send", "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": result},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": f"Again to {NICK}"},
                {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            ],
        },
    )
    inner = Echo(
        say=lambda _: None,
        tool_calls=lambda request: tuple(request.messages[0]["tool_calls"]),
        choices=lambda request: (
            {"index": 1, "message": {"content": "To [EMAIL-1]", "tool_calls": request.messages[0]["tool_calls"]}},
        ),
        extra=lambda _: {"refusal": "not [EMAIL-1]", "reasoning_content": "for [PERSON-1]"},
    )
    said = await through(tmp_path, inner, testing.ask(messages=messages))
    sent = inner.asked.messages
    assert json.loads(sent[0]["tool_calls"][0]["function"]["arguments"]) == {
        "to": ["[EMAIL-1]", "[PERSON-1]"],
        "card": "[CARD-1]",
        "n": 3,
    }
    assert json.loads(sent[1]["content"]) == {"note": "line\n[EMAIL-1]", "who": "[PERSON-1]"}
    assert sent[2]["content"][0]["text"] == "Again to [PERSON-1]"
    assert sent[2]["content"][1] == messages[2]["content"][1]
    call = {"to": [MAIL, NICK], "card": "4111111111111111", "n": 3}
    assert json.loads(said.tool_calls[0]["function"]["arguments"]) == call
    assert json.loads(said.choices[0]["message"]["tool_calls"][0]["function"]["arguments"]) == call
    assert said.choices[0]["message"]["content"] == f"To {MAIL}"
    assert said.extra == {"refusal": f"not {MAIL}", "reasoning_content": f"for {NICK}"}


async def test_what_only_looks_like_json_is_masked_as_text(tmp_path):
    inner = Echo()
    request = testing.ask(messages=({"role": "tool", "content": "{'mail': 'jane.doe@example.com'}"},))
    said = await through(tmp_path, inner, request)
    assert inner.asked.messages[0]["content"] == "{'mail': '[EMAIL-1]'}"
    assert said.text == "{'mail': 'jane.doe@example.com'}"


async def test_parameters_and_passages_that_name_people_are_masked_too(tmp_path):
    inner = Echo(say=lambda _: "Yes.")
    request = testing.ask(
        "Who?",
        params={
            "user": MAIL,
            "metadata": {"id": MAIL, "n": "1"},
            "prediction": {"type": "content", "content": f"To {MAIL}"},
            "temperature": 0.5,
        },
    )
    passage = Passage(text=f"Ask {MAIL}.", title=MAIL, source="a.md", start=0, end=30)
    await through(tmp_path, inner, request, Evidence(passages=(passage,)))
    assert inner.asked.params == {
        "user": "[EMAIL-1]",
        "metadata": {"id": "[EMAIL-1]", "n": "1"},
        "prediction": {"type": "content", "content": "To [EMAIL-1]"},
        "temperature": 0.5,
    }
    assert (inner.evidence.passages[0].text, inner.evidence.passages[0].title) == ("Ask [EMAIL-1].", "[EMAIL-1]")
    assert inner.evidence.passages[0].source == "a.md"


async def test_a_stream_holds_back_only_what_may_be_a_placeholder(tmp_path):
    pieces = ("Dear [", "EMA", "IL-1], see [1] and [EM", "BARGO] and [EMAIL-")
    sink = testing.Hears()
    inner = Echo(say=lambda _: "", pieces=lambda _: [Delta(text=piece) for piece in pieces])
    await through(tmp_path, inner, testing.ask(MAIL), sink=sink)
    assert [delta.text for delta in sink.deltas] == ["Dear ", f"{MAIL}, see [1] and ", "[EMBARGO] and ", "[EMAIL-"]


async def test_streams_of_several_choices_and_calls_do_not_mix(tmp_path):
    def pieces(_):
        def call(at, arguments, **more):
            function = {"arguments": arguments, **more}
            return Delta(extra={"tool_calls": [{"index": at, "function": function}]})

        yield Delta(text="a [EMAIL", index=0)
        yield Delta(text="b [EMAIL", index=1)
        yield call(0, '{"to": "[PERS', name="send")
        yield call(1, '{"cc": "[EMAIL-1', name="send")
        yield Delta(text="-1]", index=1)
        yield Delta(text="-2]", index=0)
        yield call(0, 'ON-1]"}')
        yield call(1, ']"}')
        yield Delta(extra={"reasoning_content": "of [EMAI"})
        yield Delta(extra={"reasoning_content": "L-1]", "refusal": None})

    sink = testing.Hears()
    await through(tmp_path, Echo(say=lambda _: "", pieces=pieces), testing.ask(f"{MAIL} {NICK}"), sink=sink)
    texts, calls, thoughts = {0: "", 1: ""}, {0: "", 1: ""}, ""
    for delta in sink.deltas:
        texts[delta.index] += delta.text
        thoughts += delta.extra.get("reasoning_content", "")
        for piece in delta.extra.get("tool_calls", ()):
            calls[piece["index"]] += piece["function"]["arguments"]
    assert texts == {0: "a [EMAIL-2]", 1: f"b {MAIL}"}
    assert {at: json.loads(text) for at, text in calls.items()} == {0: {"to": NICK}, 1: {"cc": MAIL}}
    assert thoughts == f"of {MAIL}"


async def test_a_mask_that_fails_sends_nothing_and_says_nothing_personal(tmp_path):
    def broken(text):
        raise ValueError(f"cannot read {text}")

    inner = Echo()
    said = await through(tmp_path, inner, testing.ask(MAIL), find=broken)
    assert isinstance(said, Verdict)
    assert (said.ok, said.code) == (False, "masking_failed")
    assert MAIL not in said.why
    assert inner.asked is None


async def test_a_pass_of_the_wrapped_model_stays_a_pass(tmp_path):
    said = await through(tmp_path, testing.Passes(), testing.ask(MAIL))
    assert (said.ok, said.code) == (False, "not_mine")


async def test_nothing_of_one_request_is_known_to_the_next(tmp_path):
    tools = testing.tools(tmp_path, inner=Echo(say=lambda _: "[EMAIL-1]"), personal=personal)
    model = masked.build(masked.Options(), tools)
    assert (await model.answer(testing.ask(MAIL), Evidence(), testing.Hears())).text == MAIL
    assert (await model.answer(testing.ask("+44 20 7946 0018"), Evidence(), testing.Hears())).text == "[EMAIL-1]"


def test_a_mask_around_nothing_is_a_setting_to_mend(tmp_path):
    with pytest.raises(ConfigError, match="mask = true"):
        masked.build(masked.Options(), testing.tools(tmp_path))


def test_the_original_request_is_not_changed():
    request: Request = testing.ask(MAIL)
    before = json.dumps(request.messages)
    from trimtab.answer._vault import Vault

    vault = Vault(personal)
    masked.learn(vault, request, Evidence())
    vault.seal()
    masked.hidden(vault, request, Evidence())
    assert json.dumps(request.messages) == before


CARD = "4111111111111111"


async def test_nothing_personal_leaves_by_any_part_of_a_request(tmp_path):
    """Every place that a body has, with a value that is personal in it, and not one is sent."""
    messages = (
        {"role": "system", "content": f"a {MAIL}", "name": MAIL, "note": {"n": int(CARD), MAIL: [1.5, MAIL]}},
        {"role": "user", "content": [
            {"type": "text", "text": MAIL, "card": int(CARD)},
            {"type": "file", "file": {"filename": f"{MAIL}.pdf", "file_data": f"data:text/plain,{MAIL}"}},
            {"type": "image_url", "image_url": {"url": f"https://x.test/a.png?to={MAIL}"}},
            {"type": "input_audio", "input_audio": {"data": MAIL, "format": "wav"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": f"call {MAIL}", "type": "function", "function": {
            "name": "send", "arguments": json.dumps({"phone": "3660170548", "body": json.dumps({"to": NICK})})}}]},
        {"role": "tool", "tool_call_id": f"call {MAIL}", "content": json.dumps({"phone": 3660170548, "x": [MAIL]})},
    )  # fmt: skip
    parameters = {
        "type": "object", "description": MAIL, "required": [MAIL], "properties": {
            MAIL: {"type": "string", "default": MAIL, "examples": [MAIL]}, "to": {"enum": [MAIL, int(CARD)]},
            "id": {"const": {"id": CARD, "minimum": int(CARD)}}},
    }  # fmt: skip
    params = {
        "tools": [{"type": "function", "function": {"name": "send", "description": MAIL, "parameters": parameters}}],
        "functions": [{"name": "send", "description": MAIL}], "stop": [MAIL], "user": MAIL,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": parameters}},
        "metadata": {MAIL: MAIL, "id": CARD, "n": int(CARD)}, "unknown": {"deep": [{"name": MAIL, "id": CARD}]},
        "unknown_number": int(CARD), "prompt_cache_key": MAIL, MAIL: 1,
    }  # fmt: skip
    passage = Passage(text=MAIL, title=MAIL, source=f"{MAIL}.txt", start=0, end=1)
    inner = Echo(say=lambda _: "Yes.")
    await through(tmp_path, inner, testing.ask(messages=messages, params=params), Evidence(passages=(passage,)))
    sent = json.dumps([inner.asked.messages, inner.asked.params]) + str(inner.evidence)
    for value in ("jane", CARD, "3660170548", "Hara"):
        assert value not in sent


async def test_what_only_the_protocol_means_stays(tmp_path):
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 20
    call = {"id": "call_4111111111111111", "type": "function", "function": {"name": "send_2", "arguments": "{}"}}
    messages = (
        {"role": "assistant", "content": None, "tool_calls": [call], "signature": "aB3" * 40},
        {"role": "tool", "tool_call_id": "call_4111111111111111", "name": "send_2", "content": MAIL},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": picture, "detail": "low"}}]},
    )
    parameters = {
        "type": "object", "$defs": {"a": {"type": "integer", "maximum": 4111111111111111}}, "required": ["a"],
        "properties": {"a": {"$ref": "#/$defs/a"}, "b": {"type": "string", "pattern": "^[0-9]{3}-x$"}},
    }  # fmt: skip
    params = {
        "tools": [{"type": "function", "function": {"name": "send_2", "parameters": parameters}}],
        "tool_choice": {"type": "function", "function": {"name": "send_2"}}, "seed": 4111111111111111,
        "temperature": 0.25, "logit_bias": {"50256": -100}, "stream_options": {"include_usage": True}, "stop": None,
    }  # fmt: skip
    inner = Echo(say=lambda _: "Yes.")
    await through(tmp_path, inner, testing.ask(messages=messages, params=params))
    assert inner.asked.params == params
    assert inner.asked.messages[0] == messages[0]
    assert inner.asked.messages[1] == {**messages[1], "content": "[EMAIL-1]"}
    assert inner.asked.messages[2] == messages[2]


async def test_a_placeholder_in_a_pattern_stands_for_itself(tmp_path):
    import re

    schema = {"type": "string", "pattern": f"^({MAIL}|none)$"}
    params = {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}}
    inner = Echo(say=lambda _: '"[EMAIL-1]"')
    said = await through(tmp_path, inner, testing.ask(f"I am {MAIL}", params=params))
    sent = inner.asked.params["response_format"]["json_schema"]["schema"]["pattern"]
    assert re.search(sent, "[EMAIL-1]")
    assert not re.search(sent, "E")
    assert said.text == f'"{MAIL}"'


WANTS_JSON = ({"type": "json_object"}, {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}})


@pytest.mark.parametrize("wanted", WANTS_JSON, ids=["object", "schema"])
async def test_an_answer_that_is_json_by_request_stays_json(tmp_path, wanted):
    text = '{"who": "[PERSON-1]", "mail": {"[EMAIL-1]": 1}}'
    inner = Echo(
        say=lambda _: text,
        pieces=lambda _: [Delta(text=text[at : at + 3]) for at in range(0, len(text), 3)],
        choices=lambda _: ({"index": 1, "message": {"content": text}},),
        extra=lambda _: {"reasoning_content": "of [PERSON-1]"},
    )
    sink = testing.Hears()
    request = testing.ask(f"{MAIL} {NICK}", params={"response_format": wanted})
    said = await through(tmp_path, inner, request, sink=sink)
    for got in (said.text, sink.text, said.choices[0]["message"]["content"]):
        assert json.loads(got) == {"who": NICK, "mail": {MAIL: 1}}
    assert said.extra == {"reasoning_content": f"of {NICK}"}


async def test_json_inside_json_is_escaped_once_for_each(tmp_path):
    inner_text = json.dumps({"to": "[PERSON-1]", "deep": json.dumps(["[PERSON-1]", "[EMAIL-1]"])})
    arguments = json.dumps({"body": inner_text, "plain": '[PERSON-1] said "no"', "list": "[1] by [PERSON-1]"})
    pieces = [
        Delta(extra={"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 5]}}]})
        for at in range(0, len(arguments), 5)
    ]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    inner = Echo(say=lambda _: None, pieces=lambda _: pieces, tool_calls=lambda _: (call,))
    sink = testing.Hears()
    said = await through(tmp_path, inner, testing.ask(f"{MAIL} {NICK}"), sink=sink)
    streamed = "".join(d["function"]["arguments"] for delta in sink.deltas for d in delta.extra["tool_calls"])
    assert streamed == said.tool_calls[0]["function"]["arguments"]
    got = json.loads(streamed)
    assert got["plain"] == f'{NICK} said "no"'
    assert got["list"] == f"[1] by {NICK}"
    body = json.loads(got["body"])
    assert (body["to"], json.loads(body["deep"])) == (NICK, [NICK, MAIL])


async def test_json_that_is_cut_off_still_loses_nothing(tmp_path):
    text = '{"a": "x [PERSON-1", "b": "{\\"c'
    inner = Echo(say=lambda _: text, pieces=lambda _: [Delta(text=text)])
    sink = testing.Hears()
    params = {"response_format": {"type": "json_object"}}
    said = await through(tmp_path, inner, testing.ask(NICK, params=params), sink=sink)
    assert said.text == sink.text == text


async def test_a_long_request_is_masked_in_a_thread(tmp_path):
    import threading

    threads = set()

    def find(text):
        threads.add(threading.current_thread() is threading.main_thread())
        return personal(text)

    inner = Echo()
    await through(tmp_path, inner, testing.ask(f"{MAIL} " + "x" * masked.LARGE), find=find)
    assert threads == {False}
    assert inner.asked.messages[0]["content"].startswith("[EMAIL-1] xxx")


async def test_a_value_keeps_its_placeholder_while_a_conversation_grows(tmp_path):
    """Tools come first, what is retrieved last: neither moves what earlier turns were given."""
    tools = [{"type": "function", "function": {"name": "f", "description": "Mail desk@example.com.", "parameters": {}}}]
    turns = [f"I am person{i}@example.com, call +44 20 7946 00{i}8." for i in range(6)]
    sent = []
    for count in range(1, len(turns) + 1):
        inner = Echo()
        passages = Evidence(passages=(Passage(text=f"by author{count}@example.org", source="a", start=0, end=9),))
        await through(tmp_path, inner, testing.ask(*turns[:count], params={"tools": tools}), passages)
        sent.append((inner.asked.params, [message["content"] for message in inner.asked.messages]))
    last_params, last = sent[-1]
    assert "EMAIL-1" in str(last_params)
    assert all(given == last_params and said == last[: len(said)] for given, said in sent)
    assert len(set(last)) == len(turns)


async def test_nothing_is_sent_where_the_detector_is_over_its_deadline(tmp_path, monkeypatch):
    monkeypatch.setattr(masked, "DEADLINE", 0.05)
    go_on, inner = threading.Event(), Echo()

    def slow(text):
        go_on.wait(20)
        return ()

    said = await through(tmp_path, inner, testing.ask("x" * masked.LARGE), find=slow)
    go_on.set()
    assert isinstance(said, Verdict)
    assert (said.ok, said.code) == (False, "masking_failed")
    assert inner.asked is None
