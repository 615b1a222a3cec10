"""What 200,000 mixed requests leave behind in a gateway's memory: nothing that grows.

    python benchmarks/soak.py [--requests 200000] [--connections 48] [--seed 0] [--out benchmarks/results/soak.json]

A real gateway with virtual keys, limits, guards, metrics and ledger, without an encoder, before the mock. Whole
replies and streams in all four dialects; faults of the upstream; clients that leave before and after the first byte;
bodies that are broken, too large or wrong; unknown keys and routes; limits that are reached; idempotency keys, new
and used again. At each checkpoint all clients pause, so that what is measured is what stays. Growth is the median of
the last quarter of the checkpoints over that of the first quarter since the warm-up, a tenth of the requests: single
ones differ by 2 MB from one to the next. A small run shows its own warm-up. At the end every answer and error of the
path must be in the ledger. Linux only.
"""

import argparse
import asyncio
import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import traffic

HERE = Path(__file__).parent
CHECKS = 20
"""Checkpoints in a run; the second is the end of the warm-up."""
BAR = 2.0
"""MB."""
FAULTS = ("reset", "stall", "stall_stream", "cut", "garbage", "rate_limit", "error", "error_body", "empty", "bad_json")
FRAIL = 8
"""Models that fail."""
HOT = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/completions")
KINDS = {
    "whole": 40.0, "stream": 24.0, "fault": 14.0, "leaves": 3.0, "leaves_late": 3.0, "once": 4.0, "again": 2.0,
    "broken": 2.0, "wrong": 2.0, "large": 0.5, "stranger": 1.0, "lost": 1.0, "poor": 3.0, "list": 0.5,
}  # fmt: skip
"""Of 100 requests: see `Traffic`."""
CODE = re.compile(rb'"code":"([a-z_]+)"')
SOON = "connect = 0.5\nfirst_byte = 0.5\nbetween = 0.5"
"""Seconds for an upstream that stalls."""


