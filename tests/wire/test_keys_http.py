"""Virtual keys, limits and idempotency over HTTP: real clients, a real store, many requests at once."""

import asyncio
import contextlib
import json
import logging
import threading
import time
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import msgspec
import openai
import pytest
from _gateway import Scripted, desk, exchange, post, served, until

from trimtab.encode.encoder import Encoder
from trimtab.record import _read
from trimtab.server import app as gateway_app
from trimtab.server import keyring, keys
from trimtab.server.keys import RANK, Draft
from trimtab.settings import Limit, parse
from trimtab.store.engine import Store
from trimtab.types import Price

CHAT = "/v1/chat/completions"
MESSAGES: list[Any] = [{"role": "user", "content": "say hello"}]
PRICE = Price(input=Decimal(1000), output=Decimal(1000))
"""A token is 1,000,000 nanodollars: a milli-dollar, so that sums are easily read."""


class Place:
    """A gateway with virtual keys, and the store behind it."""

    def __init__(self, home: Path, **table: Any) -> None:
        self.home, self.table, self.secrets = home, table, {}
        self.store = Store.open(home / "trimtab.db")
        self.rung = Scripted()
        self.url = ""
        self.encoder: Any = None

    def key(self, name: str = "app", **draft: Any) -> str:
        return self.made(name, **draft)[1]

    def made(self, name: str = "app", **draft: Any) -> tuple[keys.Key, str]:
        return asyncio.run(keys.create(self.store, self.home, Draft(name=name, **draft)))

    @contextlib.contextmanager
    def up(self, *, price: Price | None = PRICE, person: bool = True) -> Any:
        given = parse(
            {"server": {"drain": 1.0}, **self.table}, folder=self.home, home=self.home, name="k", secrets=self.secrets
        )
        plain = desk(self.rung, self.home, self.store)
        spec = msgspec.structs.replace(plain.specs["scripted"], price=price)
        approver = plain.approver if person else None
        there = msgspec.structs.replace(plain, specs={"scripted": spec}, approver=approver)
        gateway = gateway_app.app(there, given, lambda: self.store, self.encoder)
        with served(gateway, given) as url:
            self.url = url
            yield self
            asyncio.run(gateway.admission.close())

    def client(self, key: str, retries: int = 0) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=retries, timeout=20)

    def ask(self, key: str, said: str = "say hello", **more: Any) -> Any:
        messages: list[Any] = [{"role": "user", "content": said}]
        return self.client(key).chat.completions.create(model="auto", messages=messages, **more)

    def send(self, method: str, path: str, key: str = "", *headers: str, body: Any = None) -> tuple[int, Any, Any]:
        host, port = self.url.removeprefix("http://").split(":")
        more = [*headers, *([f"authorization: Bearer {key}"] if key else [])]
        raw = b"" if body is None else json.dumps(body).encode()
        sent = post(path, raw, *more).replace(b"POST", method.encode(), 1)
        status, fields, said = exchange(host, int(port), sent)
        if b"content-length" not in fields and status != 304:
            said = joined(said)
        return status, fields, json.loads(said) if said[:1] in (b"{", b"[") else said

    def rows(self) -> list[Any]:
        return asyncio.run(_read.tail(self.store, 1000))


def joined(chunked: bytes) -> bytes:
    """A body less the frames of its chunks (RFC 9112, section 7.1)."""
    found = b""
    while chunked:
        size, _, rest = chunked.partition(b"\r\n")
        found, chunked = found + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return found


@pytest.fixture
def place(tmp_path: Path) -> Any:
    found = Place(tmp_path)
    yield found
    asyncio.run(found.store.close())


def many(place: Place, key: str, n: int, **more: Any) -> list[Any]:
    """`n` requests at once: each reply, or the error's code."""

    async def one(client: openai.AsyncOpenAI) -> Any:
        try:
            return await client.chat.completions.create(model="auto", messages=MESSAGES, **more)
        except openai.APIStatusError as error:
            return (error.status_code, error.code)

    async def all_of_them() -> list[Any]:
        async with openai.AsyncOpenAI(base_url=f"{place.url}/v1", api_key=key, max_retries=0, timeout=60) as client:
            return await asyncio.gather(*(one(client) for _ in range(n)))

    return asyncio.run(all_of_them())


