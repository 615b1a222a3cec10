"""The HTTP client of the rungs against a server that writes given bytes, on both event loops."""

import asyncio
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest
import uvloop

from trimtab.answer import _http
from trimtab.answer._http import Client, Late
from trimtab.egress import Egress

NEVER = float("inf")
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
WHOLE = OK + b"content-length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"

pytestmark = pytest.mark.filterwarnings("ignore:Overriding the .event_loop_policy:DeprecationWarning")


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request):
    return request.param()


class Peer:
    """Answers the nth request with the nth list of pieces (the last one again), then closes where `close` says so."""

    def __init__(self, *answers, close=False):
        self.answers, self.close = list(answers), close
        self.requests, self.connections = [], 0

    async def serve(self, reader, writer):
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b"":
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r")[0])
            self.requests.append(head + await reader.readexactly(length))
            for piece in self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            if self.close:
                break
        writer.close()


@asynccontextmanager
async def client(peer, headers=(), path="/v1", context=None, host="127.0.0.1"):
    async def handle(reader, writer):
        try:
            await peer.serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=context)
    url = f"http{'s' if context else ''}://{host}:{server.sockets[0].getsockname()[1]}{path}"
    made = Client(url, dict(headers), connect=5.0, egress=Egress(where="local"))
    try:
        yield made
    finally:
        made.close()
        server.close()


async def fetched(made, body=b"{}"):
    """Status and body of one call; the connection is given back whatever happens."""
    response = await made.post(body, until=NEVER)
    whole = b""
    try:
        while chunk := await response.read():
            whole += chunk
    finally:
        made.release(response)
    return response.status, whole


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (WHOLE, b"hello"),
        (CHUNKED, b"hello world"),
        (OK + b"content-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + WHOLE, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_a_body_that_comes_in_any_pieces_and_the_connection_again(answer, body, size):
    pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
    peer = Peer(pieces)
    async with client(peer) as made:
        for _ in range(3):
            assert (await fetched(made))[1] == body
        assert (peer.connections, len(made._idle)) == (1, 1)


@pytest.mark.parametrize("answer", [OK + b"\r\nhello", OK + b"Connection: close\r\ncontent-length: 5\r\n\r\nhello"])
async def test_a_body_that_ends_with_its_connection(answer):
    peer = Peer([answer], close=True)
    async with client(peer) as made:
        for _ in range(2):
            assert await fetched(made) == (200, b"hello")
        assert (peer.connections, made._idle) == (2, [])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ConnectionResetError),
        (b"HTTP/1.1 200 OK\r\nconte", ConnectionResetError),
        (OK + b"content-length: 50\r\n\r\nhello", ConnectionResetError),
        (CHUNKED[:-3], ConnectionResetError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", _http.Garbled),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", _http.Garbled),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", _http.Garbled),
        (OK + b"X: " + b"y" * (_http.LONGEST_HEAD + 1), _http.Garbled),
    ],
)
async def test_what_is_cut_or_no_http_is_a_fault_and_no_body(answer, kind):
    async with client(Peer([answer], close=True)) as made:
        with pytest.raises(kind):
            await fetched(made)
        while made._all:
            await asyncio.sleep(0.001)


async def test_what_came_before_a_cut_can_be_read():
    async with client(Peer([OK + b"content-length: 50\r\n\r\nhello"], close=True)) as made:
        response = await made.post(b"{}", until=NEVER)
        assert await response.read() == b"hello"
        with pytest.raises(ConnectionResetError):
            await response.read()
        made.release(response)


async def test_bytes_that_nobody_asked_for_are_never_taken_for_the_next_response():
    peer = Peer([WHOLE + WHOLE.replace(b"hello", b"wrong")], [WHOLE])
    async with client(peer) as made:
        assert await fetched(made) == (200, b"hello")
        assert await fetched(made) == (200, b"hello")
        assert peer.connections == 2


async def test_a_kept_connection_that_the_server_closed_is_not_used():
    peer = Peer([WHOLE], close=True)
    async with client(peer) as made:
        for _ in range(3):
            assert await fetched(made) == (200, b"hello")
            while made._idle:
                await asyncio.sleep(0.001)
        assert peer.connections == 3


async def test_an_idle_connection_is_closed_after_a_while(monkeypatch):
    monkeypatch.setattr(_http, "KEEP", 0.02)
    async with client(Peer([WHOLE])) as made:
        await fetched(made)
        assert made._idle
        while made._all:
            await asyncio.sleep(0.005)
        assert (made._idle, made._sweeper) == ([], None)


async def test_what_waits_too_long_is_late_and_one_that_was_moved_on_is_not():
    loop = asyncio.get_running_loop()
    async with client(Peer([OK + b"content-length: 5\r\n\r\n"])) as made:
        response = await made.post(b"{}", until=loop.time() + 30)
        made.expect(response, loop.time() + 0.05)
        made.expect(response, loop.time() + 0.1)
        with pytest.raises(Late):
            await response.read()
        assert not made._all, "the connection is closed"
        made.release(response)
        assert (made._idle, made._alarm) == ([], None)


async def test_a_large_body_holds_the_server_up_and_loses_nothing():
    body = bytes(range(256)) * 40_000
    async with client(Peer([OK + b"content-length: %d\r\n\r\n" % len(body), body])) as made:
        response = await made.post(b"{}", until=NEVER)
        await asyncio.sleep(0.05)
        assert response._size < len(body) / 2
        found = b""
        while chunk := await response.read():
            found += chunk
        made.release(response)
        assert found == body
        assert made._idle


async def test_the_request_is_written_as_it_must_be():
    peer = Peer([WHOLE])
    headers = {"Content-Type": "application/json", "accept": "text/html", "X-Team": "grün"}
    async with client(peer, headers, path="/ä b/v1?version=1&x=%20#part", host="us%65r:p%40ss@localhost") as made:
        await fetched(made, b'{"a":1}')
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    assert (line, body) == ("POST /%C3%A4%20b/v1?version=1&x=%20 HTTP/1.1", b'{"a":1}')
    assert fields[0].startswith("Host: localhost:")
    assert fields[1:] == [
        "Accept: text/html", "Authorization: Basic dXNlcjpwQHNz", "Content-Type: application/json", "X-Team: grün",
        "Content-Length: 7",
    ]  # fmt: skip


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\0b"])
def test_a_header_cannot_hold_a_line_end(value):
    with pytest.raises(ValueError, match="control character"):
        Client("http://127.0.0.1/v1", {"X-Team": value}, connect=1.0, egress=Egress(where="local"))


async def test_nobody_listens():
    made = Client("http://127.0.0.1:9/v1", {}, connect=1.0, egress=Egress(where="local"))
    for _ in range(2):
        with pytest.raises(OSError, match="onnect"):
            await made.post(b"{}", until=NEVER)


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
async def test_tls_with_a_certificate_that_is_trusted_and_none_other(tmp_path, monkeypatch):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    made_by = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    more = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*made_by, *more], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with client(Peer([CHUNKED]), context=context, host="localhost") as made:
        with pytest.raises(ssl.SSLCertVerificationError):
            await fetched(made)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    async with client(Peer([CHUNKED]), context=context, host="localhost") as made:
        for _ in range(2):
            assert await fetched(made) == (200, b"hello world")
        assert len(made._all) == 1
    async with client(Peer([CHUNKED]), context=context, host="127.0.0.1") as made:
        with pytest.raises(ssl.SSLCertVerificationError):
            await fetched(made)
