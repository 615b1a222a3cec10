"""No key, no address and no prompt in a log, a metric, a span or the ledger, whoever quotes them: the whole gateway.

The upstream is hostile: it quotes the key it was shown and the prompt in every field of its errors.
"""

import asyncio
import io
import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from _gateway import Scripted, desk, exchange, post, served, settings
from test_metrics_http import got

from trimtab.errors import StorageError, UpstreamError
from trimtab.record import ledger, log
from trimtab.server import app as gateway_app
from trimtab.server import logs, serving
from trimtab.settings import parse
from trimtab.store.engine import Store
from trimtab.types import Request, Step, Trace

CLIENT_KEY = "client-key-1f9a7c55e2"
UPSTREAM_KEY = "sk-upstream-9f3b1c77aa2244"
COLLECTOR_KEY = "collector-key-77aa0b31"
PROMPT_KEY = "sk-proj-Ab3dE5gH7jK9mN1pQ3sT5uV7"
EMAIL = "jane.canary@example.com"
WORDS = "violet zeppelin over Antwerp"
HEADER = "header-canary-5d0c"
OWN = (CLIENT_KEY, UPSTREAM_KEY, COLLECTOR_KEY)
"""What the gateway knows and no client may see."""
ALL = (*OWN, PROMPT_KEY, EMAIL, WORDS, HEADER)
PROMPT = f"{{}} {WORDS}. I am {EMAIL} and my key is {PROMPT_KEY}. Please help me with this long question of mine."


class Hostile:
    """A model's server that quotes all it knows; the prompt's first word says how it fails."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.heard.append(repr(scope["headers"]).encode() + body)
        prompt = json.loads(body)["messages"][-1]["content"]
        quoted = f"Key {dict(scope['headers']).get(b'authorization')} is wrong for: {prompt}"
        status, said = self.says(prompt.partition(" ")[0], quoted)
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json"),
                    (b"retry-after", b"0")]})  # fmt: skip
        await send({"type": "http.response.body", "body": said})

    def says(self, how: str, quoted: str) -> tuple[int, bytes]:
        error = {"error": {"message": quoted, "type": quoted, "code": quoted[:150], "param": quoted}}
        match how:
            case "fine":
                usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
                said = {"role": "assistant", "content": quoted}
                choice = {"index": 0, "message": said, "finish_reason": EMAIL}
                return 200, json.dumps({"id": EMAIL, "model": EMAIL, "choices": [choice], "usage": usage}).encode()
            case "garbage":
                return 200, quoted.encode()
            case "inbody":
                return 200, json.dumps(error).encode()
        return int(how), json.dumps(error).encode()


class Collector:
    """An OTLP server that keeps what it was sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        self.headers.append(dict(scope["headers"]))
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})


class Told(msgspec.Struct):
    """What each place kept, and what the client was answered."""

    replies: list[tuple[int, bytes]]
    upstream: bytes
    log: str
    plain_log: str
    pages: bytes
    spans: bytes
    key: bytes
    ledger: bytes
    columns: dict[str, list[str]]
    said: list[str]


HOW = ("fine", "400", "401", "404", "413", "429", "500", "503", "garbage", "inbody")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """Every failure once, whole and as a stream, and requests that never reach a model."""
    home = tmp_path_factory.mktemp("canary")
    upstream, collector, stream, said = Hostile(), Collector(), io.StringIO(), []
    replies: list[tuple[int, bytes]] = []
    control = logging.StreamHandler(io.StringIO())
    secrets = {"TRIMTAB_API_KEY": CLIENT_KEY, "UP": UPSTREAM_KEY, "COLLECT": COLLECTOR_KEY}
    with (
        served(upstream, settings(home)) as peer,
        served(collector, settings(home)) as sink,
    ):  # fmt: skip
        given = parse(_recipe(peer, sink), folder=home, home=home, name="canary", secrets=secrets)
        with serving.background(given, said.append) as url, logs.opened("json", stream):
            logging.getLogger().addHandler(control)
            port = int(url.rpartition(":")[2])
            for sent in _requests():
                status, _, body = exchange("127.0.0.1", port, sent)
                replies.append((status, body))
            auth = f"authorization: Bearer {CLIENT_KEY}"
            pages = got(url, "/metrics", auth)[2]
            pages += got(url, "/metrics", auth, "accept: application/openmetrics-text; version=1.0.0")[2]
    rows = b"".join(path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file())
    return Told(
        replies, b"".join(upstream.heard), stream.getvalue(), control.stream.getvalue(), pages,
        b"".join(collector.bodies), collector.headers[0][b"x-api-key"], rows,
        leaking(home / "trimtab.db"), said,
    )  # fmt: skip


