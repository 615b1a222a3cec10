"""OpenTelemetry: each request as a span with a child for each step, in batches over OTLP/HTTP (JSON).

Recording appends to a list, and that is all that the event loop does for a request. Four times a second a thread turns
what is there into JSON; batches leave from a thread too. A collector that is down costs nothing but the spans: beyond
`QUEUE` traces they are dropped and counted, and no request waits. Prompts, answers and reasons are never exported.
"""

import asyncio
import http.client
import random
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple
from urllib.parse import SplitResult, urlsplit

import msgspec

from trimtab import __version__
from trimtab.egress import Denied, Egress, on_this_machine, origin
from trimtab.errors import ConfigError
from trimtab.ports import Recorder, Tools
from trimtab.record import _otlp
from trimtab.types import Json, Trace

if TYPE_CHECKING:
    from prometheus_client.core import Metric

QUEUE = 2048
"""Traces that wait: unsent ones beyond are dropped."""
BATCH = 512
"""Traces in one export; both as the OpenTelemetry SDKs have them."""
SLICE, YIELD = 4, 5e-5
"""Traces that the thread encodes before it lets go of the interpreter, and for how many seconds: the event loop waits
no longer than these take, where it else would wait for the interpreter's switch interval of 5 ms."""
TICK = 0.25
"""Seconds that a trace, and the prompt in it, is held before it is encoded."""
CLOSING = 5.0
"""Seconds for the last exports at shutdown."""
AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which the same batch is sent again:
https://opentelemetry.io/docs/specs/otlp/#otlphttp-response"""
LONGEST_WAIT = 60.0

Positive = Annotated[float, msgspec.Meta(gt=0)]


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`endpoint`: the collector's URL for traces; `key_env` names the variable with the value of `key_header`.

    `sample`: the share of requests that is exported; `interval` seconds between exports, `timeout` seconds of one.
    """

    endpoint: str = "http://127.0.0.1:4318/v1/traces"
    service: str = "trimtab"
    key_env: str = ""
    key_header: str = "authorization"
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 1.0
    interval: Positive = 5.0
    timeout: Positive = 10.0


def build(options: Options, tools: Tools) -> Recorder:
    """Raises `ConfigError` for an endpoint that is no URL or may not be dialled, and for a key that is not set."""
    url = _url(options.endpoint)
    gate = Egress(where="local" if on_this_machine(url.hostname or "") else "remote", networks=tools.networks)
    otel = Otel(options, _Collector(url, _headers(options, tools), options.timeout, gate), tools)
    tools.starting(otel.start)
    tools.closing(otel.close)
    return otel


class Reply(NamedTuple):
    """What a collector said: 0 where it could not be reached; seconds to wait if it named them."""

    status: int
    wait: float | None
    rejected: int
    why: str


class Otel:
    """A `Recorder`; `lost` counts traces that were dropped, `sent` those that a collector took.

    The edge registers `collect` with the system's metrics, where there are some.
    """

    def __init__(self, options: Options, collector: "_Collector", tools: Tools) -> None:
        self._options, self._collector, self._say = options, collector, tools.say
        self._resource: Json = {"service.name": options.service, "service.version": __version__}
        self._fresh: deque[Trace] = deque()
        self._ready: deque[bytes] = deque()
        self._tries, self._due = 0, 0.0
        self._ticking: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None
        self._encoding: asyncio.Task[None] | None = None
        self.lost = self.sent = 0

    @property
    def waiting(self) -> int:
        """Traces that are not encoded yet."""
        return len(self._fresh)

    async def start(self) -> None:
        self._due = time.monotonic() + self._options.interval
        self._ticking = asyncio.create_task(self._tick(), name="otel")

    async def record(self, trace: Trace) -> None:
        """Queue the trace, or drop it; nothing is awaited."""
        if len(self._fresh) + len(self._ready) >= QUEUE:
            self.lost += 1
            return
        self._fresh.append(trace)

    async def close(self) -> None:
        """Send what is left, once, and for `CLOSING` seconds at most."""
        if self._ticking:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
        if self._encoding:
            await self._encoding
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING):
                await self._rest()
        self.lost += len(self._fresh) + len(self._ready)
        self._fresh, self._ready = deque(), deque()
        if self.lost:
            self._say(f"{self.lost} traces were not exported to {origin(self._options.endpoint)}.")

    def collect(self) -> "Iterator[Metric]":
        """What became of the traces, for Prometheus."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        waiting = self.waiting + len(self._ready)
        yield GaugeMetricFamily("trimtab_otel_waiting_traces", "Traces that wait to be exported.", value=waiting)
        yield CounterMetricFamily("trimtab_otel_sent_traces", "Traces that a collector took.", value=self.sent)
        about = "Traces that were dropped: the queue was full, or the collector refused them."
        yield CounterMetricFamily("trimtab_otel_lost_traces", about, value=self.lost)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            if self._fresh:
                self._encoding = asyncio.create_task(asyncio.to_thread(self._encode), name="otel-encode")
                await asyncio.shield(self._encoding)
            sending = self._sending is not None and not self._sending.done()
            full = len(self._ready) >= BATCH and not self._tries
            if self._ready and not sending and (full or time.monotonic() >= self._due):
                self._sending = asyncio.create_task(self._drain(), name="otel-send")

    async def _rest(self) -> None:
        """All that waits, until an export fails."""
        if self._sending:
            await self._sending
        await asyncio.to_thread(self._encode)
        self._tries = 0
        while self._ready and not self._tries:
            await self._send()

    def _encode(self) -> None:
        """Traces to JSON, in the order they came; the prompts in them are let go of. For a thread, one at a time."""
        done = 0
        while self._fresh:
            trace = self._fresh.popleft()
            above = _otlp.parent(trace.request.traceparent)
            if self._wanted(trace, above):
                self._ready.append(_otlp.encoded(trace, above))
            if not (done := (done + 1) % SLICE):
                time.sleep(YIELD)

    def _wanted(self, trace: Trace, above: _otlp.Parent | None) -> bool:
        """As the client's own trace was sampled; else by the last 56 bits of the id, so that others decide alike:
        https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/"""
        if above:
            return above.sampled
        share = self._options.sample
        return share >= 1 or int(_otlp.trace_id(trace.request.id)[-14:], 16) >= (1 - share) * (1 << 56)

    async def _drain(self) -> None:
        """What is due, and whole batches behind it as long as they are taken."""
        await self._send()
        while not self._tries and len(self._ready) >= BATCH:
            await self._send()

    async def _send(self) -> None:
        """One export of the oldest; what was taken or refused leaves the queue, all else is tried again later."""
        batch = [self._ready[i] for i in range(min(BATCH, len(self._ready)))]
        said = await asyncio.to_thread(lambda: self._collector.post(_otlp.payload(batch, self._resource)))
        again = said.status == 0 or said.status in AGAIN
        self._told(said)
        if again:
            self._tries += 1
            self._due = time.monotonic() + (said.wait if said.wait is not None else _backoff(self._tries))
            return
        for _ in batch:
            self._ready.popleft()
        self._tries, self._due = 0, time.monotonic() + self._options.interval
        if 200 <= said.status < 300:
            self.sent += len(batch)
        else:
            self.lost += len(batch)

    def _told(self, said: Reply) -> None:
        """Say that exports fail, once until one succeeds again."""
        fine = 200 <= said.status < 300
        if not fine and not self._tries:
            self._say(f"Traces are not exported: {origin(self._options.endpoint)} {said.why}.")
        elif fine and said.rejected:
            self._say(f"{origin(self._options.endpoint)} rejected {said.rejected} spans.")


