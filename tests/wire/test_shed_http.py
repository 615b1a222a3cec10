"""A gateway with room for one: who waits, who is sent away and how, and what is always answered."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from _gateway import Scripted, desk, exchange, post, served, until

from trimtab.record import metrics
from trimtab.server import app as gateway_app
from trimtab.server import keys
from trimtab.server.keys import Draft
from trimtab.settings import parse
from trimtab.store.engine import Store
from trimtab.types import Answer, Usage

OPERATOR = "x-trimtab-operator: test"


class Held(Scripted):
    """A rung that answers `hold` only once it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    async def _hold(self, request: Any, rest: str, sink: Any) -> Answer:
        self.began.set()
        while not self.go.is_set():
            await asyncio.sleep(0.005)
        return Answer(text=rest, model="scripted", usage=Usage(prompt=1, completion=1))


class Small:
    """The gateway, its rung and its store."""

    def __init__(self, url: str, rung: Held, gateway: Any, store: Store, home: Path) -> None:
        self.url, self.rung, self.gateway, self.store, self.home = url, rung, gateway, store, home
        self.said: dict[str, Any] = {}

    def send(self, name: str, text: str, *headers: str, **more: Any) -> threading.Thread:
        """A chat in a thread of its own; what came back is in `said`."""
        body = json.dumps({"messages": [{"role": "user", "content": text}], **more}).encode()

        def work() -> None:
            self.said[name] = self.raw(post("/v1/chat/completions", body, *headers))

        thread = threading.Thread(target=work)
        thread.start()
        return thread

    def raw(self, sent: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        host, port = self.url.removeprefix("http://").split(":")
        return exchange(host, int(port), sent)

    def get(self, path: str, *headers: str) -> tuple[int, dict[bytes, bytes], bytes]:
        lines = [f"GET {path} HTTP/1.1", "host: localhost", *headers, "", ""]
        return self.raw("\r\n".join(lines).encode())

    def waiting(self, n: int) -> bool:
        return until(lambda: len(self.gateway.shed.queue) == n)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Small]:
    import msgspec

    store, rung = Store.open(tmp_path / "trimtab.db"), Held()
    table = {"server": {"drain": 1.0, "inflight": 1, "waiting": 1}}
    given = parse(table, folder=tmp_path, home=tmp_path, name="small", secrets={})
    counted = metrics.Metrics(metrics.Options(store=False), None)
    made = desk(rung, tmp_path, store)
    made = msgspec.structs.replace(made, recorders=(*made.recorders, counted))
    gateway = gateway_app.app(made, given, lambda: store)
    with served(gateway, given) as url:
        found = Small(url, rung, gateway, store, tmp_path)
        yield found
        rung.go.set()
    asyncio.run(store.close())


def test_one_runs_one_waits_and_the_rest_hear_to_come_back(small: Small) -> None:
    first = small.send("first", "hold one")
    assert small.rung.began.wait(5)
    second = small.send("second", "say two")
    assert small.waiting(1)
    with pytest.raises(openai.InternalServerError) as caught:
        openai.OpenAI(base_url=f"{small.url}/v1", api_key="x", max_retries=0).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "say three"}]
        )
    assert (caught.value.status_code, caught.value.code) == (503, "overloaded")
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.response.headers["x-should-retry"] == "true"
    with pytest.raises(anthropic.InternalServerError) as theirs:
        anthropic.Anthropic(base_url=small.url, api_key="x", max_retries=0).messages.create(
            model="auto", max_tokens=9, messages=[{"role": "user", "content": "say four"}]
        )
    body: Any = theirs.value.body
    assert (theirs.value.status_code, body["error"]["type"]) == (503, "overloaded_error")
    small.rung.go.set()
    first.join()
    second.join()
    assert [small.said[name][0] for name in ("first", "second")] == [200, 200]
    assert [request.messages[0]["content"] for request in small.rung.requests] == ["hold one", "say two"]
    assert small.gateway.shed.running == 0
    page = small.get("/metrics")[2]
    assert b'trimtab_http_shed_total{priority="normal"} 2.0' in page
    assert b"trimtab_http_waiting 0.0" in page


