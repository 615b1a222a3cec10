"""Several gateways on one port: a supervisor that starts them afresh, restarts those that die, and drains them all.

Each worker binds the port by itself with SO_REUSEPORT, and the kernel deals the connections out. What they share they
share by the database: keys, budgets (as leases), idempotent replies, tickets, the ledger.
"""

import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

from trimtab.errors import ConfigError
from trimtab.server.serving import FAREWELL, bound, marked, url
from trimtab.server.supervised import deposit
from trimtab.settings import Settings

START = 60.0
"""Seconds that a worker has to listen."""
YOUNG, PAUSES = 5.0, (0.2, 1.0, 5.0, 30.0)
"""A worker that dies so soon is restarted after a pause, the last one again and again: the others go on meanwhile."""
TICK = 0.1
ENTRY = "import sys; from trimtab.cli import main; sys.exit(main())"


class Worker:
    """One process, and a line to it: it says there that it listens, and hears there that the supervisor has ended."""

    def __init__(self, number: int, command: Sequence[str], folder: Path) -> None:
        self.number, self.early = number, 0
        self._command = [sys.executable, "-c", ENTRY, *command, "--worker", str(number), "--private", str(folder)]
        self._stale = False
        self.start()

    def start(self) -> None:
        self._line, theirs = socket.socketpair()
        number = theirs.fileno()
        with theirs:
            # in a session of its own: a Ctrl-C reaches the supervisor alone, which hands it on once
            self.process = subprocess.Popen(  # noqa: S603
                [*self._command, "--ready", str(number)], pass_fds=(number,), start_new_session=True
            )
        self.since, self.due, self.ready = time.monotonic(), 0.0, False

    @property
    def runs(self) -> bool:
        return not self.due and self.process.poll() is None

    def listens(self, seconds: float) -> bool:
        """Whether it said so within `seconds`; a worker that ends closes its end."""
        found, _, _ = select.select([self._line], [], [], seconds)
        with suppress(ConnectionError):
            self.ready = bool(found and self._line.recv(1))
        if self.ready and self._stale:
            self._stale = False
            self.reload()
        return self.ready

    def reload(self) -> None:
        """Have it read the recipe anew; one that starts may have read it already, and is told once it listens."""
        if self.ready and self.runs:
            self.send(signal.SIGHUP)
        else:
            self._stale = True

    def ended(self) -> int:
        """Its exit code; it is to be started again after a pause, which grows with its early deaths."""
        self._line.close()
        code = self.process.wait()
        self.early = self.early + 1 if not self.ready or time.monotonic() - self.since < YOUNG else 0
        self.due = time.monotonic() + self.pause
        return code

    @property
    def pause(self) -> float:
        return PAUSES[min(self.early, len(PAUSES)) - 1] if self.early else 0.0

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Supervisor:
    """Runs `settings.server.workers` workers; `command` is the `trimtab serve` that each of them is."""

    def __init__(self, settings: Settings, command: Sequence[str], say: Callable[[str], None]) -> None:
        self._settings, self._command, self._say = settings, command, say
        self._workers: list[Worker] = []
        self._ending = 0

    def run(self) -> int:
        """Until a signal; the exit code: 0 where all ended well, 1 where one did not start or not drain."""
        if not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigError("This system cannot share a port between workers.", "Leave server.workers at 1.")
        with bound(self._settings):  # alone: to share a port with a gateway that is not ours would mix the two
            pass
        with (
            ExitStack() as stack,
            bound(self._settings, listens=False) as held,
        ):  # keeps the port ours, and takes no connection
            port = held.getsockname()[1]
            handlers = {number: signal.signal(number, self._signalled) for number in SIGNALS}
            try:
                command = [*self._command, "--port", str(port)]
                folder = Path(stack.enter_context(TemporaryDirectory(prefix="trimtab-")))
                deposit(folder, self._settings)
                self._workers = [Worker(number, command, folder) for number in range(self._settings.server.workers)]
                with marked(self._settings.home / "serving"):  # not sooner: SIGHUP ends a process by default
                    return self._served(url(held))
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _served(self, where: str) -> int:
        listening = [worker.listens(START) for worker in self._workers]
        if not all(listening) and not self._ending:
            self._say("A worker did not start: its message is above.")
            return self._end(1)
        self._say(f"Listening on {where}")
        return self._kept()

    def _kept(self) -> int:
        """Look after the workers until they are to end."""
        while not self._ending:
            for worker in self._workers:
                self._look_after(worker)
            time.sleep(TICK)
        return self._end(0)

    def _look_after(self, worker: Worker) -> None:
        now = time.monotonic()
        if worker.due:
            if now >= worker.due:
                worker.start()
        elif worker.process.poll() is not None:
            self._fell(worker)
        elif not worker.ready:
            if worker.listens(0):
                self._say(f"Worker {worker.number} serves again.")
            elif now - worker.since > START:
                worker.process.kill()

    def _fell(self, worker: Worker) -> None:
        """Say that a worker died, and when it is started anew: never that the others have to end for it."""
        code, serving = worker.ended(), sum(one.ready and one.runs for one in self._workers)
        again = f"is started anew in {worker.pause:g} s" if worker.early else "is started anew"
        if worker.early > 1:
            again = f"ends again and again: {serving} of {len(self._workers)} serve, and it {again}"
        self._say(f"Worker {worker.number} ended (exit code {code}) and {again}.")

    def _end(self, code: int) -> int:
        """Have all drain, and end those that do not."""
        running = [worker for worker in self._workers if worker.runs]
        self._send(signal.SIGTERM if not self._ending else self._ending)
        server = self._settings.server
        end = time.monotonic() + server.notice + server.drain + 2 * FAREWELL
        for worker in running:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.1, end - time.monotonic()))
            if worker.process.poll() is None:
                worker.process.kill()
                code = 1
        return code or int(
            any(worker.process.wait() for worker in running if worker.ready)
        )  # one that starts just ends

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if number in RELOADS:
            for worker in self._workers:
                worker.reload()
        elif self._ending:
            self._send(number)  # the second one: end at once
        else:
            self._ending = number

    def _send(self, number: int) -> None:
        for worker in self._workers:
            worker.send(number)


RELOADS = frozenset({signal.SIGHUP}) if hasattr(signal, "SIGHUP") else frozenset[signal.Signals]()
SIGNALS = (signal.SIGINT, signal.SIGTERM, *RELOADS)
