"""A client's trace goes in by its header, on to the model's server, and is left out where it is none."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from _gateway import exchange, post, served, settings

from trimtab.server import openai as chat
from trimtab.server import serving
from trimtab.settings import parse

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module", params=["openai_http", "anthropic_http"])
def url(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[Any]]]:
    """A gateway, and the headers that its model's server gets."""
    home, seen = tmp_path_factory.mktemp("traced"), list[Any]()

    async def peer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        seen.append(dict(scope["headers"]))
        message = {"role": "assistant", "content": "Hi."}
        body = json.dumps({
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "role": "assistant",
            "content": [{"type": "text", "text": "Hi."}], "stop_reason": "end_turn", "type": "message",
        }).encode()  # fmt: skip
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    with served(peer, settings(home)) as there:
        table = {
            "server": {"port": 0}, "discover": {"environment": False, "loopback": False},
            "model": [{"kind": request.param, "name": "large", "url": f"{there}/v1", "model": "m"}],
        }  # fmt: skip
        with serving.background(parse(table, folder=home, home=home, name="traced", secrets={})) as here:
            yield here, seen


@pytest.mark.parametrize(
    ("sent", "goes_on"), [(GIVEN, GIVEN), (f" {GIVEN} ", GIVEN), ("00-00-00-01", None), ("é\x80", None), (None, None)]
)
def test_a_traceparent_goes_on_to_the_server(url: Any, sent: str | None, goes_on: str | None) -> None:
    here, seen = url
    host, port = here.removeprefix("http://").split(":")
    body = json.dumps({"messages": [{"role": "user", "content": "Hi"}]}).encode()
    head, _, rest = post("/v1/chat/completions", body).partition(b"\r\n\r\n")
    line = b"" if sent is None else b"\r\ntraceparent: " + sent.encode("latin-1")
    status, _, raw = exchange(host, int(port), head + line + b"\r\n\r\n" + rest)
    assert (status, json.loads(raw)["choices"][0]["message"]["content"]) == (200, "Hi.")
    assert seen[-1].get(b"traceparent") == (goes_on and goes_on.encode())


def test_the_openai_client_sends_it_as_a_header(url: Any) -> None:
    here, seen = url
    client = openai.OpenAI(base_url=f"{here}/v1", api_key="x", max_retries=0)
    client.chat.completions.create(
        model="auto", messages=[{"role": "user", "content": "Hi"}], extra_headers={"traceparent": GIVEN}
    )
    assert seen[-1][b"traceparent"] == GIVEN.encode()


def test_it_is_kept_with_the_request() -> None:
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    assert chat.request(body, {b"traceparent": GIVEN.encode()}, "tr").traceparent == GIVEN
    assert chat.request(body, {b"traceparent": b"x\r\ny: z"}, "tr").traceparent == ""
    assert chat.request(body, {}, "tr").traceparent == ""