def test_the_first_key_closes_the_door(place: Place) -> None:
    with place.up():
        assert place.ask("none").choices[0].message.content == "hello"
        token = place.key()
        assert until(lambda: place.send("GET", "/v1/models")[0] == 401)
        with pytest.raises(openai.AuthenticationError) as caught:
            place.ask("none")
        assert caught.value.code == "invalid_api_key"
        assert place.ask(token).choices[0].message.content == "hello"
        assert place.send("GET", "/healthz")[0] == 200


def test_the_principal_is_the_key(place: Place) -> None:
    key, token = place.made()
    with place.up():
        trace = place.ask(token).trimtab["trace"]
    (row,) = [row for row in place.rows() if row["id"] == trace]
    assert row["principal"] == key.id == place.rung.requests[-1].principal


def test_wrong_keys_are_all_told_the_same(place: Place) -> None:
    key, token = place.made()
    other = place.key("other")
    with place.up():
        swapped = f"{token.partition('.')[0]}.{other.partition('.')[2]}"
        wrong = [token[:-1], f"{token}x", swapped, "tt_.x", f"tt_{key.id}.", "tt_" + "a" * 12 + ".b", ""]
        said = [place.send("POST", CHAT, one, body={"messages": MESSAGES}) for one in wrong]
        assert [one[0] for one in said] == [401] * len(wrong)
        assert len({json.dumps(one[2]) for one in said}) == 1
        assert place.send("POST", CHAT, token, body={"messages": MESSAGES})[0] == 200


def test_a_revoked_key_is_out_within_a_second_and_an_expired_one_at_once(place: Place, monkeypatch: Any) -> None:
    key, token = place.made()
    brief = place.key("brief", expires=time.time() + 600)
    with place.up():
        place.ask(token)
        place.ask(brief)
        asyncio.run(keys.revoke(place.store, key.id))
        assert until(lambda: place.send("GET", "/v1/models", token)[0] == 401)
        assert place.send("GET", "/v1/models", token)[2]["error"]["code"] == "key_revoked"
        assert place.send("GET", "/v1/models", brief)[0] == 200
        later = SimpleNamespace(time=lambda: time.time() + 601, monotonic=time.monotonic)
        monkeypatch.setattr(keyring, "time", later)
        status, _, said = place.send("GET", "/v1/models", brief)
        assert (status, said["error"]["code"]) == (401, "key_expired")
        assert place.send("GET", "/v1/models")[0] == 401


def test_rotation_overlaps(place: Place) -> None:
    key, old = place.made()
    with place.up():
        _, new = asyncio.run(keys.rotate(place.store, place.home, key.id, 60.0))
        assert until(lambda: place.send("GET", "/v1/models", new)[0] == 200)
        assert place.send("GET", "/v1/models", old)[0] == 200
        _, newest = asyncio.run(keys.rotate(place.store, place.home, key.id, 0.0))
        assert until(lambda: place.send("GET", "/v1/models", newest)[0] == 200)
        assert [place.send("GET", "/v1/models", one)[0] for one in (old, new)] == [401, 401]


