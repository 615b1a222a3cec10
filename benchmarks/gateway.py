"""How many requests a second the whole path takes on one core: guards, route, an upstream over HTTP, ledger.

    python benchmarks/gateway.py [--seconds 5] [--connections 32] [--out benchmarks/results/gateway.json]

The gateway runs pinned to one core; the mock upstream and the load generator share the other; `direct` is the load on
the mock without the gateway, the measure of the machine and the hour: compare ratios, not rates. Besides the rate it
prints the gateway's own CPU time for a request, which holds on a machine that is busy with other things too: a core
takes 1,000,000 divided by it. Linux only (taskset, /proc).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
GATEWAY, MOCK = 8092, 8091
RUNS = {"whole": [], "stream": ["--stream"]}
TICKS = os.sysconf("SC_CLK_TCK")

SERVE = "from pathlib import Path; from trimtab import settings; from trimtab.server.serving import run; "
SERVE += f"run(settings.load(Path({str(HERE / 'bench.toml')!r})))"
UPSTREAM = f"from trimtab.evaluate.mock import Options, serve; serve(Options(port={MOCK}))"


@contextmanager
def process(core: int, code: str, url: str, home: str) -> Iterator[int]:
    """A Python process pinned to a core, from when it answers at `url`; yields its id."""
    assert not answers(url), f"something else answers at {url} already"
    environ = {**os.environ, "TRIMTAB_HOME": home}
    with subprocess.Popen(["taskset", "-c", str(core), sys.executable, "-c", code], env=environ) as started:
        try:
            answering(url, started)
            yield started.pid
        finally:
            started.terminate()


def answering(url: str, started: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if answers(url):
            return
        assert started.poll() is None, "the process ended before it answered"
        time.sleep(0.1)
    raise TimeoutError(url)


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=1).close()
    except OSError:
        return False
    return True


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used, its threads' included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss(pid: int) -> float:
    """Resident megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def measured(pid: int, core: int, port: int, seconds: float, connections: int, more: list[str]) -> dict[str, Any]:
    """One run of the load generator, and what it cost the process `pid`."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    command = ["taskset", "-c", str(core), sys.executable, str(HERE / "load.py"), url, "--seconds", str(seconds)]
    before = cpu(pid)
    ran = subprocess.run([*command, "--connections", str(connections), *more], capture_output=True, check=True)
    found = json.loads(ran.stdout)
    spent = cpu(pid) - before
    per = spent / max(found["requests"], 1)
    return {**found, "cpu_us_per_request": round(per * 1e6, 1), "cpu_share": round(spent / found["seconds"], 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--out", type=Path, default=HERE / "results" / "gateway.json")
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    one, other = cores[0], cores[-1]
    found: dict[str, Any] = {
        "machine": {"cpu": platform.machine(), "cores": len(cores), "python": sys.version.split()[0]}
    }
    with ExitStack() as stack:
        home = stack.enter_context(tempfile.TemporaryDirectory())
        mock = stack.enter_context(process(other, UPSTREAM, f"http://127.0.0.1:{MOCK}/v1/models", home))
        pid = stack.enter_context(process(one, SERVE, f"http://127.0.0.1:{GATEWAY}/healthz", home))
        measured(pid, other, GATEWAY, 1.0, asked.connections, [])  # warm
        for name, more in RUNS.items():
            found[name] = measured(pid, other, GATEWAY, asked.seconds, asked.connections, more)
        for name, more in RUNS.items():
            found[f"direct_{name}"] = measured(mock, one, MOCK, 2.0, asked.connections, more)
        found["rss_mb"] = round(rss(pid), 1)
    show(found)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(found, indent=2) + "\n")


def show(found: dict[str, Any]) -> None:
    print("| run | requests/s | errors | p50 ms | p95 ms | p99 ms | CPU us/request | of one core |")
    print("|---|---|---|---|---|---|---|---|")
    for name in (*RUNS, *(f"direct_{name}" for name in RUNS)):
        row, ms = found[name], found[name]["ms"]
        print(
            f"| {name} | {row['per_second']:,} | {row['errors']} | {ms['p50']} | {ms['p95']} | {ms['p99']} "
            f"| {row['cpu_us_per_request']} | {row['cpu_share']:.0%} |"
        )
    alone = 1e6 / found["whole"]["cpu_us_per_request"]
    ratios = [f"{name} {found[f'direct_{name}']['per_second'] / found[name]['per_second']:.1f}" for name in RUNS]
    print(f"direct to through the gateway, rates: {', '.join(ratios)}")
    print(f"gateway: {found['rss_mb']} MB resident; {alone:,.0f} requests/s if a core is its own")


if __name__ == "__main__":
    main()
