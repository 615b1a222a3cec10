"""Anthropic's messages and a chat's hold the same: there and back nothing is lost, and guards see every text."""

import json

from hypothesis import given
from hypothesis import strategies as st

from trimtab import texts
from trimtab.answer import _blocks, _message, _parameters, _turns
from trimtab.types import Answer

WORDS = st.text(min_size=1, max_size=20)
LINES = st.lists(st.sampled_from(["a", "", "b c", "\n"]), min_size=1, max_size=4).map("\n".join).filter(bool)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3), max_leaves=6,
)  # fmt: skip
CACHE = st.sampled_from([{}, {"cache_control": {"type": "ephemeral"}}])
TEXT = st.builds(lambda text, more: {"type": "text", "text": text, **more}, WORDS, CACHE)
IMAGE = st.builds(
    lambda data, more: {
        "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}, **more,
    },
    st.sampled_from(["aGk=", "eW8="]), CACHE,
) | st.builds(
    lambda n: {"type": "image", "source": {"type": "url", "url": f"https://x/{n}.png"}}, st.integers(0, 9)
)  # fmt: skip
DOCUMENT = st.builds(
    lambda text, title: {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": text},
                         "title": title, "citations": {"enabled": True}},
    WORDS, WORDS,
) | st.builds(
    lambda texts: {"type": "search_result", "source": "https://x", "title": "T",
                   "content": [{"type": "text", "text": text} for text in texts]},
    st.lists(WORDS, min_size=1, max_size=3),
) | st.just(
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="}}
)  # fmt: skip
THOUGHT = st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": f"s{len(text)}"}, LINES) | st.just(
    {"type": "redacted_thinking", "data": "xyz"}
)
SERVER = st.just(
    {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "tides"}}
) | st.just(
    {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [
        {"type": "web_search_result", "url": "https://x", "title": "Tides", "encrypted_content": "abc"}]}
)  # fmt: skip


def use(i, given):
    return {"type": "tool_use", "id": f"toolu_{i}", "name": "f", "input": given}


def result(i, content, more):
    return {"type": "tool_result", "tool_use_id": f"toolu_{i}", "content": content, **more}


USES = st.lists(st.dictionaries(WORDS, VALUES, max_size=3), max_size=2).map(
    lambda inputs: [use(i, one) for i, one in enumerate(inputs)]
)
ASSISTANT = st.builds(
    lambda blocks, uses: blocks + uses, st.lists(TEXT | THOUGHT | SERVER, min_size=1, max_size=4), USES
)
ANY_ORDER = st.lists(TEXT | THOUGHT | SERVER | st.just(use(0, {"a": 1})), min_size=1, max_size=5)
RESULTS = st.lists(
    st.builds(lambda content, more: (content, more), WORDS | st.lists(TEXT | IMAGE | DOCUMENT, min_size=1, max_size=2),
              st.sampled_from([{}, {"is_error": True}, {"cache_control": {"type": "ephemeral"}}])),
    max_size=2,
).map(lambda given: [result(i, *one) for i, one in enumerate(given)])  # fmt: skip
USER = st.builds(
    lambda results, said: results + said, RESULTS, st.lists(TEXT | IMAGE | DOCUMENT, min_size=1, max_size=3)
)
TURNS = st.lists(
    st.builds(lambda content: {"role": "user", "content": content}, USER | WORDS)
    | st.builds(lambda content: {"role": "assistant", "content": content}, ASSISTANT | ANY_ORDER | WORDS),
    min_size=1, max_size=4,
)  # fmt: skip
SYSTEM = st.none() | WORDS | st.lists(TEXT, min_size=1, max_size=2)


def plainly(content):
    """A string is shorthand for one text block."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def same(turn):
    blocks = plainly(turn["content"])
    nested = [
        {**block, "content": plainly(block["content"])} if block["type"] == "tool_result" else block for block in blocks
    ]
    return {**turn, "content": nested}


def written(value):
    """Every text that a model would read, in no order."""
    if isinstance(value, str):
        return [value]
    return sorted(text for block in plainly(value) for _, text in _blocks.texts(block))


@given(SYSTEM, TURNS)
def test_messages_come_back_as_they_were(system, turns):
    back, messages = _turns.anthropic(_turns.chat(system, turns))
    assert plainly(back or []) == plainly(system or [])
    assert [same(turn) for turn in messages] == [same(turn) for turn in turns]


@given(TURNS)
def test_guards_see_every_text(turns):
    """But thoughts that nobody may read, and the keys of a call's arguments, which they see as JSON."""
    seen = "\x00".join(text.text for text in texts.texts(_turns.chat(None, turns)))
    for turn in turns:
        for block in plainly(turn["content"]):
            for _, text in _blocks.texts(block) if block["type"] != "tool_use" else ():
                assert text in seen or json.dumps(text, ensure_ascii=False)[1:-1] in seen