def test_every_route_declares_its_role_and_keeps_it(place: Place) -> None:
    """Asked with each role, a route refuses exactly the roles below its own: read from the routes that are mounted."""
    tokens = {role: place.key(role, role=role) for role in RANK}
    declared = {(path, "POST"): role for path, _, role in gateway_app.HOT}
    declared |= {(path, method): role for path, _, method, role in gateway_app.ROUTES}
    assert set(declared.values()) <= {*RANK, "anyone"}
    with place.up() as up:
        given = parse({}, folder=up.home, home=up.home, name="k", secrets={})
        gateway = gateway_app.app(desk(up.rung, up.home, up.store), given)
        mounted = {(path, "POST") for path in gateway._hot}
        mounted |= {(route.path, m) for route in gateway._rest.routes for m in route.methods if m != "HEAD"}
        assert mounted == set(declared)
        for (path, method), role in declared.items():
            there = path.replace("{id:path}", "x").replace("{id}", "x")
            assert (up.send(method, there, body={})[0] == 401) == (role != "anyone"), path
            for name, token in tokens.items():
                status, _, said = up.send(method, there, token, body={})
                code = (said.get("error") or said).get("code") if isinstance(said, dict) else ""
                allowed = role == "anyone" or RANK[name] >= RANK[role]
                assert (status == 403 and code == "role_needed") is not allowed, (path, name, status)


def test_scopes(place: Place) -> None:
    token = place.key(models=("other",), routes=("/v1/models", CHAT))
    with place.up():
        assert place.send("GET", "/v1/models/auto", token)[0] == 200
        assert [one["id"] for one in place.send("GET", "/v1/models", token)[2]["data"]] == ["auto"]
        status, _, said = place.send("POST", "/v1/completions", token, body={"prompt": "x"})
        assert (status, said["error"]["code"]) == (403, "not_in_scope")
        body = {"messages": MESSAGES, "model": "scripted"}
        status, _, said = place.send("POST", CHAT, token, body=body)
        assert (status, said["error"]["code"]) == (403, "model_not_allowed")
        assert not place.rung.requests


def test_a_client_sees_its_own_traces_and_tickets(place: Place) -> None:
    mine, theirs, boss = place.key("mine"), place.key("theirs"), place.key("boss", role="operator")
    with place.up():
        trace = place.ask(mine).trimtab["trace"]
        status, _, said = place.send("POST", CHAT, mine, body={"messages": [{"role": "user", "content": "risky x"}]})
        assert status == 428
        ticket = said["error"]["url"]
        for path in (f"/v1/traces/{trace}", ticket):
            seen = {name: until(lambda p=path, t=t: place.send("GET", p, t)[0]) for name, t in
                    (("mine", mine), ("theirs", theirs), ("boss", boss))}  # fmt: skip
            assert seen == {"mine": 200, "theirs": 404, "boss": 200}
        opinion = {"trace": trace, "score": 1}
        assert place.send("POST", "/v1/feedback", theirs, body=opinion)[0] == 404
        assert place.send("POST", "/v1/feedback", mine, body=opinion)[0] == 201
        digest = place.send("GET", ticket, boss)[2]["digest"]
        decision = {"decision": "approve", "digest": digest}
        assert place.send("POST", ticket, mine, "x-trimtab-operator: me", body=decision)[0] == 403
        assert place.send("POST", ticket, boss, body=decision)[0] == 200
        assert place.send("GET", "/approvals?state=approved", boss)[2]["data"][0]["decided_by"] == "boss"
        assert place.send("GET", ticket, mine)[2]["completion"]["choices"][0]["message"]["content"] == "x"


def test_the_bootstrap_key_is_the_admins(place: Place) -> None:
    place.secrets = {"TRIMTAB_API_KEY": "sesame"}
    with place.up():
        place.ask("sesame")
        assert place.send("GET", "/approvals", "sesame")[0] == 200
        assert place.rung.requests[-1].principal == "admin"


@pytest.mark.parametrize("stream", [False, True])
def test_fifty_at_once_never_take_more_than_the_budget(place: Place, stream: bool) -> None:
    """A request holds 12 + 20 tokens at a milli-dollar each and costs 8: the budget of $0.08 ends after ten."""
    key, token = place.made(limits=(Limit(usd=Decimal("0.080"), per="day"),))
    with place.up():
        found = many(place, token, 50, max_tokens=20, stream=stream)
        denied = [one for one in found if isinstance(one, tuple)]
        assert set(denied) == {(429, "insufficient_quota")}
        until(lambda: len(place.rows()) >= 50 - len(denied))
        for _ in range(60):  # now one after the other, until there is no room for another reservation
            with contextlib.suppress(openai.RateLimitError):
                place.ask(token, max_tokens=20)
        spent = sum(row["cost_nano"] for row in place.rows())
        assert 0 < spent <= 80_000_000
        assert spent > 80_000_000 - 40_000_000  # less than one reservation is left over
    (taken,) = asyncio.run(keys.used(place.store, key.id, time.time()))
    assert taken["taken"] == spent


