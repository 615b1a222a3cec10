"""A gateway under benchmarks/gateway.py: started on its core, proved to answer rightly, loaded and watched."""

import json
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
from peers import PORT, SSE, UPSTREAM, Peer

START = 120.0
"""Seconds for a gateway to answer for the first time: LiteLLM takes a quarter of a minute."""
SETTLES = 15.0
"""Seconds at most for what a load left behind: a request that was cut may run on."""
LONGEST, TIMES = 12.0, 12
"""A slow gateway is driven longer, up to so many seconds, so that each connection has had about so many replies: else
those under way at the end, which cost CPU and do not count, would weigh."""


class UnfitError(Exception):
    """A gateway that cannot be measured, and why."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A gateway that runs: its process (0: none is between), where it is asked, and the bytes of both requests."""

    driver: load.Driver
    pid: int
    path: str
    whole_port: int
    stream_port: int
    whole: bytes
    stream: bytes

    def wrk(self, connections: int, seconds: float, rate: float = 0.0) -> dict[str, Any]:
        """Whole bodies; `rate` is what it was found to do, requests a second."""
        seconds = min(max(seconds, TIMES * connections / rate), LONGEST) if rate else seconds
        before = self._cpu()
        found = self.driver.wrk(self.whole, self.whole_port, self.path, connections, seconds)
        return self._with_cpu(found, "request", found["requests"], before)

    def streams(
        self, connections: int, tokens: int, seconds: float, *, paced: bool = False, again: bool = True
    ) -> dict[str, Any]:
        """Streams: see `load.Driver`."""
        before = self._cpu()
        found = self.driver.streams(
            self.stream, self.stream_port, connections, tokens, seconds, paced=paced, again=again
        )
        return self._with_cpu(found, "chunk", found["chunks"], before)

    def rss(self) -> float | None:
        """Resident MB of the worker."""
        return round(processes.rss(self.pid), 1) if self.pid else None

    def _cpu(self) -> float:
        return processes.cpu(self.pid) if self.pid else 0.0

    def _with_cpu(self, found: dict[str, Any], what: str, count: int, before: float) -> dict[str, Any]:
        """`found` and what it cost the gateway: microseconds a piece, and the share of its core."""
        if not self.pid:
            return found
        spent = self._cpu() - before
        if not processes.alive(self.pid):
            raise UnfitError("it ended under load")
        self._settle()
        return {
            **found, f"cpu_us_per_{what}": round(spent / count * 1e6, 2) if count else None,
            "cpu_share": round(spent / found["seconds"], 3),
        }  # fmt: skip

    def _settle(self) -> None:
        """Wait until the gateway has done with what was cut at the end, so that the next load meets it idle."""
        until = time.monotonic() + SETTLES
        while time.monotonic() < until:
            before = self._cpu()
            time.sleep(0.25)
            if self._cpu() - before <= 0.02:
                return


def direct(driver: load.Driver) -> Target:
    """The upstream itself, with nothing between."""
    bodies = [load.request("/v1/chat/completions", UPSTREAM, "mock", {}, stream=stream) for stream in (False, True)]
    return Target(
        driver=driver, pid=0, path="/v1/chat/completions", whole_port=UPSTREAM, stream_port=UPSTREAM,
        whole=bodies[0], stream=bodies[1],
    )  # fmt: skip


@contextmanager
def started(name: str, peer: Peer, driver: load.Driver, core: int, cache: Path, home: Path) -> Iterator[Target]:
    """One gateway from when it answers rightly, whole and as a stream, until it is ended. Raises `UnfitError`."""
    log = home / f"{name}.log"
    for port in (PORT, SSE):
        processes.free(port)
    headers = peer.prepare(home)
    environ = {**peer.environ, "TRIMTAB_HOME": str(home / "trimtab")}
    driver.whole()
    with processes.running(peer.command(cache, home), core, environ, log) as pid:
        ports = _answering(peer, pid, headers, log)
        whole = load.request(peer.path, ports[0], peer.model, headers, stream=False)
        stream = load.request(peer.path, ports[1], peer.model, headers, stream=True)
        yield Target(
            driver=driver, pid=pid, path=peer.path, whole_port=ports[0], stream_port=ports[1], whole=whole,
            stream=stream,
        )  # fmt: skip


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
    try:
        said = json.loads(whole)
        same = "word word" in said["choices"][0]["message"]["content"] and said["usage"]["completion_tokens"] == 16
    except (ValueError, KeyError, IndexError, TypeError):
        same = False
    if not same:
        raise UnfitError(f"it changed the answer: {whole[:200]!r}")
    if b"[DONE]" not in stream or stream.count(b'"content"') < 16:
        raise UnfitError(f"it changed the stream: {stream[-200:]!r}")
