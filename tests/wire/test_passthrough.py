"""What passes on is streamed, capped and cleaned: a model's server that counts, stalls, lies and fails."""

import asyncio
import hashlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from _gateway import exchange, served, settings, until
from test_files import OURS, Gate, address, recipe

from trimtab.server import peer, serving

PIECE = bytes(65536)
BIG = 96_000_000
"""More than any buffer on the way: those of the sockets are a few megabytes each."""
HELD = 48_000_000


class Upstream:
    """A model's server: it reads while `reads` is set, and answers what it is told."""

    def __init__(self) -> None:
        self.reads, self.left = threading.Event(), threading.Event()
        self.reset()

    def reset(self) -> None:
        self.reads.set()
        self.left.clear()
        self.got, self.sent, self.digest = 0, 0, hashlib.sha256()
        self.status, self.body, self.length = 200, b'{"id": "file-1", "object": "file"}', None
        self.headers = [(b"content-type", b"application/json")]
        self.early, self.pieces, self.cut = False, 0, False
        self.seen: list[dict[str, Any]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append({"method": scope["method"], "path": scope["path"], "headers": dict(scope["headers"])})
        if not self.early and not await self._read(receive):
            self.left.set()
            return
        length = [] if self.length is None else [(b"content-length", b"%d" % self.length)]
        await send({"type": "http.response.start", "status": self.status, "headers": [*self.headers, *length]})
        for _ in range(self.pieces):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent += len(PIECE)
        if not self.cut:
            await send({"type": "http.response.body", "body": self.body})

    async def _read(self, receive: Any) -> bool:
        more = True
        while more:
            while not self.reads.is_set():
                await asyncio.sleep(0.01)
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            piece, more = message.get("body", b""), message.get("more_body", False)
            self.got += len(piece)
            self.digest.update(piece)
        return True


@pytest.fixture(scope="module")
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture(scope="module")
def there(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    home = tmp_path_factory.mktemp("passthrough")
    models = [
        {"kind": "openai_http", "name": "gpt", "url": "", "model": "m", "key_env": "OPENAI_KEY", "first_byte": 20.0},
        {"kind": "anthropic_http", "name": "claude", "url": "", "model": "m", "key_env": "ANTHROPIC_KEY"},
    ]
    with served(upstream, settings(home)) as url:
        models = [{**model, "url": f"{url}/v1"} for model in models]
        with serving.background(recipe(url, home, {"max_file": 2 * BIG}, models)) as gateway:
            yield Gate(gateway, url, home)


@pytest.fixture(autouse=True)
def _fresh(upstream: Upstream) -> None:
    upstream.reset()


def sending(gate: Gate, size: int, path: str = "/v1/files", chunked: bool = False) -> socket.socket:
    """A connection with the head of an upload on its way."""
    connection = socket.create_connection(address(gate.url), timeout=60)
    framing = "transfer-encoding: chunked" if chunked else f"content-length: {size}"
    kind = "content-type: multipart/form-data; boundary=b"
    connection.sendall(f"POST {path} HTTP/1.1\r\nhost: localhost\r\n{kind}\r\n{framing}\r\n\r\n".encode())
    return connection


def answer(connection: socket.socket) -> tuple[int, Any]:
    """Status and JSON of the response."""
    held = b""
    while b"\r\n\r\n" not in held:
        piece = connection.recv(65536)
        assert piece, held
        held += piece
    head, _, body = held.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def still(value: Callable[[], int]) -> int:
    """What a number is once it no longer grows."""
    before = -1
    while (now := value()) != before:
        before = now
        threading.Event().wait(0.5)
    return now


def test_a_big_upload_is_streamed_and_waits_for_a_server_that_does_not_read(there: Gate, upstream: Upstream) -> None:
    upstream.reads.clear()
    wrote, digest = 0, hashlib.sha256()

    def write() -> None:
        nonlocal wrote
        with sending(there, BIG) as connection:
            while wrote < BIG:
                piece = PIECE[: BIG - wrote]
                connection.sendall(piece)
                digest.update(piece)
                wrote += len(piece)
            replies.append(answer(connection))

    replies: list[Any] = []
    thread = threading.Thread(target=write)
    thread.start()
    assert until(lambda: upstream.seen, 20)
    assert 0 < still(lambda: wrote) < HELD, "the client waits: nobody buffers what is not read"
    upstream.reads.set()
    thread.join(60)
    assert replies == [(200, {"id": "file-1", "object": "file"})]
    assert (upstream.got, upstream.digest.digest()) == (BIG, digest.digest())
    assert upstream.seen[0]["headers"][b"content-length"] == b"%d" % BIG


def cut(url: str) -> bool:
    """Whether a download does not look whole: it has no end, or is an error where nothing had left yet."""
    try:
        return httpx.get(url).status_code >= 500
    except httpx.RemoteProtocolError:
        return True


def test_a_big_download_waits_for_a_client_that_does_not_read(there: Gate, upstream: Upstream) -> None:
    upstream.pieces, upstream.body = BIG // len(PIECE), b"end"
    with socket.create_connection(address(there.url), timeout=60) as connection:
        connection.sendall(b"GET /v1/files/file-1/content HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        assert until(lambda: upstream.sent, 20)
        assert still(lambda: upstream.sent) < HELD
        got, last = 0, b""
        while piece := connection.recv(1 << 20):
            got, last = got + len(piece), (last + piece)[-20:]
    assert got > upstream.sent == BIG // len(PIECE) * len(PIECE)
    assert last.endswith(b"end\r\n0\r\n\r\n")


def test_a_client_that_leaves_stops_the_download(there: Gate, upstream: Upstream) -> None:
    upstream.pieces = BIG // len(PIECE)
    with socket.create_connection(address(there.url), timeout=60) as connection:
        connection.sendall(b"GET /v1/files/file-1/content HTTP/1.1\r\nhost: localhost\r\n\r\n")
        connection.recv(1000)
    # the server's own writes go nowhere once the gateway has hung up, and end at once; none of it comes here
    assert until(lambda: upstream.sent == upstream.pieces * len(PIECE) or None, 20)
    assert httpx.get(f"{there.url}/healthz").status_code == 200


def test_a_client_that_leaves_cuts_the_upload_and_owns_nothing(there: Gate, upstream: Upstream) -> None:
    with sending(there, BIG) as connection:
        connection.sendall(PIECE)
        assert until(lambda: upstream.got, 20)
    assert upstream.left.wait(20)
    assert upstream.got < BIG


@pytest.mark.parametrize("path", ["/v1/files", "/v1/messages/batches"])
def test_a_body_over_the_cap_is_refused_as_soon_as_it_is_known(there: Gate, upstream: Upstream, path: str) -> None:
    with sending(there, 2 * BIG + 1, path) as connection:
        status, said = answer(connection)
    assert (status, said["error"]["code"], "server.max_file" in said["error"]["message"]) == (
        413, "body_too_large", True,
    )  # fmt: skip
    assert not upstream.seen


def test_a_body_without_a_length_is_counted(tmp_path: Path, upstream: Upstream) -> None:
    small = {"max_file": 100_000}
    with served(upstream, settings(tmp_path)) as url, serving.background(recipe(url, tmp_path, small)) as gateway:
        gate = Gate(gateway, url, tmp_path)
        with sending(gate, 0, chunked=True) as connection:
            connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n")
            assert until(lambda: upstream.got)  # it may never hear of a body that is too large in one piece
            connection.sendall((b"8000\r\n" + bytes(0x8000) + b"\r\n") * 3)
            status, said = answer(connection)
        assert (status, said["error"]["code"]) == (413, "body_too_large")
        assert upstream.left.wait(20)
        assert upstream.got <= 100_000
        upstream.reset()
        with sending(gate, 0, chunked=True) as connection:
            connection.sendall(b"8000\r\n" + bytes(0x8000) + b"\r\n0\r\n\r\n")
            assert answer(connection)[0] == 200
        assert upstream.got == 0x8000
        upstream.pieces = 4
        assert cut(f"{gateway}/v1/files/file-1/content")
        upstream.pieces, upstream.length = 0, len(upstream.body)
        assert httpx.get(f"{gateway}/v1/files/file-1/content").content == upstream.body


def test_a_client_that_stalls_is_told(there: Gate, upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "STALL", 0.2)
    with sending(there, 1000) as connection:
        connection.sendall(b"abc")
        status, said = answer(connection)
    assert (status, said["error"]["code"]) == (408, "body_timeout")
    assert upstream.left.wait(20)


def test_a_server_that_stops_reading_is_given_up(
    there: Gate, upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "STUCK", 0.5)
    upstream.reads.clear()
    with sending(there, BIG) as connection:
        sender = threading.Thread(target=_pour, args=(connection,))
        sender.start()
        status, said = answer(connection)
        assert (status, said["error"]["code"]) == (504, "upstream_timeout")
    sender.join()


def _pour(connection: socket.socket) -> None:
    try:
        for _ in range(BIG // len(PIECE)):
            connection.sendall(PIECE)
    except OSError:
        return


def test_a_server_may_answer_before_it_has_read_all(there: Gate, upstream: Upstream) -> None:
    upstream.early, upstream.status, upstream.body = True, 413, b'{"error": {"message": "too big for us"}}'
    with sending(there, BIG) as connection:
        connection.sendall(PIECE)
        assert answer(connection) == (413, {"error": {"message": "too big for us"}})


QUOTED = json.dumps({"error": {"message": f"Wrong key {OURS['OPENAI_KEY']}", "type": "x"}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "headers", "says"),
    [(401, QUOTED, [], (502, "upstream_auth")), (403, QUOTED, [], (502, "upstream_auth")),
     (500, QUOTED, [], (502, "upstream_error")), (503, b"<html>", [(b"retry-after", b"7")], (502, "upstream_error")),
     (429, QUOTED, [(b"retry-after", b"7")], (502, "upstream_rate_limited")),
     (302, b"", [(b"location", b"http://127.0.0.1:1/")], (502, "upstream_invalid")),
     (404, b"<html>no such page", [], (502, "upstream_invalid")),
     (200, b"<html>", [], (502, "upstream_invalid")), (200, b"[1]", [], (502, "upstream_invalid")),
     (200, b'{"object": "file"}', [], (502, "upstream_invalid")),
     (200, b'{"id": "../../admin"}', [], (502, "upstream_invalid")),
     (200, b'{"id": "x"}', [(b"content-encoding", b"gzip")], (502, "upstream_invalid")),
     (400, QUOTED, [], (400, None))],
)  # fmt: skip
def test_what_a_server_does_wrong(
    there: Gate, upstream: Upstream, status: int, body: bytes, headers: Any, says: Any, caplog: Any
) -> None:
    upstream.status, upstream.body = status, body
    upstream.headers = [(b"content-type", b"application/json"), (b"set-cookie", b"a=b"), *headers]
    with caplog.at_level(logging.DEBUG):
        response = httpx.post(f"{there.url}/v1/files", content=b"x", headers={"content-type": "multipart/form-data"})
    error = response.json()["error"]
    assert (response.status_code, error.get("code")) == says
    assert OURS["OPENAI_KEY"] not in response.text + str(response.headers) + caplog.text
    assert "set-cookie" not in response.headers
    assert response.headers.get("retry-after") == ("7" if (b"retry-after", b"7") in headers else None)
    assert response.headers["x-request-id"].startswith("tr_")


def test_a_list_that_is_none_or_has_no_end(tmp_path: Path, upstream: Upstream) -> None:
    with served(upstream, settings(tmp_path)) as url, serving.background(recipe(url, tmp_path)) as gateway:
        gate = Gate(gateway, url, tmp_path)
        key = gate.key("app")
        assert until(lambda: gate.get("/v1/models", key).status_code == 200)
        assert httpx.post(f"{gateway}/v1/files", content=b"x", headers={"x-api-key": key}).status_code == 200
        for body in (b'{"data": 5}', b'{"data": [5]}', b"{}"):
            upstream.body = body
            assert gate.get("/v1/files", key).json()["error"]["code"] == "upstream_invalid"
        upstream.body = b'{"data": [{"id": "other"}], "has_more": true}'
        upstream.seen.clear()
        assert gate.get("/v1/files", key).json() == {
            "object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False,
        }  # fmt: skip
        assert len(upstream.seen) == 2, "a cursor that does not move is the end"


def test_a_download_that_is_cut_has_no_end(there: Gate, upstream: Upstream) -> None:
    upstream.pieces, upstream.cut = 2, True
    assert cut(f"{there.url}/v1/files/file-1/content")
    upstream.reset()
    upstream.status, upstream.body = 404, b'{"error": {"message": "gone"}}'
    response = httpx.get(f"{there.url}/v1/files/file-1/content")
    assert (response.status_code, response.json()) == (404, {"error": {"message": "gone"}})


def test_a_page_leaves_as_bytes(there: Gate, upstream: Upstream) -> None:
    upstream.headers = [(b"content-type", b"text/html"), (b"content-disposition", b"inline"), (b"x-powered-by", b"php")]
    headers = httpx.get(f"{there.url}/v1/files/file-1/content").headers
    assert (headers["content-type"], headers["x-content-type-options"]) == ("application/octet-stream", "nosniff")
    assert "x-powered-by" not in headers


def test_what_passes_is_logged_without_what_is_in_it(there: Gate, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "trimtab.server"):
        httpx.post(f"{there.url}/v1/files", content=b"a secret thing", headers={"content-type": "multipart/form-data"})
    assert "POST of a file passed on to gpt: 200" in [record.getMessage() for record in caplog.records]
    assert "secret thing" not in caplog.text


def test_hop_by_hop_headers_stay_on_their_hop(there: Gate, upstream: Upstream) -> None:
    lines = ["connection: keep-alive, x-mine", "x-mine: 1", "keep-alive: timeout=5", "upgrade: h2c", "te: trailers"]
    head = "\r\n".join(["GET /v1/files HTTP/1.1", "host: localhost", *lines])
    status, fields, _ = exchange(*address(there.url), head.encode() + b"\r\n\r\n")
    assert status in (200, 502)  # what the server said is no list
    assert set(upstream.seen[0]["headers"]) == {b"host", b"authorization", b"accept", b"accept-encoding", b"user-agent"}
    assert not {b"transfer-encoding", b"keep-alive"} & set(fields)
