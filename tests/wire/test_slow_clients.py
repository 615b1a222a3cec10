"""HTTP/1.1 as clients really send it: in pieces, too slowly, too much, several at a time, or not at all."""

import json
import socket
import threading
import time

import pytest
from _gateway import served, settings, until

from trimtab.server import serving
from trimtab.settings import parse

TABLE = {
    "server": {"port": 0, "header_timeout": 0.4, "body_timeout": 0.6, "idle_timeout": 0.8, "stall_timeout": 0.8,
               "max_body": 100_000},
    "model": [{"kind": "code"}], "discover": {"environment": False, "loopback": False},
}  # fmt: skip
BODY = json.dumps({"messages": [{"role": "user", "content": "What is 15% of 240?"}]}).encode()
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    home = tmp_path_factory.mktemp("slow")
    with serving.background(parse(TABLE, folder=home, home=home, name="slow", secrets={})) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    """A gateway that a busy machine does not make impatient: for those that shall be answered."""
    home = tmp_path_factory.mktemp("patient")
    with serving.background(
        parse({**TABLE, "server": {"port": 0}}, folder=home, home=home, name="slow", secrets={})
    ) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield host, int(port)


def connected(address) -> socket.socket:
    opened = socket.create_connection(address, timeout=20)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return opened


def rest(opened: socket.socket) -> bytes:
    """All that comes until the other end closes."""
    found = bytearray()
    try:
        while piece := opened.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return bytes(found)


def request(close: bool = True) -> bytes:
    return HEAD % len(BODY) + (b"Connection: close\r\n" if close else b"") + b"\r\n" + BODY


