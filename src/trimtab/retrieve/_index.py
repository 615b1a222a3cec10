"""The chunks of a corpus, found by words (SQLite FTS5, BM25) and by meaning (exact cosine), and scored as one.

The index lies in memory and is built at each start, which takes milliseconds; what is dear, the embeddings, is kept on
disk by the content they were made from, so that a restart or an edit of one file encodes only what is new.
"""

import hashlib
import re
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.retrieve._chunk import Chunk, chunks
from trimtab.retrieve._load import Document
from trimtab.types import Passage

SCHEMA = 1
MAX_TERMS = 48  # words of a question that are searched for; a longer one is a document of its own
TITLE_WEIGHT = 2.0  # of a word in the headings against one in the text, for BM25
_WORD = re.compile(r"\w+")
STOP = frozenset(
    _WORD.findall(
        "a about an and any are as at be been being but by can could did do does doing for from had has have "
        "having he her  hers him his how i if in into is it its itself just me my of on or our ours she should so "
        "some such than that the  their them then there these they this those to too us was we were what when "
        "where which while who whom whose why  will with would you your yours am not no s t re ve ll d m"
    )
)

Floats: TypeAlias = NDArray[np.float32]


class Entry(msgspec.Struct, frozen=True):
    """A chunk in the index; `digest` names its embedding."""

    document: Document
    chunk: Chunk
    digest: bytes

    @property
    def text(self) -> str:
        return self.document.text[self.chunk.start : self.chunk.end]

    @property
    def embedded(self) -> str:
        """What is encoded: the headings too, since a section often does not repeat its subject."""
        return f"{self.chunk.title}\n{self.text}"


class Index:
    """All chunks of `documents`, searchable by words at once and by meaning as `learn` is given their vectors."""

    def __init__(self, documents: Sequence[Document], size: int, overlap: int, dims: int) -> None:
        self.entries = [_entry(document, chunk) for document in documents for chunk in chunks(document, size, overlap)]
        self.vectors: Floats = np.zeros((len(self.entries), dims), np.float32)
        self._words = sqlite3.connect(":memory:", check_same_thread=False)  # used by one thread at a time
        self._words.execute("CREATE VIRTUAL TABLE words USING fts5(title, text, content='', tokenize='porter')")
        rows = ((i, entry.chunk.title, entry.text) for i, entry in enumerate(self.entries))
        self._words.executemany("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", rows)

    def learn(self, places: Sequence[int], vectors: Floats) -> None:
        """The vectors of the entries at `places`, unit rows."""
        self.vectors[list(places)] = vectors

    def search(self, question: str, vector: Floats | None, k: int, meaning: float) -> list[Passage]:
        """The best `k` passages, best first; their score is a mix of words (0 to 1) and meaning (0 to 1).

        `vector` is the question's embedding, None to go by words only; `meaning` is its weight. A convex mix of
        normalised scores does better than mixing ranks (Bruch, Gai & Ingber, 2023, arXiv:2210.11934); the words' score
        is divided by the best one's, the cosine mapped from [-1, 1] to [0, 1] and divided by the best likewise.
        """
        words = self._bm25(question)
        scores = words if vector is None else (1 - meaning) * words + meaning * _scaled((self.vectors @ vector + 1) / 2)
        best = [int(i) for i in np.argsort(-scores, kind="stable")[:k] if scores[i] > 0]
        return [_passage(self.entries[i], float(scores[i])) for i in best]

    def close(self) -> None:
        self._words.close()

    def _bm25(self, question: str) -> Floats:
        scores = np.zeros(len(self.entries), np.float32)
        if query := fts_query(question):
            sql = "SELECT rowid, -bm25(words, ?, 1.0) FROM words WHERE words MATCH ?"
            for place, score in self._words.execute(sql, (TITLE_WEIGHT, query)):
                scores[place] = score
        return _scaled(scores)


class Vectors:
    """Embeddings by the SHA-256 of what they were made from, in `file` (None: nowhere); a cache, so losing it is safe.

    `probe` is the encoder's vector of a fixed text: where it has changed, the encoder has, and nothing kept is valid.
    Raises `sqlite3.Error` and `OSError` where the file cannot be used.
    """

    def __init__(self, file: Path, probe: Floats) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, timeout=5, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, vector BLOB NOT NULL)")
        self._own(probe)

    def kept(self, digest: bytes, dims: int) -> Floats | None:
        row = self._db.execute("SELECT vector FROM vectors WHERE digest = ?", (digest,)).fetchone()
        return np.frombuffer(row[0], np.float32) if row and len(row[0]) == 4 * dims else None

    def keep(self, digests: Sequence[bytes], vectors: Floats) -> None:
        rows = [(digest, vector.tobytes()) for digest, vector in zip(digests, vectors, strict=True)]
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def prune(self, digests: set[bytes]) -> None:
        """Forget what no chunk refers to any more."""
        gone = [row for row in self._db.execute("SELECT digest FROM vectors") if row[0] not in digests]
        with self._db:
            self._db.executemany("DELETE FROM vectors WHERE digest = ?", gone)

    def close(self) -> None:
        self._db.close()

    def _own(self, probe: Floats) -> None:
        mark = hashlib.sha256(f"probe {SCHEMA}".encode()).digest()
        old = self.kept(mark, probe.size)
        if old is None or float(old @ probe) < 0.9999:  # the same weights on another processor differ by less
            self._db.execute("DELETE FROM vectors")
        self.keep([mark], probe[None])
        self.mark = mark


def fts_query(question: str) -> str:
    """An FTS5 query that matches any of the question's words; each is quoted, so none is an operator.

    Words that say little are left out unless there are no others. Empty where there is no word.
    """
    words = list(dict.fromkeys(_WORD.findall(question.casefold().replace("\0", " "))))
    telling = [word for word in words if word not in STOP] or words
    return " OR ".join(f'"{word}"' for word in telling[:MAX_TERMS])


def _entry(document: Document, chunk: Chunk) -> Entry:
    bare = Entry(document, chunk, b"")
    return Entry(document, chunk, hashlib.sha256(bare.embedded.encode("utf-8", "replace")).digest())


def _passage(entry: Entry, score: float) -> Passage:
    chunk = entry.chunk
    return Passage(
        text=entry.text, source=entry.document.source, start=chunk.start, end=chunk.end, score=round(score, 6),
        title=chunk.title,
    )  # fmt: skip


def _scaled(scores: NDArray[Any]) -> NDArray[Any]:
    best = float(scores.max(initial=0.0))
    return scores / best if best > 0 else scores
