"""BM25 as SQLite's FTS5 has it, over arrays: https://sqlite.org/fts5.html#the_bm25_function. Pure."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve._index import Floats, Scores

K1, B, LEAST = 1.2, 0.75, 1e-6


class Rows(NamedTuple):
    """The rows of an index, ascending, and the class of access of each."""

    chunks: NDArray[np.int64]
    access: NDArray[np.int64]


def lengths_part(lengths: NDArray[np.int64]) -> Floats:
    """What the length of each row, in terms, adds below the line; a row of -1 terms is none and does not count."""
    mean = np.maximum(lengths, 0).sum() / max(1, int((lengths >= 0).sum()))
    return (K1 * (1 - B + B * lengths / max(mean, 1e-9))).astype(np.float32)


def gains(having: int, rows: int, counts: NDArray[np.uint8], parts: Floats) -> Floats:
    """What a term adds to the `having` of so many rows that have it, so often each."""
    rarity = max(LEAST, math.log((rows - having + 0.5) / (having + 0.5)))
    often: Floats = counts.astype(np.float32)
    found: Floats = np.multiply(often, np.float32(rarity * (K1 + 1)), dtype=np.float32)
    return np.divide(found, often + parts, dtype=np.float32)


def best(total: Floats, rows: Rows, k: int, classes: Sequence[int] | None) -> Scores:
    """The `k` best of the rows above 0, of these classes of access (None: all)."""
    if classes is not None:
        total = total * np.isin(rows.access, classes)
    found = np.argpartition(-total, k - 1)[:k] if k < len(total) else np.arange(len(total))
    found = found[total[found] > 0]
    found = found[np.lexsort((found, -total[found]))]
    return dict(zip(rows.chunks[found].tolist(), total[found].tolist(), strict=True))
