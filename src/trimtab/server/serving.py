"""The server that runs the gateway: it binds, serves until a signal, and drains."""

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

import uvicorn

from trimtab.errors import ConfigError
from trimtab.server import heap, http, logs
from trimtab.server.door import door
from trimtab.server.live import Live
from trimtab.settings import Settings

if TYPE_CHECKING:
    from trimtab.server.supervised import Supervised

GARBAGE = (5_000, 5, 5)
"""When the collector looks for cycles: an answered request leaves none, a fault or a client that leaves makes some, so
that what counts here is mostly theirs. At four times as many objects those of two hundred thousand mixed requests were
5 MB more; more often, and what lives longer is looked through too often."""
FAREWELL = 5.0
"""Seconds for requests that were cut at the end of the drain to say so and to be recorded."""


def run(
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    again: Callable[[], Settings] | None = None,
    worker: "Supervised | None" = None,
) -> None:
    """Bind, serve until a signal, and drain: what runs may finish for `server.drain` seconds.

    `say` takes lines of progress, the last one with the URL once it listens. `again` gives the settings anew on SIGHUP.
    As a `worker` it shares the port with others. Raises `ConfigError`, `StorageError`.
    """
    heap.steady()
    with (
        logs.opened(settings.server.log),
        bound(settings, shared=worker is not None) as listening,
        asyncio.Runner(loop_factory=_loop) as runner,
    ):
        runner.run(_serve(settings, listening, say, again=again, worker=worker))


@contextmanager
def marked(file: Path) -> Iterator[None]:
    """This process's id in a file while it runs, under a lock that ends with it: who is to be told to reload."""
    with ExitStack() as locked:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}")
            held = locked.enter_context(part.open("w", encoding="utf-8"))
            _lock(held)
            held.write(f"{os.getpid()}\n")
            held.flush()
            part.replace(file)  # the last one that started is the one that is told
        try:
            yield
        finally:
            _unmark(file)


def _lock(held: IO[str]) -> None:
    with suppress(ImportError):  # Windows, which has no SIGHUP either
        import fcntl

        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _unmark(file: Path) -> None:
    with suppress(OSError):
        if file.read_text("utf-8").strip() == str(os.getpid()):
            file.unlink()
    for old in file.parent.glob(f"reloaded.{os.getpid()}"):
        with suppress(OSError):
            old.unlink()


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

    with bound(settings) as listening:
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
    again: Callable[[], Settings] | None = None,
    worker: "Supervised | None" = None,
) -> None:
    def up(server: Announced) -> None:
        say(f"Listening on {url(listening)}")
        started(server)

    live = Live(settings, say, worker)
    await live.open()
    beside = [asyncio.create_task(task) for task in (live.totals.publishing(), heap.tidying())]
    try:
        gc.collect()
        gc.set_threshold(*GARBAGE)
        gc.freeze()  # what lives as long as the process: looking through it again and again stalled requests for 50 ms
        gc.collect()  # all is looked through once there is a quarter more than at the last look: now that is soon
        with ExitStack() as telling:
            if again:
                _on_hangup(live, again, worker)
                if not worker:  # else the supervisor's id is there; and not sooner: SIGHUP ends a process by default
                    telling.enter_context(marked(settings.home / "serving"))
            await _server(live, settings, up).serve(sockets=[listening])
    finally:
        await live.close()
        for task in beside:
            task.cancel()
        live.totals.publish()


def _on_hangup(live: Live, again: Callable[[], Settings], worker: "Supervised | None") -> None:
    """Reload on SIGHUP; how it went is in the state folder, where `trimtab reload` looks."""
    reloading: set[asyncio.Task[None]] = set()

    async def reload() -> None:
        fault = await live.reload(again)
        if worker and not fault:
            worker.served()
        _noted(live.settings, fault)

    def hangup() -> None:
        task = asyncio.create_task(reload())
        reloading.add(task)
        task.add_done_callback(reloading.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup)


def _noted(settings: Settings, fault: str) -> None:
    """How the last reload of this process went."""
    file = settings.home / f"reloaded.{os.getpid()}"
    with suppress(OSError):
        part = file.with_name(f"reloading.{os.getpid()}")  # its own: workers reload at the same moment
        part.write_text(fault, "utf-8")
        part.replace(file)


def _server(gateway: Live, settings: Settings, started: Callable[["Announced"], None]) -> "Announced":
    """No access log and no `Server` header; forwarded addresses are not believed; bodies and headers are not logged."""
    config = uvicorn.Config(
        gateway, http=http.protocol(_deadlines(settings)), ws="none",
        lifespan="off", access_log=False, log_config=None, log_level="warning",
        server_header=False, proxy_headers=False, backlog=2048,
        timeout_graceful_shutdown=max(1, round(settings.server.drain)),
    )  # fmt: skip
    return Announced(config, started, gateway, settings.server.notice)


def _deadlines(settings: Settings) -> http.Deadlines:
    given = settings.server
    return http.Deadlines(
        head=given.header_timeout, body=given.body_timeout, idle=given.idle_timeout, stall=given.stall_timeout
    )


class Announced(uvicorn.Server):
    """A server that says when it listens, and that returns after a signal: uvicorn would raise it again, and the
    process would end before the ledger's last rows are on disk.
    """

    def __init__(
        self, config: uvicorn.Config, started: Callable[["Announced"], None], live: Live, notice: float
    ) -> None:
        super().__init__(config)
        self._say_started, self._live, self._notice = started, live, notice
        self._closes = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """From the first signal on it is not ready; the second ends the drain, whichever it is: uvicorn heeds none but
        SIGINT.
        """
        self.force_exit = self._live.draining
        if self._notice and not self._live.draining:
            self._closes = time.monotonic() + self._notice
        else:
            super().handle_exit(sig, frame)
        self._live.draining = True

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or time.monotonic() >= self._closes

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
def bound(settings: Settings, *, shared: bool = False, listens: bool = True) -> Iterator[socket.socket]:
    """A socket on the settings' address, after the door has agreed to it. Raises `ConfigError` for a port in use.

    `shared`: other processes may bind the same port; one that does not listen only keeps the port for those.
    """
    door(settings)
    host, port = settings.server.host, settings.server.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared or not listens:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(address)
        if listens:
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
