"""Shares the encoder's one thread fairly: callers' windows are read together, one of each caller in turn."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

TURN_TOKENS = 1024  # read before newcomers get their turn: about 0.1 s
BATCH_TOKENS = 512  # in one pass: larger batches are no faster on one thread, and take more memory
EVEN = 1.25  # a batch's longest window over its shortest: the most that padding may cost

Floats: TypeAlias = NDArray[np.float32]
Ids: TypeAlias = list[int]
Kept = TypeVar("Kept")  # what a caller keeps of each window
Split: TypeAlias = Callable[[str], Sequence[Any]]


class Turns:
    """A queue in front of `read`, which reads a batch of windows; a window's length is that of its ids, 1 or more."""

    def __init__(self, read: Callable[[list[Any]], list[Any]]) -> None:
        self._read = read
        self._jobs: deque[_Job[Any]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")

    def ask(self, texts: Sequence[str], split: Split, keep: Callable[[Any, Any], Kept]) -> "Future[list[list[Kept]]]":
        """For each text what `keep` takes of each of its windows and of what was read there, both in this thread.

        `split` cuts a text into windows. A cancelled future drops what is not read yet.
        """
        job = _Job(texts, split, keep)
        self._jobs.append(job)
        self._thread.submit(self._turn)
        return job.done

    def close(self) -> None:
        """Stop after the turn in hand; whoever still waits is cancelled."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        while self._jobs:
            self._jobs.popleft().done.cancel()

    def _turn(self) -> None:
        taken: list[_Window] = []
        while self._jobs and sum(len(window.ids) for window in taken) < TURN_TOKENS:
            taken += self._take(self._jobs.popleft())
        for batch in _even(taken):
            self._read_batch(batch)
        if self._jobs:
            self._thread.submit(self._turn)

    def _take(self, job: "_Job[Any]") -> "list[_Window]":
        """The job's next window, if it has one; with more left, it waits for its next turn."""
        try:
            window = job.next()
        except Exception as error:  # noqa: BLE001 - a text that is none: told to the caller who sent it, and to no other
            job.fail(error)
            return []
        if job.left:
            self._jobs.append(job)
        return [window] if window else []

    def _read_batch(self, batch: "list[_Window]") -> None:
        try:
            for window, found in zip(batch, self._read([window.ids for window in batch]), strict=True):
                window.job.put(window, found)
        except Exception as error:  # noqa: BLE001 - whatever the model raised belongs to those who wait for it
            for window in batch:
                window.job.fail(error)


class _Window(NamedTuple):
    job: "_Job[Any]"
    text: int
    at: int
    ids: Sized


class _Job(Generic[Kept]):
    """One caller's texts: cut when their first turn comes, done when the last window is read."""

    def __init__(self, texts: Sequence[str], split: Split, keep: Callable[[Any, Any], Kept]) -> None:
        self.done: Future[list[list[Kept]]] = Future()
        self.left: deque[_Window] = deque()
        self._texts, self._split, self._keep = texts, split, keep
        self._kept: list[list[Kept | None]] | None = None  # by text, by window; None is not read yet
        self._unread = 0

    def next(self) -> _Window | None:
        if self._kept is None:
            self._cut([self._split(text) for text in self._texts])
        if self.done.done():  # cancelled, failed, or without any window
            self.left.clear()
        return self.left.popleft() if self.left else None

    def put(self, window: _Window, read: Any) -> None:
        if self._kept is not None and not self.done.done():
            self._kept[window.text][window.at] = self._keep(window.ids, read)
            self._unread -= 1
            self._finish()

    def fail(self, error: Exception) -> None:
        self.left.clear()
        if not self.done.done() and self.done.set_running_or_notify_cancel():
            self.done.set_exception(error)

    def _cut(self, texts: list[Sequence[Any]]) -> None:
        self._kept = [[None] * len(runs) for runs in texts]
        self.left.extend(_Window(self, text, at, ids) for text, runs in enumerate(texts) for at, ids in enumerate(runs))
        self._unread = len(self.left)
        self._finish()

    def _finish(self) -> None:
        if self._unread == 0 and self.done.set_running_or_notify_cancel():
            self.done.set_result([[kept for kept in row if kept is not None] for row in self._kept or ()])


def _even(windows: list[_Window]) -> Iterator[list[_Window]]:
    """The windows in small batches of about one length, so that little is padded."""
    batch: list[_Window] = []
    for window in sorted(windows, key=lambda w: len(w.ids)):
        length = len(window.ids)
        if batch and (length > EVEN * len(batch[0].ids) + 4 or length * (len(batch) + 1) > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(window)
    if batch:
        yield batch
