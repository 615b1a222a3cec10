"""What the encoder read of late: guard, router, skill and index ask about the same question, and it is read once."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

from trimtab.encode.turns import Floats, Read

PIECES = 2048
"""Pieces whose states are kept: some forty questions, 6 MB at most."""


class Known(NamedTuple):
    """States of a window's pieces and marks halfway, (pieces + 2, dims), and what it says in the end where it was read
    so far.
    """

    middle: Floats
    read: Read | None = None


class Recent:
    """Windows by their ids; those asked for longest ago go first. Used in the encoder's thread alone."""

    def __init__(self, pieces: int = PIECES) -> None:
        self._known: OrderedDict[tuple[int, ...], Known] = OrderedDict()
        self._left = pieces

    def get(self, ids: Sequence[int]) -> Known | None:
        """What is known of a window."""
        if found := self._known.get(key := tuple(ids)):
            self._known.move_to_end(key)
        return found

    def put(self, ids: Sequence[int], known: Known) -> None:
        """Keep it in place of what was known; its arrays are no views of a batch, which would live as long."""
        key = tuple(ids)
        if self._known.pop(key, None) is None:
            self._left -= len(key)
        self._known[key] = known
        while self._left < 0:
            gone, _ = self._known.popitem(last=False)
            self._left += len(gone)
