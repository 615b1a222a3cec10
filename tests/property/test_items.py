"""Responses items and chat messages: a translation there and back keeps every text, call id and argument."""

import copy
import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import RequestError
from trimtab.server import history, items
from trimtab.server.growth import Growth
from trimtab.server.responses import begun, request
from trimtab.types import Answer, Json

TEXT = st.text(min_size=1, max_size=20)
NAME = st.text("abcdefgh_", min_size=1, max_size=12)
SPACES = st.sampled_from(["", "", "files", "mcp__web__", "a_namespace_that_is_very_long_indeed_and_goes_on_and_on_too"])
ARGUMENTS = st.dictionaries(NAME, TEXT, max_size=2).map(json.dumps)
PART = st.one_of(
    TEXT.map(lambda text: {"type": "input_text", "text": text}),
    TEXT.map(lambda text: {"type": "input_text", "text": text, "prompt_cache_breakpoint": {"mode": "explicit"}}),
    TEXT.map(lambda url: {"type": "input_image", "image_url": url, "detail": "low"}),
    TEXT.map(lambda data: {"type": "input_file", "file_data": data, "filename": "f"}),
)
CONTENT = st.one_of(TEXT, st.lists(PART, min_size=1, max_size=3))
SAID = st.lists(TEXT.map(items.text_part), min_size=1, max_size=2)


@st.composite
def turns(draw: st.DrawFn) -> list[Json]:
    """A conversation: asked, then reasoning, words and calls in any order, then the calls' results."""
    found: list[Json] = []
    for _ in range(draw(st.integers(1, 3))):
        role = draw(st.sampled_from(["user", "developer", "system"]))
        found.append({"type": "message", "role": role, "content": draw(CONTENT)})
        wrote: list[Json] = [
            {"type": "message", "role": "assistant", "content": c} for c in draw(st.lists(SAID, max_size=2))
        ]
        if draw(st.booleans()):
            wrote.insert(
                0, {"type": "reasoning", "id": "rs", "summary": [], "content": [items.reasoning_part(draw(TEXT))]}
            )
        calls = [
            {"type": "function_call", "call_id": f"call_{len(found)}_{i}", "name": name, "namespace": draw(SPACES),
             "arguments": draw(ARGUMENTS)}
            for i, name in enumerate(draw(st.lists(NAME, max_size=3)))
        ]  # fmt: skip
        if draw(st.booleans()):
            calls.append(
                {"type": "custom_tool_call", "call_id": f"custom_{len(found)}", "name": "patch", "input": draw(TEXT)}
            )
        found += wrote + calls if draw(st.booleans()) else calls + wrote
        found += [
            {"type": call["type"] + "_output", "call_id": call["call_id"], "output": draw(CONTENT)} for call in calls
        ]
    return found


def texts(value: Any) -> list[str]:
    """Every text that a person or model wrote, in a list that does not mind the order of items within a turn."""
    if isinstance(value, list):
        return sorted(text for one in value for text in texts(one))
    if not isinstance(value, dict):
        return []
    found = [value[key] for key in ("text", "file_data", "url", "image_url") if isinstance(value.get(key), str)]
    found += [value[key] for key in ("content", "output", "reasoning_content") if isinstance(value.get(key), str)]
    return found + [text for key in ("content", "output", "image_url", "file") for text in texts(value.get(key))]


def calls(found: list[Json]) -> list[tuple[str, str, str]]:
    """Id, name and what was written of each call, of items or of messages."""
    said: list[tuple[str, str, str]] = []
    for one in found:
        if one.get("type") in ("function_call", "custom_tool_call"):
            name = items.flat(one.get("namespace", ""), one["name"])
            said.append((one["call_id"], name, one.get("arguments", one.get("input"))))
        for call in one.get("tool_calls", ()):
            body = call[call["type"]]
            said.append((call["id"], body["name"], body.get("arguments", body.get("input"))))
    return said


@given(turns())
def test_every_text_call_id_and_argument_arrives(given_items: list[Json]) -> None:
    before = copy.deepcopy(given_items)
    found = history.messages(given_items, "Be brief.")
    assert given_items == before
    assert found[0] == {"role": "system", "content": "Be brief."}
    assert [t for t in texts(found[1:]) if t] == texts(given_items)
    assert calls(found) == calls(given_items)
    results = [message["tool_call_id"] for message in found if message["role"] == "tool"]
    assert results == [one["call_id"] for one in given_items if one["type"].endswith("_output")]
    roles = [message["role"] for message in found[1:] if message["role"] not in ("assistant", "tool")]
    assert roles == [one["role"] for one in given_items if one.get("role") not in (None, "assistant")]


@given(turns())
def test_results_stand_behind_the_message_with_their_calls(given_items: list[Json]) -> None:
    open_calls: set[str] = set()
    for message in history.messages(given_items, None):
        if message["role"] == "tool":
            open_calls.remove(message["tool_call_id"])
        else:
            assert not open_calls, "a chat wants the results of all calls before anything else"
            open_calls = {call["id"] for call in message.get("tool_calls", ())}
        assert message["content"] is not None or message.get("tool_calls")
    assert not open_calls


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    made = [
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": draw(ARGUMENTS)}, "further": i}
        for i, name in enumerate(draw(st.lists(NAME, max_size=2)))
    ]
    if draw(st.booleans()):
        made.append({"id": "p", "type": "custom", "custom": {"name": "patch", "input": draw(TEXT)}})
    extra: Json = {"signature": draw(TEXT)} if draw(st.booleans()) else {}
    extra |= {"reasoning_content": draw(TEXT)} if draw(st.booleans()) else {}
    extra |= {"thinking_blocks": [{"signature": draw(TEXT)}]} if draw(st.booleans()) else {}
    extra |= {"refusal": draw(TEXT)} if not made and draw(st.booleans()) else {}
    return Answer(text=draw(st.none() | st.text(max_size=200)), model="m", tool_calls=tuple(made), extra=extra)


