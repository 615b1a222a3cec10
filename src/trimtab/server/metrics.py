"""GET /metrics, and what only the gateway's edge sees: requests that run, responses by status, time to first byte.

Behind the door like every route: where keys are asked for, a scraper sends an operator's as a bearer token.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import NotFoundError
from trimtab.flow import Desk
from trimtab.record.metrics import Metrics
from trimtab.server.limits import Message, Receive, Send
from trimtab.server.place import place
from trimtab.server.turn import behind

if TYPE_CHECKING:
    from prometheus_client.core import Metric

Asgi: TypeAlias = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

FIRST_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Upper bounds of the buckets in seconds until a stream's first token."""
LEFT = 499
"""The status of a request whose client left before there was one (nginx's)."""


async def show(request: Request) -> Response:
    """The page, as text or as OpenMetrics by `Accept`. Raises `NotFoundError` where nothing is counted."""
    if not (found := of_desk(place(request).desk)):
        raise NotFoundError(
            "This gateway keeps no metrics.", 'Add a recorder: [[record]] kind = "metrics".', code="no_metrics"
        )
    page, kind = found.expose(request.headers.get("accept", ""))
    return Response(page, headers={"content-type": kind, "cache-control": "no-store"})


ROUTE = ("/metrics", show, "GET", "operator")
"""The sums are over all callers: not a client's to see."""


def of_desk(desk: Desk) -> Metrics | None:
    """The desk's metrics, if the settings switched them on."""
    return next((recorder for recorder in desk.recorders if isinstance(recorder, Metrics)), None)


def watched(app: Asgi, desk: Desk, paths: Iterable[str], more: Iterable[Any] = ()) -> Asgi:
    """`app` with its edge counted into the desk's metrics; `app` itself where there are none.

    `paths` are the routes' templates: a path that is none of them is counted as `other`. What else counts, the other
    recorders and `more`, is shown beside it.
    """
    if not (found := of_desk(desk)):
        return app
    others = [one for one in desk.recorders if one is not found and hasattr(one, "collect")]
    return Watched(app, found, paths, (*others, *more))


class Watched:
    """An ASGI app around another one; `running` requests are in it. `others` have something to be counted too."""

    def __init__(self, app: Asgi, metrics: Metrics, paths: Iterable[str], others: Iterable[Any] = ()) -> None:
        from prometheus_client import Histogram

        self._app, self.running = app, 0
        self._plain, self._nested = routes(paths)
        self._responses: dict[tuple[str, int], int] = {}
        self._first = Histogram(
            "trimtab_stream_first_token_seconds", "From a request's head to the first token of its stream.",
            ("route",), buckets=FIRST_S, registry=metrics.registry,
        )  # fmt: skip
        metrics.registry.register(self)  # pyright: ignore[reportArgumentType] - a collector is what has `collect`
        for collector in others:
            metrics.registry.register(collector)

    def collect(self) -> "Iterator[Metric]":
        """The metric families; called by the registry."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        yield GaugeMetricFamily("trimtab_http_in_flight", "Requests that are being served.", value=self.running)
        about = "Responses by route and status; 499: the client left."
        responses = CounterMetricFamily("trimtab_http_responses", about, labels=("route", "status"))
        for (route, status), n in self._responses.items():
            responses.add_metric((route, str(status)), n)
        yield responses

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        sent = Sent(self, scope["path"], send)
        self.running += 1
        try:
            await self._app(scope, receive, sent)
        finally:
            self.running -= 1
            self._ended(self.route(scope["path"]), sent.status)

    def route(self, path: str) -> str:
        """The template of a path, `other` for one that has none: a client must not make label values."""
        if path in self._plain:
            return path
        fits = (found for prefix, suffix, found in self._nested if path.startswith(prefix) and path.endswith(suffix))
        return next(fits, "other")

    def began(self, route: str, seconds: float) -> None:
        """Nothing leaves a stream before its first token, so that its head is its first token."""
        self._first.labels(route).observe(seconds)

    def _ended(self, route: str, status: int) -> None:
        self._responses[route, status] = self._responses.get((route, status), 0) + 1


class Sent:
    """The `send` of one request: it notes the status, and when a stream begins."""

    __slots__ = ("_began", "_path", "_send", "_watched", "status", "turn")

    def __init__(self, watched: Watched, path: str, send: Send) -> None:
        self._watched, self._path, self._send, self.turn = watched, path, send, behind(send)
        self._began, self.status = time.perf_counter(), LEFT

    def __call__(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self.status == 200 and _streams(message):
                self._watched.began(self._watched.route(self._path), time.perf_counter() - self._began)
        return self._send(message)


def routes(paths: Iterable[str]) -> tuple[frozenset[str], tuple[tuple[str, str, str], ...]]:
    """Paths without a parameter, and (prefix, suffix, template) of those with one, the longest first."""
    paths = tuple(paths)
    nested = {(path.partition("{")[0], path.rpartition("}")[2], path) for path in paths if "{" in path}
    return frozenset(path for path in paths if "{" not in path), tuple(sorted(nested, reverse=True))


def _streams(message: Message) -> bool:
    for name, value in message["headers"]:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False
