"""A load generator in a process of its own: raw sockets, keep-alive, one request in flight on each connection.

    python benchmarks/load.py URL --seconds 5 --connections 32

prints JSON: requests, seconds, per_second, errors, and latencies in milliseconds (p50, p95, p99, max).
"""

import argparse
import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

TEXT = "A customer writes that the card reader in the shop at the corner refuses every card since this morning. " * 2
BODY = {"model": "auto", "messages": [{"role": "user", "content": TEXT[:200]}], "max_tokens": 16}


class Client(asyncio.Protocol):
    """One connection that sends the same request again as soon as it has the whole response."""

    def __init__(self, request: bytes, seen: list[float], errors: list[bytes], until: float) -> None:
        self._request, self._seen, self._errors, self._until = request, seen, errors, until
        self.done = asyncio.get_running_loop().create_future()
        self._held, self._began = b"", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        self._held = held = self._held + data if self._held else data
        head = held.find(b"\r\n\r\n")
        if head < 0 or not _complete(held, head):
            return
        now = time.perf_counter()
        self._seen.append(now - self._began)
        if held[9:12] != b"200":
            self._errors.append(held[:2000])
        self._held = b""
        if now < self._until:
            self._next()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if error:
            self._errors.append(repr(error).encode())
        self.done.set_result(None)

    def _next(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)


def _complete(held: bytes, head: int) -> bool:
    """Whether the body of a response is there; a chunked one ends with an empty chunk."""
    at = held.find(b"content-length: ", 0, head)
    if at < 0:
        return held.endswith(b"0\r\n\r\n")
    return len(held) >= head + 4 + int(held[at + 16 : held.find(b"\r", at)])


def request(url: str, body: dict[str, object]) -> bytes:
    """The bytes of one POST."""
    parts, raw = urlsplit(url), json.dumps(body).encode()
    head = f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(raw)}\r\n\r\n".encode() + raw


async def load(url: str, body: dict[str, object], seconds: float, connections: int) -> dict[str, object]:
    """Send requests for `seconds` on so many connections."""
    parts, loop = urlsplit(url), asyncio.get_running_loop()
    seen: list[float] = []
    errors: list[bytes] = []
    raw, began = request(url, body), time.perf_counter()
    clients = [
        (await loop.create_connection(lambda: Client(raw, seen, errors, began + seconds), parts.hostname, parts.port))[
            1
        ]
        for _ in range(connections)
    ]
    await asyncio.gather(*(client.done for client in clients))
    return _summary(seen, errors, time.perf_counter() - began)


def _summary(seen: list[float], errors: list[bytes], seconds: float) -> dict[str, object]:
    ordered = sorted(seen)

    def at(share: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1e3, 2) if ordered else 0.0

    return {
        "requests": len(seen), "seconds": round(seconds, 2), "per_second": round(len(seen) / seconds),
        "errors": len(errors), "first_error": errors[0].decode("latin-1") if errors else "",
        "ms": {"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--stream", action="store_true")
    asked = parser.parse_args()
    import uvloop

    body = {**BODY, "stream": True} if asked.stream else BODY
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(load(asked.url, body, asked.seconds, asked.connections)), sys.stdout)


if __name__ == "__main__":
    main()
