"""BM25 over the FTS5 table of grams, with the postings of grams that were asked for kept in memory.

A chunk has some thousand grams, too many for an array of all. FTS5 itself ranks a question by reading every row that
has any of its grams: seconds among 100,000 chunks. Where a gram stands is asked of it once, and a question is a sum
over arrays from then on.
"""

import sqlite3
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve import _bm25
from trimtab.retrieve._bm25 import Rows
from trimtab.retrieve._index import Floats, Scores

TOKENIZE = """"unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '_'\""""
ROOM = 64_000_000  # bytes of postings that are kept; the least recently used go first
FULL = 0.8  # of it, up to which grams are read that nobody has asked for
MOST = 255  # times that a gram counts in a row


class _Gram(NamedTuple):
    """Places among the rows, how often the gram is in each, and up to which row it was read."""

    places: NDArray[np.int32]
    counts: NDArray[np.uint8]
    until: int


class Grams:
    """Of the FTS5 table `grams`, whose row ids are among those of `rows`, never used twice."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._rows = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._lengths = np.zeros(0, np.int64)  # of each row in grams; -1 where none are kept of it
        self._parts: Floats = np.zeros(0, np.float32)
        self._kept: OrderedDict[str, _Gram] = OrderedDict()
        self._size = self._count = 0
        self._tokens = lru_cache(10_000)(self._cut)
        db.execute("CREATE VIRTUAL TABLE temp.grams_at USING fts5vocab(main, grams, instance)")
        db.execute(f"CREATE VIRTUAL TABLE temp.grams_cut USING fts5(text, tokenize={TOKENIZE})")
        db.execute("CREATE VIRTUAL TABLE temp.grams_tokens USING fts5vocab(temp, grams_cut, instance)")

    def follow(self, rows: Rows) -> None:
        """Take up that these are the rows now; to be called in the transaction in which grams are asked for."""
        old, self._rows = self._rows.chunks, rows
        left = np.isin(old, rows.chunks)
        if not left.all():
            self._moved(np.searchsorted(rows.chunks, old).astype(np.int32), left)
        lengths = np.full(len(rows.chunks), -1, np.int64)
        lengths[: left.sum()] = self._lengths[left]
        last = int(old[-1]) if len(old) else 0
        for chunk, sizes in self._db.execute("SELECT id, sz FROM grams_docsize WHERE id > ?", (last,)):
            lengths[np.searchsorted(rows.chunks, chunk)] = _integer(sizes)
        self._lengths, self._count = lengths, int((lengths >= 0).sum())
        self._parts = _bm25.lengths_part(lengths)

    def best(self, grams: Sequence[str], k: int, classes: Sequence[int] | None) -> Scores:
        """The best `k` rows of these classes of access (None: all) that have any of the grams."""
        total = np.zeros(len(self._rows.chunks), np.float32)
        for token in (token for gram in grams for token in self._tokens(gram)):
            places, counts, _ = self._gram(token)
            total[places] += _bm25.gains(len(places), self._count, counts, self._parts[places])
        return _bm25.best(total, self._rows, k, classes)

    def hold(self, gram: str) -> None:
        """Read a gram before it is asked for, where there is room."""
        if self._size < ROOM * FULL:
            for token in self._tokens(gram):
                self._gram(token)

    def _gram(self, token: str) -> _Gram:
        last = int(self._rows.chunks[-1]) if len(self._rows.chunks) else 0
        kept = self._kept.get(token)
        if kept is None or kept.until < last:
            kept = self._keep(token, self._read(token, kept, last))
        self._kept.move_to_end(token)
        while self._size > ROOM and len(self._kept) > 1:
            self._size -= _bytes(self._kept.popitem(last=False)[1])
        return kept

    def _read(self, token: str, kept: _Gram | None, last: int) -> _Gram:
        """The gram's postings: `kept`, and those of the rows after it."""
        sql = "SELECT doc FROM temp.grams_at WHERE term = ? AND doc > ?"
        rows = self._db.execute(sql, (token, kept.until if kept else 0)).fetchall()
        chunks, often = np.unique(np.fromiter((row[0] for row in rows), np.int64, len(rows)), return_counts=True)
        places = np.searchsorted(self._rows.chunks, chunks).astype(np.int32)
        counts = np.minimum(often, MOST).astype(np.uint8)
        if kept:
            places, counts = np.concatenate([kept.places, places]), np.concatenate([kept.counts, counts])
        return _Gram(places, counts, last)

    def _cut(self, gram: str) -> tuple[str, ...]:
        """The tokens that the table's tokenizer makes of a gram: one, unless SQLite does not know its letters."""
        self._db.execute("INSERT INTO temp.grams_cut VALUES (?)", (gram,))
        found = self._db.execute("SELECT term FROM temp.grams_tokens ORDER BY offset").fetchall()
        self._db.execute("DELETE FROM temp.grams_cut")
        return tuple(row[0] for row in found)

    def _keep(self, token: str, found: _Gram) -> _Gram:
        if old := self._kept.pop(token, None):
            self._size -= _bytes(old)
        self._kept[token] = found
        self._size += _bytes(found)
        return found

    def _moved(self, places: NDArray[np.int32], left: NDArray[np.bool_]) -> None:
        """Some rows are gone: those that are `left` have other places."""
        for token, found in list(self._kept.items()):
            here = left[found.places]
            self._keep(token, _Gram(places[found.places[here]], found.counts[here], found.until))


def _integer(given: Iterable[int]) -> int:
    """The number of tokens of a row's one column, which FTS5 keeps as SQLite's variable-length integer."""
    value = 0
    for byte in given:
        value = value << 7 | byte & 127
    return value


def _bytes(gram: _Gram) -> int:
    return gram.places.nbytes + gram.counts.nbytes + 200
