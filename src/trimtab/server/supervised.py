"""A worker's side of what it has from its supervisor: the line between the two, and a private folder that all share.

In the folder lies the recipe as it was at the start and as it was last served by. A worker that is started anew reads
these, not the file, so that it serves as the others do, and starts though the file is broken meanwhile.
"""

import os
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from trimtab.server.live import kept
from trimtab.settings import Settings

Load: TypeAlias = Callable[[Path | None], Settings]
"""The settings of a copy of the recipe, of the recipe itself without one."""
FIRST, LAST = "first.toml", "last.toml"


def deposit(folder: Path, settings: Settings) -> None:
    """What workers start by."""
    if settings.file:
        for name in (FIRST, LAST):
            shutil.copyfile(settings.file, folder / name)


class Supervised:
    """One worker. It drains when the supervisor has ended, however that was."""

    def __init__(self, number: int, line: int, folder: Path, load: Load) -> None:
        self.number, self.folder, self._load = number, folder, load
        self._line = socket.socket(fileno=line)
        self._read = folder / f"read.{os.getpid()}"
        threading.Thread(target=self._watch, name="supervisor", daemon=True).start()

    def settings(self) -> Settings:
        """What the others serve by. Raises `ConfigError`."""
        return kept(self._load(self.folder / FIRST), self._load(self.folder / LAST), lambda _: None)

    def again(self) -> Settings:
        """What the file says now. Raises `ConfigError`."""
        if file := self._load(self.folder / FIRST).file:
            shutil.copyfile(file, self._read)
        return self._load(self._read)

    def served(self) -> None:
        """What was read again is what is served by."""
        self._read.replace(self.folder / LAST)

    def listens(self) -> None:
        self._line.send(b"1")

    def _watch(self) -> None:
        with suppress(OSError):
            self._line.recv(1)
        os.kill(os.getpid(), signal.SIGTERM)
