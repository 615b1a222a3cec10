"""The vectors of all chunks in one matrix in memory, and their cosines with a question's.

Of many chunks not every cosine is worked out: the signs of a vector's numbers, a bit each, tell which rows may be near
(the share of signs that differ grows with the angle: Charikar, 2002, doi:10.1145/509907.509965), and those alone are
compared exactly.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve._index import Floats, Scores

FEW = 20_000  # rows that are all compared: 4 ms
AMONG = 40  # times as many rows as are asked for that are compared exactly, of more


class Matrix:
    """Rows of `dims` numbers, unit vectors, each with its chunk and its class of access."""

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._chunks = np.zeros(0, np.int64)
        self._access = np.zeros(0, np.int64)
        self._rows: Floats = np.zeros((0, dims), np.float32)
        self._signs = _signs(self._rows)
        self._parts: list[tuple[NDArray[np.int64], Floats]] = []

    def keep(self, rows: NDArray[np.int64]) -> list[int]:
        """Drop the rows of chunks that are not among `rows` (chunk, access), ascending; the chunks missing here."""
        wanted, access = rows[:, 0], rows[:, 1]
        kept = np.isin(self._chunks, wanted)
        kept[kept] = access[np.searchsorted(wanted, self._chunks[kept])] == self._access[kept]
        if not kept.all():
            self._take(kept)
        return wanted[~np.isin(wanted, self._chunks)].tolist()

    def add(self, rows: Sequence[tuple[int, int]], vectors: Floats) -> None:
        """Rows to come; `settle` puts them in."""
        self._parts.append((np.array(rows, np.int64).reshape(-1, 2), vectors.reshape(-1, self._dims)))

    def settle(self) -> None:
        if not self._parts:
            return
        pairs = np.concatenate([pairs for pairs, _ in self._parts])
        self._chunks = np.concatenate([self._chunks, pairs[:, 0]])
        self._access = np.concatenate([self._access, pairs[:, 1]])
        self._signs = np.concatenate([self._signs, *(_signs(vectors) for _, vectors in self._parts)], axis=1)
        rows, at = np.empty((len(self._chunks), self._dims), np.float32), len(self._rows)
        rows[:at] = self._rows
        self._rows = rows
        while self._parts:  # each is let go as soon as it is in: all of them twice would be much memory
            _, vectors = self._parts.pop(0)
            rows[at : at + len(vectors)] = vectors
            at += len(vectors)
        order = np.argsort(self._chunks)
        if (np.diff(order) < 0).any():
            self._take(order)

    def near(self, vector: Floats, k: int, classes: Sequence[int] | None) -> Scores:
        """The best `k` of the classes given (None: all), by their cosines."""
        allowed = None if classes is None else np.isin(self._access, classes)
        here = self._likely(vector, AMONG * k, allowed)
        chunks = self._chunks[here]
        if not len(chunks):
            return {}
        cosines = np.vecdot(self._rows[here], vector)  # `@` wakes the threads of BLAS: dear on a busy machine
        best = np.argpartition(-cosines, min(k, len(cosines)) - 1)[:k]
        best = best[np.lexsort((chunks[best], -cosines[best]))]
        return dict(zip(chunks[best].tolist(), cosines[best].tolist(), strict=True))

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        if not len(self._chunks):
            return {}
        places = np.searchsorted(self._chunks, chunks)
        places = np.minimum(places, len(self._chunks) - 1)
        here = self._chunks[places] == np.asarray(chunks)
        found = np.vecdot(self._rows[places[here]], vector)
        return dict(zip(np.asarray(chunks)[here].tolist(), found.tolist(), strict=True))

    def _likely(self, vector: Floats, among: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64] | slice:
        """Places of the rows to compare: all that are allowed, or those whose signs differ least."""
        if max(FEW, among) >= (len(self._chunks) if allowed is None else int(allowed.sum())):
            return slice(None) if allowed is None else np.flatnonzero(allowed)
        differ = np.zeros(len(self._chunks), np.int16)
        signs, bits = np.empty(len(differ), np.uint64), np.empty(len(differ), np.uint8)
        for column, mine in zip(self._signs, _signs(vector[None])[:, 0], strict=True):
            differ += np.bitwise_count(np.bitwise_xor(column, mine, out=signs), out=bits)
        if allowed is not None:
            differ[~allowed] = self._dims + 1
        most = np.searchsorted(np.cumsum(np.bincount(differ)), among)  # signs that differ in the last one taken
        return np.flatnonzero(differ <= most)

    def _take(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> None:
        self._chunks, self._access, self._rows = self._chunks[which], self._access[which], self._rows[which]
        self._signs = np.ascontiguousarray(self._signs[:, which])


def _signs(rows: Floats) -> NDArray[np.uint64]:
    """(dims / 64, n): the signs of each row's numbers, 64 in one, a column after another as they are compared."""
    bits = np.packbits(rows > 0, axis=1)
    padded = np.pad(bits, ((0, 0), (0, -bits.shape[1] % 8)))
    return np.ascontiguousarray(padded.view(np.uint64).T)
