"""No secret of any kind in a log, a span, a metric, an error or a row, on every route that takes one.

The upstream is hostile here too: whatever it answers with quotes the headers and the body that it was sent. Prompts are
not stored; what is stored by design is in `BY_DESIGN`, column by column with the reason.
"""

import asyncio
import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from _gateway import exchange, post, served, settings
from test_canary import Collector
from test_metrics_http import got

from trimtab.server import keys, logs, serving
from trimtab.server.keys import Draft
from trimtab.settings import parse
from trimtab.store.engine import Store

ADMIN = "admin-canary-41d7c0aa93"
OPENAI, ANTHROPIC = "sk-canary-openai-5b1e77d201", "sk-ant-canary-9c40e1b7aa"
COLLECT = "collector-canary-0b7d9e12"
IN_URL, IN_COLLECTOR = "url-canary-7f30aa51", "otlp-canary-2b9e61c4"
ONCE = "idempotency-canary-83c1f0"
BETA = "beta-canary-6d2f"
EMAIL, WORDS = "maria.canary@example.org", "crimson airship above Ghent"
GIVEN = "sk-proj-Zz9yX8wV7uT6sR5qP4oN3mL2"
OWN = (ADMIN, OPENAI, ANTHROPIC, COLLECT, IN_URL, IN_COLLECTOR)
"""What no client may see. Each run adds the secret of a virtual key and that of the HMACs."""
ASKED = f"{WORDS}. I am {EMAIL}, and my key is {GIVEN}."
BY_DESIGN = {
    ("idempotency", "response"): "the very reply is given again for a day (docs/reference/http.md)",
    ("tickets", "messages"): "the person who decides must read what was asked",
}
MODES = ("fine", "401", "429", "500", "garbage", "cut")
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages")


class Hostile:
    """Both protocols' server; `mode` is how it fails."""

    def __init__(self) -> None:
        self.mode, self.heard, self.counting = "fine", b"", b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        quoted = f"{scope['path']} {scope['headers']} {body.decode('utf-8', 'replace')}"
        self.heard += quoted.encode()
        self.counting += quoted.encode() if scope["path"].endswith("/count_tokens") else b""
        status, said = self.says(quoted, scope["path"])
        kind = [(b"content-type", b"application/json"), (b"retry-after", b"0"), (b"x-quoted", ONCE.encode())]
        await send({"type": "http.response.start", "status": status, "headers": kind})
        await send({"type": "http.response.body", "body": said, "more_body": self.mode == "cut"})
        if self.mode == "cut":
            raise ConnectionResetError

    def says(self, quoted: str, path: str) -> tuple[int, bytes]:
        if self.mode == "garbage":
            return 200, quoted.encode()
        if self.mode == "cut":
            return 200, b'{"choices": [{"message": {"content": "' + json.dumps(quoted).encode()
        if self.mode != "fine":
            error = {"message": quoted, "type": quoted, "code": quoted[:120], "param": quoted}
            return int(self.mode), json.dumps({"type": "error", "error": error}).encode()
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3, "input_tokens": 1, "output_tokens": 2}
        if path.endswith("/messages"):
            text = [{"type": "text", "text": WORDS}]
            return 200, json.dumps({
                "id": EMAIL, "type": "message", "role": "assistant", "model": EMAIL, "content": text,
                "stop_reason": "end_turn", "usage": usage,
            }).encode()  # fmt: skip
        choice = {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}
        found = {"id": "file-1", "model": EMAIL, "object": "file", "choices": [choice], "usage": usage, "data": []}
        return 200, json.dumps(found).encode()


