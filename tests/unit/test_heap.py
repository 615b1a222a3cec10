"""The C library is told once how to keep memory, and one that cannot be told is left alone."""

import asyncio
import ctypes
import sys
from contextlib import suppress

from trimtab.server import heap


class Library:
    def __init__(self, *_):
        self.told = []

    def mallopt(self, what, value):
        self.told.append((what, value))

    def malloc_trim(self, keep):
        self.told.append(keep)


def test_large_blocks_go_back_and_few_heaps_are_kept(monkeypatch):
    library = Library()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    heap.steady()
    assert library.told == [(heap.MMAP_THRESHOLD, heap.LARGE), (heap.ARENA_MAX, heap.ARENAS)]


def test_a_library_without_the_call_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    heap.steady()


def test_another_system_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", None)
    heap.steady()


async def test_free_pages_go_back_now_and_then(monkeypatch):
    library = Library()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    monkeypatch.setattr(heap, "EVERY", 0.001)
    task = asyncio.create_task(heap.tidying())
    while len(library.told) < 3:
        await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert set(library.told) == {0}


async def test_where_that_cannot_be_the_task_ends(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    await heap.tidying()
    monkeypatch.setattr(sys, "platform", "win32")
    await heap.tidying()
