"""Completions that are none end as a clear failure of their server, and odd ones that can be read are read."""

import asyncio

import msgspec
import pytest

from trimtab.answer._assembly import MOST, Assembly, counted, of_choices
from trimtab.answer.openai_http import NOT_ONE, Options, Server
from trimtab.egress import Egress
from trimtab.errors import UpstreamError
from trimtab.testing import Hears, ask
from trimtab.types import Evidence, Usage


def chunk(delta, **more):
    return {"choices": [{"index": 0, "delta": delta, **more}]}


def call(index=0, id="", **function):
    return {"index": index, **({"id": id} if id else {}), "function": function}


def assembled(*chunks):
    """The deltas of a stream and the answer they make, from chunks as they are decoded."""
    assembly = Assembly()
    deltas = [delta for one in chunks for delta in assembly.take(msgspec.json.decode(msgspec.json.encode(one)))]
    return deltas, assembly.answer("large", Usage())


def whole(message, **more):
    return of_choices([{"index": 0, "message": {"role": "assistant", **message}, **more}], {}, "large", Usage())


@pytest.mark.parametrize(
    "wrong",
    [
        chunk({"content": [{"type": "text", "text": "x"}]}), chunk({"content": 3}), chunk("x"), chunk({"refusal": {}}),
        chunk({"content": "x"}, index="0"), chunk({"content": "x"}, index=-1), chunk({"content": "x"}, index=True),
        chunk({"content": "x"}, finish_reason=3), chunk({"content": "x"}, logprobs="x"),
        chunk({"tool_calls": "abc"}), chunk({"tool_calls": [3]}), chunk({"tool_calls": [{"index": "0"}]}),
        chunk({"tool_calls": [{"index": 0, "function": "f"}]}), chunk({"tool_calls": [call(name=3)]}),
        chunk({"tool_calls": [call(arguments={})]}), chunk({"tool_calls": [{"index": 0, "custom": {"input": 3}}]}),
        chunk({"function_call": "f"}), chunk({"function_call": {"arguments": {}}}), {"choices": "x"}, {"choices": [3]},
        {"usage": {"prompt_tokens": -1}}, {"usage": "many"}, ["x"],
    ],
)  # fmt: skip
def test_a_chunk_that_is_none_is_a_fault_of_the_server(wrong):
    with pytest.raises(NOT_ONE):
        Assembly().take(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"tool_calls": "abc"}, {"tool_calls": {"0": {}}}, {"tool_calls": [{"id": "a", "function": None}]},
        {"tool_calls": [{"id": "a"}]}, {"tool_calls": [{"function": {"name": "f", "arguments": {"x": 1}}}]},
        {"content": ["x"]}, {"content": None, "refusal": 3}, {"function_call": "f"},
    ],
)  # fmt: skip
def test_a_message_that_is_none_is_a_fault_of_the_server(wrong):
    with pytest.raises(NOT_ONE):
        whole(wrong)


@pytest.mark.parametrize("wrong", [{"finish_reason": 3}, {"index": "first"}])
def test_a_choice_that_is_none_is_a_fault_of_the_server(wrong):
    with pytest.raises(NOT_ONE):
        whole({"content": "x"}, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"prompt_tokens": -5}, {"completion_tokens": -1}, {"prompt_tokens": 2**53 + 1}, {"prompt_tokens": 10**19},
        {"prompt_tokens": 1e300}, {"prompt_tokens": float("inf")}, {"prompt_tokens": "many"}, {"prompt_tokens": [1]},
        {"prompt_tokens": 1, "prompt_tokens_details": {"cached_tokens": -1}}, {"prompt_tokens_details": 3}, [1],
    ],
)  # fmt: skip
def test_a_count_that_can_be_none_is_refused(wrong):
    with pytest.raises(ValueError, match=r"usage|invalid"):
        counted(wrong)


def test_a_count_is_taken_as_it_is_and_no_more_is_cached_than_was_read():
    assert counted({"prompt_tokens": 12, "completion_tokens": 3}) == Usage(prompt=12, completion=3)
    assert counted({"prompt_tokens": 12, "prompt_tokens_details": {"cached_tokens": 90}}) == Usage(prompt=12, cached=12)
    assert counted({"prompt_tokens": MOST, "completion_tokens": None}) == Usage(prompt=MOST)


