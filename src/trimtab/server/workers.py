"""Several gateways on one port: a supervisor that starts them afresh, restarts the one that dies, and drains them all.

Each worker binds the port by itself with SO_REUSEPORT, and the kernel deals the connections out. What they share they
share by the database: keys, budgets (as leases), idempotent replies, tickets, the ledger.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType

from trimtab.errors import ConfigError
from trimtab.server.serving import FAREWELL, bound, marked, url
from trimtab.settings import Settings

START = 60.0
"""Seconds that a worker has to listen."""
YOUNG, PAUSES = 5.0, (0.2, 1.0, 5.0)
"""A worker that dies so soon is restarted after a pause; after as many such deaths in a row as there are, no more."""
ENTRY = "import sys; from trimtab.cli import main; sys.exit(main())"


class Worker:
    """One process, and a line to it: it says there that it listens, and hears there that the supervisor has ended."""

    def __init__(self, number: int, command: Sequence[str]) -> None:
        self.number, self.early = number, 0
        self._command = command
        self.start()

    def start(self) -> None:
        self._line, theirs = socket.socketpair()
        number = theirs.fileno()
        command = [sys.executable, "-c", ENTRY, *self._command, "--worker", str(self.number), "--ready", str(number)]
        with theirs:
            # in a session of its own: a Ctrl-C reaches the supervisor alone, which hands it on once
            self.process = subprocess.Popen(command, pass_fds=(number,), start_new_session=True)  # noqa: S603
        self.since, self.ready, self.stale = time.monotonic(), False, False

    def listens(self, seconds: float) -> bool:
        """Whether it said so within `seconds`; a worker that ends closes its end."""
        found, _, _ = select.select([self._line], [], [], seconds)
        with suppress(ConnectionError):
            self.ready = bool(found and self._line.recv(1))
        if self.ready and self.stale:
            self.reload()
        return self.ready

    def reload(self) -> None:
        """Have it read the recipe anew; one that starts may have read it already, and is told once it listens."""
        if self.ready:
            self.send(signal.SIGHUP)
        else:
            self.stale = True

    def ended(self) -> int:
        """Its exit code; ends one that did not listen in time."""
        self._line.close()
        try:
            return self.process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Supervised:
    """A worker's end of the line: it drains when the supervisor has ended, however that was."""

    def __init__(self, number: int) -> None:
        self._line = socket.socket(fileno=number)
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def listens(self) -> None:
        self._line.send(b"1")

    def _watch(self) -> None:
        with suppress(OSError):
            self._line.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)


class Supervisor:
    """Runs `settings.server.workers` workers; `command` is the `trimtab serve` that each of them is."""

    def __init__(self, settings: Settings, command: Sequence[str], say: Callable[[str], None]) -> None:
        self._settings, self._command, self._say = settings, command, say
        self._workers: list[Worker] = []
        self._ending = 0

    def run(self) -> int:
        """Until a signal; the exit code: 0 where all ended well, 1 where one could not be kept running."""
        if not hasattr(socket, "SO_REUSEPORT"):
            raise ConfigError("This system cannot share a port between workers.", "Leave server.workers at 1.")
        with bound(self._settings):  # alone: to share a port with a gateway that is not ours would mix the two
            pass
        with bound(self._settings, listens=False) as held:  # keeps the port ours, and takes no connection
            port = held.getsockname()[1]
            handlers = {number: signal.signal(number, self._signalled) for number in SIGNALS}
            try:
                command = [*self._command, "--port", str(port)]
                self._workers = [Worker(number, command) for number in range(self._settings.server.workers)]
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
                if worker.process.poll() is not None and not self._ending and not self._again(worker):
                    return self._end(1)
            time.sleep(0.1)
        return self._end(0)

    def _again(self, worker: Worker) -> bool:
        """Start a worker that died anew; False where that was tried too often."""
        lived, code = time.monotonic() - worker.since, worker.ended()
        worker.early = worker.early + 1 if lived < YOUNG else 0
        if worker.early > len(PAUSES):
            self._say(f"Worker {worker.number} ends again and again (exit code {code}): the gateway ends.")
            return False
        self._say(f"Worker {worker.number} ended (exit code {code}) and is started anew.")
        time.sleep(PAUSES[worker.early - 1] if worker.early else 0.0)
        worker.start()
        return worker.listens(START) or bool(self._ending) or self._again(worker)

    def _end(self, code: int) -> int:
        """Have all drain, and end those that do not."""
        self._send(signal.SIGTERM if not self._ending else self._ending)
        end = time.monotonic() + self._settings.server.drain + 2 * FAREWELL
        for worker in self._workers:
            with suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.1, end - time.monotonic()))
            if worker.process.poll() is None:
                worker.process.kill()
                code = 1
        return code or int(any(worker.process.wait() for worker in self._workers))

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