def _recipe(peer: str, sink: str) -> dict[str, Any]:
    """No guard refuses and nothing is masked, so that the upstream hears it all."""
    large = {"kind": "openai_http", "name": "large", "url": f"{peer}/v1", "model": "m", "key_env": "UP", "mask": False}
    return {
        "server": {"port": 0, "drain": 1.0}, "discover": {"environment": False, "loopback": False},
        "guard": [{"kind": "secrets", "shadow": True}, {"kind": "pii", "shadow": True}], "model": [large],
        "record": [
            {"kind": "ledger"}, {"kind": "metrics"}, {"kind": "log", "slow": 0.000001},
            {"kind": "otel", "endpoint": f"{sink}/v1/traces", "key_env": "COLLECT", "key_header": "x-api-key"},
        ],
    }  # fmt: skip


def _requests() -> Iterator[bytes]:
    headers = [f"authorization: Bearer {CLIENT_KEY}", f"x-custom: {HEADER}", f"user-agent: {HEADER}"]
    for how in HOW:
        for stream in (False, True):
            body = {"messages": [{"role": "user", "content": PROMPT.format(how)}], "stream": stream, "user": EMAIL}
            yield post("/v1/chat/completions", json.dumps(body).encode(), *headers)
    body = {"messages": [{"role": "user", "content": PROMPT}], "model": PROMPT_KEY}
    yield post("/v1/chat/completions", json.dumps(body).encode(), *headers)
    yield post("/v1/chat/completions", PROMPT.encode(), *headers)
    yield post("/v1/chat/completions", b"{}", f"authorization: Bearer {PROMPT_KEY}", f"x-custom: {HEADER}")
    yield f"GET /{PROMPT_KEY}/{HEADER} HTTP/1.1\r\nhost: localhost\r\n{headers[0]}\r\n\r\n".encode()


def quoting(text: bytes | str) -> list[str]:
    """Which of the canaries a text has, as they are or as JSON and URLs write them."""
    text = text.decode("latin-1") if isinstance(text, bytes) else text
    return [canary for canary in ALL if canary in text or canary.replace("@", "%40").replace(" ", "%20") in text]


