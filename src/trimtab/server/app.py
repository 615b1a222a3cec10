"""The gateway: one ASGI app around a desk, and the server that runs it.

The hot routes are dispatched before Starlette; all others are Starlette's. Every request passes the door first.
"""

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.errors import ConfigError, MalformedError, NotFoundError, TrimtabError
from trimtab.flow import Desk
from trimtab.server import (
    admission,
    approvals,
    chat,
    completions,
    embeddings,
    faults,
    health,
    logs,
    messages,
    metrics,
    models,
    responses,
    traces,
)
from trimtab.server.admission import VISIT, Admission, Visit
from trimtab.server.callers import OPEN, Caller
from trimtab.server.door import Door, door
from trimtab.server.exchange import Endpoint
from trimtab.server.idempotency import HEADER, Replays
from trimtab.server.keyring import Keyring
from trimtab.server.limits import ClientLeft, Receive, Send
from trimtab.server.place import Place
from trimtab.settings import Server, Settings

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.store.engine import Store
    from trimtab.wiring import System

HOT: tuple[tuple[str, Callable[[Desk, Server], Any], str], ...] = (
    ("/v1/chat/completions", partial(Endpoint, opened=chat.opened), "client"),
    ("/v1/messages", messages.endpoint, "client"),
    ("/v1/responses", partial(Endpoint, opened=responses.opened), "client"),
    ("/v1/completions", partial(Endpoint, opened=completions.opened), "client"),
)
"""Routes that answer, all by POST: path, what makes the handler, and the role that a key needs."""
FAREWELL = 5.0
"""Seconds for requests that were cut at the end of the drain to say so and to be recorded."""
ROUTES = (
    ("/v1/embeddings", embeddings.create, "POST", "client"),
    ("/v1/messages/count_tokens", messages.count, "POST", "client"),
    ("/v1/responses/{id:path}", responses.stored, "GET", "client"),
    ("/v1/responses/{id:path}", responses.stored, "DELETE", "client"),
    ("/v1/responses/{id:path}", responses.stored, "POST", "client"),
    ("/v1/models", models.listing, "GET", "client"),
    ("/v1/models/{id:path}", models.one, "GET", "client"),
    ("/v1/traces/{id}", traces.show, "GET", "client"),
    ("/v1/feedback", traces.feedback, "POST", "client"),
    ("/approvals", approvals.listing, "GET", "operator"),
    ("/approvals/{id}", approvals.show, "GET", "client"),
    ("/approvals/{id}", approvals.decide, "POST", "operator"),
    ("/healthz", health.live, "GET", "anyone"),
    ("/readyz", health.ready, "GET", "client"),
    metrics.ROUTE,
)
"""All other routes: path, handler, method, and the role; `anyone` needs no key. Clients see what is their own."""


class Gateway:
    """The ASGI app; `app` makes one."""

    def __init__(self, here: Place, entrance: Door) -> None:
        desk, caps = here.desk, here.settings.server
        self._here = here
        self._replays: Replays | None = None
        self._keyring = Keyring(here.settings, entrance, here.store_of)
        self.admission = Admission(here.store_of)
        self._hot = {path: (make(desk, caps), role) for path, make, role in HOT}
        self._rest = Starlette(
            routes=[Route(path, _allowed(handler, role), methods=[method]) for path, handler, method, role in ROUTES],
            exception_handlers={TrimtabError: _failed, HTTPException: _failed, ClientLeft: _left, Exception: _failed},
        )
        self._rest.state.place = here
        self._app = metrics.watched(self._enter, desk, (*(path for path, *_ in HOT), *(path for path, *_ in ROUTES)))

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _enter(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, headers = scope["path"], dict(scope["headers"])
        try:
            caller = OPEN if path == "/healthz" else await self._keyring.caller(headers)
        except Exception as error:  # noqa: BLE001 - keys that cannot be read let nobody in
            await _refuse(send, error, path)
            return
        if caller is OPEN:
            await self._serve(scope, headers, receive, send, caller)
            return
        visit = Visit(self.admission, caller, send)
        token = VISIT.set(visit)
        try:
            await self._serve(scope, headers, receive, visit, caller)
        finally:
            VISIT.reset(token)

    async def _serve(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], receive: Receive, send: Send, caller: Caller
    ) -> None:
        path = scope["path"]
        if not (found := self._hot.get(path)):
            await self._rest(scope, receive, send)
            return
        if scope["method"] != "POST":
            await _refuse(send, MalformedError(f"{path} takes POST.", "Use POST.", code="method_not_allowed"), path)
            return
        handler, role = found
        try:
            caller.enter(path, role)
            if HEADER in headers:
                await self._once(caller.principal, path, headers, receive, send, handler)
                return
        except ClientLeft:
            return
        except TrimtabError as error:
            await _refuse(send, error, path)
            return
        await handler(headers, receive, send)

    async def _once(self, principal: str, path: str, headers: Any, receive: Receive, send: Send, handler: Any) -> None:
        """Answer a request that has an Idempotency-Key."""
        if not self._replays:
            self._replays = Replays(self._here.store(), self._here.settings.server.max_body)
        await self._replays(principal, path, headers, receive, send, handler)


def app(
    desk: Desk,
    settings: Settings,
    store: "Callable[[], Store] | None" = None,
    encoder: "Callable[[], Encoder] | None" = None,
) -> Gateway:
    """The gateway around a desk. Raises `ConfigError` where it would listen to the world without a key."""
    return Gateway(Place(desk=desk, settings=settings, store_of=store, encoder_of=encoder), door(settings))


