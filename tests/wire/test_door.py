"""Under which names the gateway answers, and to whose web pages."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from _gateway import desk, exchange, post, served, settings

from trimtab.errors import ConfigError
from trimtab.server import app as gateway_app
from trimtab.server import door, serving
from trimtab.settings import Settings, parse

CHAT = "/v1/chat/completions"
HI = json.dumps({"messages": [{"role": "user", "content": "say hi"}]}).encode()
PAGE = "https://app.example.org"
Raw = Callable[[bytes], tuple[int, dict[bytes, bytes], bytes]]


def code(said: bytes) -> str:
    return json.loads(said)["error"]["code"]


def asked(host: str = "localhost", *headers: str, path: str = CHAT) -> bytes:
    return post(path, HI, *headers).replace(b"host: localhost", b"host: " + host.encode())


@contextmanager
def at(house: Any, home: Path, **server: Any) -> Iterator[Raw]:
    """A gateway with a key and these settings."""
    given = settings(home, server=server, TRIMTAB_API_KEY="sesame")
    gateway = gateway_app.app(desk(house.rung, home, house.store), given, lambda: house.store)
    with served(gateway, given) as url:
        host, port = url.removeprefix("http://").split(":")
        yield lambda sent: exchange(host, int(port), sent)


def test_without_a_key_no_foreign_page_may_call(raw: Raw) -> None:
    for origin in (PAGE, "null", "http://127.0.0.1.evil.example", "file://"):
        status, _, said = raw(asked("localhost", f"origin: {origin}"))
        assert (status, code(said)) == (403, "wrong_origin")
    assert raw(asked("localhost", "origin: http://localhost:3000"))[0] == 200


def test_without_a_key_a_rebound_name_is_not_answered(raw: Raw) -> None:
    status, _, said = raw(asked("evil.example:8080", "origin: http://evil.example:8080"))
    assert (status, code(said)) == (421, "wrong_host")
    assert raw(asked("evil.example:8080"))[0] == 421
    for host in ("127.0.0.1:8080", "LOCALHOST:1", "[::1]:8080"):
        assert raw(asked(host))[0] == 200


def test_what_a_browser_says_of_another_site_is_believed(raw: Raw) -> None:
    for site in ("cross-site", "same-site"):
        status, _, said = raw(asked("localhost", f"sec-fetch-site: {site}"))
        assert (status, code(said)) == (403, "wrong_origin")
        assert raw(f"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nsec-fetch-site: {site}\r\n\r\n".encode())[0] == 200
    assert raw(asked("localhost", "sec-fetch-site: same-origin"))[0] == 200
    assert raw(asked("localhost", "sec-fetch-site: none"))[0] == 200


def test_a_page_cannot_decide_a_ticket(raw: Raw) -> None:
    """Cross-site request forgery: an operator's browser shows no key, so all that a page could send is refused."""
    for headers in (("origin: http://localhost:3000",), ("sec-fetch-site: cross-site",), ("origin: null",)):
        status, _, _ = raw(asked("localhost", *headers, "x-trimtab-operator: eve", path="/approvals/ap_1"))
        assert status == 403


def test_with_a_key_the_names_are_the_listed_ones(house: Any, tmp_path: Path) -> None:
    key = "authorization: Bearer sesame"
    with at(house, tmp_path) as raw:
        assert raw(asked("any.example", key))[0] == 200
    with at(house, tmp_path, hosts=["api.example.org", "*.internal.example"]) as raw:
        for host in (
            "api.example.org",
            "API.example.org:443",
            "a.internal.example",
            "a.b.internal.example",
            "localhost",
        ):
            assert raw(asked(host, key))[0] == 200, host
        for host in ("example.org", "xapi.example.org", "internal.example", "evilinternal.example", ""):
            status, _, said = raw(asked(host, key))
            assert (status, code(said)) == (421, "wrong_host"), host
        assert raw(b"GET /healthz HTTP/1.1\r\nhost: 10.0.0.7:8080\r\n\r\n")[0] == 200


def test_with_a_key_the_pages_are_the_listed_ones(house: Any, tmp_path: Path) -> None:
    key = "authorization: Bearer sesame"
    with at(house, tmp_path, origins=[PAGE]) as raw:
        status, fields, _ = raw(asked("x.example", key, f"origin: {PAGE}"))
        assert (status, fields[b"access-control-allow-origin"]) == (200, PAGE.encode())
        assert b"x-request-id" in fields[b"access-control-expose-headers"]
        status, fields, said = raw(asked("x.example", key, "origin: https://evil.example"))
        assert (status, code(said)) == (403, "wrong_origin")
        assert b"access-control-allow-origin" not in fields
        assert (
            raw(asked("x.example", key, "origin: https://x.example"))[0] == 200
        )  # a page of the gateway's own address
        status, fields, said = raw(asked("x.example", f"origin: {PAGE}"))
        assert (status, fields[b"access-control-allow-origin"]) == (401, PAGE.encode())  # the page may read why


def test_a_browser_is_told_before_it_asks(house: Any, tmp_path: Path) -> None:
    def preflight(origin: str) -> bytes:
        wish = "access-control-request-method: POST\r\naccess-control-request-headers: authorization, x-stainless-lang"
        return f"OPTIONS {CHAT} HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\n{wish}\r\n\r\n".encode()

    with at(house, tmp_path, origins=[PAGE]) as raw:
        status, fields, _ = raw(preflight(PAGE))
        assert (status, fields[b"access-control-allow-origin"]) == (200, PAGE.encode())
        assert b"POST" in fields[b"access-control-allow-methods"]
        assert {b"authorization", b"x-stainless-lang"} <= set(
            fields[b"access-control-allow-headers"].lower().split(b", ")
        )
        status, fields, _ = raw(preflight("https://evil.example"))
        assert status == 400
        assert b"access-control-allow-origin" not in fields
    with at(house, tmp_path) as raw:
        assert b"access-control-allow-origin" not in raw(preflight(PAGE))[1]


@pytest.mark.parametrize("path", [CHAT, "/healthz", "/v1/models", "/nowhere", "/approvals"])
def test_nothing_is_taken_for_a_page_or_kept_by_a_browser(raw: Raw, path: str) -> None:
    _, fields, _ = raw(post(path, HI) if path == CHAT else f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    assert fields[b"x-content-type-options"] == b"nosniff"
    if path in ("/v1/models", "/healthz"):
        assert fields[b"cache-control"] == b"no-store"


def test_the_world_is_not_served_without_a_key() -> None:
    with pytest.raises(ConfigError, match="TRIMTAB_API_KEY"), serving.bound(_on(host="0.0.0.0")):
        pass
    assert door.door(_on("k", host="0.0.0.0")).key == b"k"


@pytest.mark.parametrize("host", ["", "https://a.example", "a.example:80", "a.*.example", "*", "a b", "a/b"])
def test_a_host_that_is_none_is_said(host: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.hosts"):
        door.door(_on(hosts=[host]))


@pytest.mark.parametrize(
    "origin", ["", "app.example.org", "https://", "https://a.example/", "https://*.example", "null"]
)
def test_an_origin_that_is_none_is_said(origin: str) -> None:
    with pytest.raises(ConfigError, match=r"server\.origins"):
        door.door(_on(origins=[origin]))


def _on(key: str = "", **server: Any) -> Settings:
    secrets = {"TRIMTAB_API_KEY": key} if key else {}
    return parse({"server": server}, folder=Path(), home=Path(), name="x", secrets=secrets)
