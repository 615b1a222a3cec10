"""What the ledger and the cache cost: microseconds to queue a trace, CPU of the writer, durable writes, look-ups.

    python benchmarks/ledger.py [--rows 30000] [--out FILE]

Prints a table on stderr and JSON on stdout. "CPU" is process CPU less the loop's own, over all rows: the two threads
share one interpreter lock, so that it is what the ledger takes from a gateway on one core.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from trimtab.answer import cache
from trimtab.ports import Tools
from trimtab.record import ledger
from trimtab.store.engine import Store
from trimtab.testing import Hears
from trimtab.types import Answer, Decision, Evidence, Request, Signal, Step, Trace, Usage, Wishes


def trace(i: int, *, durable: bool = False) -> Trace:
    """A trace as the gateway leaves it: three guards, a route of nine signals, a pass, an answer, a check."""
    request = Request(
        id=f"tr_{i:016x}", messages=({"role": "user", "content": "What is the daily limit of my debit card?"},),
        params={"max_tokens": 200}, principal="bench", wishes=Wishes(durable=durable),
    )  # fmt: skip
    signals = tuple(Signal(name=f"signal_{n}", value=n, us=1.5) for n in range(9))
    steps = (
        *(Step(stage="guard", by=name, ms=0.02) for name in ("patterns", "secrets", "pii")),
        Step(stage="route", by="", ms=0.05, why="cache > small > large", code="default"),
        Step(stage="answer", by="cache", ms=0.01, ok=False, code="not_cached", why="Not in the cache."),
        Step(stage="answer", by="small", ms=8.0, score=0.93, cost=12_000, usage=Usage(prompt=40, completion=60)),
        Step(stage="verify", by="confidence", ms=0.01, score=0.93),
    )
    return Trace(
        request=request, at=time.time(), ms=9.1, outcome="answer", steps=steps, answered_by="small", confidence=0.93,
        decision=Decision(ladder=("cache", "small", "large"), reasons=("default",), signals=signals),
        usage=Usage(prompt=40, completion=60), cost=12_000, baseline=140_000,
        result=Answer(text="It is 500 euros a day.", model="small"),
    )  # fmt: skip


def tools(store: Store, home: Path) -> Tools:
    return Tools(
        name="ledger", recipe=home, home=home, encoder=lambda: None, store=lambda: store, personal=lambda _: (),
        secret=lambda _: None, starting=lambda _: None, closing=lambda _: None, say=print,
    )  # fmt: skip


async def queued(store: Store, kept: Any, rows: int, rate: float) -> dict[str, float]:
    """Write `rows` traces, `rate` a second (0: as fast as they are taken)."""
    traces = [trace(i) for i in range(rows)]
    loop_cpu, cpu, began = time.thread_time(), time.process_time(), time.perf_counter()
    slowest = 0.0
    for i, one in enumerate(traces):
        asked = time.perf_counter()
        await kept.record(one)
        slowest = max(slowest, time.perf_counter() - asked)
        if rate and i % 10 == 9:
            await asyncio.sleep(max(0.0, began + i / rate - time.perf_counter()))
    loop = time.thread_time() - loop_cpu
    taken = time.perf_counter() - began
    await store.flush()
    used = time.process_time() - cpu
    return {
        "rows": rows,
        "asked_rate": rate,
        "rows_per_second": round(rows / taken),
        "loop_us_per_row": round(loop / rows * 1e6, 1),
        "writer_us_per_row": round((used - loop) / rows * 1e6, 1),
        "slowest_ms": round(slowest * 1e3, 2),
    }


async def alone(kept: Any, rows: int) -> dict[str, float]:
    """The loop's share with nothing else running: making the row, and putting it into a queue."""
    traces = [trace(i) for i in range(rows)]
    began = time.thread_time()
    for one in traces:
        kept.row(one)
    return {"row_us": round((time.thread_time() - began) / rows * 1e6, 1)}


async def durable(kept: Any, rows: int, at_once: int) -> dict[str, float]:
    """Durable writes by `at_once` writers, each waiting for its commit."""
    ids = iter(range(10_000_000 * at_once, 10_000_000 * at_once + rows))
    waits: list[float] = []

    async def one() -> None:
        for i in ids:
            asked = time.perf_counter()
            await kept.record(trace(i, durable=True))
            waits.append(time.perf_counter() - asked)

    began = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(at_once)))
    waits.sort()
    return {
        "writers": at_once,
        "rows_per_second": round(rows / (time.perf_counter() - began)),
        "p50_ms": round(waits[len(waits) // 2] * 1e3, 2),
        "p99_ms": round(waits[int(len(waits) * 0.99)] * 1e3, 2),
    }


async def cached(store: Store, home: Path, rows: int) -> dict[str, float]:
    """The loop's share of a look-up in the cache, not found and found in memory, with 20,000 keys known."""
    starting: list[Any] = []
    parts = msgspec.structs.replace(tools(store, home), name="cache", starting=starting.append)
    rung = cache.build(cache.Options(), parts)
    for start in starting:
        await start()
    sink = Hears(live=False)

    async def asked(one: Trace) -> float:
        began = time.thread_time()
        for _ in range(rows):
            await rung.answer(one.request, Evidence(), sink)
        return round((time.thread_time() - began) / rows * 1e6, 1)

    for i in range(20_000):
        request = msgspec.structs.replace(trace(i).request, principal=f"other {i}")
        await rung.record(msgspec.structs.replace(trace(i), request=request))
    miss = await asked(trace(0))
    await rung.record(trace(0))
    return {"miss_us": miss, "hit_us": await asked(trace(0))}


async def measure(rows: int) -> dict[str, Any]:
    report: dict[str, Any] = {"benchmark": "ledger", "schema_version": 1, "python": sys.version.split()[0]}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)

        async def fresh(name: str, run: Any) -> Any:
            store = Store.open(home / f"{name}.db")
            try:
                return await run(store, ledger.build(ledger.Options(), tools(store, home)))
            finally:
                await store.close()

        report["row"] = await fresh("row", lambda _, kept: alone(kept, min(rows, 10_000)))
        report["paced"] = await fresh("paced", lambda store, kept: queued(store, kept, min(rows, 9000), 3000))
        report["flat_out"] = await fresh("flat", lambda store, kept: queued(store, kept, rows, 0))
        for many in (1, 64):
            report[f"durable_{many}"] = await fresh(f"d{many}", lambda _, kept, n=many: durable(kept, 200 * n, n))
        report["cache"] = await fresh("cache", lambda store, _: cached(store, home, min(rows, 10_000)))
        began = time.perf_counter()
        await Store.open(home / "flat.db").close()
        report["open_ms"] = round((time.perf_counter() - began) * 1e3, 1)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    report = asyncio.run(measure(given.rows))
    for name, figures in report.items():
        print(f"{name:16} {figures if not isinstance(figures, dict) else ''}", file=sys.stderr)
        for key, value in figures.items() if isinstance(figures, dict) else ():
            print(f"    {key:22} {value:>12}", file=sys.stderr)
    text = json.dumps(report, indent=1)
    if given.out:
        given.out.write_text(text + "\n", "utf-8")
    print(text)


if __name__ == "__main__":
    main()
