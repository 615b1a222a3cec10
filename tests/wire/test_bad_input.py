"""Everything a client can get wrong, and what it is told: status, code, parameter and what to do."""

import contextlib
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _gateway import desk, exchange, post, served, settings
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import ConfigError, MalformedError
from trimtab.server import app as gateway_app
from trimtab.server import serving, strict_json

CHAT = "/v1/chat/completions"
HI: list[Any] = [{"role": "user", "content": "say hi"}]
Raw = Callable[[bytes], tuple[int, dict[bytes, bytes], bytes]]


def told(raw: Raw, body: bytes, *headers: str, path: str = CHAT) -> tuple[int, Any]:
    status, fields, said = raw(post(path, body, *headers))
    assert fields[b"content-type"] == b"application/json"
    error = json.loads(said)["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return status, error


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (b"", "empty"), (b"{", "too early"), (b"[1]", "not an object"), (b"null", "not an object"),
        (b'{"messages":[]} tail', "trailing"), (b'{"a":NaN}', "not JSON"), (b'{"a":Infinity}', "not JSON"),
        (b'{"a":-Infinity}', "not JSON"), (b'{"a":"\xff"}', "not UTF-8"), (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
        (b'{"a":"\\ud800"}', "surrogate"), (b'{"a":"\\udc00x"}', "surrogate"), (b'{"\\ud83d":1}', "surrogate"),
        (b'{"a":1,"a":2}', "'a' is there twice"), (b'{"x":{"b":1, "c" : 2, "\\u0062":3}}', "'b' is there twice"),
        (b"{'a':1}", "not JSON"), (b'{"a":1,}', "not JSON"), (b"\xef\xbb\xbf{}", "not JSON"), (b'{"a":1e999}', "range"),
    ],
)  # fmt: skip
def test_not_the_json_that_was_promised(raw: Raw, body: bytes, word: str) -> None:
    status, error = told(raw, body)
    assert (status, error["type"], error["code"]) == (400, "invalid_request_error", "malformed_request")
    assert word in error["message"]


def test_depth(raw: Raw) -> None:
    for deep in (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", b'{"a":' * 10_000 + b"1" + b"}" * 10_000):
        status, error = told(raw, deep)
        assert (status, error["code"]) == (400, "too_deep")
    brackets = json.dumps({"messages": [{"role": "user", "content": "say " + "[{" * 500}]}).encode()
    assert raw(post(CHAT, brackets))[0] == 200


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/embeddings"])
def test_a_compressed_body_is_told_to_come_plain(raw: Raw, path: str) -> None:
    for coding in ("gzip", "zstd", "gzip, identity"):
        body = gzip.compress(b'{"messages": [{"role": "user", "content": "say hi"}], "input": "hi", "max_tokens": 9}')
        status, _, said = raw(post(path, body, f"content-encoding: {coding}", "idempotency-key: compressed"))
        error = json.loads(said)["error"]
        assert (status, error["code"], error["type"]) == (415, "compressed_body", "invalid_request_error")
        assert coding in error["message"]
    plain = b'{"messages": [{"role": "user", "content": "say hi"}], "input": "hi", "max_tokens": 9}'
    assert raw(post(path, plain, "content-encoding: identity"))[0] == 200


def test_ten_megabytes(raw: Raw) -> None:
    huge = json.dumps({"messages": [{"role": "user", "content": "x" * 10_000_000}]}).encode()
    status, error = told(raw, huge)
    assert (status, error["code"]) == (413, "body_too_large")
    assert "4,000,000" in error["message"]


def test_ten_megabytes_in_chunks(house: Any) -> None:
    host, port = house.url.removeprefix("http://").split(":")
    head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n" % 500_000 + b"x" * 500_000 + b"\r\n"
    status, _, said = exchange(host, int(port), head + chunk * 20 + b"0\r\n\r\n")
    assert (status, json.loads(said)["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"messages": None}, "messages"), ({"messages": []}, "messages"), ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"), ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"function": "f"}]}]}, "messages[0].tool_calls[0]"),
        ({"model": 5}, "model"), ({"stream": "yes"}, "stream"), ({"n": 0}, "n"), ({"n": "2"}, "n"), ({"n": True}, "n"),
        ({"max_tokens": -1}, "max_tokens"), ({"temperature": "hot"}, "temperature"), ({"tools": {}}, "tools"),
        ({"tools": ["f"]}, "tools"), ({"response_format": "json"}, "response_format"),
        ({"stream_options": True}, "stream_options"), ({"trimtab": 1}, "trimtab"),
        ({"trimtab": {"limit": {}}}, "trimtab"), ({"trimtab": {"limits": {"cost_usd": -1}}}, "trimtab"),
        ({"trimtab": {"limits": {"where": "moon"}}}, "trimtab"), ({"trimtab": {"limits": {"usd": 1}}}, "trimtab"),
        ({"trimtab": {"limits": {"regions": []}}}, "trimtab"),
        ({"trimtab": {"limits": {"regions": ["EU"]}}}, "trimtab"),
    ],
)  # fmt: skip
def test_wrong_shape(raw: Raw, change: dict[str, Any], param: str) -> None:
    status, error = told(raw, json.dumps({"messages": HI, **change}).encode())
    assert (status, error["param"]) == (400, param)
    assert len(error["message"]) > 20


@pytest.mark.parametrize(
    "header",
    [
        "x-trimtab-max-cost: nan", "x-trimtab-max-latency: 0", "x-trimtab-where: moon", "x-trimtab-regions: EU",
        "x-trimtab-regions: eu,", "x-trimtab-regions: ",
    ],
)  # fmt: skip
def test_wrong_headers(raw: Raw, header: str) -> None:
    status, error = told(raw, json.dumps({"messages": HI}).encode(), header)
    assert (status, error["param"]) == (400, header.split(":", maxsplit=1)[0])


