"""What the coverage-guided fuzzer feeds: each target takes bytes and fails where two readings of them differ.

    python benchmarks/fuzz_targets.py TARGET [libFuzzer's options]    needs atheris: see benchmarks/fuzz.py

A target raises `AssertionError` for a wrong reading; any other exception is one that a client would get as a 500.
"""

import asyncio
import copy
import json
import re
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import Any

CUTS = 4
"""Bytes at the front of an input that say where the rest is split."""
EVENTS = (
    b"\n", b"\r", b"\r\n", b"\n\n", b"data", b"data:", b"data: ", b"data: [DONE]", b":", b" ", b"id: 1", b"event: x",
    b"\xef\xbb\xbf", b"\x00", b"\xc3\xa9",
)  # fmt: skip
RESPONSES = (
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 500 X\r\n", b"HTTP/1.1 204 N\r\n", b"\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello", b"X: \xff\r\n", b"ffffffffffffffff\r\n", b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n", b"Trailer: x\r\n", b" folded\r\n",
)  # fmt: skip
ASKED = (
    b"POST /v1/a HTTP/1.1\r\n", b"GET /b?c=d HTTP/1.1\r\n", b"GET * HTTP/1.0\r\n", b"\r\n", b"Host: x\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n",
    b"5\r\nhello\r\n", b"0\r\n\r\n", b"hello", b"X: \xff\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n",
    b"Connection: upgrade\r\n", b"Trailer: x\r\n", b"HEAD http://h/%41%zz HTTP/1.1\r\n", b"CONNECT h:1 HTTP/1.1\r\n",
    b"Transfer-Encoding: identity\r\n", b"Content-Length: +5\r\n", b" folded\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)  # fmt: skip
JSON = (
    b"{", b"}", b"[", b"]", b":", b",", b'"a"', b'"b":', b'"a":1', b'{"a":', b'"', b"\\", b'"a\\u0062"', b'"\\u0061":',
    b"\\ud83d", b"\\ude00", b"1", b"-0", b"1e999", b"1.5", b"18446744073709551616", b"true", b"null", b"NaN",
    b"Infinity",
    b" ", b"\t", b"\n", b" :", b'":', b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xc3\xa9", b"[[[[[[[[", b"]]]]]]]]",
    b'\\"', b"\x00",
)  # fmt: skip


def spelled(data: bytes, tokens: tuple[bytes, ...]) -> bytes:
    """What bytes spell: the small ones a token each, all others themselves. So any input is nearly something."""
    return b"".join(tokens[byte] if byte < len(tokens) else bytes((byte,)) for byte in data)


def split(data: bytes, tokens: tuple[bytes, ...] = ()) -> tuple[bytes, list[bytes]]:
    """What an input holds, and the same in pieces at places that its first bytes choose."""
    places, raw = data[:CUTS], spelled(data[CUTS:], tokens)
    edges = sorted({0, *(place * len(raw) // 255 for place in places), len(raw)})
    return raw, [raw[start:end] for start, end in pairwise(edges)]


def driven(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never really waits."""
    try:
        work.send(None)
    except StopIteration as done:
        return done.value
    finally:
        work.close()
    raise AssertionError("it waits for something that does not come")


def sse(data: bytes) -> None:
    """The event decoder against the standard read literally, whole and in pieces."""
    from trimtab.answer._sse import Decoder

    raw, pieces = split(data, EVENTS)
    whole, parts = Decoder(), Decoder()
    found = whole.feed(raw)
    assert found == [event for piece in pieces for event in parts.feed(piece)]
    left = whole.flush()
    assert left == parts.flush()
    assert (found, left) == plain_events(raw)


def plain_events(raw: bytes) -> tuple[list[bytes], list[bytes]]:
    """The data of whole events, and of one whose blank line is missing, by the WHATWG's steps."""
    lines = re.split(rb"\r\n|\r|\n", raw.removeprefix(b"\xef\xbb\xbf"))[:-1]
    found, held = list[bytes](), list[bytes]()
    for line in lines:
        name, colon, value = line.partition(b":")
        if not line:
            found += [b"\n".join(held)] if held else []
            held = []
        elif name == b"data":
            held.append(value.removeprefix(b" ") if colon else b"")
    return found, [b"\n".join(held)] if held else []


def strict(data: bytes) -> None:
    """`strict_json.decode` against Python's own parser and the rules of docs/reference/http.md, one by one."""
    from trimtab.errors import MalformedError
    from trimtab.server import strict_json

    data, depth = Made(data[1:]).text() if data[:1] < b"\xc0" else spelled(data[1:], JSON), 8
    try:
        found = strict_json.decode(data, depth)
    except MalformedError as error:
        assert error.message  # noqa: PT017
        assert error.fix  # noqa: PT017
        found = None
    wanted = plainly(data, depth)
    assert (found is None) == (wanted is None), (found, wanted)
    assert found is None or same(found, wanted), (found, wanted)


def plainly(data: bytes, depth: int) -> Any:
    """The object that a body is by the rules, None for a body that breaks one."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a key twice")
        return dict(pairs)

    def no(name: str) -> Any:
        raise ValueError(name)

    def finite(text: str) -> float:
        if (value := float(text)) in (float("inf"), float("-inf")):
            raise ValueError(text)
        return value

    sys.set_int_max_str_digits(0)
    try:
        value = json.loads(data.decode(), object_pairs_hook=once, parse_constant=no, parse_float=finite)
        json.dumps(value, ensure_ascii=False).encode()  # no half of a surrogate pair, in a key or a value
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and deep(value) <= depth else None


def deep(value: Any) -> int:
    """How many objects and lists lie in one another, with no recursion of its own."""
    level, here = 0, [value]
    while here := [one for one in here if isinstance(one, dict | list)]:
        level += 1
        here = [child for one in here for child in (one.values() if isinstance(one, dict) else one)]
    return level


def same(one: Any, other: Any) -> bool:
    """Equal in type too: 1 is not 1.0, and not true."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def requests(data: bytes) -> None:
    """A body on each route is a request or the client's error, and what it becomes can be sent on to any server."""
    from trimtab.answer._blocks import Untranslatable
    from trimtab.answer._plain import plain
    from trimtab.answer.anthropic_http import Options, Server
    from trimtab.egress import Egress
    from trimtab.errors import RequestError
    from trimtab.server import anthropic, openai, responses

    body, other = (
        Made(data).edited(REQUESTS),
        Server(Options(url="http://localhost/v1", model="m"), "m", None, Egress(where="local")),
    )
    if not isinstance(body, dict):  # as `strict_json` does
        return
    for read in (openai.request, anthropic.request, lambda *given: responses.request(*given)[0]):
        try:
            found = read(body, {}, "tr_1")
        except RequestError as error:
            assert error.message  # noqa: PT017
            continue
        encoded(plain(found.params, found.messages))
        with suppress(RequestError, Untranslatable):
            encoded(other._messages(found))  # noqa: SLF001


def answers(data: bytes) -> None:
    """What a server says, whole or in chunks, is an answer or the server's fault, and can be told in each dialect."""
    from trimtab.answer import _message
    from trimtab.answer._assembly import Assembly
    from trimtab.answer.openai_http import NOT_ONE

    made, loop = Made(data), _loop()
    for make, events in ((Assembly, CHUNKS), (_message.Assembly, TURN)):
        assembly, deltas = make(), list[Any]()
        try:
            for event in made.edited([events]):
                deltas += assembly.take(event)
            said = assembly.answer("m", assembly.usage or _message.Usage())
        except NOT_ONE:
            said = None
        loop.run_until_complete(told(said, deltas))
    whole_answer(made.edited(WHOLE), loop)


def whole_answer(found: Any, loop: asyncio.AbstractEventLoop) -> None:
    """A whole response as both kinds of server say it."""
    from trimtab.answer.anthropic_http import Deaf
    from trimtab.answer.anthropic_http import Server as Other
    from trimtab.answer.openai_http import NOT_ONE, Server, Tally
    from trimtab.testing import ask

    for kind in (Server, Other):
        server = kind.__new__(kind)  # no connections: only how it reads is asked
        server._name = "m"  # noqa: SLF001
        try:
            said = server._read(found, Tally(Deaf(), ask("Hi")))  # noqa: SLF001
        except NOT_ONE:
            continue
        loop.run_until_complete(told(said, []))


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all inputs: to make one takes longer than an input."""
    return asyncio.new_event_loop()


async def told(answer: Any, deltas: list[Any]) -> None:
    """Stream the deltas and then the answer in each dialect, and tell the answer whole."""
    from trimtab.errors import TrimtabError
    from trimtab.server import anthropic, openai, responses
    from trimtab.server.blocks import Blocks
    from trimtab.server.sse import Stream
    from trimtab.testing import ask
    from trimtab.types import Trace

    async def send(message: Any) -> None:
        sent.append(message.get("body", b""))

    sent: list[bytes] = []
    request = ask("Hi", id="tr_1")
    trace = Trace(request=request, at=1.0, ms=1.0, outcome="answer", result=answer)
    single = responses.opened({"input": "Hi", "stream": True}, {}, "tr_1", send)
    assert single.stream
    for stream in (Stream(send, request), Blocks(send, request, late=False), single.stream):
        try:
            for delta in deltas:
                await stream.emit(delta)
            if answer:
                await stream.finish(answer, trace)
            else:
                await stream.fail(TrimtabError("cut"))
        except TrimtabError as error:
            await stream.fail(error)
        finally:
            stream.close()
    if answer:
        for tell in (openai.completion, anthropic.message, single.whole):
            encoded(tell(answer, trace, False))
        assert 0 <= answer.usage.prompt + answer.usage.completion < 1 << 40
        assert 0 <= answer.usage.cached <= answer.usage.prompt


def body(data: bytes) -> None:
    """A body in any pieces is the body; over the cap it is refused, and cut by its client it is nobody's."""
    from trimtab.errors import TooLargeError
    from trimtab.server import limits

    raw, pieces = split(data)
    pieces = pieces or [b""]
    for cut, announced in ((False, True), (False, False), (True, False)):
        messages = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
        messages += [{"type": "http.disconnect"}] if cut else []
        messages[-1]["more_body"] = False
        cap, at = 64, iter(messages)

        async def receive(at: Any = at) -> Any:
            return next(at)

        try:
            found = driven(limits.read(receive, {b"content-length": b"%d" % len(raw)} if announced else {}, cap))
            assert not cut
            assert found == raw
        except TooLargeError:
            assert len(raw) > cap
        except limits.ClientLeft:
            assert cut
            assert len(raw) <= cap


class Wire:
    """A transport that only notes what is done to it."""

    def __init__(self) -> None:
        self.gone = False
        self.wrote = list[bytes]()

    def write(self, data: bytes) -> None:
        if not self.gone:
            self.wrote.append(data)

    def close(self) -> None:
        self.gone = True

    def get_extra_info(self, _: str) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def abort(self) -> None:
        self.gone = True

    def is_closing(self) -> bool:
        return self.gone


def http(data: bytes) -> None:
    """What comes on a server's connection reads the same in any pieces, and breaks nothing."""
    raw, pieces = split(data, RESPONSES)
    loop = _loop()
    assert loop.run_until_complete(heard([raw])) == loop.run_until_complete(heard(pieces))


async def heard(pieces: list[bytes]) -> Any:
    from trimtab.answer._http import Response

    wire, gone = Wire(), list[Any]()
    response = Response(gone.append)
    response.connection_made(wire)
    for piece in pieces:
        if not wire.gone:
            response.data_received(piece)
    response.connection_lost(None)
    assert gone == [response]
    said = b"".join(response._body)  # noqa: SLF001 - what came is the same, how much of it was read at a time is not
    if response.ended:
        return response.status, response.headers, said
    assert response._fault  # noqa: SLF001
    return type(response._fault)  # noqa: SLF001


class Made:
    """JSON made from bytes: one of some values, changed in a few places to what the bytes say."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def edited(self, values: list[Any]) -> Any:
        value = copy.deepcopy(values[self._next() % len(values)])
        for _ in range(self._next() % 6):
            value = self._changed(value)
        return value

    def text(self) -> bytes:
        """JSON as a client might write it, with a few tokens put somewhere."""
        raw = self._written(0)
        for _ in range(max(0, self._next() % 6 - 2)):
            at = self._next() * len(raw) // 255
            raw = raw[:at] + JSON[self._next() % len(JSON)] + raw[at + self._next() % 3 :]
        return raw

    def _written(self, depth: int) -> bytes:
        kind, gap = self._next() % (4 if depth else 2), GAPS[self._next() % len(GAPS)]
        if depth > 9 or kind > 1:
            return SCALARS[self._next() % len(SCALARS)]
        items = [self._written(depth + 1) for _ in range(self._next() % 4)]
        if kind:
            return b"[" + gap + (gap + b"," + gap).join(items) + b"]"
        pairs = [KEYS[self._next() % len(KEYS)] + gap + b":" + gap + item for item in items]
        return gap + b"{" + (b"," + gap).join(pairs) + gap + b"}"

    def _next(self) -> int:
        return next(self._data, 0)

    def _changed(self, value: Any, depth: int = 0) -> Any:
        """The value with one place in it another: how deep it lies is chosen too."""
        if isinstance(value, dict) and self._next() % 8 and depth < 8:
            key = [*value, WORDS[self._next() % len(WORDS)]][self._next() % (len(value) + 1)]
            value[key] = self._changed(value.get(key), depth + 1)
            return value
        if isinstance(value, list) and value and self._next() % 8 and depth < 8:
            at = self._next() % (len(value) + 1)
            value[at : at + 1] = [self._changed(value[at] if at < len(value) else None, depth + 1)]
            return value
        return self._new(0)

    def _new(self, depth: int) -> Any:
        match self._next() % (8 if depth < 3 else 5):
            case 0 | 1:
                return WORDS[self._next() % len(WORDS)]
            case 2:
                return copy.deepcopy(ODD[self._next() % len(ODD)])  # they are edited too
            case 3:
                return self._next() - 3
            case 4:
                return {}
            case 5:
                return [self._new(depth + 1) for _ in range(self._next() % 3)]
            case _:
                return {WORDS[self._next() % len(WORDS)]: self._new(depth + 1) for _ in range(self._next() % 4)}


GAPS = (b"", b"", b"", b" ", b"\n", b"\t", b"\r\n ", b"\x0c")
KEYS = (
    b'"a"',
    b'"b"',
    b'"c"',
    b'"\\u0061"',
    b'"\\""',
    b'"a:"',
    b'":"',
    b'""',
    b'"\xc3\xa9"',
    b'"\\u00e9"',
    b'"\\\\"',
    b'"{"',
)
SCALARS = (
    b"1", b'"x"', b'":"', b'"{\\"a\\":1}"', b'"[["', b"null", b"true", b"-1.5e3", b"18446744073709551616", b"1e400",
    b"01",
    b'"\\ud83d\\ude00"', b'"\\ud83d"', b'"\\\\"', b'"\xff"', b"NaN", b"-0.0", b'" :"', b'"\\u003a"', b'"a": 1',
)  # fmt: skip

WORDS = (
    "role", "content", "user", "assistant", "system", "tool", "type", "text", "name", "arguments", "function", "id",
    "input",
    "custom", "tool_calls", "tool_call_id", "tool_use", "tool_result", "tool_use_id", "thinking", "redacted_thinking",
    "signature", "source", "base64", "data", "media_type", "document", "title", "image", "image_url", "url", "file",
    "file_data", "data:a/b;base64,eA==", "reasoning", "reasoning_content", "thinking_blocks", "content_blocks", "order",
    "refusal", "function_call", "function_call_output", "call_id", "output", "encrypted_content", "trimtab.1.e30=",
    "namespace", "summary", "message", "index", "delta", "choices", "usage", "prompt_tokens", "completion_tokens",
    "prompt_tokens_details", "cached_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens",
    "cache_creation_input_tokens", "finish_reason", "stop_reason", "stop_sequence", "stop_details", "end_turn", "stop",
    "refusal", "error", "logprobs", "annotations", "block", "at", "end", "lines", "placed", "part", "thought", "call",
    "tools", "tool_choice", "parameters", "input_schema", "schema", "response_format", "json_schema", "output_config",
    "format", "effort", "metadata", "user_id", "stop_sequences", "max_tokens", "betas", "citations", "citation",
    "content_block", "partial_json", "text_delta", "thinking_delta", "signature_delta", "citations_delta",
    "input_json_delta",
    "content_block_start", "content_block_delta", "content_block_stop", "message_start", "message_delta",
    "message_stop",
    "sequence_number", "item_id", "audio", "reasoning_details", "status", "phase", "caller", "", "x", "\n", "{}",
    '{"a":1}',
)  # fmt: skip
"""What the translations look for."""
ODD = (None, True, False, 0, -1, 1.5, 1e308, 10**30, [], [[]], [None], "\x00", "é\u2028", "a" * 300, [{}], {"": {}})
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
USE = {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1}}
THOUGHT = {"type": "thinking", "thinking": "Hm.", "signature": "s"}
REQUESTS: list[Any] = [
    {"model": "m", "stream": True, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
     "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": [{"type": "text", "text": "a"}]},
                  {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "Hm."},
                  {"role": "tool", "tool_call_id": "c1", "content": "1"}]},
    {"model": "m", "max_tokens": 9, "system": "s", "tools": [{"name": "f", "input_schema": {}}],
     "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "document", "title": "t",
                   "source": {"type": "text", "media_type": "text/plain", "data": "d"}}]},
                  {"role": "assistant", "content": [THOUGHT, {"type": "text", "text": "b"}, USE]},
                  {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "1"}]}]},
    {"model": "m", "instructions": "i", "text": {"format": {"type": "text"}}, "reasoning": {"effort": "low"},
     "tools": [{"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "f", "parameters": {}}]}],
     "input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]},
               {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
               {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
               {"type": "function_call_output", "call_id": "c1", "output": "1"}]},
]  # fmt: skip
"""One body of each dialect."""
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}
CHUNKS: list[Any] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "", "reasoning_content": "Hm."}}]},
    {"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **CALL}]}}]},
    {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"arguments": " "}}]}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]},
    {"choices": [], "usage": USAGE, "system_fingerprint": "f"},
]  # fmt: skip
"""A stream of OpenAI's."""
TURN: list[Any] = [
    {"type": "message_start", "message": {"id": "m", "role": "assistant", "content": [], "usage": {"input_tokens": 3}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Hm."}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "a"}},
    {"type": "content_block_stop", "index": 1},
    {"type": "content_block_start", "index": 2, "content_block": {**USE, "input": {}}},
    {"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_stop", "index": 2},
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
]
"""A stream of Anthropic's."""
WHOLE: list[Any] = [
    {"id": "x", "usage": USAGE, "choices": [{"index": 0, "finish_reason": "stop", "logprobs": None, "message": {
        "role": "assistant", "content": "a", "tool_calls": [CALL], "reasoning_content": "Hm."}}]},
    {"id": "x", "type": "message", "role": "assistant", "content": [THOUGHT, {"type": "text", "text": "a"}, USE],
     "stop_reason": "tool_use", "usage": {"input_tokens": 3, "output_tokens": 2, "cache_read_input_tokens": 1}},
]  # fmt: skip
"""A whole response of each."""


def clients(data: bytes) -> None:
    """What comes on a client's connection is the same requests in any pieces, and gets the same replies."""
    raw, pieces = split(data, ASKED)
    loop = _loop()
    assert loop.run_until_complete(served([raw])) == loop.run_until_complete(served(pieces))


async def served(pieces: list[bytes]) -> Any:
    """The requests that reached the app, and what was written back."""
    from uvicorn.server import ServerState

    from trimtab.server.http import Connection, Deadlines, Watch

    seen, wire, state, loop = list[Any](), Wire(), ServerState(), asyncio.get_running_loop()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        message: Any = {"more_body": True}
        body = b""
        while message.get("more_body") and message.get("type") != "http.disconnect":
            message = await receive()
            body += message.get("body", b"")
        seen.append(
            (scope["method"], scope["raw_path"], scope["query_string"], scope["headers"], body, message["type"])
        )
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
        await send({"type": "http.response.body", "body": b"a"})

    watch = Watch()
    connection = Connection(app, state, watch, Deadlines(), loop)
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.gone:
            connection.data_received(piece)
    for _ in range(30):
        await asyncio.sleep(0)
    connection.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    if watch._timer:  # noqa: SLF001
        watch._timer.cancel()  # noqa: SLF001
    assert not state.tasks, "nobody is left running"
    assert not state.connections
    return seen, b"".join(wire.wrote)


def encoded(value: Any) -> bytes:
    import msgspec

    return msgspec.json.encode(value)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "sse": sse, "json": strict, "requests": requests, "answers": answers, "body": body, "http": http,
    "clients": clients,
}  # fmt: skip
"""The edges where bytes of strangers are read."""


def main() -> None:
    import atheris

    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["trimtab"]):
        TARGETS[name](b"{}")
    atheris.Setup(sys.argv, TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