def test_requests_as_openais_clients_know_them(place: Place) -> None:
    token = place.key(limits=(Limit(requests=2, tokens=100_000, per="hour"),))
    with place.up():
        heads = [place.client(token).chat.completions.with_raw_response.create(model="auto", messages=MESSAGES).headers
                 for _ in range(2)]  # fmt: skip
        assert [head["x-ratelimit-remaining-requests"] for head in heads] == ["1", "0"]
        assert heads[0]["x-ratelimit-limit-requests"] == "2"
        assert heads[0]["x-ratelimit-limit-tokens"] == "100000"
        assert heads[0]["x-ratelimit-reset-requests"][-1] == "s"
        with pytest.raises(openai.RateLimitError) as caught:
            place.ask(token)
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "requests")
        assert 0 < int(caught.value.response.headers["retry-after"]) <= 3600
        assert caught.value.response.headers["x-ratelimit-remaining-requests"] == "0"
        assert caught.value.response.headers["x-should-retry"] == "true"
        stream = place.key("other", limits=(Limit(requests=2, per="hour"),))
        create = place.client(stream).chat.completions.with_raw_response.create
        raw = create(model="auto", messages=MESSAGES, stream=True)
        assert raw.headers["x-ratelimit-remaining-requests"] == "1"


def test_tokens_are_settled_with_what_was_used(place: Place) -> None:
    token = place.key(limits=(Limit(tokens=2000, per="day"),))
    with place.up():
        for _ in range(20):  # 8 tokens each; were the 1,024 that are held kept, the second would be refused
            place.ask(token)
        head = place.client(token).chat.completions.with_raw_response.create(model="auto", messages=MESSAGES).headers
        assert int(head["x-ratelimit-remaining-tokens"]) < 2000 - 20 * 8 - 1024
        with pytest.raises(openai.RateLimitError, match=r"alone is over it") as caught:
            place.ask(token, max_tokens=3000)
        assert (caught.value.type, caught.value.response.headers["x-should-retry"]) == ("tokens", "false")


def test_concurrency(place: Place) -> None:
    token = place.key(limits=(Limit(concurrency=2),))
    with place.up():
        open_streams = [place.ask(token, "slowly", stream=True) for _ in range(2)]
        with pytest.raises(openai.RateLimitError) as caught:
            place.ask(token)
        assert caught.value.code == "rate_limit_exceeded"
        for stream in open_streams:
            stream.close()
        assert until(lambda: place.send("POST", CHAT, token, body={"messages": MESSAGES})[0] == 200)


def test_team_and_model_and_everyone(tmp_path: Path) -> None:
    limits = [
        {"team": "blue", "requests": 3, "per": "day"}, {"key": "*", "requests": 2, "per": "day"},
        {"model": "scripted", "requests": 4, "per": "day"},
    ]  # fmt: skip
    place = Place(tmp_path, limit=limits)
    blue = [place.key(name, team="blue") for name in ("a", "b")]
    red = place.key("c", team="red")
    with place.up():
        passed = [[one for one in many(place, token, 4) if not isinstance(one, tuple)] for token in (*blue, red)]
        assert [len(found) for found in passed] == [2, 1, 1]
        with pytest.raises(openai.RateLimitError, match="model 'scripted'"):
            place.ask(red)
    asyncio.run(place.store.close())


def test_a_model_without_a_price_is_not_asked_on_a_budget(place: Place) -> None:
    token = place.key(limits=(Limit(usd=Decimal(1)),))
    with place.up(price=None):
        status, _, said = place.send("POST", CHAT, token, body={"messages": MESSAGES, "model": "scripted"})
        assert (status, said["error"]["code"]) == (429, "price_unknown")
        assert not place.rung.requests