def test_what_is_tolerated(raw: Raw) -> None:
    for kind in ("content-type: text/plain", "content-type: nonsense", "accept: */*"):
        status, _, said = raw(post(CHAT, json.dumps({"messages": HI}).encode(), kind))
        assert (status, json.loads(said)["choices"][0]["message"]["content"]) == (200, "hi")


def test_routes_and_methods(raw: Raw) -> None:
    assert told(raw, b"{}", path="/v1/nothing")[0] == 404
    status, error = told(raw, b"{}", path="/v1/models")
    assert (status, error["code"]) == (405, "method_not_allowed")
    status, fields, said = raw(post("/nothing", b"{}"))
    assert (status, fields[b"content-type"]) == (404, b"application/problem+json")
    assert json.loads(said)["status"] == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"])
def test_routes_that_answer_take_only_post(house: Any, method: str, path: str) -> None:
    host, port = house.url.removeprefix("http://").split(":")
    sent = f"{method} {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode()
    status, fields, _ = exchange(host, int(port), sent)
    assert (status, fields[b"allow"]) == (405, b"POST")


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/models", b"GET, HEAD"), ("/approvals/x", b"GET, HEAD, POST"), ("/v1/responses/input_tokens", b"POST"),
        ("/v1/responses/x", b"DELETE, GET, HEAD, POST"), ("/healthz", b"GET, HEAD"),
    ],
)  # fmt: skip
def test_a_405_names_the_methods_of_its_path(raw: Raw, path: str, allow: bytes) -> None:
    status, fields, _ = raw(f"PATCH {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".encode())
    assert (status, fields[b"allow"]) == (405, allow)


@pytest.mark.parametrize("role", [{}, [], None, 5, "robot"])
@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", CHAT])
def test_a_role_that_is_none(raw: Raw, path: str, role: Any) -> None:
    status, _, said = raw(post(path, json.dumps({"messages": [{"role": role, "content": "x"}]}).encode()))
    assert (status, json.loads(said)["error"]["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("given", [{"messages": HI}, {"prompt": "say hi"}])
def test_more_choices_than_anyone_means(raw: Raw, given: Any) -> None:
    path = CHAT if "messages" in given else "/v1/completions"
    status, error = told(raw, json.dumps({**given, "n": 129}).encode(), path=path)
    assert (status, error["param"]) == (400, "n")
    assert "at most 128" in error["message"]


def test_a_port_in_use_is_said(house: Any) -> None:
    from trimtab.settings import parse

    port = int(house.url.rsplit(":", 1)[1])
    taken = parse({"server": {"port": port}}, folder=Path(), home=Path(), name="x", secrets={})
    with pytest.raises(ConfigError, match=f"{port}.*--port"), serving.bound(taken):
        pass


def test_the_key_is_asked_for_everywhere_but_healthz(house: Any, tmp_path: Path) -> None:
    given = settings(tmp_path, TRIMTAB_API_KEY="sesame-1")
    gateway = gateway_app.app(desk(house.rung, tmp_path, house.store), given, lambda: house.store)
    hi = json.dumps({"messages": HI}).encode()
    with served(gateway, given) as url:
        host, port = url.removeprefix("http://").split(":")

        def status(*headers: str, path: str = CHAT) -> int:
            return exchange(host, int(port), post(path, hi, *headers))[0]

        assert status() == status("authorization: Bearer sesame-2") == status("x-api-key: sesame") == 401
        assert status("authorization: Bearer sesame-1") == status("x-api-key: sesame-1") == 200
        assert status(path="/v1/models") == status(path="/readyz") == status(path="/approvals") == 401
        code, _, said = exchange(host, int(port), b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (code, "trimtab" in json.loads(said)) == (200, True)
        _, _, said = exchange(host, int(port), post(CHAT, hi, "authorization: Bearer sesame-2"))
        assert b"sesame" not in said


def test_health(raw: Raw) -> None:
    assert json.loads(raw(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")[2])["trimtab"]
    status, _, said = raw(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
    assert (status, json.loads(said)) == (200, {"ready": True, "problems": []})


NAMES = st.text(st.characters(codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(NAMES, JSON, max_size=5), st.sampled_from([None, 0, 2]))
def test_whatever_json_writes_is_read_back(value: dict[str, Any], indent: int | None) -> None:
    for ascii_only in (True, False):
        written = json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode()
        assert strict_json.decode(written, 1000) == value


@given(st.dictionaries(NAMES, JSON, min_size=1, max_size=5), st.data())
def test_a_key_twice_is_found_wherever_it_is(value: dict[str, Any], data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(value)))
    space = data.draw(st.sampled_from(["", " ", "\n", "\t", "\r"]))
    inside = json.dumps(value)[:-1] + f", {json.dumps(name)}{space}:{space}0}}"
    with pytest.raises(MalformedError, match="twice"):
        strict_json.decode(f'{{"top": [{inside}]}}'.encode(), 1000)


@given(st.binary(max_size=60))
def test_any_bytes_are_an_object_or_a_clear_error(raw: bytes) -> None:
    for body in (raw, b'{"a":"' + raw + b'"}'):
        with contextlib.suppress(MalformedError):
            assert isinstance(strict_json.decode(body, 8), dict)


@given(st.integers(1, 40), st.integers(1, 40))
def test_depth_is_counted_exactly(depth: int, cap: int) -> None:
    body = b'{"a":' * depth + b'"[[{{"' + b"}" * depth
    if depth <= cap:
        assert strict_json.decode(body, cap)
    else:
        with pytest.raises(MalformedError, match="deeper"):
            strict_json.decode(body, cap)