class _Collector:
    """POSTs to one URL, each on a connection of its own: a few in a minute. Blocks; for a thread."""

    def __init__(self, url: SplitResult, headers: dict[str, str], timeout: float, egress: Egress) -> None:
        self._url, self._headers, self._timeout, self._egress = url, headers, timeout, egress
        try:
            egress.check(url.hostname or "")
        except Denied as error:
            raise ConfigError(f"record 'otel': endpoint {url.geturl()!r}: {error}", error.fix) from error
        self._tls = ssl.create_default_context() if url.scheme == "https" else None

    def post(self, body: bytes) -> Reply:
        """What the collector says of a payload; no redirect is followed."""
        connection = self._connection()
        try:
            connection.sock = self._dialled(connection)
            path = (self._url.path or "/v1/traces") + (f"?{self._url.query}" if self._url.query else "")
            connection.request("POST", path, body, self._headers)
            found = connection.getresponse()
            return _reply(found, found.read(1 << 16))
        except Denied as error:
            return Reply(0, None, 0, f"may not be dialled ({error} {error.fix})")
        except (OSError, http.client.HTTPException) as error:
            return Reply(0, None, 0, f"cannot be reached ({type(error).__name__})")
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._tls:
            return http.client.HTTPSConnection(host, self._url.port, context=self._tls)
        return http.client.HTTPConnection(host, self._url.port)

    def _dialled(self, connection: http.client.HTTPConnection) -> socket.socket:
        """A socket to an address that was checked. Raises `OSError`, `Denied`."""
        plain = self._egress.connected(connection.host, connection.port, self._timeout)
        if not self._tls:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=connection.host)
        except BaseException:
            plain.close()
            raise


def _reply(found: http.client.HTTPResponse, body: bytes) -> Reply:
    wait = found.getheader("retry-after", "")
    seconds = min(float(wait), LONGEST_WAIT) if wait.isascii() and wait.isdigit() else None
    return Reply(found.status, seconds, _rejected(body), f"answers HTTP {found.status}")


def _rejected(body: bytes) -> int:
    """Spans that a collector did not take though it said 200; JSON has 64-bit numbers as strings."""
    try:
        return int(msgspec.json.decode(body)["partialSuccess"]["rejectedSpans"])
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
        return 0


def _backoff(tries: int) -> float:
    """Seconds until the next try: doubling, at most a minute, with jitter so that replicas do not come together."""
    return min(LONGEST_WAIT, 2.0 ** min(tries, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret


def _url(endpoint: str) -> SplitResult:
    try:
        url = urlsplit(endpoint)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0 and not url.username
    except ValueError:
        fine, url = False, urlsplit("")
    if not fine:
        raise ConfigError(
            f"record 'otel': endpoint {endpoint!r} is no URL of a collector.", "Write http://host:4318/v1/traces."
        )
    return url


def _headers(options: Options, tools: Tools) -> dict[str, str]:
    headers = {"content-type": "application/json", "user-agent": f"trimtab/{__version__}"}
    if not options.key_env:
        return headers
    key = tools.secret(options.key_env)
    if not key or not key.isprintable() or not key.isascii():
        raise ConfigError(f"record 'otel': {options.key_env} holds no key.", "Set the variable, or leave key_env out.")
    return {**headers, options.key_header: key}
