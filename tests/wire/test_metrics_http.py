"""GET /metrics over HTTP: who may read it, in which format, and what the gateway's edge counts."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from _gateway import Scripted, desk, exchange, post, served, settings, until
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from trimtab.record import metrics as kind
from trimtab.server import app as gateway_app
from trimtab.server import keys
from trimtab.store.engine import Store


@contextmanager
def running(home: Path, *, counted: bool = True, **secrets: str) -> Iterator[str]:
    store, given = Store.open(home / "trimtab.db"), settings(home, **secrets)
    parts = desk(Scripted(), home, store)
    if counted:
        counts = kind.Metrics(kind.Options(), lambda: store)
        parts = msgspec.structs.replace(parts, recorders=(*parts.recorders, counts))
    with served(gateway_app.app(parts, given, lambda: store), given) as url:
        yield url
    asyncio.run(store.close())


def got(url: str, path: str = "/metrics", *headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
    host, port = url.removeprefix("http://").split(":")
    lines = [f"GET {path} HTTP/1.1", f"host: {host}", *headers]
    return exchange(host, int(port), "\r\n".join(lines).encode() + b"\r\n\r\n")


def samples(page: bytes) -> dict[str, dict[tuple[Any, ...], float]]:
    found: dict[str, dict[tuple[Any, ...], float]] = {}
    for family in plain(page.decode()):
        for one in family.samples:
            found.setdefault(one.name, {})[tuple(sorted(one.labels.items()))] = one.value
    return found


def ask(url: str, text: str, **more: Any) -> Any:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=20)
    return client.chat.completions.create(model="auto", messages=[{"role": "user", "content": text}], **more)


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with running(tmp_path) as found:
        yield found


def test_the_page_counts_what_clients_did(url: str):
    ask(url, "say hello there")
    ask(url, "say forbidden")
    for waits in ("risky advice", "down now"):
        with pytest.raises(openai.APIStatusError, match="428"):
            ask(url, waits)
    status, headers, page = got(url)
    assert status == 200
    assert headers[b"content-type"].startswith(b"text/plain; version=0.0.4")
    found = samples(page)
    assert found["trimtab_requests_total"] == {
        (("answered_by", "scripted"), ("outcome", "answer")): 1,
        (("answered_by", ""), ("outcome", "refused")): 1,
        (("answered_by", ""), ("outcome", "pending")): 2,  # the rung that was down has an inbox behind it
    }
    assert found["trimtab_guard_findings_total"] == {
        (("action", "refuse"), ("code", "forbidden_word"), ("rule", "words")): 1
    }
    assert sum(found["trimtab_tickets_total"].values()) == 2
    assert found["trimtab_tokens_total"][("counted", "true"), ("direction", "output"), ("model", "scripted")] == 3
    assert found["trimtab_ledger_failing"] == {(): 0}


def test_the_edge_counts_routes_and_statuses_and_no_clients_path(url: str):
    host, port = url.removeprefix("http://").split(":")
    exchange(host, int(port), post("/v1/chat/completions", b"{no json"))
    for path in ("/v1/models/gpt-x", "/v1/models/gpt-y", "/sk-0123456789abcdef", "/healthz"):
        got(url, path)
    found = samples(got(url)[2])["trimtab_http_responses_total"]
    assert found[("route", "/v1/chat/completions"), ("status", "400")] == 1
    assert found[("route", "/v1/models/{id:path}"), ("status", "404")] == 2
    assert found[("route", "other"), ("status", "404")] == 1
    assert found[("route", "/healthz"), ("status", "200")] == 1
    assert samples(got(url)[2])["trimtab_http_in_flight"] == {(): 1}, "the scrape itself"


def test_a_stream_has_its_time_to_the_first_token_and_a_whole_answer_has_none(url: str):
    ask(url, "say a b c")
    assert "trimtab_stream_first_token_seconds_count" not in samples(got(url)[2])
    assert list(ask(url, "say a b c", stream=True))
    found = samples(got(url)[2])
    assert found["trimtab_stream_first_token_seconds_count"] == {(("route", "/v1/chat/completions"),): 1}


def test_a_client_that_leaves_is_counted_and_no_longer_in_flight(url: str):
    stream = ask(url, "slowly now", stream=True)
    next(iter(stream))
    assert samples(got(url)[2])["trimtab_http_in_flight"] == {(): 2}
    stream.close()
    left = (("answered_by", ""), ("outcome", "cancelled"))
    assert until(lambda: samples(got(url)[2]).get("trimtab_requests_total", {}).get(left)) == 1
    assert until(lambda: samples(got(url)[2])["trimtab_http_in_flight"] == {(): 1})


def test_openmetrics_where_it_is_asked_for(url: str):
    ask(url, "say hello")
    _, headers, page = got(url, "/metrics", "accept: application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert headers[b"content-type"].startswith(b"application/openmetrics-text; version=1.0.0")
    assert {family.name for family in openmetrics(page.decode())} >= {"trimtab_requests", "trimtab_tokens"}


def test_it_is_behind_the_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with running(tmp_path, TRIMTAB_API_KEY="s3cret-key") as url:
        assert got(url)[0] == 401
        assert got(url, "/metrics", "authorization: Bearer wrong")[0] == 401
        status, _, page = got(url, "/metrics", "authorization: Bearer s3cret-key")
    assert status == 200
    assert b"s3cret-key" not in page
    assert samples(page)["trimtab_http_responses_total"][("route", "/metrics"), ("status", "401")] == 2


def test_the_sums_over_all_callers_are_an_operators_to_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):

    async def tokens(*roles: Any) -> list[str]:
        store = Store.open(tmp_path / "trimtab.db")
        made = [await keys.create(store, tmp_path, keys.Draft(name=role, role=role)) for role in roles]
        await store.close()
        return [token for _, token in made]

    client, operator = asyncio.run(tokens("client", "operator"))
    with running(tmp_path, TRIMTAB_API_KEY="s3cret-key") as url:
        assert got(url, "/metrics", f"authorization: Bearer {client}")[0] == 403
        assert got(url, "/metrics", f"authorization: Bearer {operator}")[0] == 200


def test_a_page_from_elsewhere_may_not_read_it(url: str):
    assert got(url, "/metrics", "origin: https://evil.example")[0] == 403
    host, port = url.removeprefix("http://").split(":")
    rebound = exchange(host, int(port), b"GET /metrics HTTP/1.1\r\nhost: evil.example\r\n\r\n")
    assert rebound[0] == 421


def test_without_the_recorder_it_says_how_to_switch_it_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with running(tmp_path, counted=False) as url:
        status, _, body = got(url)
    assert status == 404
    assert b'kind = \\"metrics\\"' in body


def test_the_reference_page_lists_what_there_is_and_no_more(url: str):
    ask(url, "say hello", stream=True).close()
    page = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text("utf-8")
    listed = {row.split("`")[1]: row.split("|")[2].strip() for row in page.splitlines() if row.startswith("| `trimtab")}
    found = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in openmetrics(got(url, "/metrics", "accept: application/openmetrics-text")[2].decode())
        if family.name.startswith("trimtab")
    }
    assert listed == found
