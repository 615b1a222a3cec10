"""The gateway with every feature on beside its peers, in one run: rates, latency, streams, memory.

    python benchmarks/gateway.py --install            # the peers, into ~/.cache/trimtab-bench; --cache chooses another
    python benchmarks/gateway.py                      # about 11 minutes; prints a table, writes results/gateway.json
    python benchmarks/gateway.py --quick --only trimtab,nginx        # about a minute; writes nothing without --out

The gateway under test has one core for itself; the upstream and the load share the other. One gateway runs at a time,
all of them in each round, so that an hour's noise falls on all; the table has medians over the rounds, and ratios are
taken within a round. "Per core" is by the gateway's own CPU time, which holds on a busy machine too. A peer that is not
installed, or does not answer as the upstream does, is skipped and named. Linux only.
"""

import argparse
import datetime as dt
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import load
import processes
import table
from peers import PEERS, UPSTREAM, USUAL
from target import Target, UnfitError, direct, started

RESULT = Path(__file__).parent / "results" / "gateway.json"
CONNECTIONS = (1, 32, 128)
BULK, TOKENS, PACED = 32, 128, 8
"""Streams of the bulk run and the tokens of each; streams of the paced one."""
KEPT, MOST = 0.97, 512
"""The share of chunks on time that counts as kept on pace; the most streams that are tried."""


def measured(target: Target, seconds: float, *, pace: bool) -> dict[str, Any]:
    """One round of one gateway."""
    rate = target.wrk(CONNECTIONS[1], max(1.0, seconds / 2))["per_second"]  # warms it, too
    found: dict[str, Any] = {f"whole_{n}": target.wrk(n, seconds, rate) for n in CONNECTIONS}
    found["bulk"] = target.streams(BULK, TOKENS, seconds)
    found["first"] = target.streams(1, 8, max(1.0, seconds / 2))
    lasts = seconds + load.RAMP
    found["paced"] = target.streams(PACED, round(load.PACE * seconds), lasts, paced=True, again=False)
    found["rss_mb"] = target.rss()
    if pace and target.pid:
        found["pace"] = kept(target, lasts, found["paced"]["cpu_share"])
    return found


def kept(target: Target, seconds: float, share: float) -> dict[str, Any]:
    """The most streams that one core keeps on pace, to an eighth.

    From half of what the CPU time of the paced run lets expect it is doubled until it fails, or halved until it holds;
    what lies between is halved three times.
    """
    tried: dict[int, float] = {}

    def holds(streams: int) -> bool:
        run = target.streams(streams, round(load.PACE * seconds), seconds, paced=True, again=False)
        tried[streams] = 0.0 if run["errors"] else round(run["on_time"] / max(run["due"], 1), 4)
        return tried[streams] >= KEPT

    low, high = 0, min(max(1, round(PACED / max(share, 0.001) / 2)), MOST)
    if holds(high):
        low = high
        while low == high < MOST:
            high = min(2 * high, MOST)
            low = high if holds(high) else low
    else:
        while not low and high > 1:
            half = high // 2
            low, high = (half, high) if holds(half) else (0, half)
    for _ in range(3):
        middle = (low + high) // 2
        if low < middle < high:
            low, high = (middle, high) if holds(middle) else (low, middle)
    return {"streams": low, "on_time": tried}


def rounds(asked: argparse.Namespace, names: list[str], home: Path, skipped: dict[str, str]) -> list[dict[str, Any]]:
    """All gateways, one after the other, round by round; one that fails once is left out from then on."""
    core, other = processes.cores()
    load.compiled(home)
    driver = load.Driver(home, other, UPSTREAM)
    found: list[dict[str, Any]] = []
    with driver.upstream():
        for number in range(1, asked.rounds + 1):
            _progress(f"round {number} of {asked.rounds}: direct")
            found.append({"direct": measured(direct(driver), asked.seconds, pace=False)})
            for name in names:
                if name in skipped:
                    continue
                _progress(f"round {number} of {asked.rounds}: {name}")
                try:
                    with started(name, PEERS[name], driver, core, asked.cache, home) as target:
                        found[-1][name] = measured(target, asked.seconds, pace=number == asked.rounds)
                except (UnfitError, RuntimeError, ValueError, subprocess.SubprocessError) as error:
                    skipped[name] = f"in round {number}: {error}"
    return found


def _progress(line: str) -> None:
    print(f"{dt.datetime.now(dt.UTC):%H:%M:%S} {line}", file=sys.stderr, flush=True)


def about(versions: dict[str, str], asked: argparse.Namespace) -> dict[str, Any]:
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
        "peers": {name: {"version": said, "configuration": PEERS[name].about} for name, said in versions.items()},
    }  # fmt: skip


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", action="store_true", help="install the peers, and do nothing else")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/trimtab-bench").expanduser())
    parser.add_argument("--only", default=",".join(USUAL), help=f"of {', '.join(PEERS)}; direct is always there")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="one round of short loads, to see that it works")
    parser.add_argument("--out", type=Path, help=f"{RESULT.name}, where all were measured at length")
    asked = parser.parse_args()
    asked.names = [name.strip() for name in asked.only.split(",")]
    if unknown := set(asked.names) - set(PEERS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(PEERS)}")
    if asked.quick:
        asked.seconds, asked.rounds = min(asked.seconds, 1.0), 1
    if asked.seconds < 1 or asked.rounds < 1:
        parser.error("--seconds and --rounds are 1 or more")
    return asked


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what was started is ended then, too
    asked = arguments()
    if asked.install:
        install(asked)
    elif lacking := load.missing():
        print(f"Skipped, {RESULT.name} left as it was: no {', '.join(lacking)} (apt-get install gcc wrk util-linux).")
    else:
        compare(asked)


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


def compare(asked: argparse.Namespace) -> None:
    """Run, print, and keep what was found where it was the whole of it."""
    versions = {name: PEERS[name].version(asked.cache) for name in asked.names}
    skipped = {name: "not installed: --install does it" for name, version in versions.items() if not version}
    said = about(versions, asked)
    with tempfile.TemporaryDirectory() as home:
        found = rounds(asked, asked.names, Path(home), skipped)
    rows = table.rows(found)
    table.show(rows, said, skipped, table.failures(found))
    whole = not asked.quick and not skipped and set(USUAL) <= set(asked.names)
    if out := asked.out or (RESULT if whole else None):
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({**said, "skipped": skipped, "table": rows, "rounds": found}, indent=1) + "\n")
    else:
        print(f"\n{RESULT.name} left as it was: not all of it was measured (give --out to keep this).")


if __name__ == "__main__":
    main()
