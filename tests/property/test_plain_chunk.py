"""A chunk that is read by its type says what it says field by field; what is not plain is left alone."""

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from trimtab.answer._assembly import Assembly
from trimtab.answer._chunk import plain

TEXT = st.none() | st.text(max_size=8)
ODD = st.none() | st.booleans() | st.integers(-2, 3) | st.text(max_size=3) | st.just({}) | st.just([{"token": "a"}])
NAMES = st.sampled_from(["refusal", "tool_calls", "function_call", "reasoning", "reasoning_content", "audio"])
DELTA = st.builds(
    lambda said, odd: {**said, **odd},
    st.fixed_dictionaries({}, optional={"content": TEXT, "role": TEXT}),
    st.just({}) | st.dictionaries(NAMES, ODD, max_size=1),
)
CHOICE = st.builds(
    lambda delta, known, odd: {"delta": delta, **known, **odd},
    DELTA | st.none(),
    st.fixed_dictionaries({}, optional={"index": st.integers(-1, 2) | st.none(), "finish_reason": TEXT}),
    st.dictionaries(st.sampled_from(["logprobs", "stop_reason", "index"]), ODD, max_size=1),
)
CHUNK = st.builds(
    lambda choices, odd: {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **odd,
    },
    st.lists(CHOICE, max_size=2) | st.just([{"index": 0, "delta": {"content": "a"}}]),
    st.dictionaries(
        st.sampled_from(["usage", "error", "system_fingerprint", "service_tier", "obfuscation", "timings"]),
        ODD,
        max_size=2,
    ),
)


def state(assembly):
    return (
        assembly.body,
        assembly.tokens,
        assembly.usage,
        {k: msgspec.to_builtins(c) for k, c in assembly.choices.items()},
    )


@given(st.lists(CHUNK, min_size=1, max_size=4))
def test_both_ways_of_reading_find_the_same(chunks):
    typed, general = Assembly(), Assembly()
    for chunk in chunks:
        said = plain(json.dumps(chunk).encode())
        if said is None:
            continue
        assert [typed.piece(said)] == general.take(chunk)
        assert state(typed) == state(general)


@given(CHUNK)
def test_what_is_an_error_or_no_chunk_is_never_plain(chunk):
    try:
        refused = bool(chunk.get("error") or chunk.get("usage")) or len(Assembly().take(chunk)) != 1
    except (ValueError, TypeError, AttributeError):
        refused = True
    if refused:
        assert plain(json.dumps(chunk).encode()) is None


def test_the_chunks_that_servers_send_most_are_plain():
    head = b'{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","system_fingerprint":"f"'
    said = head + b',"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":null,"finish_reason":null}]}'
    assert plain(said)
    assert plain(said.replace(b'{"content":"Hi"}', b'{"role":"assistant","content":"","refusal":null}'))
    assert plain(said.replace(b'{"content":"Hi"}', b"{}").replace(b'finish_reason":null', b'finish_reason":"stop"'))
    assert plain(b"[DONE]") is plain(b"") is plain(b'{"choices":[]}') is plain(b"\xff") is None
