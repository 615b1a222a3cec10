"""For any text with personal data in it, cut anywhere: out as placeholders, back byte for byte."""

import asyncio
import json
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from trimtab import testing
from trimtab.answer import masked
from trimtab.guard import pii
from trimtab.types import Answer, Delta, Evidence, Span

VALUES = (
    "jane.doe@example.com",
    "+44 20 7946 0018",
    "4111 1111 1111 1111",
    "GB82 WEST 1234 5698 7654 32",
    "16.244.11.141",
    "853-37-1694",
    "zoë@bücher.example",
    'Ann "Nee" \\ O\'Hara',
    "สมชาย\nใจดี",
    "0489 25 37 29",
)
FILL = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["[EMAIL-1]", "[EMAIL-", "[", "]", "[PHONE-2", '"', "\\", "{", "[[EMAIL-1]]", "\\u005b", "[CARD-1] "]
)
TEXT = st.lists(FILL | st.sampled_from([f" {value} " for value in VALUES]), max_size=10).map("".join)
TOOLS = testing.tools(Path("unused"), names=None)  # no encoder: `personal` below says what is personal


def personal(text):
    """What the pii guard finds, and every one of `VALUES` wherever it stands (as a head for names would)."""
    known = [
        Span(kind="PERSON", start=at, end=at + len(value))
        for value in VALUES
        for at in range(len(text))
        if text.startswith(value, at)
    ]
    return (*known, *pii.find(text))


class Echo:
    """Streams and says back the last message and, as a tool call, the arguments of the first; cut at `cuts`."""

    def __init__(self, cuts):
        self.cuts, self.asked = cuts, None

    async def answer(self, request, evidence, sink):
        self.asked = request
        text, arguments = request.messages[1]["content"], request.messages[0]["tool_calls"][0]["function"]["arguments"]
        for piece in pieces(text, self.cuts):
            await sink.emit(Delta(text=piece, extra={"reasoning_content": piece}))
        for piece in pieces(arguments, self.cuts):
            await sink.emit(Delta(extra={"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
        return Answer(text=text, model="kind", tool_calls=(call,))


def pieces(text, cuts):
    edges = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[a:b] for a, b in pairwise(edges)]


@given(TEXT, TEXT, st.lists(st.integers(0, 400), max_size=30))
def test_masked_out_and_back_byte_for_byte(text, other, cuts):
    arguments = json.dumps({"a": other, "b": [text, 1]}, ensure_ascii=False)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    request = testing.ask(messages=({"role": "assistant", "tool_calls": [call]}, {"role": "user", "content": text}))
    inner, sink = Echo(cuts), testing.Hears()
    model = masked.build(masked.Options(), testing.msgspec.structs.replace(TOOLS, inner=inner, personal=personal))
    said = asyncio.run(model.answer(request, Evidence(), sink))

    assert said.text == sink.text == text
    assert "".join(delta.extra.get("reasoning_content", "") for delta in sink.deltas) == text
    streamed = "".join(
        piece["function"]["arguments"] for delta in sink.deltas for piece in delta.extra.get("tool_calls", ())
    )
    assert streamed == said.tool_calls[0]["function"]["arguments"] == arguments

    sent = inner.asked.messages
    seen = [sent[1]["content"], *strings(json.loads(sent[0]["tool_calls"][0]["function"]["arguments"]))]
    for value in VALUES:
        if value in text or value in other:
            assert not any(value in one for one in seen)


def strings(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict | list):
        return [s for item in (value.values() if isinstance(value, dict) else value) for s in strings(item)]
    return []


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(0, 99) | TEXT,
    lambda more: st.lists(more, max_size=3) | st.dictionaries(TEXT, more, max_size=3) | more.map(json.dumps),
    max_leaves=8,
)


class Says(Echo):
    """Streams and answers with one text of JSON: what the placeholders it was sent make of `value`."""

    async def answer(self, request, evidence, sink):
        text = request.messages[0]["tool_calls"][0]["function"]["arguments"]
        for piece in pieces(text, self.cuts):
            await sink.emit(Delta(text=piece))
        return Answer(text=text, model="kind")


@given(VALUE, st.lists(st.integers(0, 600), max_size=30))
def test_an_answer_in_json_comes_back_as_the_json_it_was(value, cuts):
    """Whatever is nested in what: the same value, in one piece and in a stream."""
    arguments = json.dumps({"a": value}, ensure_ascii=False)
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    request = testing.ask(
        messages=({"role": "assistant", "tool_calls": [call]},), params={"response_format": {"type": "json_object"}}
    )
    inner, sink = Says(cuts), testing.Hears()
    model = masked.build(masked.Options(), testing.msgspec.structs.replace(TOOLS, inner=inner, personal=personal))
    said = asyncio.run(model.answer(request, Evidence(), sink))
    assert said.text == sink.text
    assert same(json.loads(said.text), {"a": value})


def same(one, other):
    """Equal, also where a string that holds JSON is written with other spaces and escapes."""
    if isinstance(one, str) and isinstance(other, str) and one != other:
        try:
            return same(json.loads(one), json.loads(other))
        except ValueError:
            return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
