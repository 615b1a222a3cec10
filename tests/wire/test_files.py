"""Files and batches through the gateway, with the real `openai` and `anthropic` clients and the mock behind it."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import openai
import pytest
from _gateway import exchange, served, settings, until

from trimtab.errors import ConfigError
from trimtab.evaluate import mock
from trimtab.server import app as gateway_app
from trimtab.server import keys, serving
from trimtab.server.keys import Draft
from trimtab.settings import Limit, Settings, parse
from trimtab.store.engine import Store
from trimtab.wiring import open_system

OURS = {"OPENAI_KEY": "sk-ours-6c1f0a", "ANTHROPIC_KEY": "sk-ant-ours-77aa01"}


def line(i: int, **more: Any) -> bytes:
    """One line of a batch's file."""
    body = {"model": "mock", "messages": [{"role": "user", "content": f"question {i}"}], **more}
    said = {"custom_id": f"q{i}", "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(said).encode() + b"\n"


JSONL = b"".join(map(line, range(3)))


def recipe(upstream: str, home: Path, server: Any = None, models: Any = None, **table: Any) -> Settings:
    """Two models of either protocol, both behind `upstream`, and what is passed to them."""
    given = {
        "server": {
            "port": 0, "drain": 1.0, "files": "gpt", "message_batches": "claude", "max_file": 1_000_000,
            **(server or {}),
        },
        "discover": {"environment": False, "loopback": False},
        "model": models or [
            {"kind": "openai_http", "name": "gpt", "url": f"{upstream}/v1", "model": "mock", "key_env": "OPENAI_KEY",
             "vision": True},
            {"kind": "anthropic_http", "name": "claude", "url": f"{upstream}/v1", "model": "mock",
             "key_env": "ANTHROPIC_KEY"},
        ],
        "record": [{"kind": "ledger"}], **table,
    }  # fmt: skip
    return parse(given, folder=home, home=home, name="files", secrets=OURS)


class Gate(msgspec.Struct, frozen=True):
    """A gateway with keys, and the mock behind it."""

    url: str
    mock: str
    home: Path

    def key(self, name: str, **draft: Any) -> str:
        async def made() -> str:
            store = Store.open(self.home / "trimtab.db")
            try:
                return (await keys.create(store, self.home, Draft(name=name, **draft)))[1]
            finally:
                await store.close()

        return asyncio.run(made())

    def openai(self, key: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, timeout=20)

    def anthropic(self, key: str) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=key, max_retries=0, timeout=20)

    def get(self, path: str, key: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers={"authorization": f"Bearer {key}"})

    def passed(self) -> list[Any]:
        """What the mock was sent, less bodies."""
        return httpx.get(f"{self.mock}/mock/calls").json()["passed"]


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gate]:
    home = tmp_path_factory.mktemp("files")
    with (
        served(mock.app(mock.Options()), settings(home)) as upstream,
        serving.background(recipe(upstream, home, {"auth": "key"})) as url,
    ):
        yield Gate(url, upstream, home)


@pytest.fixture(scope="module")
def alice(gate: Gate) -> str:
    return gate.key("alice")


@pytest.fixture(scope="module")
def bob(gate: Gate) -> str:
    return gate.key("bob")


@pytest.fixture(scope="module")
def boss(gate: Gate) -> str:
    return gate.key("boss", role="admin")


def run(client: openai.OpenAI, data: bytes = JSONL) -> Any:
    """A batch that has come to its end."""
    file = client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"for": "test"}
    )
    assert (batch.object, batch.input_file_id, batch.metadata) == ("batch", file.id, {"for": "test"})
    return until(lambda: (found := client.batches.retrieve(batch.id)).status == "completed" and found)


