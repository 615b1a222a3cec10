"""BM25 over the stems of all chunks' words, which are kept in one sorted array in memory.

FTS5 ranks a question by reading every row that has any of its words, and how long each of these is: some 3 us a row, a
tenth of a second for everyday words among 100,000 chunks. Here a word's rows lie side by side in memory, and a question
is a sum over slices. What a chunk's words are is worked out when it is put in, and kept with it.
"""

import re
import sqlite3
import struct
import unicodedata
from collections import Counter
from collections.abc import Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve import _bm25, _terms
from trimtab.retrieve._bm25 import Rows
from trimtab.retrieve._index import Floats, Scores

TITLE = 2  # times that a word in the headings counts
PLACE, COUNT = 24, 8  # bits of a posting beside its stem's 32: which row (the vectors of so many take 25 GB), how often
SMALL = 8  # the array of what came lately is merged into the other one when it is an eighth of it
STEMS = 50_000  # words whose stems are remembered

_PART = re.compile(r"[^\W_]+")
Keys = NDArray[np.uint64]
"""Postings, sorted: a stem's CRC-32, its row's place and how often it stands there. Of 200,000 stems 5 share another's
CRC, and are told apart from it no more."""


class Stems:
    """Words -> stems, by SQLite's own Porter stemmer: small letters, no accents."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db, self._known = db, dict[str, str]()
        db.execute("CREATE VIRTUAL TABLE temp.stemmed USING fts5(word, tokenize='porter')")
        db.execute("CREATE VIRTUAL TABLE temp.stems USING fts5vocab(temp, stemmed, instance)")

    def of(self, text: str) -> list[str]:
        """The stem of each word, in order."""
        found = _split(text)
        if new := [word for word in dict.fromkeys(found) if word not in self._known]:
            if len(self._known) > STEMS:
                self._known.clear()
                new = list(dict.fromkeys(found))
            self._known |= self._stemmed(new)
        return [self._known[word] for word in found]

    def packed(self, title: str, text: str) -> bytes:
        """A chunk's words as they are kept: how many there are, the CRC of each stem, and how often it counts."""
        titled, said = self.of(title), self.of(text)
        counts = Counter(said)
        for stem in titled:
            counts[stem] += TITLE
        crcs = np.array([crc32(stem.encode()) for stem in counts], "<u4")
        often = np.minimum(np.fromiter(counts.values(), np.int64, len(counts)), (1 << COUNT) - 1).astype(np.uint8)
        return struct.pack("<I", len(titled) + len(said)) + crcs.tobytes() + often.tobytes()

    def _stemmed(self, words: Sequence[str]) -> dict[str, str]:
        self._db.executemany("INSERT INTO temp.stemmed (rowid, word) VALUES (?, ?)", enumerate(words))
        rows = self._db.execute("SELECT doc, term FROM temp.stems").fetchall()
        self._db.execute("DELETE FROM temp.stemmed")
        found = {word: word for word in words}
        found.update((words[int(at)], str(stem)) for at, stem in rows)
        return found


class Words:
    """The words of chunks, as `packed` in the table `words_of`; a chunk's number is never used twice."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.stems = Stems(db)
        self._db = db
        self._rows = Rows(np.zeros(0, np.int64), np.zeros(0, np.int64))
        self._lengths = np.zeros(0, np.int64)  # of each row, in words
        self._parts: Floats = np.zeros(0, np.float32)
        self._keys: list[Keys] = [np.zeros(0, np.uint64), np.zeros(0, np.uint64)]  # of long ago, and of what came since

    def follow(self, rows: Rows) -> None:
        """Take up that these are the rows now; to be called in the transaction in which words are asked for."""
        old, self._rows = self._rows.chunks, rows
        left = np.isin(old, rows.chunks)
        if not left.all():
            to = np.searchsorted(rows.chunks, old).astype(np.uint64)
            self._keys = [_moved(keys, to, left) for keys in self._keys]
            self._lengths = self._lengths[left]
        if len(rows.chunks) > len(self._lengths):
            self._add(int(old[-1]) if len(old) else 0)
        self._parts = _bm25.lengths_part(self._lengths)

    def best(self, question: str, k: int, classes: Sequence[int] | None) -> Scores:
        """The best `k` rows of these classes of access (None: all) that have any of the question's words."""
        total = np.zeros(len(self._rows.chunks), np.float32)
        for stem in dict.fromkeys(self.stems.of(" ".join(_terms.words(question)))):
            keys = self._found(crc32(stem.encode()))
            counts = (keys & np.uint64((1 << COUNT) - 1)).astype(np.uint8)
            places = (keys >> np.uint64(COUNT)).astype(np.int64) & ((1 << PLACE) - 1)
            total[places] += _bm25.gains(len(places), len(total), counts, self._parts[places])
        return _bm25.best(total, self._rows, k, classes)

    def _found(self, crc: int) -> Keys:
        """The postings of a stem."""
        ends = np.array([crc << PLACE + COUNT, (crc + 1 << PLACE + COUNT) - 1], np.uint64)
        return np.concatenate([keys[slice(*keys.searchsorted(ends))] for keys in self._keys])

    def _add(self, after: int) -> None:
        """Read the words of the chunks after this one."""
        first = len(self._lengths)
        lengths: list[int] = []
        new: list[Keys] = []
        for (packed,) in self._db.execute("SELECT packed FROM words_of WHERE chunk > ? ORDER BY chunk", (after,)):
            lengths.append(struct.unpack_from("<I", packed)[0])
            size = (len(packed) - 4) // 5
            crcs = np.frombuffer(packed, "<u4", size, 4).astype(np.uint64)
            often = np.frombuffer(packed, np.uint8, size, 4 + 4 * size)
            place = np.uint64(first + len(lengths) - 1 << COUNT)
            new.append(crcs << np.uint64(PLACE + COUNT) | place | often)
        self._lengths = np.concatenate([self._lengths, np.array(lengths, np.int64)])
        old, late = self._keys
        late = np.concatenate([late, *new])
        new.clear()  # in one array now: all of them twice would be much memory
        if len(late) * SMALL > len(old):
            old, late = np.concatenate([old, late]), np.zeros(0, np.uint64)
            old.sort()
        late.sort()
        self._keys = [old, late]


def _split(text: str) -> list[str]:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    return _PART.findall(text.casefold())


def _moved(keys: Keys, to: NDArray[np.uint64], left: NDArray[np.bool_]) -> Keys:
    """Postings whose rows have other places, or none any more; the order stays."""
    mask = np.uint64((1 << PLACE) - 1)
    places = (keys >> np.uint64(COUNT) & mask).astype(np.int64)
    here = left[places]
    return keys[here] & ~(mask << np.uint64(COUNT)) | to[places[here]] << np.uint64(COUNT)