class Traffic:
    """Requests of every kind, and what must be in the ledger of them."""

    def __init__(self, house: traffic.House, seed: int) -> None:
        """Makes the keys that it comes with."""
        self._port = house.port
        self._keys = [house.key(f"k{i}", limits=("requests=100000000/hour", "usd=1000000/month")) for i in range(4)]
        self._spent, self._admin = house.key("poor", limits=("requests=10/minute",)), house.key("admin", role="admin")
        self._random = random.Random(seed)
        self._number = 0
        self._used: list[tuple[str, bytes]] = []
        self.statuses: Counter[str] = Counter()
        self.recorded: set[str] = set()
        self.left = 0
        self.unequal = 0

    async def run(self, count: int, connections: int) -> None:
        """So many more requests, and then silence."""
        todo = iter(range(count))
        await asyncio.gather(*(self._client(todo) for _ in range(connections)))

    async def _client(self, todo: Any) -> None:
        client = traffic.Client(self._port)
        for _ in todo:
            (kind,) = self._random.choices(list(KINDS), KINDS.values())
            self._number += 1
            try:
                await getattr(self, f"_{kind}")(client)
            except OSError as error:
                self.statuses[f"{kind} {type(error).__name__}"] += 1
        client.close()

    async def _asked(self, client: traffic.Client, kind: str, raw: bytes, path: str = "", **how: Any) -> Any:
        reply = await client.ask(raw, **how)
        code = CODE.search(reply.body[:1000]) if reply.status >= 400 else None
        self.statuses[f"{kind} {reply.status} {code[1].decode() if code else ''}".rstrip()] += 1
        replayed = "idempotent-replayed" in reply.headers
        if path in HOT and (reply.status in (200, 404) or reply.status >= 500) and not replayed:
            self.recorded.add(reply.trace)  # a model that nobody has is refused by the path
        if reply.status == 500:
            print(kind, path, reply.body.decode(), file=sys.stderr)
        self.left += reply.status == 0
        return reply

    async def _whole(self, client: traffic.Client, kind: str = "whole", stream: bool = False, **more: Any) -> None:
        path = self._random.choices(HOT, (70, 12, 12, 6))[0]
        await self._asked(client, kind, self._post(path, self._body(path, stream=stream, **more)), path)

    async def _stream(self, client: traffic.Client) -> None:
        await self._whole(client, "stream", stream=True)

    async def _fault(self, client: traffic.Client) -> None:
        """One in three, so that breakers, which are for worse, let most of them come: each on its own model."""
        fault = self._random.choice(FAULTS) if self._random.random() < 1 / 3 else ""
        model, stream = f"frail{self._random.randrange(FRAIL)}", self._random.random() < 0.5
        await self._whole(client, "fault", stream=stream, model=model, mock={"fault": fault})

    async def _leaves(self, client: traffic.Client) -> None:
        """Before the first byte."""
        path = self._random.choice(HOT)
        raw = self._post(path, self._body(path, stream=self._random.random() < 0.5, mock={"latency": 0.5}))
        await self._asked(client, "leaves", raw, path, leave=self._random.uniform(0.001, 0.05))

    async def _leaves_late(self, client: traffic.Client) -> None:
        """After the first byte."""
        path = self._random.choice(HOT)
        raw = self._post(path, self._body(path, stream=True, mock={"rate": 50.0}))
        await self._asked(client, "leaves_late", raw, path, first=True)

    async def _once(self, client: traffic.Client) -> None:
        path, key = HOT[0], f"key-{self._number}"
        raw = self._post(path, self._body(path, stream=self._random.random() < 0.5), idempotency_key=key)
        reply = await self._asked(client, "once", raw, path)
        if reply.clean:
            self._used = [*self._used[-99:], (reply.body, raw)]

    async def _again(self, client: traffic.Client) -> None:
        if not self._used:
            return
        body, raw = self._random.choice(self._used)
        reply = await self._asked(client, "again", raw, HOT[0])
        self.unequal += reply.body != body

    async def _broken(self, client: traffic.Client) -> None:
        raw = self._random.choice([b"", b"{", b'{"a": 1, "a": 2}', b"[" * 200, b'{"a": NaN}', b'{"a": "\xff"}', b"[]"])
        await self._asked(client, "broken", self._post(self._random.choice(HOT), raw))

    async def _wrong(self, client: traffic.Client) -> None:
        wrong = self._random.choice(
            [{"messages": 1, "input": 1, "prompt": 1}, {"model": f"m{self._number}"}, {"n": "1"}]
        )
        path = HOT[0]
        await self._asked(client, "wrong", self._post(path, {**self._body(path), **wrong}), path)

    async def _large(self, client: traffic.Client) -> None:
        """Announced, or sent whole."""
        body = b'{"x": "' + b"x" * (5_000_000 if self._random.random() < 0.5 else 3_000_000)
        await self._asked(client, "large", self._post(HOT[0], body))

    async def _stranger(self, client: traffic.Client) -> None:
        raw = traffic.post(HOT[0], self._body(HOT[0]), authorization=f"Bearer tt_{self._number}.nobody")
        await self._asked(client, "stranger", raw)

    async def _lost(self, client: traffic.Client) -> None:
        await self._asked(client, "lost", self._post(f"/v1/nowhere/{self._number}", {}))

    async def _poor(self, client: traffic.Client) -> None:
        """A key whose limit is reached."""
        raw = traffic.post(HOT[0], self._body(HOT[0]), authorization=f"Bearer {self._spent}")
        await self._asked(client, "poor", raw, HOT[0])

    async def _list(self, client: traffic.Client) -> None:
        raw = f"GET /metrics HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self._admin}\r\n\r\n"
        await self._asked(client, "list", raw.encode())

    def _post(self, path: str, body: Any, **headers: str) -> bytes:
        return traffic.post(path, body, authorization=f"Bearer {self._random.choice(self._keys)}", **headers)

    def _body(self, path: str, **more: Any) -> dict[str, Any]:
        said = f"{self._number} " + "A customer writes that the reader in the shop refuses every card. " * 3
        if self._random.random() < 0.1:
            said += f" Write to {self._number}@example.org or call +44 20 7946 {self._number % 10000:04}."
        turns = {"messages": [{"role": "user", "content": said}]}
        asked: dict[str, Any] = {HOT[1]: {"input": said}, HOT[3]: {"prompt": said}}.get(path, turns)
        return {"model": "large", "max_tokens": 64, **asked, **more}