def test_a_name_that_comes_with_every_piece_is_one_name():
    pieces = [call(id="a", name="f", arguments='{"x"'), call(id="a", name="f", arguments=": 1}")]
    deltas, answer = assembled(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk({}, finish_reason="stop"))
    assert answer.tool_calls == ({"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},)
    seen = [piece["function"] for delta in deltas for piece in delta.extra.get("tool_calls", ())]
    assert seen == [{"name": "f", "arguments": '{"x"'}, {"arguments": ": 1}"}], "a client joins names too"


def test_a_name_in_pieces_is_joined():
    _, answer = assembled(chunk({"tool_calls": [call(name="get_")]}), chunk({"tool_calls": [call(name="time")]}))
    assert answer.tool_calls[0]["function"]["name"] == "get_time"


def test_pieces_without_a_place_or_a_body_are_read():
    pieces = ({"id": "a", "function": {"name": "f"}}, {"index": None, "id": "b", "function": {"name": "g"}})
    deltas, answer = assembled(*(chunk({"tool_calls": [piece]}) for piece in pieces))
    assert [one["function"]["name"] for one in answer.tool_calls] == ["f", "g"]
    assert [delta.extra["tool_calls"][0]["index"] for delta in deltas] == [0, 1]
    _, answer = assembled(chunk({"tool_calls": [{"index": 0, "id": "a", "function": None}]}))
    assert answer.tool_calls[0]["function"] == {"name": "", "arguments": ""}


def test_whole_calls_that_are_all_numbered_0_are_told_apart():
    """As Ollama sends them (its issue 15457); joined by their number they were one call whose arguments are no JSON."""
    pieces = (
        call(id="a", name="f", arguments='{"x": 1}'), call(id="b", name="f", arguments='{"x": 2}'),
        call(id="c", name="g", arguments='{"y"'), call(arguments=": 3}"),
    )  # fmt: skip
    deltas, answer = assembled(*(chunk({"tool_calls": [piece]}) for piece in pieces))
    said = [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in answer.tool_calls]
    assert said == [("a", "f", '{"x": 1}'), ("b", "f", '{"x": 2}'), ("c", "g", '{"y": 3}')]
    assert [delta.extra["tool_calls"][0]["index"] for delta in deltas] == [0, 1, 2, 2]
    (one,) = assembled(chunk({"tool_calls": list(pieces)}))[1:]
    assert one.tool_calls == answer.tool_calls


@pytest.mark.parametrize("name", [{}, {"name": None}, {"name": "f"}])
def test_the_control_an_id_that_is_new_with_each_piece_begins_no_call(name):
    pieces = (call(id="a", name="f", arguments='{"x"'), call(id="b", arguments=": 1}", **name))
    _, answer = assembled(*(chunk({"tool_calls": [piece]}) for piece in pieces))
    assert [one["function"] for one in answer.tool_calls] == [{"name": "f", "arguments": '{"x": 1}'}]


def test_the_old_call_and_the_custom_one_are_joined_from_their_pieces():
    old = ({"name": "f", "arguments": '{"x"'}, {"name": "f", "arguments": ": 1}"})
    _, answer = assembled(*(chunk({"function_call": piece}) for piece in old))
    assert answer.extra["function_call"] == {"name": "f", "arguments": '{"x": 1}'}
    custom = ({"name": "sql", "input": "select "}, {"input": "1"})
    pieces = (chunk({"tool_calls": [{"index": 0, "id": "a", "custom": piece}]}) for piece in custom)
    _, answer = assembled(*pieces)
    assert answer.tool_calls == ({"id": "a", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},)


def test_an_end_without_a_delta_is_an_end():
    assembly = Assembly()
    assembly.take(chunk({"content": "x"}))
    assembly.take({"choices": [{"index": 0, "finish_reason": "length"}]})
    assert assembly.finished
    assert assembly.answer("large", Usage()).finish == "length"


def test_a_whole_call_without_arguments_has_empty_ones():
    answer = whole({"tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": None}}]})
    assert answer.tool_calls[0]["function"] == {"name": "f", "arguments": ""}


async def said(body, kind):
    """What the rung makes of a server that answers one call with `body`."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\nconnection: close\r\n\r\n" % kind + body)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        rung = Server(Options(url=f"http://{host}:{port}/v1", model="m"), "large", None, Egress(where="local"))
        try:
            return await rung.answer(ask("Hi"), Evidence(), Hears(live=kind != b"application/json"))
        finally:
            await rung.close()


@pytest.mark.parametrize(
    "wrong",
    [
        chunk({"content": [{"type": "text", "text": "x"}]}), chunk({"content": "x"}, finish_reason=3),
        chunk({"tool_calls": "abc"}), {**chunk({"content": "x"}), "usage": {"prompt_tokens": -5}},
    ],
)  # fmt: skip
async def test_over_the_wire_a_wrong_stream_is_named_as_that(wrong):
    body = b"data: " + msgspec.json.encode(wrong) + b"\n\ndata: [DONE]\n\n"
    with pytest.raises(UpstreamError, match="its stream is no completion") as caught:
        await said(body, b"text/event-stream")
    assert caught.value.code == "upstream_invalid"


@pytest.mark.parametrize(
    "wrong",
    [
        {"message": {"content": "x", "tool_calls": "abc"}}, {"message": {"content": "x"}, "finish_reason": 3},
        {"message": {"content": None, "tool_calls": [{"id": "a", "function": None}]}},
    ],
)  # fmt: skip
async def test_over_the_wire_a_wrong_response_is_named_as_that(wrong):
    with pytest.raises(UpstreamError, match="its response is no completion") as caught:
        await said(msgspec.json.encode({"choices": [wrong]}), b"application/json")
    assert caught.value.code == "upstream_invalid"
