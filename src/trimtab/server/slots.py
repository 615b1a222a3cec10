"""Requests at a time of a key, a team or a model, over all workers of a gateway and over a reload.

Each is a byte of a file under a lock of this process: the kernel frees it when the process ends, however that is.
"""

import hashlib
import os
from pathlib import Path


class Slots:
    """Those that this process has; without a folder it is alone, and nobody else has any."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._mine: dict[str, set[int]] = {}
        self._files: dict[str, int] = {}

    def take(self, subject: str, limit: int) -> bool:
        """Whether there was one left of so many, which is then taken."""
        mine = self._mine.get(subject, set())
        if len(mine) < limit:
            begin = os.getpid()  # others begin elsewhere, so that most find a free one at once
            for at in range(begin, begin + limit):
                if (place := at % limit) not in mine and self._lock(subject, place):
                    self._mine.setdefault(subject, mine).add(place)
                    return True
        return False

    def free(self, subject: str) -> None:
        """Give one back."""
        mine = self._mine[subject]
        place = mine.pop()
        if not mine:
            del self._mine[subject]
        if self._folder:
            import fcntl

            fcntl.lockf(self._file(subject), fcntl.LOCK_UN, 1, place)

    def _lock(self, subject: str, place: int) -> bool:
        if not self._folder:
            return True
        import fcntl

        try:
            fcntl.lockf(self._file(subject), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _file(self, subject: str) -> int:
        """Open as long as the process lives: to close it would free all locks that the process has in it."""
        if (found := self._files.get(subject)) is None:
            assert self._folder  # noqa: S101 - asked for by those above alone
            name = f"{hashlib.sha256(subject.encode()).hexdigest()[:32]}.slots"
            found = self._files[subject] = os.open(self._folder / name, os.O_RDWR | os.O_CREAT, 0o600)
        return found
