"""The gateway with every feature on beside its peers, in one run: rates, latency, streams, memory.

    python benchmarks/gateway.py --install            # the peers, into ~/.cache/trimtab-bench; --cache chooses another
    python benchmarks/gateway.py                      # about 13 minutes; prints a table, writes results/gateway.json
    python benchmarks/gateway.py --quick --only trimtab,nginx        # about a minute

The gateway under test has one core for itself; the upstream and the load share the other. One gateway runs at a time,
all of them in each round, so that an hour's noise falls on all; the table has medians over the rounds, and ratios are
taken within a round. "Per core" is by the gateway's own CPU time, which holds on a machine that is busy with other things
too. A peer that is not installed, or does not answer as the upstream does, is skipped and named. Linux only.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import load
import processes
import table
from peers import PEERS, PORT, SSE, UPSTREAM, USUAL, Peer

RESULT = Path(__file__).parent / "results" / "gateway.json"
CONNECTIONS = (1, 32, 128)
BULK, TOKENS, PACED = 32, 128, 8
"""Streams of the bulk run and the tokens of each; streams of the paced one."""
KEPT, MOST = 0.97, 512
"""The share of chunks on time that counts as kept on pace; the most streams that are tried."""
START = 120.0
"""Seconds for a gateway to answer for the first time: LiteLLM takes a quarter of a minute."""
DIRECT = Peer(about="the load on the upstream, nothing between", command=lambda _, __: [], version=lambda _: "-")


class UnfitError(Exception):
    """A gateway that cannot be measured, and why."""


@dataclass(frozen=True)
class Target:
    """A gateway that runs: its process, where it is asked, and the bytes of both requests."""

    driver: load.Driver
    pid: int
    peer: Peer
    whole_port: int
    stream_port: int
    whole: bytes
    stream: bytes

    def wrk(self, connections: int, seconds: float) -> dict[str, Any]:
        before = self._cpu()
        found = self.driver.wrk(self.whole, self.whole_port, self.peer.path, connections, seconds)
        return self._with_cpu(found, "request", found["requests"], before)

    def streams(self, connections: int, tokens: int, seconds: float, *, paced: bool = False, again: bool = True) -> Any:
        before = self._cpu()
        found = self.driver.streams(
            self.stream, self.stream_port, connections, tokens, seconds, paced=paced, again=again
        )
        return self._with_cpu(found, "chunk", found["chunks"], before)

    def _cpu(self) -> float:
        return processes.cpu(self.pid) if self.pid else 0.0

    def _with_cpu(self, found: dict[str, Any], what: str, count: int, before: float) -> dict[str, Any]:
        """`found` and what it cost the gateway: microseconds a piece, and the share of its core."""
        spent = self._cpu() - before
        time.sleep(0.3)  # what was cut at the end is cleared away before the next load comes
        return {
            **found, f"cpu_us_per_{what}": round(spent / max(count, 1) * 1e6, 2),
            "cpu_share": round(spent / found["seconds"], 3),
        }  # fmt: skip


@contextmanager
def target(name: str, driver: load.Driver, core: int, cache: Path, home: Path) -> Iterator[Target]:
    """One gateway from when it answers rightly, whole and as a stream. Raises `UnfitError`."""
    if name == "direct":
        bodies = [load.request(DIRECT.path, UPSTREAM, "mock", {}, stream=stream) for stream in (False, True)]
        yield Target(driver, 0, DIRECT, UPSTREAM, UPSTREAM, bodies[0], bodies[1])
        return
    peer, log = PEERS[name], home / f"{name}.log"
    for port in (PORT, SSE):
        processes.free(port)
    headers = peer.prepare(home)
    environ = {**peer.environ, "TRIMTAB_HOME": str(home / "trimtab")}
    driver.whole()
    with processes.running(peer.command(cache, home), core, environ, log) as pid:
        port, streams = _answering(peer, pid, headers, log)
        whole = load.request(peer.path, port, peer.model, headers, stream=False)
        stream = load.request(peer.path, streams, peer.model, headers, stream=True)
        yield Target(driver, pid, peer, port, streams, whole, stream)


def _answering(peer: Peer, pid: int, headers: dict[str, str], log: Path) -> tuple[int, int]:
    """The ports of a gateway once it answers. Raises `UnfitError` with its last words."""
    until = time.monotonic() + START
    why = "it does not answer"
    while time.monotonic() < until and processes.alive(pid):
        try:
            ports = peer.ports(log)
            _proved(_asked(peer, ports[0], headers, stream=False), _asked(peer, ports[1], headers, stream=True))
        except urllib.error.HTTPError as error:
            raise UnfitError(f"{error.code}: {error.read()[:200].decode('utf-8', 'replace')}") from error
        except OSError as error:
            why = str(error)
            time.sleep(0.2)
        else:
            return ports
    raise UnfitError(f"{why}; its log ends: {log.read_text('utf-8', 'replace')[-300:].strip()}")


def _asked(peer: Peer, port: int, headers: dict[str, str], *, stream: bool) -> bytes:
    raw = load.request(peer.path, port, peer.model, headers, stream=stream).partition(b"\r\n\r\n")[2]
    asked = urllib.request.Request(
        f"http://127.0.0.1:{port}{peer.path}", raw, {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(asked, timeout=10) as got:
        return got.read()


def _proved(whole: bytes, stream: bytes) -> None:
    """Raises `UnfitError` unless both are what the upstream said: its text, its usage, and an end."""
    said = json.loads(whole)
    if "word word" not in said["choices"][0]["message"]["content"] or said["usage"]["completion_tokens"] != 16:
        raise UnfitError(f"it changed the answer: {whole[:200]!r}")
    if b"[DONE]" not in stream or stream.count(b'"content"') < 16:
        raise UnfitError(f"it changed the stream: {stream[-200:]!r}")


def measured(target: Target, seconds: float, *, pace: bool) -> dict[str, Any]:
    """One round of one gateway."""
    target.wrk(CONNECTIONS[1], 1)  # warm
    found: dict[str, Any] = {f"whole_{n}": target.wrk(n, seconds) for n in CONNECTIONS}
    found["bulk"] = target.streams(BULK, TOKENS, seconds)
    found["first"] = target.streams(1, 8, max(1.0, seconds / 2))
    lasts = max(2.0, seconds)
    found["paced"] = target.streams(PACED, round(load.PACE * (lasts - load.RAMP)), lasts, paced=True, again=False)
    if target.pid:
        found["rss_mb"] = round(processes.rss(target.pid), 1)
        if pace:
            found["pace"] = kept(target, max(3.0, seconds))
    return found


def kept(target: Target, seconds: float) -> dict[str, Any]:
    """The most streams that one core keeps on pace: doubled until it fails, then halved into three times."""
    tried: dict[int, float] = {}

    def holds(streams: int) -> bool:
        run = target.streams(streams, round(load.PACE * seconds), seconds, paced=True, again=False)
        tried[streams] = round(run["on_time"] / max(run["due"], 1), 4) if not run["errors"] else 0.0
        time.sleep(0.5)
        return tried[streams] >= KEPT

    low, high = 0, 4
    while high <= MOST and holds(high):
        low, high = high, high * 2
    for _ in range(3):
        middle = (low + high) // 2
        if low < middle < high <= MOST:
            low, high = (middle, high) if holds(middle) else (low, middle)
    return {"streams": low, "at_most_tried": low >= MOST, "on_time": tried}


def rounds(asked: argparse.Namespace, names: list[str], home: Path, skipped: dict[str, str]) -> list[dict[str, Any]]:
    """All gateways, one after the other, round by round; one that fails once is left out from then on."""
    core, other = processes.cores()
    driver = load.Driver(home, other, UPSTREAM)
    load.compiled(home)
    found: list[dict[str, Any]] = []
    with driver.upstream():
        for number in range(asked.rounds):
            found.append({})
            for name in names:
                if name in skipped:
                    continue
                _progress(f"round {number + 1} of {asked.rounds}: {name}")
                try:
                    with target(name, driver, core, asked.cache, home) as up:
                        found[-1][name] = measured(up, asked.seconds, pace=number == asked.rounds - 1)
                except (UnfitError, RuntimeError) as error:
                    skipped[name] = str(error)
    return found


def _progress(line: str) -> None:
    print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def about(names: list[str], versions: dict[str, str], asked: argparse.Namespace) -> dict[str, Any]:
    """The machine, the tools and the setting of each gateway."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": {
            "cpu": cpu[0] if cpu else platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
            "python": platform.python_version(), "load_average_before": round(os.getloadavg()[0], 2),
        },
        "tools": f"{load.version()} for whole bodies; _peers/stream.c for streams; _peers/upstream.c is the upstream",
        "run": {"rounds": asked.rounds, "seconds": asked.seconds, "connections": CONNECTIONS, "bulk_streams": BULK,
                "bulk_tokens": TOKENS, "paced_streams": PACED, "tokens_a_second": load.PACE, "late_after_ms": 50},
        "peers": {
            name: {"version": versions[name], "configuration": (PEERS.get(name) or DIRECT).about} for name in names
        },
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install the peers, and do nothing else")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/trimtab-bench").expanduser())
    parser.add_argument("--only", default=",".join(USUAL), help=f"of {', '.join(PEERS)}; direct is always there")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of short loads, to see that it works")
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    asked.names = [name.strip() for name in asked.only.split(",")]
    if unknown := set(asked.names) - set(PEERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if asked.quick:
        asked.seconds, asked.rounds = min(asked.seconds, 1.0), 1
    return asked


def main() -> None:
    asked = arguments()
    if asked.install:
        install(asked)
        return
    if lacking := load.missing():
        raise SystemExit(f"Not installed: {', '.join(lacking)}. apt-get install gcc wrk util-linux")
    versions = {"direct": "-"} | {name: PEERS[name].version(asked.cache) for name in asked.names}
    skipped = {name: "not installed: --install does it" for name, version in versions.items() if not version}
    said = about(list(versions), versions, asked)
    with tempfile.TemporaryDirectory() as home:
        found = rounds(asked, list(versions), Path(home), skipped)
    rows = table.rows(found)
    table.show(rows, said, skipped)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps({**said, "skipped": skipped, "table": rows, "rounds": found}, indent=1) + "\n")


def install(asked: argparse.Namespace) -> None:
    """Each peer into its place; one that cannot be installed is named, and the others go on."""
    asked.cache.mkdir(parents=True, exist_ok=True)
    for name in asked.names:
        try:
            PEERS[name].install(asked.cache)
        except (OSError, subprocess.SubprocessError) as error:
            print(f"{name}: not installed ({error})")
        else:
            print(f"{name}: {PEERS[name].version(asked.cache) or 'not installed'}")


if __name__ == "__main__":
    main()
