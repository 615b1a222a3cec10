"""OpenTelemetry: what a collector receives, what it never receives, and what happens while it is down."""

import asyncio
import json
import socket
import threading
from contextlib import suppress
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import flow, testing
from trimtab.egress import networks
from trimtab.errors import ConfigError, RequestError, UpstreamDownError
from trimtab.load import options
from trimtab.record import _otlp, otel
from trimtab.types import Decision, Request, Step, Trace, Usage, Wishes

ID = "tr_0199c0ffee00aabbccddeeff00112233"
SECRET = "sk-live-0123456789abcdef"


class Collector:
    """A real OTLP/HTTP server: it keeps what it was sent and says what it was told to say."""

    def __init__(self):
        self.bodies, self.headers, self.replies = [], [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                outer.headers.append((self.path, dict(self.headers.items())))
                status, extra, said = outer.replies.pop(0) if outer.replies else (200, {}, b"{}")
                if 200 <= status < 300:
                    outer.bodies.append(body)
                self.send_response(status)
                for name, value in {**extra, "content-length": str(len(said))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/traces"

    def spans(self):
        """All spans, their attributes as plain values."""
        return [
            {**span, "attributes": {one["key"]: plain(one["value"]) for one in span["attributes"]}}
            for body in self.bodies
            for span in json.loads(body)["resourceSpans"][0]["scopeSpans"][0]["spans"]
        ]


def plain(value):
    ((kind, found),) = value.items()
    match kind:
        case "intValue":
            assert isinstance(found, str), "64-bit numbers are strings in OTLP's JSON"
            return int(found)
        case "arrayValue":
            return [plain(one) for one in found["values"]]
    return found


@pytest.fixture
def collector():
    found = Collector()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.server.shutdown()
    found.server.server_close()
    thread.join()


class Running:
    """A recorder that has started; `stop` closes it."""

    def __init__(self, tmp_path, networks=(), **given):
        self.said, self._closing, starting = [], [], []
        tools = testing.tools(
            tmp_path, starting=starting.append, closing=self._closing.append, say=self.said.append,
            secret={"KEY": SECRET}.get, networks=networks,
        )  # fmt: skip
        self.kind = otel.build(options("record", "otel", given), tools)
        self._starting = starting

    async def __aenter__(self):
        for start in self._starting:
            await start()
        return self

    async def __aexit__(self, *_):
        for close in self._closing:
            await close()


def trace(**changes):
    given = {"request": Request(id=ID, messages=()), "at": 1_700_000_000.0, "ms": 10.0, "outcome": "answer"}
    return Trace(**{**given, **changes})


async def walked(collector, tmp_path, models, request, **parts):
    async with Running(tmp_path, endpoint=collector.url) as running:
        with suppress(RequestError, UpstreamDownError):
            await flow.run(testing.desk(models, recorders=(running.kind,), **parts), request)
    return collector.spans()


async def test_a_request_is_a_span_with_a_child_for_each_step(collector, tmp_path):
    usage = Usage(prompt=40, completion=60, cached=8)
    request = testing.ask("Hi", id=ID, params={"temperature": 0.5, "max_tokens": 99, "stream": True, "stop": "Hi"})
    models = {"small": testing.Passes(), "large": testing.Says(usage=usage, confidence=0.9, finish="length")}
    root, *children = await walked(collector, tmp_path, models, request, guards=(testing.seat(testing.Finds(), "g"),))
    assert root["traceId"] == ID[3:]
    assert root["kind"] == _otlp.SERVER
    assert "parentSpanId" not in root
    assert "status" not in root
    said = root["attributes"]
    assert {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "trimtab", "gen_ai.request.model": "auto",
        "gen_ai.response.model": "large", "gen_ai.response.finish_reasons": ["length"],
        "gen_ai.usage.input_tokens": 40, "gen_ai.usage.output_tokens": 60, "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 99, "trimtab.outcome": "answer",
        "trimtab.confidence": 0.9, "trimtab.trace": ID,
    }.items() <= said.items()  # fmt: skip
    assert said["trimtab.cost_usd"] == pytest.approx(40e-6 + 120e-6)
    assert [child["name"] for child in children] == ["guard g", "route", "answer small", "answer large"]
    assert all(child["traceId"] == root["traceId"] and child["parentSpanId"] == root["spanId"] for child in children)
    assert len({span["spanId"] for span in (root, *children)}) == 1 + len(children)
    passed, answered = children[2]["attributes"], children[3]["attributes"]
    assert (passed["trimtab.ok"], passed["trimtab.code"]) == (False, "not_mine")
    assert "status" not in children[2], "a rung that passes has not failed"
    assert answered["trimtab.tokens.input"] == 40
    assert "trimtab.code" not in answered
    assert not any(key.startswith("gen_ai.usage") for key in answered), "tokens are not counted twice"


async def test_times_are_in_order_and_inside_the_request(collector, tmp_path):
    models = {"a": testing.Passes(), "b": testing.Says()}
    root, *children = await walked(collector, tmp_path, models, testing.ask("Hi", id=ID))
    ends = [int(child["endTimeUnixNano"]) for child in children]
    starts = [int(child["startTimeUnixNano"]) for child in children]
    assert starts[0] >= int(root["startTimeUnixNano"])
    assert all(end <= start + 10_000 for end, start in zip(ends, starts[1:], strict=False)), "one after the other"
    assert ends[-1] <= int(root["endTimeUnixNano"]) + 10
    assert all(isinstance(span["startTimeUnixNano"], str) for span in (root, *children))


async def test_the_conventions_version_and_the_service_are_said(collector, tmp_path):
    await walked(collector, tmp_path, {"m": testing.Says()}, testing.ask("Hi"))
    (resource,) = json.loads(collector.bodies[0])["resourceSpans"]
    assert resource["scopeSpans"][0]["schemaUrl"] == _otlp.CONVENTIONS
    names = {one["key"]: one["value"]["stringValue"] for one in resource["resource"]["attributes"]}
    assert names["service.name"] == "trimtab"
    assert collector.headers[0][0] == "/v1/traces"
    assert collector.headers[0][1]["content-type"] == "application/json"


async def test_a_fault_has_its_type_and_the_step_where_it_was(collector, tmp_path):
    down = testing.Breaks(UpstreamDownError("The model at http://10.0.0.7 is down."))
    root, _, step = await walked(collector, tmp_path, {"m": down}, testing.ask("Hi"))
    assert root["attributes"]["error.type"] == "upstream_down"
    assert root["status"] == step["status"] == {"code": _otlp.ERROR}
    assert "gen_ai.usage.input_tokens" not in root["attributes"], "no answer, no tokens of one"


async def test_no_words_of_anyone_leave(collector, tmp_path):
    word = "zebra-7391"
    request = testing.ask(
        f"My name is {word}", id=ID, principal=word, params={"user": word, "stop": [word], "metadata": {"a": word}},
        wishes=Wishes(model=word),
    )  # fmt: skip
    loud = testing.Breaks(RequestError(f"You said {word}", code=f"{word}", param=word))
    seats = (testing.seat(testing.Finds(word), "watch", shadow=True),)
    await walked(collector, tmp_path, {word: loud}, request)
    known = collector.bodies[0].decode().count(word)
    assert known, "the control: a model of the settings may be named, and this one is called that"
    collector.bodies.clear()
    router = testing.Takes()
    await walked(collector, tmp_path, {"m": loud}, testing.ask(word, wishes=Wishes(model="m")), guards=seats)
    said = testing.Says(f"Hello {word}", finish=word, label=word, extra={"reasoning": word})
    await walked(collector, tmp_path, {"m": said}, testing.ask(word), router=router, guards=seats)
    assert len(collector.bodies) == 2
    assert word not in b"".join(collector.bodies).decode()
    root = collector.spans()[0]
    assert root["attributes"]["error.type"] == "other", "a server's own code may be any text"


@pytest.mark.parametrize(("code", "kept"), [("not_parsed", "not_parsed"), ("upstream_down", "upstream_down"),
                                            ("jane", "other"), ("a b", "other"), ("j@x", "other")])  # fmt: skip
def test_a_refusing_servers_code_is_left_out_of_its_step_too(code, kept):
    step = Step(stage="answer", by="m", ms=1.0, ok=False, code=code)
    ended = "jane" if code == "jane" else "upstream_down"
    _, child = _otlp.spans(trace(outcome="error", code=ended, steps=(step,)))
    assert {"key": "trimtab.code", "value": {"stringValue": kept}} in child["attributes"]


async def test_a_model_nobody_has_is_not_named(collector, tmp_path):
    async with Running(tmp_path, endpoint=collector.url) as running:
        await running.kind.record(trace(request=Request(id=ID, messages=(), wishes=Wishes(model=SECRET))))
        known = Decision(ladder=("m",), left_out={"n": "pinned"})
        pinned = Request(id=ID, messages=(), wishes=Wishes(model="n"))
        await running.kind.record(trace(request=pinned, decision=known))
    unknown, named = collector.spans()
    assert unknown["name"] == "chat"
    assert "gen_ai.request.model" not in unknown["attributes"]
    assert named["name"] == "chat n"


async def test_a_key_is_sent_as_the_header_that_the_settings_name(collector, tmp_path):
    async with Running(tmp_path, endpoint=collector.url, key_env="KEY", key_header="x-api-key") as running:
        await running.kind.record(trace())
    assert collector.headers[0][1]["x-api-key"] == SECRET
    assert SECRET.encode() not in collector.bodies[0]


async def test_a_collector_that_is_down_costs_spans_not_requests(tmp_path, monkeypatch):
    monkeypatch.setattr(otel, "QUEUE", 10)
    async with Running(tmp_path, endpoint="http://127.0.0.1:9/v1/traces") as running:
        for _ in range(25):
            await running.kind.record(trace())
        assert running.kind.lost == 15, "beyond the queue they are dropped"
    assert running.kind.lost == 25
    assert any("not exported" in line for line in running.said)
    assert any("25 traces" in line for line in running.said)


async def test_a_busy_collector_gets_the_same_batch_again(collector, tmp_path):
    collector.replies = [(503, {"retry-after": "0"}, b""), (429, {"retry-after": "0"}, b"")]
    async with Running(tmp_path, endpoint=collector.url, interval=0.01) as running:
        await running.kind.record(trace())
        for _ in range(500):
            if running.kind.sent:
                break
            await asyncio.sleep(0.01)
        assert running.kind.sent == 1
    assert len(collector.headers) == 3
    assert running.kind.lost == 0


async def test_a_batch_that_is_refused_is_counted_and_not_sent_again(collector, tmp_path):
    collector.replies = [(400, {}, b"no")]
    async with Running(tmp_path, endpoint=collector.url) as running:
        await running.kind.record(trace())
    assert len(collector.headers) == 1
    assert (running.kind.sent, running.kind.lost) == (0, 1)
    assert any("HTTP 400" in line for line in running.said)


async def test_rejected_spans_of_an_accepted_batch_are_said(collector, tmp_path):
    collector.replies = [(200, {}, b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"x"}}')]
    async with Running(tmp_path, endpoint=collector.url) as running:
        await running.kind.record(trace())
    assert any("rejected 3 spans" in line for line in running.said)


async def test_many_traces_leave_in_batches_and_all_arrive(collector, tmp_path):
    async with Running(tmp_path, endpoint=collector.url) as running:
        for i in range(otel.BATCH + 100):
            await running.kind.record(trace(request=Request(id=f"tr_{i:032x}", messages=())))
    assert len(collector.bodies) == 2
    assert {span["traceId"] for span in collector.spans()} == {f"{i:032x}" for i in range(otel.BATCH + 100)}


async def test_a_sample_is_a_share_and_the_same_for_the_same_id(collector, tmp_path):
    kept = []
    for _ in range(2):
        collector.bodies.clear()
        async with Running(tmp_path, endpoint=collector.url, sample=0.25) as running:
            for i in range(400):
                name = sha256(bytes(i)).hexdigest()[:32]
                await running.kind.record(trace(request=Request(id=f"tr_{name}", messages=())))
        kept.append({span["traceId"] for span in collector.spans()})
    assert kept[0] == kept[1]
    assert 60 < len(kept[0]) < 140


@pytest.mark.parametrize(
    "endpoint", ["", "localhost:4318", "ftp://a/b", "http://", "http://u:p@host/", "http://h:99999/"]
)
def test_an_endpoint_that_is_none_is_an_error(endpoint, tmp_path):
    with pytest.raises(ConfigError, match="endpoint"):
        Running(tmp_path, endpoint=endpoint)


@pytest.mark.parametrize("wrong", [{"sample": 1.5}, {"interval": 0}, {"timeout": -1}, {"nope": 1}])
def test_an_option_that_cannot_be_is_an_error(wrong, tmp_path):
    with pytest.raises(ConfigError, match="otel"):
        Running(tmp_path, **wrong)


def test_a_key_that_is_not_set_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="MISSING holds no key"):
        Running(tmp_path, key_env="MISSING")


def test_a_traceparent_makes_the_clients_span_the_parent():
    above = _otlp.parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    root, child = _otlp.spans(trace(steps=(Step(stage="route", by="", ms=1.0),)), above)
    assert root["traceId"] == child["traceId"] == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert root["parentSpanId"] == "00f067aa0ba902b7"
    assert child["parentSpanId"] == root["spanId"]
    assert not _otlp.parent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").sampled


async def test_spans_are_made_beside_the_loop_and_counted(collector, tmp_path, monkeypatch):
    from prometheus_client import CollectorRegistry, generate_latest

    threads, encoded = [], _otlp.encoded
    monkeypatch.setattr(_otlp, "encoded", lambda *args: (threads.append(threading.get_ident()), encoded(*args))[1])
    monkeypatch.setattr(otel, "QUEUE", 3)
    registry = CollectorRegistry()
    async with Running(tmp_path, endpoint=collector.url) as running:
        registry.register(running.kind)
        for i in range(5):
            await running.kind.record(trace(request=Request(id=f"tr_{i:032x}", messages=())))
        assert b"trimtab_otel_waiting_traces 3.0" in generate_latest(registry)
        assert b"trimtab_otel_lost_traces_total 2.0" in generate_latest(registry)
    assert threading.get_ident() not in threads
    assert len(threads) == len(collector.spans()) == 3
    assert b"trimtab_otel_sent_traces_total 3.0" in generate_latest(registry)


async def test_a_close_while_a_thread_makes_spans_loses_none(collector, tmp_path, monkeypatch):
    began, go_on, encoded = threading.Event(), threading.Event(), _otlp.encoded

    def slow(*args):
        began.set()
        assert go_on.wait(5)
        return encoded(*args)

    monkeypatch.setattr(_otlp, "encoded", slow)
    monkeypatch.setattr(otel, "TICK", 0.001)
    async with Running(tmp_path, endpoint=collector.url) as running:
        for i in range(20):
            await running.kind.record(trace(request=Request(id=f"tr_{i:032x}", messages=())))
        assert await asyncio.to_thread(began.wait, 5)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert [int(span["traceId"], 16) for span in collector.spans()] == list(range(20))


async def test_a_requests_traceparent_is_its_spans_parent(collector, tmp_path):
    given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    root, *_ = await walked(collector, tmp_path, {"a": testing.Says()}, testing.ask("Hi", id=ID, traceparent=given))
    assert (root["traceId"], root["parentSpanId"]) == (given[3:35], given[36:52])


@pytest.mark.parametrize(
    "header",
    [
        "", "00", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\n",
    ],
)  # fmt: skip
def test_a_traceparent_that_is_wrong_begins_a_new_trace(header):
    assert _otlp.parent(header) is None


@given(st.text(max_size=60), st.integers(0, 40))
def test_ids_are_well_formed_and_differ_whatever_the_request_is_called(id, n):
    steps = tuple(Step(stage="guard", by="g", ms=0.1) for _ in range(n))
    found = _otlp.spans(trace(request=Request(id=id, messages=()), steps=steps))
    assert len({span["spanId"] for span in found}) == n + 1
    for span in found:
        assert _otlp.PARENT.fullmatch(f"00-{span['traceId']}-{span['spanId']}-01")
        assert span["spanId"].strip("0")


@pytest.mark.parametrize("tail", ["f" * 16, "0" * 16, "f" * 15 + "e"])
def test_span_ids_at_the_end_of_their_range_still_differ(tail):
    steps = tuple(Step(stage="guard", by="g", ms=0.1) for _ in range(5))
    found = _otlp.spans(trace(request=Request(id=f"tr_{'a' * 16}{tail}", messages=()), steps=steps))
    assert len({span["spanId"] for span in found}) == 6
    assert all(len(span["spanId"]) == 16 and span["spanId"].strip("0") for span in found)


@pytest.mark.parametrize(
    "endpoint", ["http://169.254.169.254/v1/traces", "https://2852039166/", "http://[fd00:ec2::254]/"]
)
def test_a_clouds_metadata_service_is_no_collector(tmp_path, endpoint):
    with pytest.raises(ConfigError, match="never dialled"):
        otel.build(options("record", "otel", {"endpoint": endpoint}), testing.tools(tmp_path))


async def test_a_collectors_name_that_leads_inside_is_not_dialled(collector, tmp_path, monkeypatch):
    port, real = int(collector.url.rpartition(":")[2].partition("/")[0]), socket.getaddrinfo

    def looked_up(host, *rest, flags=0, **more):
        named = host == "collector.example" and not flags & socket.AI_NUMERICHOST
        return real("127.0.0.1" if named else host, *rest, flags=flags, **more)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)
    endpoint = f"http://collector.example:{port}/v1/traces"
    async with Running(tmp_path, endpoint=endpoint) as barred:
        await barred.kind.record(trace())
    assert not collector.bodies
    assert any("no name of a remote server" in line and "[egress] networks" in line for line in barred.said)
    async with Running(tmp_path, networks=networks(["127.0.0.0/8"]), endpoint=endpoint) as allowed:
        await allowed.kind.record(trace())
    assert len(collector.bodies) == 1
