"""The vectors of all chunks in one matrix in memory, and their exact cosines with a question's."""

from collections.abc import Sequence

import numpy as np

from trimtab.retrieve._index import Floats, Scores


class Matrix:
    """Rows of `dims` numbers, unit vectors, each with its chunk and its class of access."""

    def __init__(self, dims: int) -> None:
        self._dims = dims
        self._chunks = np.zeros(0, np.int64)
        self._access = np.zeros(0, np.int64)
        self._rows: Floats = np.zeros((0, dims), np.float32)
        self._parts: list[tuple[list[tuple[int, int]], Floats]] = []

    def keep(self, rows: Sequence[tuple[int, int]]) -> list[int]:
        """Drop the rows of chunks that are not among `rows` (chunk, access); the chunks that are missing here."""
        wanted = dict(rows)
        kept = np.fromiter(
            (wanted.get(int(c)) == a for c, a in zip(self._chunks, self._access, strict=True)), bool, len(self._chunks)
        )
        if not kept.all():
            self._chunks, self._access, self._rows = self._chunks[kept], self._access[kept], self._rows[kept]
        have = set(self._chunks.tolist())
        return [chunk for chunk, _ in rows if chunk not in have]

    def add(self, rows: list[tuple[int, int]], vectors: Floats) -> None:
        """Rows to come; `settle` puts them in."""
        self._parts.append((rows, vectors.reshape(-1, self._dims)))

    def settle(self) -> None:
        if not self._parts:
            return
        pairs = np.array([pair for rows, _ in self._parts for pair in rows], np.int64).reshape(-1, 2)
        self._chunks = np.concatenate([self._chunks, pairs[:, 0]])
        self._access = np.concatenate([self._access, pairs[:, 1]])
        self._rows = np.concatenate([self._rows, *(vectors for _, vectors in self._parts)])
        order = np.argsort(self._chunks)
        if (np.diff(order) < 0).any():
            self._chunks, self._access, self._rows = self._chunks[order], self._access[order], self._rows[order]
        self._parts.clear()

    def near(self, vector: Floats, k: int, classes: Sequence[int] | None) -> Scores:
        """The best `k` of the classes given (None: all), by their cosines."""
        allowed = slice(None) if classes is None else np.isin(self._access, classes)
        chunks = self._chunks[allowed]
        if not len(chunks):
            return {}
        cosines = np.vecdot(self._rows, vector)[allowed]  # `@` wakes the threads of BLAS: dear on a busy machine
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
