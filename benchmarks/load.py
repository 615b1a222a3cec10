"""The upstream and the load of benchmarks/gateway.py: two C programs, compiled on the spot, and wrk.

Both share one core with each other, so both must cost next to nothing: a Python mock or load would be slower than nginx
is. Whole bodies are driven by wrk, streams by `_peers/stream.c`, both with the same bytes; every gateway asks the same
upstream, `_peers/upstream.c`, which is no `trimtab mock`: that one is Python.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import processes

SOURCES = Path(__file__).parent / "_peers"
TEXT = "A customer writes that the card reader in the shop at the corner refuses every card since this morning. " * 2
BODY = {"messages": [{"role": "user", "content": TEXT[:200]}], "max_tokens": 256}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
PACE, RAMP = 100, 1.0
"""Tokens a second of a paced stream; seconds within which paced streams begin."""


def missing() -> list[str]:
    """The tools that the load needs and that are not there."""
    return [tool for tool in ("gcc", "wrk", "taskset") if not shutil.which(tool)]


def version() -> str:
    """wrk's: its usage names it, and ends with a failure."""
    said = subprocess.run(["wrk", "-v"], capture_output=True, text=True, check=False)
    return " ".join((said.stdout + said.stderr).split()[:2])


def compiled(folder: Path) -> None:
    """Build the two programs into a folder."""
    for name in ("upstream", "stream"):
        subprocess.run(["gcc", "-O2", "-o", str(folder / name), str(SOURCES / f"{name}.c")], check=True)


def request(path: str, port: int, model: str, headers: Mapping[str, str], *, stream: bool) -> bytes:
    """The bytes of one POST."""
    raw = json.dumps({"model": model, **BODY, **(STREAMED if stream else {})}).encode()
    said = {"host": f"127.0.0.1:{port}", "content-type": "application/json", **headers, "content-length": len(raw)}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in said.items()), "", ""]
    return "\r\n".join(lines).encode() + raw


class Driver:
    """What drives one core: the upstream that runs there, and one load after the other."""

    def __init__(self, folder: Path, core: int, port: int) -> None:
        self._folder, self._core, self._port = folder, core, port

    @contextmanager
    def upstream(self) -> Iterator[None]:
        processes.free(self._port)
        log = self._folder / "upstream.log"
        with processes.running([str(self._folder / "upstream"), str(self._port)], self._core, {}, log):
            for _ in range(50):
                try:
                    self.seen()
                    break
                except OSError:
                    time.sleep(0.1)
            yield

    def seen(self) -> dict[str, int]:
        """Requests and chunks since the upstream started."""
        return self._get("/seen")

    def whole(self) -> None:
        """Set the upstream to answers of 16 tokens, as fast as they are taken."""
        self._get("/set?tokens=16&rate=0")

    def wrk(self, raw: bytes, port: int, path: str, connections: int, seconds: float) -> dict[str, Any]:
        """Whole bodies. Raises `RuntimeError` for replies that the upstream was not asked for."""
        self.whole()
        file, before = self._written(raw), self.seen()["requests"]
        how = [
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}",
            "--timeout",
            "60",
            "-s",
            str(SOURCES / "wrk.lua"),
        ]
        found = self._run(["wrk", *how, f"http://127.0.0.1:{port}{path}"], {"REQUEST": str(file)})
        if self.seen()["requests"] - before < found["requests"] - found["errors"]:
            raise RuntimeError("more was answered than was asked of the upstream")
        if not found["requests"]:
            found |= {"p50_us": None, "p99_us": None}
        return {**found, "per_second": round(found["requests"] / found["seconds"], 1)}

    def streams(
        self, raw: bytes, port: int, connections: int, tokens: int, seconds: float, *, paced: bool, again: bool
    ) -> dict[str, Any]:
        """Streams, as fast as they come or of `PACE` tokens a second."""
        rate, ramp = (PACE, RAMP) if paced else (0, 0)
        self._get(f"/set?tokens={tokens}&rate={rate}")
        numbers = (connections, tokens, rate, seconds, ramp, int(again))
        return self._run([str(self._folder / "stream"), str(port), str(self._written(raw)), *map(str, numbers)], {})

    def _run(self, command: list[str], environ: dict[str, str]) -> dict[str, Any]:
        ran = subprocess.run(
            processes.pinned(self._core, command), env={**os.environ, **environ}, capture_output=True, check=True,
            text=True, timeout=180,
        )  # fmt: skip
        return json.loads(ran.stdout.strip().rpartition("\n")[2])

    def _written(self, raw: bytes) -> Path:
        file = self._folder / "request"
        file.write_bytes(raw)
        return file

    def _get(self, path: str) -> dict[str, int]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as got:
            return json.load(got)
