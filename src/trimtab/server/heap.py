"""How the C library keeps memory: a gateway lives long, and a body of megabytes comes now and then."""

import asyncio
import ctypes
import sys
from contextlib import suppress
from typing import Any

MMAP_THRESHOLD, ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""
LARGE = 1 << 19
"""Bytes from which a block is the system's own, and goes back to it at once. By itself glibc raises this to the largest
block that was ever freed: then one large body stays in the heap, below what came after it (benchmarks/soak.py)."""
ARENAS = 2
"""Heaps for all threads: one holds the interpreter's lock at a time, and each heap keeps its own leftovers."""
EVERY = 20.0
"""Seconds after which free pages go back to the system: by itself glibc gives back those at a heap's end alone. Some
4 MB of 78 after ten thousand mixed requests, in 0.4 to 5 ms of a thread that does not hold the interpreter's lock."""


def steady() -> None:
    """Set it so, where the C library is glibc; any other one is left alone."""
    with suppress(OSError, AttributeError):  # musl has no such call
        mallopt = _library().mallopt
        mallopt(MMAP_THRESHOLD, LARGE)
        mallopt(ARENA_MAX, ARENAS)


async def tidying() -> None:
    """Give free pages back now and then, as long as the task lives."""
    with suppress(OSError, AttributeError):
        trim = _library().malloc_trim
        while True:
            await asyncio.sleep(EVERY)
            await asyncio.to_thread(trim, 0)


def _library() -> Any:
    """The C library. Raises `OSError` where it is not Linux's."""
    if sys.platform != "linux":
        raise OSError
    return ctypes.CDLL(None)
