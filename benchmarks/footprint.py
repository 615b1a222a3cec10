"""The foundation's footprint: install size, `--version`, start to first answer, resident memory of the gateway.

    python benchmarks/footprint.py [--install]

Prints a table and writes benchmarks/results/footprint.json. `--install` also measures the core install in a fresh
environment (needs the package index, about a minute). Times are the median of several runs on a machine that may be
busy: read them beside the time of an empty Python process, which is printed first.
"""

import argparse
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
TRIMTAB = Path(sys.executable).parent / "trimtab"
OUT = ROOT / "benchmarks" / "results" / "footprint.json"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--install", action="store_true")
    args = flags.parse_args()
    figures: dict[str, float] = {
        "empty_python_ms": median_ms([sys.executable, "-c", "pass"]),
        "version_ms": median_ms([str(TRIMTAB), "--version"]),
        **gateway(),
    }
    if args.install:
        figures["install_mb"] = install()
    about = {"machine": f"{platform.machine()}, {os.cpu_count()} cores", "python": platform.python_version()}
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps({**about, **{key: round(value, 1) for key, value in figures.items()}}, indent=2) + "\n")
    for key, value in figures.items():
        print(f"{key:24} {value:10.1f}")


def median_ms(command: list[str], runs: int = 9) -> float:
    times: list[float] = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append((time.perf_counter() - began) * 1e3)
    return statistics.median(times)


def gateway(runs: int = 3) -> dict[str, float]:
    """Start to first answer in a home that has been used before, and resident memory after answers from every rung."""
    with tempfile.TemporaryDirectory() as home:
        first, rest, rss = [], [], 0.0
        for _ in range(runs + 1):
            ms, rss = once({**os.environ, "TRIMTAB_HOME": home, "TRIMTAB_LARGE": "", "OPENAI_API_KEY": ""})
            (rest if first else first).append(ms)
    return {"start_first_home_ms": first[0], "start_to_answer_ms": statistics.median(rest), "resident_mb": rss}


def once(env: dict[str, str]) -> tuple[float, float]:
    port = free_port()
    began = time.perf_counter()
    server = subprocess.Popen([str(TRIMTAB), "serve", "--port", str(port)], env=env, stdout=-3, stderr=-3)
    try:
        ask(port, "My card still hasn't arrived, it's been two weeks. What's going on?", until=began + 60)
        ms = (time.perf_counter() - began) * 1e3
        for text in ("What is 15% of 240?", "When are the branches open?", "How do I top up?", "Who won the cup?") * 5:
            ask(port, text)
        return ms, resident_mb(server.pid)
    finally:
        server.terminate()
        server.wait(20)


def ask(port: int, text: str, until: float = 0.0) -> None:
    body = json.dumps({"model": "auto", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", body)
    while True:
        try:
            urllib.request.urlopen(request, timeout=30).read()
            return
        except urllib.error.HTTPError:
            return  # waiting for a person is an answer of its own
        except OSError:
            if time.perf_counter() > until:
                raise
            time.sleep(0.01)


def resident_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return float("nan")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def install() -> float:
    """MB that the core brings into a fresh environment, compiled files included."""
    with tempfile.TemporaryDirectory() as folder:
        env = Path(folder) / "env"
        venv.create(env, with_pip=True)
        bare = size(env)
        pip = [str(env / "bin" / "python"), "-m", "pip", "install", "-qq"]
        subprocess.run([*pip, "--require-hashes", "-r", str(ROOT / "requirements" / "core.lock")], check=True)
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
        subprocess.run(build, check=True, capture_output=True)
        subprocess.run([*pip, "--no-deps", str(next(Path(folder).glob("*.whl")))], check=True)
        return (size(env) - bare) / 1e6


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
