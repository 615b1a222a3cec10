"""What the app does not answer is an error in the path's dialect, whatever it had begun to say."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from _gateway import exchange, post, served, settings

HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Begins a response and fails before its body, or goes home without a word."""
    if scope["query_string"] != b"silent":
        await send(HEAD)
    if scope["query_string"] == b"crash":
        raise ZeroDivisionError("the password is hunter2")


@pytest.mark.parametrize("how", ["crash", "silent", "half"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/approvals"])
def test_it_is_a_500_with_a_body(how: str, path: str, tmp_path: Path):
    with served(app, settings(tmp_path)) as url:
        status, fields, body = exchange("127.0.0.1", int(url.rpartition(":")[2]), post(f"{path}?{how}", b"{}"))
    said = json.loads(body)
    found = said.get("error", said)
    assert (status, found["code"]) == (500, "internal_error")
    assert b"hunter2" not in body
    assert fields[b"connection"] == b"close"
    assert b"transfer-encoding" not in fields
    assert fields[b"content-type"] == (b"application/problem+json" if path == "/approvals" else b"application/json")
    assert said.get("type") == {"/v1/messages": "error", "/approvals": "urn:trimtab:internal_error"}.get(path)


def test_to_head_it_is_its_head_alone(tmp_path: Path):
    with served(app, settings(tmp_path)) as url:
        sent = b"HEAD /v1/models?crash HTTP/1.1\r\nhost: localhost\r\n\r\n"
        with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=20) as connection:
            connection.sendall(sent)
            held = b""
            while piece := connection.recv(65536):
                held += piece
    assert held.startswith(b"HTTP/1.1 500 ")
    assert held.endswith(b"\r\n\r\n")