def housed(folder: Path, port: int) -> traffic.House:
    """A gateway before the mock at `port`: one model that is well, and some that fail."""
    url = f"http://127.0.0.1:{port}/v1"
    models = traffic.MODEL.format(name="large", url=url, options="")
    models += "".join(traffic.MODEL.format(name=f"frail{i}", url=url, options=SOON) for i in range(FRAIL))
    return traffic.House(folder, models, more='auth = "key"')


NOTHING: dict[str, float] = {"requests": 0, "rss_mb": 0.0, "uss_mb": 0.0}
"""A sample of no process."""


def memory(pid: int) -> dict[str, float]:
    """MB resident and MB of its own, open files and threads."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes = {name: int(value.split()[0]) / 1000 for name, _, value in (line.partition(":") for line in lines)}
    own = sizes["Private_Clean"] + sizes["Private_Dirty"]
    tasks = len(os.listdir(f"/proc/{pid}/task"))  # noqa: PTH208 - /proc
    files = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208
    return {"rss_mb": round(sizes["Rss"], 2), "uss_mb": round(own, 2), "files": files, "threads": tasks}


async def soak(house: traffic.House, load: Traffic, requests: int, connections: int) -> list[dict[str, float]]:
    assert house.process
    samples = list[dict[str, float]]()
    for check in range(CHECKS):
        began = time.monotonic()
        await load.run(requests // CHECKS, connections)
        rate = requests / CHECKS / (time.monotonic() - began)
        house.check()
        await asyncio.sleep(2.0)  # what was cut comes to its end, and the ledger's writer with it
        samples.append({"requests": (check + 1) * (requests // CHECKS), **memory(house.process.pid)})
        print(*(f"{name} {value:,}" for name, value in samples[-1].items()), f"({rate:,.0f}/s)", sep=", ", flush=True)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--connections", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "soak.json")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, traffic.mock(Path(home)) as port:
        house = housed(Path(home), port)
        load = Traffic(house, asked.seed)
        house.start()
        try:
            samples = asyncio.run(soak(house, load, asked.requests, asked.connections))
        finally:
            house.stop()
        found = judged(samples, load, house)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n")
    for name in ("statuses", "growth_mb", "last_over_warm_mb", "growth_own_mb", "bytes_per_request", "ledger"):
        print(f"{name}: {json.dumps(found[name])}")
    sys.exit(found["growth_mb"] >= BAR or bool(found["ledger"]["missing"]) or bool(found["replays_unequal"]))


def growth(samples: list[dict[str, float]]) -> dict[str, float]:
    """MB resident and MB of its own, and the latter in bytes a request."""
    first, last = samples[1 : 1 + CHECKS // 4], samples[-CHECKS // 4 :]
    rss, uss, requests = (
        median(sample[name] for sample in last) - median(sample[name] for sample in first)
        for name in ("rss_mb", "uss_mb", "requests")
    )
    return {
        "growth_mb": round(rss, 2), "growth_own_mb": round(uss, 2),
        "bytes_per_request": round(uss * 1e6 / max(1, requests), 2),
    }  # fmt: skip


def judged(samples: list[dict[str, float]], load: Traffic, house: traffic.House) -> dict[str, Any]:
    """The growth since the warm-up, and what the ledger lacks or has too much of."""
    rows = {row[0] for row in house.rows("SELECT id FROM traces")}
    return {
        **growth(samples), "last_over_warm_mb": round(samples[-1]["rss_mb"] - samples[1]["rss_mb"], 2),
        "ledger": {
            "rows": len(rows), "answers_and_errors": len(load.recorded), "left": load.left,
            "missing": len(load.recorded - rows),
            "of_nobody": max(0, len(rows - load.recorded) - load.left),
        },
        "replays_unequal": load.unequal, "statuses": dict(sorted(load.statuses.items())), "samples": samples,
    }  # fmt: skip


if __name__ == "__main__":
    main()
