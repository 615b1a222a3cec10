"""How the C library keeps memory: a gateway lives long, and a body of megabytes comes now and then."""

import ctypes
import sys
from contextlib import suppress

MMAP_THRESHOLD, ARENA_MAX = -3, -8
"""Of glibc's malloc.h."""
LARGE = 1 << 19
"""Bytes from which a block is the system's own, and goes back to it at once. By itself glibc raises this to the largest
block that was ever freed: then one large body stays in the heap, below what came after it (benchmarks/soak.py)."""
ARENAS = 2
"""Heaps for all threads: one holds the interpreter's lock at a time, and each heap keeps its own leftovers."""


def steady() -> None:
    """Set it so, where the C library is glibc; any other one is left alone."""
    if sys.platform != "linux":
        return
    with suppress(OSError, AttributeError):  # musl has no such call
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(MMAP_THRESHOLD, LARGE)
        mallopt(ARENA_MAX, ARENAS)
