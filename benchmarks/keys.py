"""What a key and its four limits cost a request: the figures of docs/how-to/keys-and-budgets.md.

`limits_us` is their own work, with the path emptied; `difference_us` is how much longer the whole path takes with them,
which has the processor's colder caches in it too. `transactions` counts the database's for all requests.

python benchmarks/keys.py        (about 5 s; writes benchmarks/results/keys.json)
"""

import asyncio
import gc
import json
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from trimtab import flow
from trimtab.flow import Desk
from trimtab.server import admission, keyring, keys
from trimtab.server.admission import VISIT, Admission, Visit
from trimtab.server.door import door
from trimtab.server.keys import Draft
from trimtab.settings import Limit, parse
from trimtab.store.engine import Store
from trimtab.types import Answer, Decision, ModelSpec, Price, Request, Usage

ROUNDS, N = 20, 1000
OUT = Path(__file__).parent / "results" / "keys.json"
LIMITS = (
    Limit(requests=10**9, tokens=10**12, per="minute"), Limit(usd=Decimal(10**6), per="month"), Limit(concurrency=64),
)  # fmt: skip


class Rung:
    async def answer(self, request: Any, evidence: Any, sink: Any) -> Answer:
        return Answer(text="hi", model="m", usage=Usage(prompt=10, completion=1))


class Nothing:
    """Every gateway has a recorder: without one the path alone would look quicker than it is."""

    async def record(self, trace: Any) -> None: ...


class Route:
    async def route(self, request: Any, models: Any) -> Decision:
        return Decision(ladder=("m",))


async def timed(work: Any) -> float:
    """Microseconds of one call: the least of the rounds' means, since the machine has other work too."""
    means = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(N):
            await work()
        means.append((time.perf_counter() - began) / N * 1e6)
    return min(means)


async def main(home: Path) -> dict[str, float]:
    store = Store.open(home / "trimtab.db")
    _, token = await keys.create(store, home, Draft(name="bench", limits=LIMITS))
    settings = parse({}, folder=home, home=home, name="x", secrets={})
    ring = keyring.Keyring(settings, door(settings), lambda: store)
    headers = {b"authorization": b"Bearer " + token.encode()}
    caller = await ring.caller(headers)
    writes, transact = 0, store.transact

    async def counted(fn: Any) -> Any:
        nonlocal writes
        writes += 1
        return await transact(fn)

    store.transact = counted  # type: ignore[method-assign]
    spec = ModelSpec(name="m", price=Price(input=Decimal(1), output=Decimal(4)), abilities=frozenset({"chat"}))
    desk = Desk(guards=(), router=Route(), retriever=None, models={"m": Rung()}, specs={"m": spec}, verifiers=(),
                approver=None, recorders=(Nothing(),))  # fmt: skip
    said = "What is the fee for a transfer abroad, and how long does it take until it is there? " * 3
    request = Request(id="tr", messages=({"role": "user", "content": said},), params={"max_tokens": 100})
    gate = Admission(lambda: store)

    async def limited() -> None:
        token = VISIT.set(Visit(gate, caller, None))  # type: ignore[arg-type]
        await admission.run(desk, request)
        VISIT.reset(token)

    await limited()
    gc.collect()
    gc.freeze()  # as `serve` does
    found = {
        "key_checked_us": await timed(lambda: ring.caller(headers)),
        "path_alone_us": await timed(lambda: flow.run(desk, request)),
        "path_with_limits_us": await timed(limited),
    }
    found["difference_us"] = found["path_with_limits_us"] - found["path_alone_us"]
    trace = (await flow.run(desk, request))[1]

    async def recorded_only(desk: Desk, request: Request, emit: Any = None) -> Any:  # noqa: ARG001 - as `flow.run`
        for recorder in desk.recorders:
            await recorder.record(trace)

    found["path_emptied_us"] = await timed(lambda: recorded_only(desk, request))
    whole, flow.run = flow.run, recorded_only
    found["limits_us"] = await timed(limited) - found["path_emptied_us"]
    flow.run = whole
    await gate.close()
    await store.close()
    return found | {"requests": ROUNDS * N, "transactions": writes}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(main(Path(folder)))
    for name, value in result.items():
        print(f"{name:<22}{value:10.1f}")
    OUT.write_text(json.dumps(result, indent=1) + "\n")