def whole(opened: socket.socket) -> bytes:
    """One response with a length."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += opened.recv(65536)
    head, _, body = found.partition(b"\r\n\r\n")
    size = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")).split(b":")[1])
    while len(body) < size:
        body += opened.recv(65536)
    return head + b"\r\n\r\n" + body


def test_fifty_clients_that_never_end_their_head_are_all_closed(address):
    """Slowloris: each sends a header line now and then, and never the last one."""
    opened = [connected(address) for _ in range(50)]
    for one in opened:
        one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    for i in range(4):
        time.sleep(0.15)
        for one in opened:
            try:
                one.sendall(b"X-%d: a\r\n" % i)
            except OSError:
                continue
    said = [rest(one) for one in opened]
    assert all(one.startswith(b"HTTP/1.1 408 ") or not one for one in said)
    assert sum(one.startswith(b"HTTP/1.1 408 ") for one in said) >= 40
    with connected(address) as good:
        good.sendall(request())
        assert b"36" in rest(good)


def test_a_client_that_says_nothing_is_closed(address):
    with connected(address) as silent:
        assert rest(silent) == b""


def test_a_body_that_does_not_come_is_a_408_and_no_thread_waits_for_it(address):
    with connected(address) as slow:
        slow.sendall(HEAD % len(BODY) + b"\r\n" + BODY[:10])
        said = rest(slow)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"


def test_a_kept_connection_without_a_request_is_closed_after_a_while(address):
    with connected(address) as kept:
        for _ in range(2):
            kept.sendall(request(close=False))
            assert b"36" in whole(kept)
        assert rest(kept) == b""


def test_a_request_may_come_byte_by_byte(patient):
    with connected(patient) as slow:
        for at in range(0, len(request()), 16):
            slow.sendall(request()[at : at + 16])
        assert b"36" in rest(slow)


def test_requests_that_are_sent_together_are_answered_in_their_order(patient):
    bodies = [BODY.replace(b"240", b"%d" % (100 * n)) for n in range(1, 13)]
    together = b"".join(HEAD % len(body) + b"\r\n" + body for body in bodies) + request()
    with connected(patient) as opened:
        opened.sendall(together)
        said = rest(opened)
    found = [json.loads(part.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"]
             for part in said.split(b"HTTP/1.1 200 OK\r\n")[1:]]  # fmt: skip
    assert found == [*(str(15 * n) for n in range(1, 13)), "36"]


def test_a_body_in_chunks_and_one_that_waits_for_a_continue(patient):
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    with connected(patient) as opened:
        opened.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY))
        assert b"36" in rest(opened)
    with connected(patient) as opened:
        opened.sendall(head + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY))
        assert opened.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        opened.sendall(BODY)
        assert b"36" in rest(opened)


def test_an_old_client_gets_its_answer_and_the_end_of_the_connection(address):
    with connected(address) as old:
        old.sendall((HEAD % len(BODY)).replace(b"HTTP/1.1", b"HTTP/1.0") + b"\r\n" + BODY)
        said = rest(old)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"connection: close" in said


def test_a_head_without_a_body(address):
    with connected(address) as opened:
        opened.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        head, _, body = rest(opened).partition(b"\r\n\r\n")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 200 OK", b"")


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(200)) + b"\r\n", 431),
        (b"GET /?" + b"q" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400),
        (b"GET  HTTP/1.1\r\n\r\n", 400),
        (b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_what_is_no_request_is_told_so(address, raw, status):
    with connected(address) as opened:
        opened.sendall(raw)
        said = rest(opened)
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] in ("malformed_request", "head_too_large")


def test_who_asks_for_another_protocol_gets_an_answer_in_this_one(address):
    more = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    with connected(address) as opened:
        opened.sendall(HEAD % len(BODY) + more + BODY)
        said = rest(opened)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"36" in said


def test_a_body_that_is_too_large_is_refused_before_it_has_come_and_its_sender_can_read_that(address):
    with connected(address) as opened:
        opened.sendall(HEAD % 200_000 + b"\r\n" + b"x" * 65_536)
        said = whole(opened)
        opened.sendall(b"x" * (200_000 - 65_536))
        assert rest(opened) == b""
    assert said.startswith(b"HTTP/1.1 413 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "body_too_large"


def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(address):
    for _ in range(20):
        with connected(address) as opened:
            opened.sendall(HEAD % len(BODY) + b"\r\n" + BODY[:20])
    with connected(address) as good:
        good.sendall(request())
        assert b"36" in rest(good)


def get(*more: bytes) -> bytes:
    return b"\r\n".join((b"GET / HTTP/1.1", b"Host: localhost", *more, b"", b""))


@pytest.fixture
def large(tmp_path):
    """A gateway whose responses have a megabyte each; its address, and the requests that have begun."""
    begun, body = [], b"x" * 1_000_000

    async def app(scope, receive, send):
        begun.append(scope)
        head = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})

    with served(app, settings(tmp_path, {"idle_timeout": 0.3})) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        yield (host, int(port)), begun


def test_who_reads_slowly_has_not_idled_and_gets_all_that_was_asked_for(large):
    with connected(large[0]) as opened:
        opened.sendall(get() * 30)
        time.sleep(1.5)  # longer than an idle connection lasts
        said = rest(opened)  # it idles at the end
    assert (said.count(b"HTTP/1.1 200 OK\r\n"), said.count(b"x") // 1_000_000) == (30, 30)


def test_nobody_makes_the_gateway_hold_more_than_one_response_that_is_not_read(large):
    address, begun = large
    with connected(address) as opened:
        opened.sendall(get() * 99 + get(b"Connection: close"))
        assert until(lambda: begun)
        until(lambda: len(begun) == 100, 1.0)
        assert len(begun) < 50, "what the kernel holds, and one more"
        said = rest(opened)
    assert said.count(b"HTTP/1.1 200 OK\r\n") == len(begun) == 100


def test_a_client_that_stops_reading_is_cut(tmp_path):
    left = threading.Event()

    async def app(scope, receive, send):
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        if (await receive())["type"] == "http.disconnect":
            left.set()

    with served(app, settings(tmp_path, {"stall_timeout": 0.5})) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        with connected((host, int(port))) as opened:
            opened.sendall(get())
            assert left.wait(20)
            assert len(rest(opened)) < 50_000_000