class Refusing(Collector):
    """A collector that keeps what it is sent, and then refuses it, quoting its path and its key."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def refused(message: Any) -> None:
            quoted = f"{scope['path']} {scope['headers']}".encode()
            if message["type"] == "http.response.start":
                message = {**message, "status": 401, "headers": [(b"content-length", b"%d" % len(quoted))]}
            await send({**message, "body": quoted})

        await super().__call__(scope, receive, refused)


class Told(msgspec.Struct):
    """What each place kept."""

    secrets: tuple[str, ...]
    errors: list[tuple[str, int, bytes]]
    statuses: dict[str, list[int]]
    heard: bytes
    counting: bytes
    log: str
    pages: bytes
    spans: bytes
    cells: dict[tuple[str, str], str]
    said: str


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    home = tmp_path_factory.mktemp("paths")
    upstream, collector, stream, plain, said = Hostile(), Refusing(), io.StringIO(), io.StringIO(), []
    control = logging.StreamHandler(plain)
    replies: list[tuple[str, int, bytes]] = []
    with served(upstream, settings(home)) as peer, served(collector, settings(home)) as sink:
        secrets = {"TRIMTAB_API_KEY": ADMIN, "OPENAI": OPENAI, "ANTHROPIC": ANTHROPIC, "COLLECT": COLLECT}
        given = parse(_recipe(peer, sink), folder=home, home=home, name="paths", secrets=secrets)
        key = _key(home)
        with serving.background(given, said.append) as url, logs.opened("json", stream):
            logging.getLogger().addHandler(control)
            port = int(url.rpartition(":")[2])
            for mode in MODES:
                upstream.mode = mode
                for path, sent in _requests(key, mode):
                    status, _, body = exchange("127.0.0.1", port, sent)
                    replies.append((path, status, body))
            auth = f"authorization: Bearer {ADMIN}"
            pages = got(url, "/metrics", auth)[2]
            logging.getLogger().removeHandler(control)
    statuses: dict[str, list[int]] = {}
    for path, status, _ in replies:
        statuses.setdefault(path, []).append(status)
    pepper = (home / "pepper").read_bytes().decode("latin-1")
    return Told(
        (*OWN, key.partition(".")[2], pepper), [one for one in replies if one[1] != 200],
        statuses, upstream.heard, upstream.counting, stream.getvalue() + plain.getvalue(), pages,
        b"".join(collector.bodies),
        cells(home / "trimtab.db"), "\n".join(said),
    )  # fmt: skip


def _recipe(peer: str, sink: str) -> dict[str, Any]:
    """Masked, and not; a server whose URL has a secret and that is not there."""
    openai = {"kind": "openai_http", "url": f"{peer}/v1", "model": "m", "key_env": "OPENAI"}
    return {
        "server": {"port": 0, "drain": 1.0, "files": "open", "message_batches": "claude"},
        "discover": {"environment": False, "loopback": False},
        "model": [
            {**openai, "name": "open", "mask": False}, {**openai, "name": "closed", "mask": True},
            {"kind": "anthropic_http", "name": "claude", "url": f"{peer}/v1", "model": "m", "key_env": "ANTHROPIC",
             "mask": False},
            {**openai, "name": "gone", "url": f"http://127.0.0.1:9/{IN_URL}/v1", "mask": False},
        ],
        "approve": {"kind": "policy"},
        "record": [
            {"kind": "ledger"}, {"kind": "metrics"}, {"kind": "log", "slow": 0.000001},
            {"kind": "otel", "endpoint": f"{sink}/{IN_COLLECTOR}/v1/traces", "key_env": "COLLECT"},
        ],
    }  # fmt: skip


def _key(home: Path) -> str:
    async def made() -> str:
        store = Store.open(home / "trimtab.db")
        try:
            return (await keys.create(store, home, Draft(name="canary", role="admin")))[1]
        finally:
            await store.close()

    return asyncio.run(made())


def _requests(key: str, mode: str) -> Iterator[tuple[str, bytes]]:
    """Every route for every model, whole and as a stream, with a key for one reply; then what is refused."""
    auth = [f"authorization: Bearer {key}", f"anthropic-beta: {BETA}", f"x-custom: {BETA}"]
    for model in ("open", "closed", "claude", "gone"):
        for path in ROUTES:
            for stream in (False, True):
                body = {"model": model, "stream": stream, "max_tokens": 20, **_asked(path)}
                if path == "/v1/responses":
                    del body["max_tokens"]
                once = f"idempotency-key: {ONCE}-{mode}-{model}-{stream}"
                yield path, post(path, json.dumps(body).encode(), *auth, once)
    yield "auto", post(ROUTES[0], json.dumps(_asked(ROUTES[0])).encode(), *auth)
    yield "/v1/embeddings", post("/v1/embeddings", json.dumps({"input": ASKED, "model": GIVEN}).encode(), *auth)
    for path in ("/v1/messages/count_tokens", "/v1/responses/input_tokens"):
        yield path, post(path, json.dumps({"model": "claude", **_asked(path)}).encode(), *auth)
    form = f'--b\r\ncontent-disposition: form-data; name="file"; filename="{EMAIL}"\r\n\r\n{ASKED}\r\n--b--\r\n'
    yield "/v1/files", post("/v1/files", form.encode(), *auth, "content-type: multipart/form-data; boundary=b")
    for path in ("/v1/batches", "/v1/messages/batches"):
        yield path, post(path, json.dumps({"input_file_id": "x", "metadata": {"a": ASKED}}).encode(), *auth)
    for path in ROUTES:  # refused: no JSON, a wrong field, another's key, a wrong model
        yield f"{path} bad", post(path, ASKED.encode(), *auth)
        yield f"{path} bad", post(path, json.dumps({"model": GIVEN, **_asked(path)}).encode(), *auth)
        yield f"{path} bad", post(path, json.dumps({**_asked(path), "stream": [ASKED]}).encode(), *auth)
        yield f"{path} bad", post(path, b"{}", f"authorization: Bearer {key}x", f"x-api-key: {key}x")
        yield f"{path} bad", post(f"{path}/{GIVEN}?key={ONCE}", b"{}", *auth)


def _asked(path: str) -> dict[str, Any]:
    if path.startswith("/v1/responses"):
        return {"input": ASKED}
    return {"prompt": ASKED} if path == "/v1/completions" else {"messages": [{"role": "user", "content": ASKED}]}


def cells(path: Path) -> dict[tuple[str, str], str]:
    """All that each column of each table has."""
    with closing(sqlite3.connect(path)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found: dict[tuple[str, str], str] = {}
        for table in tables:
            cursor = connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608
            names = [one[0] for one in cursor.description]
            for row in cursor:
                for name, cell in zip(names, row, strict=True):
                    text = cell.decode("latin-1") if isinstance(cell, bytes) else str(cell)
                    found[table, name] = found.get((table, name), "") + text + "\n"
    return found


def quoting(text: bytes | str, canaries: tuple[str, ...]) -> list[str]:
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    return [one for one in canaries if one in text or one.replace("@", "%40").replace(" ", "%20") in text]


def every(told: Told) -> tuple[str, ...]:
    return (*told.secrets, EMAIL, WORDS, GIVEN, ONCE, BETA)


def test_the_control_it_was_all_said_and_kept(told: Told):
    assert not [one for one in (OPENAI, ANTHROPIC, EMAIL, WORDS, GIVEN) if one.encode() not in told.heard]
    for path in ROUTES:
        assert {200, 502} <= set(told.statuses[path]), (path, told.statuses[path])
        assert set(told.statuses[f"{path} bad"]) <= {400, 401, 404, 405}
    assert told.spans
    assert "not exported" in told.said
    assert b"trimtab_requests_total" in told.pages
    assert "open" in told.log
    assert {table for table, _ in told.cells} >= {"traces", "keys", "idempotency", "audit", "tickets"}
    assert 428 in told.statuses["auto"]
    assert WORDS in told.cells["idempotency", "response"]


def test_a_server_that_counts_is_shown_the_key_it_asks_for(told: Told):
    assert ANTHROPIC.encode() in told.counting


def test_no_log_has_any_of_it(told: Told):
    assert not quoting(told.log, every(told))
    assert not quoting(told.said, every(told))


def test_no_span_has_any_of_it(told: Told):
    assert not quoting(told.spans, every(told))


def test_no_metric_has_any_of_it(told: Told):
    assert not quoting(told.pages, every(told))


def test_no_error_tells_a_client_what_is_the_gateways(told: Told):
    """Its own words a client may read again, which a server quotes: the gateway's secrets and its key it may not."""
    found = {(path, status, one) for path, status, body in told.errors for one in quoting(body, told.secrets)}
    assert not found


def test_no_row_has_any_of_it_but_what_is_kept_by_design(told: Told):
    found = {place: leak for place, text in told.cells.items() if (leak := quoting(text, every(told)))}
    assert found.keys() == BY_DESIGN.keys(), found
    secrets = {place: leak for place, text in told.cells.items() if (leak := quoting(text, (*told.secrets, ONCE)))}
    assert not secrets, "not even what is kept by design has a secret of the gateway"