def test_a_file_there_and_back(gate: Gate, alice: str) -> None:
    client, data = gate.openai(alice), bytes(range(256)) * 40 + b"\r\n--not-the-boundary\r\n"
    file = client.files.create(file=("a b.bin", data), purpose="user_data")
    assert (file.object, file.bytes, file.filename, file.purpose) == ("file", len(data), "a b.bin", "user_data")
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == data
    assert file.id in [one.id for one in client.files.list()]
    assert [one.id for one in client.files.list(purpose="batch")] == []
    assert client.files.delete(file.id).deleted is True
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)


async def test_the_async_client(gate: Gate, alice: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gate.url}/v1", api_key=alice, max_retries=0) as client:
        file = await client.files.create(file=b"hello", purpose="user_data")
        async with client.files.with_streaming_response.content(file.id) as response:
            assert b"".join([piece async for piece in response.iter_bytes()]) == b"hello"
        assert file.id in [one.id async for one in client.files.list()]
        await client.files.delete(file.id)


def test_a_batch_of_chats(gate: Gate, alice: str) -> None:
    client = gate.openai(alice)
    batch = run(client)
    assert (batch.request_counts.completed, batch.request_counts.failed, batch.error_file_id) == (3, 0, None)
    lines = [json.loads(one) for one in client.files.content(batch.output_file_id).text.splitlines()]
    assert {one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"] for one in lines} == {
        f"q{i}": f"question {i}" for i in range(3)
    }
    assert batch.id in [one.id for one in client.batches.list()]


def test_lines_that_fail_are_in_the_file_of_errors(gate: Gate, alice: str) -> None:
    client = gate.openai(alice)
    batch = run(client, JSONL + line(3, mock={"fault": "error", "status": 500}))
    (failed,) = client.files.content(batch.error_file_id).text.splitlines()
    assert json.loads(failed)["response"]["status_code"] == 500