def test_a_block_cannot_carry_a_text_past_the_guards():
    """A client may write the fields that we use: then only what guards have seen goes on."""
    seen = {"type": "text", "text": "seen"}
    hiding = {"type": "document", "title": "hidden", "source": {"type": "text", "data": None}}
    for block, at in (
        ({"type": "text", "text": "hidden"}, ["text"]), (hiding, ["source", "data"]), ("hidden", ["x"]),
        ({"type": "image", "source": None}, ["nowhere"]),
        ({"type": "image", "source": {"data": "x"}}, ["source", "data"]),
    ):  # fmt: skip
        assert _blocks.blocks([{**seen, "block": block, "at": at}]) == [seen]


@given(st.lists(st.lists(TEXT | THOUGHT | SERVER | st.just(use(0, {"a": 1})), min_size=1, max_size=5), max_size=1))
def test_an_answers_blocks_come_back(given_blocks):
    for blocks in given_blocks:
        answer = _message.answer({"content": blocks, "stop_reason": "end_turn"}, "m", _message.Usage())
        found = _message.blocks(answer)
        assert "".join(b["text"] for b in found if b["type"] == "text") == answer.text or not answer.text
        for kind in ("thinking", "redacted_thinking", "tool_use", "server_tool_use", "web_search_tool_result"):
            assert [b for b in found if b["type"] == kind] == [b for b in blocks if b["type"] == kind]


CALL = st.builds(
    lambda i, given: {"id": f"call_{i}", "type": "function",
                      "function": {"name": "f", "arguments": json.dumps(given, ensure_ascii=False)}},
    st.integers(0, 99), st.dictionaries(WORDS, VALUES, max_size=2),
)  # fmt: skip
PART = st.builds(lambda text: {"type": "text", "text": text}, WORDS) | st.sampled_from([
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    {"type": "image_url", "image_url": {"url": "https://x/y.png"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
])  # fmt: skip
CHAT = st.lists(
    st.builds(lambda content: {"role": "user", "content": content}, WORDS | st.lists(PART, min_size=2, max_size=3))
    | st.builds(lambda text, calls: {"role": "assistant", "content": text, **({"tool_calls": calls} if calls else {})},
                WORDS, st.lists(CALL, max_size=2))
    | st.builds(
        lambda i, text: {"role": "tool", "tool_call_id": f"call_{i}", "content": text}, st.integers(0, 9), WORDS
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def parsed(message):
    calls = [
        {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
        for call in message.get("tool_calls", ())
    ]
    return {**message, "tool_calls": calls}


@given(st.none() | WORDS, CHAT)
def test_a_chat_comes_back_as_it_was(system, chat):
    said = [{"role": "system", "content": system}] if system else []
    back = _turns.chat(*_turns.anthropic([*said, *chat]))
    assert list(map(parsed, back)) == list(map(parsed, [*said, *chat]))


TOOLS = [
    {"name": "f", "description": "F.", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}},
    {"name": "g", "input_schema": {"type": "object", "properties": {"x": {"type": "string"}}}, "strict": True},
    {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
]
PARAMS = st.fixed_dictionaries(
    {"max_tokens": st.integers(2000, 9000), "tools": st.just(TOOLS)},
    optional={
        "stop_sequences": st.lists(WORDS, min_size=1, max_size=3), "temperature": st.sampled_from([0, 0.5, 1]),
        "top_p": st.just(0.9), "top_k": st.just(5), "metadata": st.just({"user_id": "u"}),
        "thinking": st.sampled_from([{"type": "enabled", "budget_tokens": 1500}, {"type": "adaptive"}]),
        "tool_choice": st.sampled_from([
            {"type": "auto", "disable_parallel_tool_use": True}, {"type": "any"}, {"type": "tool", "name": "f"},
            {"type": "none"},
        ]),
        "output_config": st.sampled_from([
            {"format": {"type": "json_schema", "schema": {"type": "object"}}}, {"effort": "high"},
            {"format": {"type": "json_schema", "schema": {"type": "object"}}, "effort": "low", "new": 1},
        ]),
        "container": st.just("c_1"), "anything_new": VALUES.filter(lambda value: value is not None),
    },
)  # fmt: skip


@given(PARAMS)
def test_parameters_come_back_as_they_were(params):
    back, more = _parameters.anthropic(_parameters.chat(params), 1)
    assert (back, more) == (params, None)


def test_a_call_of_free_text_that_a_server_makes_unasked_is_a_tool_use_for_anthropics_clients():
    """Found by benchmarks/fuzz.py: it could not be told, and was a 500."""
    call = {"id": "c1", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
    found = _message.blocks(Answer(text=None, model="m", tool_calls=(call,)))
    assert found == [{"type": "tool_use", "id": "c1", "name": "shell", "input": {"input": "ls"}}]
