"""The ledger against the upstream's own count: under faults, clients that leave, and kill -9 of the gateway.

    python benchmarks/exact.py [--requests 1500] [--kills 12] [--seed 0] [--out benchmarks/results/exact.json]

Every request says who it is, to the gateway (in its text, which this ledger keeps) and to the upstream (as its `user`).
- faults: the sixteen of `evaluate/faults.py`, whole and streamed. Each reply's trace is in the ledger with the reply's
  own end, and where the upstream told a client how many tokens it took, the trace says the same number.
- leaving: clients go at random moments. Each request that the upstream heard has one trace; its tokens are the
  upstream's, or are marked as an estimate because the upstream's count had no reader.
- kill -9 at random moments, and a start on the same folder. Of requests with `durable: true` each acknowledged one is
  there. Of others those of the last group commit may be lost: how many, and how long before the kill they were told.
The exit status is 1 where one of these does not hold.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import traffic
from trimtab.evaluate import faults

HERE = Path(__file__).parent
WINDOW = 0.5
"""Seconds before a kill within which a reply's trace may still have been on its way: 20 ms of gathering, a sync, and
what a machine that does other things too adds to them."""
PATH = "/v1/chat/completions"


class Asked(NamedTuple):
    """A request by the name that it gives itself, what its client got of it, and when (monotonic seconds)."""

    name: str
    fault: str
    durable: bool
    reply: traffic.Reply
    at: float


class Trace(NamedTuple):
    """A row of the ledger: the upstream's tokens of all its calls, and whether any of them is an estimate."""

    id: str
    outcome: str
    code: str
    tokens: tuple[int, int]
    estimated: bool


