"""Progress of what takes longer than a moment: a bar on a terminal, elsewhere a line every few seconds; on stderr."""

import sys
import time
from typing import TYPE_CHECKING

from trimtab.cli import _out

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

QUIET = 1.5  # seconds before anything is shown
EVERY = 5.0  # seconds between two lines


class Meter:
    """Called with what is done, how many of how many; use it as a context."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "Meter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now - self._began < QUIET:
            return
        if sys.stderr.isatty():
            self._shown(what, done, total)
        elif now - self._last >= EVERY:
            self._last = now
            _out.say(f"{what}: {done} of {total}")

    def _shown(self, what: str, done: int, total: int) -> None:
        if self._bar is None:
            from rich.progress import Progress

            self._bar = Progress(console=_out.console(error=True), transient=True)
            self._bar.start()
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(what, total=total)
        self._bar.update(self._tasks[what], completed=done, total=total)