def test_health_and_approvals_are_answered_when_there_is_no_room(small: Small) -> None:
    first = small.send("first", "hold one")
    assert small.rung.began.wait(5)
    second = small.send("second", "say two")
    assert small.waiting(1)
    assert small.get("/v1/models")[0] == 503
    assert small.get("/healthz")[0] == small.get("/readyz")[0] == small.get("/metrics")[0] == 200
    assert small.get("/approvals", OPERATOR)[0] == 200
    small.rung.go.set()
    first.join()
    second.join()


def test_the_low_make_way_for_the_high(small: Small) -> None:
    first = small.send("first", "hold one")
    assert small.rung.began.wait(5)
    low = small.send("low", "say low", "x-trimtab-priority: low")
    assert small.waiting(1)
    high = small.send("high", "say high", "x-trimtab-priority: high")
    low.join(5)
    status, headers, raw = small.said["low"]
    assert (status, headers[b"retry-after"], json.loads(raw)["error"]["code"]) == (503, b"1", "overloaded")
    small.rung.go.set()
    first.join()
    high.join()
    assert small.said["high"][0] == 200


def test_a_key_bounds_what_its_requests_claim(small: Small) -> None:
    async def made() -> list[str]:
        drafts = [Draft(name="plain"), Draft(name="vip", priority="high"), Draft(name="batch", priority="low")]
        return [(await keys.create(small.store, small.home, draft))[1] for draft in drafts]

    plain, vip, batch = asyncio.run(made())
    until(lambda: small.get("/v1/models")[0] == 401)
    for token, given, expected in (
        (plain, {}, 0), (plain, {"trimtab": {"priority": "high"}}, 0), (plain, {"trimtab": {"priority": "low"}}, -1),
        (vip, {}, 0), (vip, {"trimtab": {"priority": "high"}}, 1), (vip, {"service_tier": "priority"}, 1),
        (batch, {}, -1), (batch, {"trimtab": {"priority": "high"}}, -1),
    ):  # fmt: skip
        small.send("one", "say hi", f"authorization: Bearer {token}", **given).join()
        assert small.said["one"][0] == 200
        assert small.rung.requests[-1].wishes.priority == expected, (given, expected)


def test_the_lower_of_body_and_header_counts_and_a_tier_is_passed_on(small: Small) -> None:
    for headers, given, expected in (
        ((), {}, 0), ((), {"trimtab": {"priority": "high"}}, 1), (("x-trimtab-priority: low",), {}, -1),
        (("x-trimtab-priority: low",), {"trimtab": {"priority": "high"}}, -1), ((), {"service_tier": "flex"}, -1),
        ((), {"service_tier": "flex", "trimtab": {"priority": "normal"}}, 0), ((), {"service_tier": "auto"}, 0),
    ):  # fmt: skip
        small.send("one", "say hi", *headers, **given).join()
        assert small.said["one"][0] == 200
        found = small.rung.requests[-1]
        assert found.wishes.priority == expected, (headers, given)
        assert found.params.get("service_tier") == given.get("service_tier")


@pytest.mark.parametrize(
    ("headers", "given", "param"),
    [
        (("x-trimtab-priority: urgent",), {}, "x-trimtab-priority"),
        ((), {"trimtab": {"priority": "urgent"}}, "trimtab"),
        ((), {"trimtab": {"priority": 1}}, "trimtab"),
    ],
)
def test_a_priority_that_is_none_is_an_error(small: Small, headers: Any, given: Any, param: str) -> None:
    small.send("one", "say hi", *headers, **given).join()
    status, _, raw = small.said["one"]
    assert (status, json.loads(raw)["error"]["param"]) == (400, param)
