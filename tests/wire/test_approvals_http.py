"""A client waits at its ticket while an operator on this machine decides over HTTP."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

OPERATOR = "x-trimtab-operator: Ada"
Raw = Callable[[bytes], tuple[int, dict[bytes, bytes], bytes]]


def send(raw: Raw, method: str, path: str, body: Any = None, *headers: str) -> tuple[int, dict[bytes, bytes], Any]:
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", "host: localhost", f"content-length: {len(content)}", *headers]
    status, fields, said = raw("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    return status, fields, json.loads(said) if said else None


@pytest.fixture
def ticket(raw: Raw) -> Any:
    """A fresh ticket, as the 428 shows it."""
    asked = {"messages": [{"role": "user", "content": "risky close my account"}]}
    status, headers, said = send(raw, "POST", "/v1/chat/completions", asked)
    assert (status, said["error"]["reason"]) == (428, "high_impact")
    assert headers[b"location"] == said["error"]["url"].encode()
    return said["error"]


def test_approved_bytes_are_the_ones_released(raw: Raw, ticket: Any) -> None:
    status, headers, said = send(raw, "GET", ticket["url"])
    assert (status, said["state"], said["digest"]) == (200, "pending", ticket["digest"])
    assert headers[b"retry-after"]
    assert not {"messages", "waits", "answer", "completion"} & set(said)
    decision = {"decision": "approve", "digest": ticket["digest"]}
    status, _, said = send(raw, "POST", ticket["url"], decision, OPERATOR)
    assert (status, said["state"]) == (200, "approved")
    status, headers, said = send(raw, "GET", ticket["url"])
    assert said["completion"]["choices"][0]["message"]["content"] == "close my account"
    assert said["completion"]["id"] == "chatcmpl-" + ticket["trace"].removeprefix("tr_")
    assert ticket["digest"] in headers[b"etag"].decode()
    raw_status, _, body = raw(f"GET {ticket['url']} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    answer = body[body.index(b'"answer":') + 9 : body.rindex(b',"completion":')]
    assert (raw_status, hashlib.sha256(answer).hexdigest()) == (200, ticket["digest"])
    tag = headers[b"etag"].decode()
    assert send(raw, "GET", ticket["url"], None, f"if-none-match: {tag}")[0] == 304


def test_an_edit_has_a_digest_of_its_own(raw: Raw, ticket: Any) -> None:
    edit = {"decision": "approve", "digest": ticket["digest"], "answer": "We call you first."}
    status, _, said = send(raw, "POST", ticket["url"], edit, OPERATOR)
    assert (status, said["completion"]["choices"][0]["message"]["content"]) == (200, "We call you first.")
    assert said["digest"] != ticket["digest"]
    assert said["completion"]["trimtab"]["label"] == "edited by Ada"


def test_a_denial_is_final(raw: Raw, ticket: Any) -> None:
    status, _, said = send(raw, "POST", ticket["url"], {"decision": "deny", "why": "Ask the branch."}, OPERATOR)
    assert (status, said["state"], said["why"]) == (200, "denied", "Ask the branch.")
    again = {"decision": "approve", "digest": ticket["digest"]}
    status, headers, said = send(raw, "POST", ticket["url"], again, OPERATOR)
    assert (status, said["code"], headers[b"content-type"]) == (409, "already_decided", b"application/problem+json")
    assert "completion" not in send(raw, "GET", ticket["url"])[2]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"decision": "approve", "digest": "0" * 64}, 409, "digest_mismatch"),
        ({"decision": "approve"}, 400, "malformed_request"), ({"decision": "maybe"}, 400, "malformed_request"),
        ({"decision": "deny", "reason": "x"}, 400, "malformed_request"),
        ({"decision": "approve", "answer": 5}, 400, "malformed_request"),
        ({"decision": "approve", "answer": " "}, 400, "invalid_request"),
    ],
)  # fmt: skip
def test_wrong_decisions_decide_nothing(raw: Raw, ticket: Any, body: Any, status: int, code: str) -> None:
    found, _, said = send(raw, "POST", ticket["url"], body, OPERATOR)
    assert (found, said["code"]) == (status, code)
    assert send(raw, "GET", ticket["url"])[2]["state"] == "pending"


@pytest.mark.parametrize(
    "headers",
    [(), (OPERATOR, "origin: http://localhost"), (OPERATOR, "x-forwarded-for: 9.9.9.9"), ("x-trimtab-operator:  ",)],
)
def test_only_an_operator_decides(raw: Raw, ticket: Any, headers: tuple[str, ...]) -> None:
    decision = {"decision": "approve", "digest": ticket["digest"]}
    status, _, said = send(raw, "POST", ticket["url"], decision, *headers)
    assert (status, said["code"]) == (403, "operator_only")
    assert send(raw, "GET", ticket["url"])[2]["state"] == "pending"
    assert send(raw, "GET", "/approvals", None, *headers)[0] == 403


def test_the_operator_sees_what_waits(raw: Raw, ticket: Any) -> None:
    found = send(raw, "GET", "/approvals", None, OPERATOR)[2]["data"]
    mine = next(one for one in found if one["id"] == ticket["ticket"])
    assert mine["messages"] == [{"role": "user", "content": "risky close my account"}]
    assert mine["waits"]["text"] == "close my account"
    one = send(raw, "GET", ticket["url"], None, OPERATOR)[2]
    assert one["messages"] == mine["messages"]
    assert send(raw, "GET", "/approvals?state=odd", None, OPERATOR)[0] == 400


def test_a_ticket_needs_its_whole_id(raw: Raw, ticket: Any) -> None:
    for name in (ticket["ticket"][:-1], "tk_none"):
        status, _, said = send(raw, "GET", f"/approvals/{name}")
        assert (status, said["code"]) == (404, "not_found")