def body(name: str, model: str, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{name} says hello to all of you"}]
    return {"model": model, "user": name, "messages": messages, **more}


async def ask(port: int, name: str, raw: bytes, fault: str = "", durable: bool = False, **how: Any) -> Asked:
    client = traffic.Client(port)
    try:
        reply = await client.ask(raw, **how)
    except OSError:
        reply = traffic.Reply(0, {}, b"", False)
    client.close()
    return Asked(name, fault, durable, reply, time.monotonic())


async def under_faults(folder: Path, seed: int) -> dict[str, Any]:
    """Every fault, whole and streamed, three times each."""
    chance = random.Random(seed)
    async with faults.peers() as peers:
        models = [
            traffic.MODEL.format(name=slug(fault.name), url=peers[fault.name].url, options=toml(fault.options))
            for fault in faults.FAULTS
        ]
        house = traffic.House(folder, "".join(models), text="full")
        await asyncio.to_thread(house.start)
        todo = [(fault, stream, i) for fault in faults.FAULTS for stream in (False, True) for i in range(2)]
        chance.shuffle(todo)
        try:
            found = await asyncio.gather(*(
                ask(house.port, name, traffic.post(PATH, body(name, slug(fault.name), stream=stream)), fault.name)
                for fault, stream, i in todo
                for name in [f"{slug(fault.name)}-{stream:d}-{i}"]
            ))  # fmt: skip
        finally:
            await asyncio.to_thread(house.stop)
        bills = dict[str, Any]()
        for peer in peers.values():
            bills |= await asyncio.to_thread(billed, peer.url.removesuffix("/v1")) if peer.mocked else {}
    return judged(found, bills, house)


async def leaving(folder: Path, port: int, requests: int, seed: int) -> dict[str, Any]:
    """Clients that go at a random moment of their reply, or stay."""
    chance = random.Random(seed)
    house = traffic.House(folder, model(port), text="full")
    await asyncio.to_thread(house.start)
    found = list[Asked]()

    async def one(i: int) -> Asked:
        script = {"latency": chance.choice([0.0, 0.02]), "rate": chance.choice([0.0, 200.0])}
        raw = traffic.post(PATH, body(f"leaves-{i}", "large", stream=chance.random() < 0.6, mock=script))
        leave = chance.uniform(0.001, 0.08) if chance.random() < 0.7 else None
        return await ask(house.port, f"leaves-{i}", raw, leave=leave)

    try:
        for first in range(0, requests, 16):
            found += await asyncio.gather(*(one(i) for i in range(first, min(first + 16, requests))))
        await asyncio.sleep(1.0)
    finally:
        await asyncio.to_thread(house.stop)
    bills = await asyncio.to_thread(billed, f"http://127.0.0.1:{port}")
    return judged(found, {name: bill for name, bill in bills.items() if name.startswith("leaves-")}, house)


async def killed(folder: Path, port: int, kills: int, seed: int) -> dict[str, Any]:
    """Eight clients without a pause, half of what they ask durable, and a kill every now and then."""
    chance, house = random.Random(seed), traffic.House(folder, model(port), text="full")
    found, ages, number = list[Asked](), dict[str, float](), iter(range(10**9))

    async def client() -> list[Asked]:
        mine = list[Asked]()
        while not mine or mine[-1].reply.whole:
            name, durable = f"killed-{next(number)}", chance.random() < 0.5
            raw = body(name, "large", stream=chance.random() < 0.3, trimtab={"durable": durable})
            mine.append(await ask(house.port, name, traffic.post(PATH, raw), durable=durable))
            warm.set()
        return mine

    for _ in range(kills):
        await asyncio.to_thread(house.start)
        warm = asyncio.Event()
        clients = [asyncio.create_task(client()) for _ in range(8)]
        await warm.wait()
        await asyncio.sleep(chance.uniform(0.05, 1.5))
        at = time.monotonic()
        house.kill()
        told = [one for each in await asyncio.gather(*clients) for one in each]
        ages |= {one.name: at - one.at for one in told if one.reply.clean}
        found += told
    await asyncio.to_thread(house.start)  # what is there must still be read, and written to
    await asyncio.to_thread(house.stop)
    rows, twice = traces(house)
    bills = await asyncio.to_thread(billed, f"http://127.0.0.1:{port}")
    clean = [one for one in found if one.reply.clean]
    lost = [one for one in clean if one.name not in rows]
    oldest = max((ages[one.name] for one in lost), default=0.0)
    there = [one for one in clean if one.name in rows]
    unread = [one for one in found if not one.reply.clean and one.name in bills and one.name not in rows]
    return {
        "kills": kills, "acknowledged": len(clean), "durable": sum(one.durable for one in clean),
        "durable_lost": sum(one.durable for one in lost), "others_lost": len(lost) - sum(one.durable for one in lost),
        "others_lost_a_kill": round(len(lost) / kills, 2), "oldest_lost_ms": round(oldest * 1e3, 1),
        "cut_by_the_kill_heard_upstream_no_trace": len(unread), "traces_twice": twice,
        "tokens_differ": sum(rows[one.name].tokens != total(bills[one.name]) for one in there),
        "database": house.rows("PRAGMA integrity_check")[0][0],
        "holds": len(clean) > 10 * kills and not any(one.durable for one in lost) and oldest < WINDOW and not twice
        and len(unread) <= 8 * kills and all(rows[one.name].tokens == total(bills[one.name]) for one in there),
    }  # fmt: skip


def judged(found: list[Asked], bills: dict[str, Any], house: traffic.House) -> dict[str, Any]:
    """What holds of requests through a gateway that was ended in order."""
    rows, twice = traces(house)
    said = Counter[str]()
    wrong = list[str]()
    for one in found:
        row, bill = rows.get(one.name), bills.get(one.name)
        if row is None:
            if one.reply.trace or bill:
                wrong.append(f"{one.name}: no trace")
            continue
        if one.reply.trace not in ("", row.id):
            wrong.append(f"{one.name}: its reply named another trace")
        if one.reply.status >= 400 and row.code != (code := told_code(one.reply)):
            wrong.append(f"{one.name}: told {code}, recorded {row.code}")
        if not bill or not bill["told"]:
            said["not_counted_upstream"] += 1
        elif row.tokens == total(bill) and not row.estimated:
            said["same_tokens"] += 1
        elif row.estimated and not one.reply.clean:
            said["estimated"] += 1
        else:
            wrong.append(f"{one.name}: upstream {total(bill)}, recorded {row.tokens} (estimated: {row.estimated})")
        said[row.outcome] += 1
    unheard = [name for name in bills if name not in rows]
    return {
        "requests": len(found), "traces": len(rows), **said, "heard_upstream": len(bills), "traces_twice": twice,
        "heard_without_a_trace": len(unheard), "wrong": wrong[:20], "holds": not (wrong or unheard or twice),
    }  # fmt: skip


def traces(house: traffic.House) -> tuple[dict[str, Trace], int]:
    """The traces by the name of their request, and how many are of a request that has one already."""
    found, twice = dict[str, Trace](), 0
    for trace, outcome, code, question, steps in house.rows("SELECT id, outcome, code, question, steps FROM traces"):
        usages = [step["usage"] for step in json.loads(steps) if step["stage"] == "answer" and step.get("usage")]
        prompt, completion = (sum(usage.get(name, 0) for usage in usages) for name in ("prompt", "completion"))
        estimated = any(usage.get("estimated") for usage in usages)
        name = question.split()[0]
        twice += name in found
        found[name] = Trace(trace, outcome, code, (prompt, completion), estimated)
    return found, twice


def total(bill: dict[str, Any]) -> tuple[int, int]:
    return sum(told[0] for told in bill["told"]), sum(told[1] for told in bill["told"])


def told_code(reply: traffic.Reply) -> str:
    return json.loads(reply.body)["error"]["code"]


def billed(url: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/mock/bills", timeout=30) as response:
        return json.loads(response.read())


def model(port: int) -> str:
    return traffic.MODEL.format(name="large", url=f"http://127.0.0.1:{port}/v1", options="")


def slug(name: str) -> str:
    return name.lower().replace(" ", "-")


def toml(options: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {value}" for name, value in options.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "exact.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, traffic.mock(Path(home)) as port:
        folders = [Path(home) / name for name in ("faults", "leaving", "killed")]
        for folder in folders:
            folder.mkdir()
        found = {
            "faults": asyncio.run(under_faults(folders[0], asked.seed)),
            "leaving": asyncio.run(leaving(folders[1], port, asked.requests, asked.seed)),
            "kill -9": asyncio.run(killed(folders[2], port, asked.kills, asked.seed)),
        }
    for name, row in found.items():
        print(f"{name}: {'holds' if row['holds'] else 'DOES NOT HOLD'}: {json.dumps(row)}")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(not all(row["holds"] for row in found.values()))


if __name__ == "__main__":
    main()