def test_a_batch_is_cancelled(gate: Gate, alice: str) -> None:
    client = gate.openai(alice)
    file = client.files.create(file=("in.jsonl", line(0, mock={"latency": 60})), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert client.batches.cancel(batch.id).status == "cancelled"
    assert client.batches.retrieve(batch.id).output_file_id is None


def messages(client: anthropic.Anthropic, **more: Any) -> Any:
    params: Any = {"model": "mock", "max_tokens": 10, "messages": [{"role": "user", "content": "hello there"}], **more}
    return client.messages.batches.create(requests=[{"custom_id": f"c{i}", "params": params} for i in range(3)])


def test_a_batch_of_messages(gate: Gate, alice: str) -> None:
    client = gate.anthropic(alice)
    made = messages(client)
    assert made.type == "message_batch"
    done = until(lambda: (it := client.messages.batches.retrieve(made.id)).processing_status == "ended" and it)
    assert done.request_counts.succeeded == 3
    assert done.results_url == f"/v1/messages/batches/{made.id}/results", "the key of the client stays here"
    results = list(client.messages.batches.results(made.id))
    assert [(one.custom_id, one.result.message.content[0].text) for one in results] == [
        (f"c{i}", "hello there") for i in range(3)
    ]
    assert made.id in [one.id for one in client.messages.batches.list()]
    assert client.messages.batches.delete(made.id).type == "message_batch_deleted"
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.batches.retrieve(made.id)
    assert caught.value.body["error"]["type"] == "not_found_error"


def test_a_batch_of_messages_is_cancelled(gate: Gate, alice: str) -> None:
    client = gate.anthropic(alice)
    made = messages(client, mock={"latency": 60})
    with pytest.raises(anthropic.BadRequestError, match="cannot be done"):
        client.messages.batches.delete(made.id)
    assert client.messages.batches.cancel(made.id).processing_status in ("canceling", "ended")
    done = until(lambda: (it := client.messages.batches.retrieve(made.id)).processing_status == "ended" and it)
    assert done.request_counts.canceled == 3
    assert [one.result.type for one in client.messages.batches.results(made.id)] == ["canceled"] * 3


def test_a_key_sees_its_own_and_an_admin_all(gate: Gate, alice: str, bob: str, boss: str) -> None:
    hers, his, all_of_them = gate.openai(alice), gate.openai(bob), gate.openai(boss)
    batch = run(hers)
    others = his.files.create(file=b"his", purpose="user_data")
    for name in (batch.input_file_id, batch.output_file_id):
        for look in (his.files.retrieve, his.files.content, his.files.delete):
            with pytest.raises(openai.NotFoundError) as caught:
                look(name)
            assert (caught.value.code, "A key sees its own" in str(caught.value)) == ("not_found", True)
        assert all_of_them.files.content(name).read() == hers.files.content(name).read()
    for look in (his.batches.retrieve, his.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            look(batch.id)
    with pytest.raises(openai.NotFoundError) as caught:
        his.batches.create(input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h")
    assert caught.value.param == "input_file_id"
    assert {one.id for one in his.files.list()} == {others.id}
    assert [one.id for one in his.batches.list()] == []
    listed = {one.id for one in hers.files.list()}
    assert {batch.input_file_id, batch.output_file_id} <= listed
    assert others.id not in listed
    assert {*listed, others.id} <= {one.id for one in all_of_them.files.list()}
    assert all_of_them.batches.retrieve(batch.id).id == batch.id
    made = messages(gate.anthropic(alice))
    for look in (gate.anthropic(bob).messages.batches.retrieve, gate.anthropic(bob).messages.batches.cancel):
        with pytest.raises(anthropic.NotFoundError) as wrong:
            look(made.id)
        assert wrong.value.body["error"]["type"] == "not_found_error"
    assert [one.id for one in gate.anthropic(bob).messages.batches.list()] == []


def test_an_operator_has_no_more_than_a_client(gate: Gate, alice: str) -> None:
    file = gate.openai(alice).files.create(file=b"x", purpose="user_data")
    assert gate.get(f"/v1/files/{file.id}", gate.key("op", role="operator")).status_code == 404


def test_what_an_admin_looks_at_stays_its_owners(gate: Gate, alice: str, bob: str, boss: str) -> None:
    """The output of a batch that an admin saw first is the owner's, not the admin's."""
    hers = gate.openai(alice)
    file = hers.files.create(file=("in.jsonl", JSONL), purpose="batch")
    batch = hers.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = until(lambda: (it := gate.openai(boss).batches.retrieve(batch.id)).status == "completed" and it)
    assert len(hers.files.content(done.output_file_id).text.splitlines()) == 3
    assert gate.get(f"/v1/files/{done.output_file_id}/content", bob).status_code == 404


def test_a_message_may_not_name_a_file_of_another_key(gate: Gate, alice: str, bob: str) -> None:
    file = gate.openai(alice).files.create(file=b"x", purpose="user_data")
    parts: Any = [{"type": "text", "text": "read it"}, {"type": "file", "file": {"file_id": file.id}}]
    said: Any = [{"role": "user", "content": parts}]
    with pytest.raises(openai.NotFoundError) as caught:
        gate.openai(bob).chat.completions.create(model="gpt", messages=said)
    assert caught.value.param == "messages"
    gate.openai(alice).chat.completions.create(model="gpt", messages=said)
    assert httpx.get(f"{gate.mock}/mock/calls").json()["last"]["messages"][0]["content"] == parts
    unknown: Any = [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-elsewhere"}}]}]
    gate.openai(bob).chat.completions.create(model="gpt", messages=unknown)


def test_lists_are_paged_through_what_is_not_ones_own(gate: Gate, bob: str) -> None:
    carol, dave = gate.key("carol"), gate.key("dave")
    hers = []
    for i in range(230):
        key = carol if i % 50 == 0 else dave
        file = gate.openai(key).files.create(file=b"x", purpose="user_data") if i % 50 in (0, 1) else None
        if file is None:  # entries of nobody here: put there without the gateway
            httpx.post(f"{gate.mock}/v1/files", files={"file": b"x"}, data={"purpose": "user_data"})
        elif key == carol:
            hers.append(file.id)
    assert [one.id for one in gate.openai(carol).files.list(limit=2)] == hers[::-1]
    assert [one.id for one in gate.openai(carol).files.list(limit=2, order="asc")] == hers
    page = gate.get("/v1/files?limit=2", carol).json()
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (hers[:-3:-1], True)
    assert (page["first_id"], page["last_id"], page["object"]) == (hers[-1], hers[-2], "list")
    before = len(gate.passed())
    assert gate.get("/v1/files", gate.key("erin")).json()["data"] == []
    assert len(gate.passed()) == before, "who has none is told so without a search"


def test_messages_batches_are_paged_both_ways(gate: Gate) -> None:
    key = gate.key("frank")
    client = gate.anthropic(key)
    mine = []
    for _ in range(4):
        mine.append(messages(client).id)
        httpx.post(f"{gate.mock}/v1/messages/batches", json={"requests": []})
    newest = mine[::-1]
    assert [one.id for one in client.messages.batches.list(limit=1)] == newest
    page = client.messages.batches.list(limit=2, before_id=newest[3])
    assert ([one.id for one in page.data], page.has_more) == (newest[1:3], True)
    assert [one.id for one in client.messages.batches.list(limit=2, after_id=newest[1]).data] == newest[2:]
    assert gate.get("/v1/messages/batches?limit=0", key).status_code == 400


def test_our_key_goes_up_and_no_header_of_the_clients_that_is_not_meant_to(gate: Gate, alice: str) -> None:
    more = {
        "cookie": "session=secret", "x-forwarded-for": "10.0.0.1", "te": "trailers", "proxy-authorization": "Basic x",
        "openai-organization": "org-theirs", "x-trimtab-where": "any", "anthropic-beta": "one,two",
    }  # fmt: skip
    gate.openai(alice).with_options(default_headers=more).files.create(file=b"x", purpose="user_data")
    seen = gate.passed()[-1]["headers"]
    assert seen.pop("content-type").startswith("multipart/form-data; boundary=")
    assert seen.pop("content-length").isdigit()
    assert seen == {
        "host": gate.mock.removeprefix("http://"), "authorization": f"Bearer {OURS['OPENAI_KEY']}",
        "accept": "application/json", "accept-encoding": "identity", "user-agent": "trimtab",
        "anthropic-beta": "one,two",
    }  # fmt: skip
    messages(gate.anthropic(alice))
    seen = gate.passed()[-1]["headers"]
    assert (seen["x-api-key"], seen["content-type"]) == (OURS["ANTHROPIC_KEY"], "application/json")
    assert seen["anthropic-version"] >= "2023-06-01"
    assert "authorization" not in seen
    assert alice not in json.dumps(gate.passed())


@pytest.mark.parametrize(
    "id",
    ["..", "%2e%2e", "..%2f..%2fadmin", "a%2fb", "a%00b", "%0d%0aX: y", "a;b", "%3fx=1", "-x", ".", "a" * 201, "ф"],
)
def test_an_id_makes_no_path(gate: Gate, boss: str, id: str) -> None:
    before = len(gate.passed())
    for rest in ("", "/content"):
        sent = f"GET /v1/files/{id}{rest} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {boss}\r\n\r\n"
        status, _, said = exchange(*address(gate.url), sent.encode("utf-8"))
        assert status in (400, 404), said
    assert len(gate.passed()) == before


def test_the_query_is_the_clients_and_no_more(gate: Gate, boss: str) -> None:
    gate.get("/v1/files?purpose=batch&limit=7&data=x&method=DELETE&path=y&new=a%26b%3D1%23", boss)
    seen = gate.passed()[-1]
    assert (seen["method"], seen["path"]) == ("GET", "/v1/files")
    assert seen["query"] == {
        "purpose": ["batch"], "limit": ["7"], "data": ["x"], "method": ["DELETE"], "path": ["y"], "new": ["a&b=1#"],
    }  # fmt: skip


def test_what_the_server_says_is_wrong_leaves_as_it_came(gate: Gate, alice: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        gate.openai(alice).post("/files", cast_to=object, body={"no": "form"})
    assert caught.value.body == {
        "message": "the body is no multipart/form-data", "type": "invalid_request_error", "param": None, "code": None,
    }  # fmt: skip


def test_ownership_outlives_the_gateway(tmp_path: Path) -> None:
    with served(mock.app(mock.Options()), settings(tmp_path)) as upstream:
        gates = Gate("", upstream, tmp_path)
        mine, theirs = gates.key("mine"), gates.key("theirs")
        with serving.background(recipe(upstream, tmp_path)) as url:
            file = Gate(url, upstream, tmp_path).openai(mine).files.create(file=b"x", purpose="user_data")
        with serving.background(recipe(upstream, tmp_path)) as url:
            again = Gate(url, upstream, tmp_path)
            assert again.openai(mine).files.content(file.id).read() == b"x"
            assert again.get(f"/v1/files/{file.id}", theirs).status_code == 404


def test_without_keys_whoever_works_here_sees_all(tmp_path: Path) -> None:
    with served(mock.app(mock.Options()), settings(tmp_path)) as upstream:
        there = httpx.post(f"{upstream}/v1/files", files={"file": b"x"}, data={"purpose": "batch"}).json()
        with serving.background(recipe(upstream, tmp_path)) as url:
            client = Gate(url, upstream, tmp_path).openai("any")
            assert [one.id for one in client.files.list()] == [there["id"]]
            run(client)


PATHS = [("POST", "/v1/files"), ("GET", "/v1/files"), ("GET", "/v1/files/x"), ("DELETE", "/v1/files/x"),
         ("GET", "/v1/files/x/content"), ("POST", "/v1/batches"), ("GET", "/v1/batches"), ("GET", "/v1/batches/x"),
         ("POST", "/v1/batches/x/cancel"), ("POST", "/v1/messages/batches"), ("GET", "/v1/messages/batches"),
         ("GET", "/v1/messages/batches/x"), ("DELETE", "/v1/messages/batches/x"),
         ("POST", "/v1/messages/batches/x/cancel"), ("GET", "/v1/messages/batches/x/results")]  # fmt: skip


def test_off_unless_the_recipe_says_so(house: Any) -> None:
    for method, path in PATHS:
        response = httpx.request(method, f"{house.url}{path}")
        error = response.json()["error"]
        assert (response.status_code, error["code"]) == (404, "not_passed_on"), path
        assert ("message_batches" if "messages" in path else "[server] files") in error["message"]


@pytest.mark.parametrize(
    ("server", "model", "says"),
    [({"files": "nobody"}, {}, "no model.*kind openai_http: gpt"),
     ({"files": "claude", "message_batches": ""}, {}, "kind anthropic_http.*one of the kind openai_http"),
     ({"message_batches": "gpt"}, {}, "kind openai_http.*one of the kind anthropic_http"),
     ({}, {"url": "http://models.example/v1"}, "cannot be masked.*mask = false"),
     ({}, {"mask": True}, "cannot be masked.*mask = false")],
)  # fmt: skip
async def test_what_cannot_be_passed_on_is_told_at_the_start(
    tmp_path: Path, server: Any, model: Any, says: str
) -> None:
    models = [{"kind": "openai_http", "name": "gpt", "url": "http://127.0.0.1:9/v1", "model": "m", **model},
              {"kind": "anthropic_http", "name": "claude", "url": "http://127.0.0.1:9/v1", "model": "m"}]  # fmt: skip
    with pytest.raises(ConfigError, match=says):
        async with open_system(recipe("", tmp_path, server, models)) as system:
            gateway_app.of_system(system)


async def test_files_go_to_no_region_that_the_recipe_leaves_out(tmp_path: Path) -> None:
    model = {"kind": "openai_http", "name": "gpt", "url": "http://127.0.0.1:9/v1", "model": "m", "region": "us"}
    with pytest.raises(ConfigError, match=r"region is not one of.*eu"):
        async with open_system(
            recipe("", tmp_path, {"message_batches": ""}, [model], egress={"regions": ["eu"]})
        ) as system:
            gateway_app.of_system(system)


async def test_a_server_elsewhere_is_named_with_mask_false(tmp_path: Path) -> None:
    models = [{"kind": "openai_http", "name": "gpt", "url": "http://127.0.0.1:9/v1", "model": "m", "where": "remote",
               "mask": False}]  # fmt: skip
    given = recipe("", tmp_path, {"message_batches": ""}, models)
    with serving.background(given) as url:
        response = httpx.get(f"{url}/v1/files", headers={"x-trimtab-where": "local"})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "x-trimtab-where")
        response = httpx.get(f"{url}/v1/files", headers={"x-trimtab-regions": "eu"})
        assert (response.status_code, response.json()["error"]["param"]) == (400, "x-trimtab-regions")
        response = httpx.get(f"{url}/v1/files")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "upstream_down")


def test_limits_scopes_and_budgets(gate: Gate) -> None:
    brief = gate.key("brief", limits=(Limit(requests=2, per="day"),))
    client = gate.openai(brief)
    file = client.files.create(file=b"x", purpose="user_data")
    assert gate.get(f"/v1/files/{file.id}", brief).headers["x-ratelimit-remaining-requests"] == "0"
    response = gate.get("/v1/files", brief)
    assert (response.status_code, response.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    of_model = gate.key("of-model", limits=(Limit(requests=1, per="day", model="gpt"),))
    assert [gate.get("/v1/files", of_model).status_code for _ in range(2)] == [200, 429]
    other = gate.key("other", models=("claude",))
    assert gate.get("/v1/files", other).json()["error"]["code"] == "model_not_allowed"
    assert gate.get("/v1/messages/batches", other).status_code == 200
    narrow = gate.key("narrow", routes=("/v1/files",))
    assert [gate.get(path, narrow).status_code for path in ("/v1/files", "/v1/batches")] == [200, 403]


@pytest.mark.parametrize("limit", [Limit(usd="5", per="day"), Limit(tokens=10**6), Limit(usd="5", model="gpt")])
def test_a_budget_is_not_gone_around(gate: Gate, limit: Any) -> None:
    limit = msgspec.convert({**msgspec.to_builtins(limit)}, Limit, strict=False)
    client = gate.openai(gate.key("budget", limits=(limit,)))
    file = client.files.create(file=("in.jsonl", JSONL), purpose="batch")
    before = len(gate.passed())
    with pytest.raises(openai.RateLimitError) as caught:
        client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    assert (caught.value.code, caught.value.response.headers["x-should-retry"]) == ("price_unknown", "false")
    assert len(gate.passed()) == before


def test_every_reply_has_its_trace(gate: Gate, alice: str) -> None:
    file = gate.openai(alice).files.create(file=b"x", purpose="user_data")
    for path in ("/v1/files", f"/v1/files/{file.id}", f"/v1/files/{file.id}/content", "/v1/messages/batches"):
        headers = gate.get(path, alice).headers
        assert headers["x-request-id"] == headers["x-trimtab-trace"]
        assert ("request-id" in headers) == ("messages" in path)


def test_what_is_in_a_file_is_no_page_of_ours(gate: Gate, alice: str) -> None:
    file = gate.openai(alice).files.create(file=("x.html", b"<script>alert(1)</script>"), purpose="user_data")
    headers = gate.get(f"/v1/files/{file.id}/content", alice).headers
    assert (headers["x-content-type-options"], headers["content-disposition"]) == ("nosniff", "attachment")
    assert headers["content-type"] == "application/binary"


def address(url: str) -> tuple[str, int]:
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)