def of_system(system: "System") -> Gateway:
    """The gateway around an open system."""
    gateway = app(system.desk, system.settings, system.tools.store, system.tools.encoder)
    system.tools.closing(gateway.admission.close)
    return gateway


def run(settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
    """Bind, serve until a signal, and drain: what runs may finish for `server.drain` seconds.

    `say` takes lines of progress, the last one with the URL once it listens. Raises `ConfigError`, `StorageError`.
    """
    with (
        logs.opened(settings.server.log),
        _bound(settings) as listening,
        asyncio.Runner(loop_factory=_loop) as runner,
    ):
        runner.run(_serve(settings, listening, say))


@contextmanager
def background(settings: Settings, say: Callable[[str], None] = lambda _: None) -> Iterator[str]:
    """The gateway in a thread of its own, for tours and tests: yields its URL once it listens, drains at the end."""
    up: list[Announced] = []
    fault: list[BaseException] = []
    ready = threading.Event()

    def started(server: "Announced") -> None:
        up.append(server)
        ready.set()

    def work(listening: socket.socket) -> None:
        try:
            with asyncio.Runner(loop_factory=_loop) as runner:
                runner.run(_serve(settings, listening, say, started))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            fault.append(error)
        ready.set()

    with _bound(settings) as listening:
        thread = threading.Thread(target=work, args=(listening,), name="gateway")
        thread.start()
        ready.wait()
        try:
            if fault:
                raise fault[0]
            yield url(listening)
        finally:
            for server in up:
                server.should_exit = True
            thread.join()


def url(listening: socket.socket) -> str:
    """The URL of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _serve(
    settings: Settings,
    listening: socket.socket,
    say: Callable[[str], None],
    started: Callable[["Announced"], None] = lambda _: None,
) -> None:
    from trimtab.wiring import open_system

    def up(server: Announced) -> None:
        say(f"Listening on {url(listening)}")
        started(server)

    async with open_system(settings, say) as system:
        for line in system.found:
            say(line)
        gc.collect()
        gc.freeze()  # what lives as long as the process: looking through it again and again stalled requests for 50 ms
        await _server(of_system(system), settings, up).serve(sockets=[listening])


def _server(gateway: Gateway, settings: Settings, started: Callable[["Announced"], None]) -> "Announced":
    """No access log and no `Server` header; forwarded addresses are not believed; bodies and headers are not logged."""
    config = uvicorn.Config(
        gateway, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None, log_level="warning",
        server_header=False, proxy_headers=False, timeout_keep_alive=75, backlog=2048,
        timeout_graceful_shutdown=max(1, round(settings.server.drain)),
    )  # fmt: skip
    return Announced(config, started)


class Announced(uvicorn.Server):
    """A server that says when it listens, and that returns after a signal: uvicorn would raise it again, and the
    process would end before the ledger's last rows are on disk.
    """

    def __init__(self, config: uvicorn.Config, started: Callable[["Announced"], None]) -> None:
        super().__init__(config)
        self._say_started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._say_started(self)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, and then wait for what was cut: uvicorn would not, and what they record would find no database."""
        await super().shutdown(sockets)
        running = set(self.server_state.tasks)
        for task in running:
            if not task.cancelling():  # a second signal ends the drain without cutting anything
                task.cancel()
        if running:
            await asyncio.wait(running, timeout=FAREWELL)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        with super().capture_signals():
            try:
                yield
            finally:
                self._captured_signals.clear()


@contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    """A socket on the settings' address, after the door has agreed to it. Raises `ConfigError` for a port in use."""
    door(settings)
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        raise ConfigError(
            f"The gateway cannot listen on {host}:{port}: {error.strerror}.",
            "Stop what listens there, or choose another port: --port, or server.port.",
        ) from error
    with listening:
        yield listening


def _loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.new_event_loop()
    import uvloop

    return uvloop.new_event_loop()


async def _refuse(send: Send, error: Exception, path: str) -> None:
    """Say no before a handler has begun, in the words of the path's dialect."""
    await (messages.fail(send, error) if _is_anthropic(path) else faults.send(send, error, path=path))


def _allowed(handler: Callable[[Request], Awaitable[Response]], role: str) -> Callable[[Request], Awaitable[Response]]:
    """The handler for those who have the role."""

    async def allowed(request: Request) -> Response:
        if role != "anyone":
            admission.caller().enter(request.url.path, role)
        return await handler(request)

    return allowed


async def _failed(request: Request, error: Exception) -> Response:
    """Any fault of the routes beside the hot one. One that nobody foresaw is logged with its traceback by uvicorn."""
    path = request.url.path
    fault = _ours(error, request)
    status, headers, body = messages.response(fault) if _is_anthropic(path) else faults.response(fault, path=path)
    found = Response(body, status)
    found.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return found


def _is_anthropic(path: str) -> bool:
    """Whether errors leave in Anthropic's form."""
    return path.startswith(messages.PATH)


async def _left(_: Request, __: Exception) -> Response:
    return Response(status_code=499)


def _ours(error: Exception, request: Request) -> Exception:
    """Starlette's 404 and 405 in our words."""
    if not isinstance(error, HTTPException):
        return error
    if error.status_code == 405:
        allow = (error.headers or {}).get("Allow", "another method")
        return MalformedError(
            f"{request.method} does not go to {request.url.path}.", f"Use {allow}.", code="method_not_allowed"
        )
    return NotFoundError(f"There is no {request.url.path} here.", "The routes are in docs/reference/http.md.")