def test_a_restart_keeps_the_windows(place: Place) -> None:
    token = place.key(limits=(Limit(requests=10, per="month"),))
    for _ in range(2):
        with place.up():
            assert all(not isinstance(one, tuple) for one in many(place, token, 4))
    with place.up():
        assert len([one for one in many(place, token, 8) if not isinstance(one, tuple)]) == 2


def test_failures_give_their_reservation_back(place: Place) -> None:
    token = place.key(limits=(Limit(usd=Decimal("0.200"), per="day"),))
    crash = {"messages": [{"role": "user", "content": "crash x"}], "max_tokens": 50}
    with place.up(person=False):
        assert [place.send("POST", CHAT, token, body=crash)[0] for _ in range(10)] == [500] * 10
        cost = sum(row["cost_nano"] for row in place.rows())
        assert cost == 10 * 7_000_000  # the prompt had been counted each time


def once(place: Place, token: str, name: str, said: str = "say hello", **more: Any) -> Any:
    body = {"messages": [{"role": "user", "content": said}], **more}
    return place.send("POST", CHAT, token, f"idempotency-key: {name}", body=body)


def test_idempotency(place: Place) -> None:
    token, other = place.key(), place.key("other")
    with place.up():
        first = once(place, token, "a")
        again = once(place, token, "a")
        assert (first[0], first[2]) == (again[0], again[2])
        assert first[1][b"x-trimtab-trace"] == again[1][b"x-trimtab-trace"]
        assert (b"idempotent-replayed" in first[1], again[1][b"idempotent-replayed"]) == (False, b"true")
        status, _, said = once(place, token, "a", "say other")
        assert (status, said["error"]["code"]) == (409, "idempotency_mismatch")
        assert once(place, other, "a", "say other")[0] == 200  # keys are apart
        assert once(place, token, "x" * 256)[0] == 400
        assert len(place.rung.requests) == 2
    with place.up():  # it is on disk
        assert once(place, token, "a")[2] == first[2]
        assert len(place.rung.requests) == 2


def test_the_second_waits_for_the_first(place: Place) -> None:
    gate = threading.Event()

    async def held(request: Any, rest: str, sink: Any) -> Any:
        await anyio.to_thread.run_sync(gate.wait)
        return await Scripted._say(place.rung, request, rest, sink)

    place.rung._held = held  # type: ignore[attr-defined]
    token = place.key()
    with place.up():
        found: list[Any] = []
        threads = [threading.Thread(target=lambda: found.append(once(place, token, "k", "held hi"))) for _ in range(5)]
        for thread in threads:
            thread.start()
        assert until(lambda: place.rung.requests)
        gate.set()
        for thread in threads:
            thread.join()
    assert len(place.rung.requests) == 1
    assert {one[0] for one in found} == {200}
    assert len({json.dumps(one[2]) for one in found}) == 1


def test_streams_are_given_again_as_streams(place: Place) -> None:
    token = place.key()
    with place.up():
        client = place.client(token)
        headers = {"idempotency-key": "s"}
        said = []
        for _ in range(2):
            stream = client.chat.completions.create(
                model="auto", messages=[{"role": "user", "content": "say one two three"}], stream=True,
                extra_headers=headers,
            )  # fmt: skip
            said.append([chunk.model_dump_json() for chunk in stream])
        assert said[0] == said[1]
        assert len(said[0]) > 2
        assert len(place.rung.requests) == 1


