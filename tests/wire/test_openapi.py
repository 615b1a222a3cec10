"""/openapi.json tells every route, and what it tells is so: whatever is sent, the reply is one that it foresees."""

import json
from typing import Any

import httpx2 as httpx
import pytest
from _gateway import House
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from trimtab.errors import CODES, TABLE
from trimtab.server import app as gateway_app
from trimtab.server import openapi
from trimtab.types import Json

TABLES = [
    *((path, "POST", role) for path, _, role in gateway_app.HOT),
    *((path, method, role) for path, _, method, role in gateway_app.ROUTES),
]
DOCUMENT = openapi.document(TABLES)
OPERATIONS = {
    (method.upper(), path): operation
    for path, found in DOCUMENT["paths"].items()
    for method, operation in found.items()
}
TAKING = sorted(key for key, operation in OPERATIONS.items() if "requestBody" in operation)

PLAIN = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(-9, 9), st.text(max_size=5), st.just("user"))
KEYS = st.sampled_from(("role", "content", "type", "text", "name", "function", "id"))
ANY = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=8
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]})


def send(house: House, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, Any]:
    """Status, headers and body of a reply."""
    raw = None if body is None else json.dumps(body).encode()
    reply = httpx.request(method, f"{house.url}{path}", content=raw, headers=headers, timeout=20)
    return reply.status_code, reply.headers, reply.content


def check(operation: Json, reply: tuple[int, Any, Any]) -> None:
    """The reply is one that the operation tells of, in status, type and shape."""
    status, headers, body = reply
    told = operation["responses"][str(status)].get("content", {})
    kind = (headers["content-type"] or "").partition(";")[0]
    assert kind in told, (status, kind, body)
    if kind.endswith("json"):
        schema = {**told[kind]["schema"], "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(json.loads(body))


def test_every_route_is_told() -> None:
    shown = {(path.replace("{id:path}", "{id}"), method) for path, method, _ in TABLES}
    assert {(path, method) for method, path in OPERATIONS} == shown
    assert len({operation["operationId"] for operation in OPERATIONS.values()}) == len(OPERATIONS)
    with pytest.raises(KeyError):
        openapi.document([*TABLES, ("/v1/untold", "GET", "client")])
    assert {key[::-1] for key in openapi.TOLD} == {(path, method) for path, method, _ in TABLES}


def test_its_schemas_are_schemas_and_its_references_lead_somewhere() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        list(validator(name).iter_errors({"messages": [{"role": "user"}], "error": {}}))  # resolves what it refers to
    for name in {ref.rpartition("/")[2] for ref in _refs(DOCUMENT)}:
        assert name in DOCUMENT["components"]["schemas"]


def _refs(value: Any) -> Any:
    if isinstance(value, dict):
        yield from [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from _refs(item)


def test_every_status_of_the_errors_is_told_somewhere() -> None:
    told = {int(status) for operation in OPERATIONS.values() for status in operation["responses"]}
    given = {row.status for row in TABLE.values()} | {code.status for code in CODES.values() if code.status}
    assert given - told == {405}  # no method that is told gives it


def test_only_what_needs_no_key_has_no_security() -> None:
    assert [key for key, operation in OPERATIONS.items() if not operation["security"]] == [("GET", "/healthz")]


def test_it_is_served(house: House) -> None:
    status, headers, body = send(house, "GET", "/openapi.json")
    assert (status, headers["content-type"], json.loads(body)) == (200, "application/json", DOCUMENT)


@pytest.mark.parametrize(("method", "path"), [key for key in sorted(OPERATIONS) if key not in TAKING])
def test_what_takes_no_body_answers_as_told(house: House, method: str, path: str) -> None:
    for there in {path.replace("{id}", name) for name in ("auto", "x" * 200, "%00", "a%20b")}:
        check(OPERATIONS[method, path], send(house, method, there))
        check(OPERATIONS[method, path], send(house, method, there, **{"anthropic-version": "2023-06-01"}))


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "say hi"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "two"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "tool"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "say forbidden"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "risky"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "down"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "crash"}]}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "say hi"}], "stream": True}),
        ("/v1/completions", {"prompt": ["say a", "say b"]}), ("/v1/completions", {"prompt": "risky"}),
        ("/v1/responses", {"input": "say hi"}), ("/v1/responses", {"input": "tool"}),
        ("/v1/responses", {"input": "say forbidden"}), ("/v1/responses", {"input": "risky"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "say hi"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "tool"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "say forbidden"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "risky"}]}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "down"}]}),
        ("/v1/messages/count_tokens", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/responses/input_tokens", {"input": "hi"}),
        ("/v1/embeddings", {"input": "hi"}), ("/v1/embeddings", {"input": ["hi"], "encoding_format": "base64"}),
        ("/v1/decide", {"state": "hi", "questions": {"injection": {"type": "noul"}}}),
        ("/v1/decide", {"state": ["hi"], "questions": {"x": {"type": "choice", "criteria": {"a": None, "b": "c"}}}}),
        ("/v1/systemone", {"state": {"a": "hi"}, "model": "jev-latest", "questions": {
            "toxicity": {"type": "score", "criteria": ["no", "yes"]}, "banking77": {"type": "choice"}}}),
    ],
)  # fmt: skip
def test_good_requests_are_told_and_answered_as_told(house: House, path: str, body: Json) -> None:
    operation = OPERATIONS["POST", path]
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    validator(name).validate(body)
    check(operation, send(house, "POST", path, body))


@pytest.mark.parametrize(("method", "path"), TAKING)
def test_whatever_is_sent_the_reply_is_told_and_what_breaks_the_schema_is_refused(
    house: House, method: str, path: str
) -> None:
    operation = OPERATIONS[method, path]
    name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    fields, allowed = DOCUMENT["components"]["schemas"][name]["properties"], validator(name)
    good = st.fixed_dictionaries(
        {}, optional={"messages": st.just([{"role": "user", "content": "say x"}]), "input": st.just("say x"),
                      "prompt": st.just("say x")}
    )  # fmt: skip
    wild = st.dictionaries(st.sampled_from(sorted(fields)), ANY, max_size=4)
    there = path.replace("{id}", "nobody")

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(good, wild)
    def holds(good: Json, wild: Json) -> None:
        body = {**good, **wild}
        reply = send(house, method, there, body)
        check(operation, reply)
        assert reply[0] != 500
        if not allowed.is_valid(body):
            assert reply[0] >= 400, (body, reply)

    holds()
