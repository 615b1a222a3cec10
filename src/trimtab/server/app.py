"""The gateway: one ASGI app around a desk, and the server that runs it.

The hot route is dispatched before Starlette; all others are Starlette's. Every request passes the door first.
"""

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trimtab.errors import ConfigError, MalformedError, NotFoundError, TrimtabError
from trimtab.flow import Desk
from trimtab.server import approvals, embeddings, faults, health, models, traces
from trimtab.server.chat import Chat
from trimtab.server.door import Door, door
from trimtab.server.limits import ClientLeft, Receive, Send
from trimtab.server.place import Place
from trimtab.settings import Settings

if TYPE_CHECKING:
    from trimtab.encode.encoder import Encoder
    from trimtab.store.engine import Store
    from trimtab.wiring import System

HOT = "/v1/chat/completions"
ROUTES = (
    ("/v1/embeddings", embeddings.create, "POST"),
    ("/v1/models", models.listing, "GET"),
    ("/v1/models/{id:path}", models.one, "GET"),
    ("/v1/traces/{id}", traces.show, "GET"),
    ("/v1/feedback", traces.feedback, "POST"),
    ("/approvals", approvals.listing, "GET"),
    ("/approvals/{id}", approvals.show, "GET"),
    ("/approvals/{id}", approvals.decide, "POST"),
    ("/healthz", health.live, "GET"),
    ("/readyz", health.ready, "GET"),
)


class Gateway:
    """The ASGI app; `app` makes one."""

    def __init__(self, here: Place, entrance: Door) -> None:
        self._door = entrance
        self._chat = Chat(here.desk, here.settings.server)
        self._rest = Starlette(
            routes=[Route(path, handler, methods=[method]) for path, handler, method in ROUTES],
            exception_handlers={TrimtabError: _failed, HTTPException: _failed, ClientLeft: _left, Exception: _failed},
        )
        self._rest.state.place = here

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path, headers = scope["path"], dict(scope["headers"])
        if path != "/healthz":
            try:
                self._door.check(headers)
            except TrimtabError as error:
                await faults.send(send, error, path=path)
                return
        if path == HOT and scope["method"] == "POST":
            await self._chat(headers, receive, send)
        else:
            await self._rest(scope, receive, send)


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
    return app(system.desk, system.settings, system.tools.store, system.tools.encoder)


def run(settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
    """Bind, serve until a signal, and drain: what runs may finish for `server.drain` seconds.

    `say` takes lines of progress, the last one with the URL once it listens. Raises `ConfigError`, `StorageError`.
    """
    with _bound(settings) as listening, asyncio.Runner(loop_factory=_loop) as runner:
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
        gateway, http="httptools", ws="none", lifespan="off", access_log=False, log_level="warning",
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


async def _failed(request: Request, error: Exception) -> Response:
    """Any fault of the routes beside the hot one. One that nobody foresaw is logged with its traceback by uvicorn."""
    path = request.url.path
    status, headers, body = faults.response(_ours(error, request), path=path)
    found = Response(body, status)
    found.raw_headers = [*headers, (b"content-length", b"%d" % len(body))]
    return found


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