@given(answers())
def test_an_answer_sent_back_is_the_message_it_was(answer: Answer) -> None:
    found = history.messages(items.output(answer, "k", {}), None)
    assert len(found) == 1
    said = found[0]
    assert (said["content"] or "") == (answer.text or "")
    assert tuple(said.get("tool_calls", ())) == answer.tool_calls
    assert {key: said[key] for key in answer.extra} == answer.extra
    assert said.keys() <= {"role", "content", "tool_calls", *answer.extra}


@given(answers(), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_the_events_of_a_stream_add_up_to_the_items(answer: Answer, cuts: list[int]) -> None:
    """What grows in pieces of any size is what a whole reply has; every item is added once and done once."""
    growth, told = Growth("k", {}), list[Any]()

    def tell(events: Any) -> None:
        told.extend((name, copy.deepcopy(fields)) for name, fields in events)

    whole = items.output(answer, "k", {})
    for item in whole:
        for part in item.get("content", ()):
            for piece in cut(part.get("text", part.get("refusal")), cuts):
                tell(growth.words(part["type"], piece))
        tell(growth.sealed(answer.extra if item["type"] == "reasoning" else {}))
    for at, call in enumerate(answer.tool_calls):
        kind, field = ("custom", "input") if call["type"] == "custom" else ("function", "arguments")
        for i, piece in enumerate(cut(call[kind][field], cuts)):
            first = {**call, kind: {**call[kind], field: piece}}
            tell(growth.call(first if i == 0 else {kind: {field: piece}}, at))
    tell(growth.close("completed", items.kept(answer.extra)))

    assert history.messages(growth.items, None) == history.messages(whole, None)
    numbers = range(len(growth.items))
    assert [f["output_index"] for name, f in told if name == "output_item.added"] == list(numbers)
    done = {f["output_index"]: f["item"] for name, f in told if name == "output_item.done"}
    assert [done[i]["id"] for i in numbers] == [item["id"] for item in growth.items]
    for item in growth.items:
        pieces = [f["delta"] for name, f in told if name.endswith(".delta") and f["item_id"] == item["id"]]
        wrote = item.get("arguments", item.get("input"))
        said = "".join(part.get("text", part.get("refusal")) for part in item.get("content", ()))
        assert "".join(pieces) == (said if wrote is None else wrote)


def cut(text: str, sizes: list[int]) -> list[str]:
    found, at = [], 0
    for i in range(len(text)):
        if at >= len(text):
            break
        found.append(text[at : (at := at + sizes[i % len(sizes)])])
    return found or [""]


KEYS = st.sampled_from([
    "type", "role", "content", "text", "name", "arguments", "call_id", "output", "input", "namespace", "tools",
    "format", "schema", "summary", "encrypted_content", "tool_calls", "reasoning_content", "image_url",
    "description", "effort", "thinking_blocks", "parameters",
])  # fmt: skip

FIELDS = st.dictionaries(
    st.text("abcxyz", min_size=4, max_size=8).map(lambda name: f"x_{name}"),
    st.integers() | TEXT | st.none(),
    max_size=4,
)


@given(FIELDS, FIELDS, FIELDS)
def test_unknown_fields_are_kept(outer: Json, inner: Json, called: Json) -> None:
    tool = {"type": "function", "name": "f", "parameters": {"type": "object"}, **called}
    item = {"role": "user", "content": "hi", **inner}
    found, _ = request({"input": [item], "tools": [tool], **outer}, {}, "tr_1")
    assert {name: found.params[name] for name in outer} == outer
    assert {name: found.messages[0][name] for name in inner} == inner
    kept = {name: value for name, value in called.items() if value is not None}
    assert {name: found.params["tools"][0]["function"][name] for name in kept} == kept


def test_reasoning_that_was_told_last_joins_its_words() -> None:
    """As in a stream under the guards' window, which lets all that is no text out at the end."""
    words = {"type": "message", "role": "assistant", "content": [items.text_part("At noon.")]}
    found = history.messages([words, items.reasoning("rs", "Tides."), {"role": "user", "content": "Sure?"}], None)
    assert found[0] == {"role": "assistant", "content": "At noon.", "reasoning_content": "Tides."}
    assert len(found) == 2


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | TEXT
    | st.sampled_from(["message", "reasoning", "function", "namespace"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
OPTIONAL = ("tools", "tool_choice", "text", "reasoning", "instructions", "include", "max_output_tokens", "n")
BODY = st.fixed_dictionaries({"input": JSON | turns()}, optional=dict.fromkeys(OPTIONAL, JSON))


@given(BODY, st.sampled_from(sorted(history.READERS)), st.dictionaries(KEYS, JSON, max_size=4))
def test_whatever_is_sent_is_a_request_or_an_error_of_the_client(body: Json, kind: str, item: Json) -> None:
    given_items = body["input"] if isinstance(body["input"], list) else []
    for sent in (body, {**body, "input": [*given_items, {**item, "type": kind}]}):
        with suppress(RequestError):  # anything else would be a 500
            found, _ = request(sent, {}, "tr_1")
            assert begun(sent, "tr_1")["status"] == "in_progress"
            assert found.messages
