"""The server that runs the gateway: it binds, serves until a signal, and drains."""

import asyncio
import gc
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import uvicorn

from trimtab.errors import ConfigError
from trimtab.server import heap, http, logs
from trimtab.server.app import Gateway, of_system
from trimtab.server.door import door
from trimtab.settings import Settings

FAREWELL = 5.0
"""Seconds for requests that were cut at the end of the drain to say so and to be recorded."""


def run(settings: Settings, say: Callable[[str], None] = lambda _: None) -> None:
    """Bind, serve until a signal, and drain: what runs may finish for `server.drain` seconds.

    `say` takes lines of progress, the last one with the URL once it listens. Raises `ConfigError`, `StorageError`.
    """
    heap.steady()
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
        gc.collect()  # all is looked through once there is a quarter more than at the last look: now that is soon
        await _server(of_system(system), settings, up).serve(sockets=[listening])


def _server(gateway: Gateway, settings: Settings, started: Callable[["Announced"], None]) -> "Announced":
    """No access log and no `Server` header; forwarded addresses are not believed; bodies and headers are not logged."""
    config = uvicorn.Config(
        gateway, http=http.protocol(_deadlines(settings)), ws="none",
        lifespan="off", access_log=False, log_config=None, log_level="warning",
        server_header=False, proxy_headers=False, backlog=2048,
        timeout_graceful_shutdown=max(1, round(settings.server.drain)),
    )  # fmt: skip
    return Announced(config, started)


def _deadlines(settings: Settings) -> http.Deadlines:
    given = settings.server
    return http.Deadlines(
        head=given.header_timeout, body=given.body_timeout, idle=given.idle_timeout, stall=given.stall_timeout
    )


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
