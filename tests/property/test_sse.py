"""The event decoder: whatever the line ends and wherever the bytes are split, the same events come out."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.answer._assembly import Assembly
from trimtab.answer._sse import LARGEST, Decoder

TEXTS = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=30)
EVENTS = st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=6)


def wire(events, ends, noise):
    """The bytes of events, with comments and other fields between, and line ends drawn from `ends`."""
    ends = iter(ends * 100)
    lines = []
    for number, data in enumerate(events):
        if noise:
            lines += [": a comment", f"id: {number}", "retry", "event:message"]
        lines += [*(f"data: {line}" for line in data), ""]
    return b"".join(line.encode() + next(ends) for line in lines)


def split(raw, cuts):
    edges = [0, *sorted(cut % (len(raw) + 1) for cut in cuts), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


@given(
    EVENTS, st.lists(st.sampled_from([b"\n", b"\r\n", b"\r"]), min_size=1, max_size=5), st.booleans(),
    st.lists(st.integers(0, 10_000), max_size=12),
)  # fmt: skip
def test_the_split_does_not_matter(events, ends, noise, cuts):
    # a CR at the end of one line and a bare LF for the next would be one CRLF: two ends only where they stay two
    ends = ends if b"\r" not in ends else [end for end in ends if end != b"\n"]
    decoder, found = Decoder(), []
    for chunk in split(wire(events, ends, noise), cuts):
        found += decoder.feed(chunk)
    assert found == ["\n".join(data).encode() for data in events]
    assert decoder.flush() == []


@given(EVENTS.filter(bool))
def test_one_byte_at_a_time_is_the_same(events):
    decoder = Decoder()
    raw = wire(events, [b"\r\n"], True)
    found = [event for i in range(len(raw)) for event in decoder.feed(raw[i : i + 1])]
    assert found == ["\n".join(data).encode() for data in events]


@given(st.lists(st.binary(max_size=50), max_size=10))
def test_garbage_never_raises(chunks):
    decoder = Decoder()
    for chunk in chunks:
        decoder.feed(chunk)
    decoder.flush()


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data:a\n\n", [b"a"]),
        (b"data:  a\n\n", [b" a"]),
        (b"data\n\n", [b""]),
        (b"database: a\n\n", []),
        (b"\n\n\ndata: a\n\n\n", [b"a"]),
        (b"data: a\n", []),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
    ],
)
def test_the_corners_of_the_standard(raw, found):
    assert Decoder().feed(raw) == found


def test_a_last_event_without_its_blank_line_is_there_at_the_end():
    decoder = Decoder()
    assert decoder.feed(b"data: [DONE]\n") == []
    assert decoder.flush() == [b"[DONE]"]
    assert decoder.flush() == []


def test_an_endless_event_is_refused():
    decoder = Decoder()
    for _ in range(LARGEST // 1_000_000):
        decoder.feed(b"x" * 1_000_000)
    with pytest.raises(ValueError, match="more than"):
        decoder.feed(b"x" * 1_000_000)


@given(st.lists(TEXTS, max_size=8), st.lists(TEXTS, min_size=1, max_size=5), st.booleans())
def test_an_assembled_stream_says_what_its_deltas_said(pieces, arguments, with_call):
    assembly, deltas = Assembly(), []
    for piece in pieces:
        deltas += assembly.take({"choices": [{"index": 0, "delta": {"content": piece}}]})
    if with_call:
        call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
        assembly.take({"choices": [{"delta": {"tool_calls": [call]}}]})
        for part in arguments:
            part = {"index": 0, "function": {"arguments": part}}
            assembly.take({"choices": [{"delta": {"tool_calls": [part]}}]})
    assembly.take({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "system_fingerprint": "fp"})
    answer = assembly.answer("m", None)
    assert (answer.text or "") == "".join(pieces) == "".join(delta.text for delta in deltas)
    assert [call["function"]["arguments"] for call in answer.tool_calls] == ["".join(arguments)] * with_call
    assert answer.body == {"system_fingerprint": "fp"}
    assert assembly.finished