BODIES: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "say one two"}, "/v1/responses": {"input": "say one two"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "say one two"}]},
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
def test_every_dialect_is_limited_and_answered_once(place: Place, path: str, stream: bool) -> None:
    key, token = place.made(limits=(Limit(requests=2, per="day"),))
    body = {**BODIES[path], "model": "auto", "stream": stream}
    with place.up():
        said = [place.send("POST", path, token, "idempotency-key: k", body=body) for _ in range(3)]
        assert [one[0] for one in said] == [200] * 3
        assert said[0][2] == said[1][2] == said[2][2]
        assert (len(place.rung.requests), place.rung.requests[0].principal) == (1, key.id)
        assert [place.send("POST", path, token, body=body)[0] for _ in range(2)] == [200, 429]
        cut = json.loads(json.dumps(body).replace("say one two", "cut x"))
        other = place.key("other")
        if stream:
            asked = [place.send("POST", path, other, "idempotency-key: c", body=cut) for _ in range(2)]
            assert not any(b"idempotent-replayed" in one[1] for one in asked)


def test_embeddings_are_counted(tmp_path: Path) -> None:
    place, encoder = Place(tmp_path), Encoder.load()
    token = place.key(limits=(Limit(requests=5, tokens=12, per="day"),))
    place.encoder = lambda: encoder
    with place.up():
        create = place.client(token).embeddings.create
        assert create(model="auto", input="one two three").usage.prompt_tokens == 3
        with pytest.raises(openai.RateLimitError, match="tokens") as caught:
            create(model="auto", input="one two three " * 4)
        assert caught.value.response.headers["x-ratelimit-remaining-tokens"] == "9"
    encoder.close()
    asyncio.run(place.store.close())


def test_the_tokens_of_embeddings_are_counted_beside_the_event_loop(house: Any, monkeypatch: Any) -> None:
    """A text of the greatest size takes most of a second, in which no other request would get on."""
    counted, count = [], Encoder.tokens

    def seen(encoder: Encoder, text: str) -> int:
        counted.append(asyncio._get_running_loop())
        return count(encoder, text)

    monkeypatch.setattr(Encoder, "tokens", seen)
    house.client().embeddings.create(model="auto", input=["one", "two"])
    assert counted == [None, None]


def test_what_is_not_final_is_not_kept(place: Place) -> None:
    token = place.key()
    with place.up(person=False):
        for said, status in (("down x", 503), ("crash x", 500), ("cut x", 200)):  # the last a stream that has begun
            asked = [once(place, token, said[:3], said, stream=said == "cut x") for _ in range(2)]
            assert [(one[0], b"idempotent-replayed" in one[1]) for one in asked] == [(status, False)] * 2
        assert len(place.rung.requests) == 6
    with place.up():
        assert once(place, token, "risky", "risky x")[0] == 428
        assert once(place, token, "risky", "risky x")[1][b"idempotent-replayed"] == b"true"  # no second ticket
        leaves = place.client(token).chat.completions.create(
            model="auto", messages=[{"role": "user", "content": "slowly"}], stream=True,
            extra_headers={"idempotency-key": "left"},
        )  # fmt: skip
        leaves.close()
        place.rung.cancelled.wait(5)
        assert once(place, token, "left", "say hi")[0] == 200


def test_no_secret_is_kept_or_told(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.secrets = {"TRIMTAB_API_KEY": "sesame-canary"}
    caplog.set_level(logging.DEBUG)
    key, token = place.made(limits=(Limit(requests=3, per="day"),))
    secret, said = token.partition(".")[2], []
    with place.up():
        for given in (token, f"{token}x", f"tt_{key.id}.{secret[::-1]}", "sesame-canary", "sesame-canar"):
            for path in (CHAT, "/v1/nothing", "/approvals/x", "/v1/messages"):
                said.append(place.send("POST", path, given, f"idempotency-key: {path}", body={"messages": MESSAGES}))
        said.append(place.send("GET", f"/approvals/{token}", token))
    asyncio.run(place.store.close())
    kept = b"".join(path.read_bytes() for path in place.home.rglob("*") if path.is_file())
    assert key.id.encode() in kept  # the control: what is looked through is what was written
    pepper = (place.home / "pepper").read_bytes()
    assert kept.count(pepper) == 1
    replies = repr(said[:-1]).encode()
    for canary in (secret, secret[::-1], "sesame-canary"):
        assert canary.encode() not in kept
        assert canary.encode() not in replies
        assert canary not in caplog.text