def leaking(path: Path) -> dict[str, list[str]]:
    """The columns of the traces with a canary in them, and which."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT * FROM traces")
        names = [one[0] for one in cursor.description]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    for row in rows:
        steps = json.loads(row["steps"])
        row["steps.code"] = [step.pop("code", "") for step in steps]
        row["steps"] = json.dumps(steps)
    found = {name: sorted({one for row in rows for one in quoting(str(row[name]))}) for name in rows[0]}
    return {name: canaries for name, canaries in found.items() if canaries}


def test_the_control_the_upstream_heard_it_all_and_said_it_to_the_gateway(told: Told):
    assert UPSTREAM_KEY.encode() in told.upstream
    assert all(word.encode() in told.upstream for word in (EMAIL, PROMPT_KEY, WORDS))
    assert told.key == COLLECTOR_KEY.encode()
    statuses = [status for status, _ in told.replies]
    assert statuses[:2] == [200, 200]
    assert statuses[-4:] == [404, 400, 401, 404]
    assert all(status >= 400 for status in statuses[2:]), statuses


def test_the_control_each_place_has_kept_these_requests(told: Told):
    lines = [json.loads(line) for line in told.log.splitlines()]
    assert sum(line["event"] == "request failed" for line in lines) == 2 * (len(HOW) - 1) + 1
    ids = {line["trace"] for line in lines if line["logger"] == "trimtab.request"}
    assert len(ids) == 2 * len(HOW) + 1
    for one in ids:
        assert one.encode() in told.ledger
        assert one[3:].encode() in told.spans
    assert b'trimtab_requests_total{answered_by="large",outcome="answer"} 2.0' in told.pages
    assert b'errors_total{code="invalid_request"}' in told.pages, "a server's own code was not taken for a label"


def test_no_log_has_any_of_it(told: Told):
    assert "large" in told.plain_log, "the control: what failed was logged"
    assert not quoting(told.log)
    assert not quoting(told.plain_log)


def test_metrics_have_none_of_it(told: Told):
    assert not quoting(told.pages)


def test_spans_have_none_of_it(told: Told):
    assert not quoting(told.spans)


def test_progress_lines_have_none_of_it(told: Told):
    assert not quoting("\n".join(told.said))


def test_the_ledgers_reasons_and_decisions_have_none_of_it(told: Told):
    assert not told.columns.keys(), told.columns


def test_the_ledgers_file_has_none_of_it(told: Told):
    assert not quoting(told.ledger)


def test_clients_never_see_the_gateways_own_keys(told: Told):
    assert not [key for _, body in told.replies[2:] for key in OWN if key.encode() in body]


def test_clients_never_see_the_keys_that_open_the_gateway_and_the_collector(told: Told):
    assert not [key for _, body in told.replies for key in (CLIENT_KEY, COLLECTOR_KEY) if key.encode() in body]


def test_a_crash_is_logged_by_its_class_and_place_and_not_its_words(tmp_path: Path):
    store, given, stream = Store.open(tmp_path / "trimtab.db"), settings(tmp_path), io.StringIO()
    parts = msgspec.structs.replace(desk(Scripted(), tmp_path, store), approver=None)
    parts = msgspec.structs.replace(parts, recorders=(*parts.recorders, log.build(log.Options(), None)))
    with served(gateway_app.app(parts, given, lambda: store), given) as url, logs.opened("json", stream):
        body = json.dumps({"messages": [{"role": "user", "content": "crash " + WORDS}]}).encode()
        status, headers, said = exchange("127.0.0.1", int(url.rpartition(":")[2]), post("/v1/chat/completions", body))
    asyncio.run(store.close())
    assert status == 500
    assert b"hunter2" not in said
    assert "hunter2" not in stream.getvalue()
    assert WORDS not in stream.getvalue()
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    crash = next(line for line in lines if line.get("error") == "ZeroDivisionError")
    assert crash["at"][-1].endswith(" _crash"), "the place is there"
    failed = next(line for line in lines if line["event"] == "request failed")
    assert failed["trace"].encode() == headers[b"x-request-id"]
    assert ledger.Options().store_text == "none"


@pytest.mark.parametrize("style", ["json", "text"])
def test_what_other_libraries_and_exceptions_say_stays_out(style: str):
    stream = io.StringIO()
    quoted = UpstreamError(f"{EMAIL} said {WORDS}", code=PROMPT_KEY)
    with logs.opened(style, stream):
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %r" % quoted)  # noqa: UP031, G002
        logging.getLogger("other").warning(f"Key {UPSTREAM_KEY} expired")  # noqa: G004
        logging.getLogger("other").warning("Key %s expired", UPSTREAM_KEY)
        logging.getLogger("trimtab.path").warning("%s: %s", "gpt-4o-mini", quoted)
        logging.getLogger("trimtab.path").warning("%s: %s", EMAIL, PROMPT_KEY)
        logging.getLogger("trimtab.path").warning("%d of %s", WORDS)  # noqa: PLE1206 - logging must not fail for it
        try:
            raise ValueError(WORDS) from quoted
        except ValueError:
            logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    text = stream.getvalue()
    assert not quoting(text)
    assert len(text.splitlines()) == 7, "one line for each event"
    for known in ("Task exception was never retrieved", "Key", "gpt-4o-mini: UpstreamError", "[...]: [...]", "asyncio",
                  "Exception in", "ValueError", "test_canary.py"):  # fmt: skip
        assert known in text


def test_a_line_has_its_time_level_event_and_trace():
    stream, trace = io.StringIO(), "tr_0199c0ffee00aabbccddeeff00112233"
    with logs.opened("json", stream):
        logging.getLogger("trimtab.server").error("%s failed", trace)
        kept = logs.TRACE.set(trace)
        logging.getLogger("trimtab.path").warning("%s crashed", "retrieve", exc_info=StorageError("x"))
        logs.TRACE.reset(kept)
        logging.getLogger("trimtab.path").warning("nobody's")
        logging.getLogger("trimtab.path").debug("not worth a line")
    first, second, third = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (first["level"], first["event"], first["trace"]) == ("error", f"{trace} failed", trace)
    assert datetime.fromisoformat(first["time"]).utcoffset() == timedelta(0)
    assert (second["event"], second["trace"]) == ("retrieve crashed", trace)
    assert (second["error"], second["code"]) == ("StorageError", "storage_unavailable")
    assert "trace" not in third


def test_the_log_is_as_it_was_before_once_it_is_closed():
    root, server = logging.getLogger(), logging.getLogger("uvicorn")
    before = (root.handlers[:], root.level, server.handlers[:], server.propagate)
    with logs.opened("text", io.StringIO()):
        assert root.handlers != before[0]
    assert (root.handlers, root.level, server.handlers, server.propagate) == before


async def test_slow_and_failed_requests_have_a_line_and_others_none(caplog: pytest.LogCaptureFixture):
    lines = log.build(log.Options(slow=1.0), None)
    request = Request(id="tr_1", messages=({"role": "user", "content": WORDS},))
    slow = Step(stage="answer", by="large", ms=1500.0)
    for ms, outcome in ((999.0, "answer"), (1500.0, "answer"), (1.0, "error"), (1.0, "refused")):
        await lines.record(Trace(request=request, at=1.0, ms=ms, outcome=outcome, code=EMAIL, steps=(slow,)))
    assert [(one.levelname, one.message, one.fields["slowest"]) for one in caplog.records] == [
        ("WARNING", "request was slow", "answer large"), ("ERROR", "request failed", "answer large")
    ]  # fmt: skip
    assert caplog.records[1].fields["code"] == "other"
