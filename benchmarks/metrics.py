"""What watching costs: microseconds of one request for metrics, spans and log lines, and milliseconds of one scrape.

    python benchmarks/metrics.py [--rows 20000] [--out FILE]

Prints a table on stderr and JSON on stdout. A request here leaves seven steps (benchmarks/ledger.py has the same). Each
figure is the best of five rounds, CPU of one thread; `bound_children` does what `metrics` does with counters and
histograms of prometheus_client, bound beforehand, for comparison. `otel_queue` is what a request pays before its reply,
`otel_loop` all that the event loop's thread pays for it, `otel_encode` what a thread beside it pays.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram

from ledger import trace
from trimtab import testing
from trimtab.record import _otlp, log, metrics, otel
from trimtab.server import metrics as edge
from trimtab.server.totals import Totals
from trimtab.types import Request, Trace

ROUNDS = 5


async def each(record: Callable[[Trace], Awaitable[None]], traces: list[Trace]) -> float:
    """Microseconds for one trace."""
    best = float("inf")
    for _ in range(ROUNDS):
        began = time.thread_time()
        for one in traces:
            await record(one)
        best = min(best, time.thread_time() - began)
    return round(best / len(traces) * 1e6, 2)


def bound(registry: CollectorRegistry) -> Callable[[Trace], Awaitable[None]]:
    """The same counts with prometheus_client's own counters and histograms."""
    requests = Counter("requests", "-", ("outcome", "by"), registry=registry)
    request_s = Histogram("request_seconds", "-", ("outcome",), registry=registry)
    steps = Counter("steps", "-", ("stage", "by", "ok"), registry=registry)
    step_s = Histogram("step_seconds", "-", ("stage", "by"), registry=registry)
    tokens = Counter("tokens", "-", ("model", "direction"), registry=registry)
    cost = Counter("cost_usd", "-", ("by",), registry=registry)
    known: dict[Any, Any] = {}

    def child(family: Any, *labels: str) -> Any:
        return known.get((family, labels)) or known.setdefault((family, labels), family.labels(*labels))

    async def record(one: Trace) -> None:
        for step in one.steps:
            child(steps, step.stage, step.by, str(step.ok)).inc()
            child(step_s, step.stage, step.by).observe(step.ms / 1000)
            if step.usage:
                child(tokens, step.by, "input").inc(step.usage.prompt)
                child(tokens, step.by, "output").inc(step.usage.completion)
            if step.cost:
                child(cost, step.by).inc(step.cost / 1e9)
        child(requests, one.outcome, one.answered_by).inc()
        child(request_s, one.outcome).observe(one.ms / 1000)

    return record


async def nothing(_: Trace) -> None:
    """The loop's own cost."""


async def spans(home: Path, traces: list[Trace]) -> dict[str, float]:
    """Queueing, in rounds that the queue can hold; and making the JSON."""
    tools = testing.tools(home, starting=lambda _: None, closing=lambda _: None, say=lambda _: None)
    part = [*traces[: otel.QUEUE // 2]]

    async def fresh() -> float:
        kept = otel.build(otel.Options(), tools)
        began = time.thread_time()
        for one in part:
            await kept.record(one)
        return time.thread_time() - began

    async def looped() -> float:
        kept = otel.build(otel.Options(interval=3600), tools)
        await kept.start()
        began = time.thread_time()
        for one in part:
            await kept.record(one)
        while kept.waiting:
            await asyncio.sleep(otel.TICK)
        taken = time.thread_time() - began
        await kept.close()
        return taken

    best, loop = min([await fresh() for _ in range(20)]), min([await looped() for _ in range(ROUNDS)])
    began = time.thread_time()
    sizes = [len(_otlp.encoded(one)) for one in part]
    taken = time.thread_time() - began
    return {
        "otel_queue_us": round(best / len(part) * 1e6, 2),
        "otel_loop_us": round(loop / len(part) * 1e6, 2),
        "otel_encode_us": round(taken / len(part) * 1e6, 1),
        "otel_bytes": round(sum(sizes) / len(sizes)),
    }


async def edges(kept: metrics.Metrics, rows: int) -> dict[str, float]:
    """What the wrapper around the app adds to a request, and to one chunk of a stream."""
    plain = [(b"content-type", b"application/json"), *[(b"x-%d" % i, b"y") for i in range(6)]]
    start = {"type": "http.response.start", "status": 200, "headers": plain}
    body = {"type": "http.response.body", "body": b""}

    async def send(_: Any) -> None: ...

    async def receive() -> dict[str, Any]:
        return {}

    def app(chunks: int) -> Any:
        async def called(_scope: Any, _receive: Any, send: Any) -> None:
            await send(start)
            for _ in range(chunks):
                await send(body)

        return called

    desk = testing.desk({"m": testing.Says()}, recorders=(kept,))

    async def took(serve: Any) -> float:
        scope = {"type": "http", "path": "/v1/chat/completions"}
        best = float("inf")
        for _ in range(ROUNDS):
            began = time.thread_time()
            for _ in range(rows):
                await serve(scope, receive, send)
            best = min(best, time.thread_time() - began)
        return best / rows * 1e6

    few, many = app(1), app(101)
    added = await took(edge.watched(few, desk, ["/v1/chat/completions"])) - await took(few)
    desk = msgspec.structs.replace(desk, recorders=(metrics.Metrics(metrics.Options(store=False), None),))
    chunks = await took(edge.watched(many, desk, ["/v1/chat/completions"])) - await took(many)
    return {"edge_request_us": round(added, 2), "edge_chunk_us": round((chunks - added) / 100, 3)}


async def measure(rows: int) -> dict[str, Any]:
    traces = [trace(i) for i in range(rows)]
    kept = metrics.Metrics(metrics.Options(store=False), None)
    idle = await each(nothing, traces)
    report: dict[str, Any] = {
        "benchmark": "metrics", "schema_version": 1, "python": sys.version.split()[0], "steps": len(traces[0].steps),
        "metrics_us": round(await each(kept.record, traces) - idle, 2),
        "bound_children_us": round(await each(bound(CollectorRegistry()), traces) - idle, 2),
        "log_us": round(await each(log.build(log.Options(), None).record, traces) - idle, 2),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as home:
        report |= await spans(Path(home), traces)
    report |= await edges(kept, min(rows, 3000))
    for i in range(10):
        by = f"model-{i}"
        steps = tuple(msgspec.structs.replace(step, by=by) for step in traces[0].steps if step.stage == "answer")
        decision = msgspec.structs.replace(traces[0].decision, ladder=(by,))
        kept.cells.add(Trace(request=Request(id="tr", messages=()), at=1.0, ms=9.0, outcome="answer", steps=steps,
                             answered_by=by, decision=decision))  # fmt: skip
    for name, accept in (("text", ""), ("openmetrics", "application/openmetrics-text; version=1.0.0")):
        began = time.thread_time()
        page, _ = kept.expose(accept)
        report[f"scrape_{name}_ms"] = round((time.thread_time() - began) * 1e3, 1)
    with tempfile.TemporaryDirectory() as home:
        totals = Totals(Path(home) / "0.counts")
        totals.enter(kept.registry)
        began = time.thread_time()
        totals.publish()
        report["publish_ms"] = round((time.thread_time() - began) * 1e3, 1)
    report |= {"scrape_models": 10, "scrape_samples": page.count(b"\n"), "scrape_bytes": len(page)}
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    report = asyncio.run(measure(given.rows))
    for name, value in report.items():
        print(f"{name:22} {value!s:>12}", file=sys.stderr)
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
