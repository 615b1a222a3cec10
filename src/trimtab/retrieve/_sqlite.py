"""The usual index: one SQLite file; words and vectors are searched in memory, grams by FTS5."""

import hashlib
import json
import secrets
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.errors import StorageError
from trimtab.retrieve import _grams, _terms
from trimtab.retrieve._bm25 import Rows
from trimtab.retrieve._grams import Grams
from trimtab.retrieve._index import Card, Floats, Piece, Scores
from trimtab.retrieve._matrix import Matrix
from trimtab.retrieve._words import Words
from trimtab.store.wal import write_ahead
from trimtab.types import Passage

SCHEMA = 2
STATE = "state"
WAIT = 30.0  # seconds for another process that writes
TURN = 0.02  # seconds of one `settle`: questions wait for it
SAMPLE = 300  # chunks of a language by which its common grams are told
OFTEN = 0.01  # of them have a gram that is common
MOST = 2000  # grams that are read before they are asked for
_CARD = "source, title, kind, digest, root, origin, chunks, characters, at"
_UNLEARNT = """FROM chunks c LEFT JOIN vectors v ON v.digest = c.digest AND length(v.vector) = ?
WHERE v.digest IS NULL"""
_TABLES = f"""
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS access (id INTEGER PRIMARY KEY, readers TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT, kind TEXT, digest TEXT, root TEXT, origin TEXT,
  chunks INTEGER, characters INTEGER, at REAL, access INTEGER NOT NULL REFERENCES access);
CREATE TABLE IF NOT EXISTS chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents, access INTEGER NOT NULL,
  start INTEGER, stop INTEGER, title TEXT, text TEXT, language TEXT, digest BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS words_of (chunk INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_document ON chunks (document);
CREATE INDEX IF NOT EXISTS chunks_digest ON chunks (digest);
CREATE INDEX IF NOT EXISTS chunks_language ON chunks (language);
CREATE VIRTUAL TABLE IF NOT EXISTS grams USING fts5(text, content='',
  tokenize={_grams.TOKENIZE});
"""


class Sqlite:
    """`_index.Index` in `file`, or in memory; `dims` is the vectors' length.

    Raises `sqlite3.Error` and `OSError` where the file cannot be used, `StorageError` where a newer version wrote it.
    """

    def __init__(self, file: Path | None, dims: int) -> None:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file or ":memory:", timeout=WAIT, check_same_thread=False, isolation_level=None)
        write_ahead(self._db, WAIT)
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._matrix = Matrix(dims)
        self._bytes = 4 * dims
        self._seen: tuple[int, int] | None = None  # the state of the database that the matrix follows
        self._read: tuple[int, int] | None = None  # and that which words and grams follow
        self._common: list[str] | None = None  # grams that `settle` has not read yet
        self._counted: tuple[tuple[int, int], dict[str, int]] | None = None
        self._changes = 0
        self._words = Words(self._db)
        self._made()
        self._grams = Grams(self._db)

    def cards(self) -> Mapping[str, Card]:
        rows = self._db.execute(f"SELECT {_CARD}, readers FROM documents d JOIN access a ON a.id = d.access")  # noqa: S608
        return {row[0]: _card(row) for row in rows}

    def put(self, card: Card, pieces: Sequence[Piece]) -> None:
        with self._change():
            gone = self._taken_out([card.source])
            access = self._access(card.readers)
            size = max((piece.end for piece in pieces), default=0)
            values = (card.source, card.title, card.kind, card.digest, card.root, card.origin, len(pieces),
                      card.characters or size, card.at or time.time(), access)  # fmt: skip
            marks = ", ".join("?" * len(values))
            row = self._db.execute(f"INSERT INTO documents ({_CARD}, access) VALUES ({marks})", values)  # noqa: S608
            self._insert(int(row.lastrowid or 0), access, pieces)
            self._forgotten(gone)

    def drop(self, sources: Sequence[str]) -> None:
        with self._change():
            self._forgotten(self._taken_out(sources))

    def waiting(self) -> int:
        return int(self._db.execute(f"SELECT count(DISTINCT c.digest) {_UNLEARNT}", (self._bytes,)).fetchone()[0])

    def unlearnt(self, limit: int) -> list[tuple[int, str]]:
        sql = f"SELECT c.id, c.title, c.text {_UNLEARNT} ORDER BY c.id LIMIT ?"
        rows = self._db.execute(sql, (self._bytes, limit))
        return [(chunk, f"{title}\n{text}") for chunk, title, text in rows]

    def learn(self, chunks: Sequence[int], vectors: Floats) -> None:
        rows = [(vector.astype(np.float32).tobytes(), chunk) for chunk, vector in zip(chunks, vectors, strict=True)]
        with self._change():
            sql = "INSERT OR REPLACE INTO vectors (digest, vector) SELECT digest, ? FROM chunks WHERE id = ?"
            self._db.executemany(sql, rows)

    def forget(self) -> None:
        """Drop every vector: they are of another encoder."""
        with self._change():
            self._db.execute("DELETE FROM vectors")

    def words(self, question: str, k: int, reader: str | None) -> Scores:
        with self._reading():
            return self._words.best(question, k, self._classes(reader))

    def grams(self, question: str, k: int, reader: str | None) -> Scores:
        with self._reading():
            return self._grams.best(_terms.asked_grams(question), k, self._classes(reader))

    def near(self, vector: Floats, k: int, reader: str | None) -> Scores:
        self._follow()
        return self._matrix.near(vector, k, self._classes(reader))

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        self._follow()
        return self._matrix.cosines(chunks, vector)

    def passages(self, scores: Scores, reader: str | None, cosines: Scores | None = None) -> list[Passage]:
        marks = ", ".join("?" * len(scores))
        sql = (
            "SELECT c.id, c.text, d.source, c.start, c.stop, c.title "  # noqa: S608
            "FROM chunks c JOIN documents d ON d.id = c.document "
            f"WHERE c.id IN ({marks}) {self._allowed('c.access', reader)}"
        )
        rows = {row[0]: row for row in self._db.execute(sql, tuple(scores))}
        near = cosines or {}
        return [
            Passage(
                text=row[1], source=row[2], start=row[3], end=row[4], title=row[5], score=round(score, 6),
                near=near.get(chunk),
            )
            for chunk, score in scores.items()
            if (row := rows.get(chunk))
        ]  # fmt: skip

    def languages(self) -> Mapping[str, int]:
        state = self._state()
        if self._counted is None or self._counted[0] != state:
            rows = self._db.execute("SELECT language, count(*) FROM chunks GROUP BY language")
            self._counted = (state, dict(rows))
        return self._counted[1]

    def sample(self, language: str, limit: int) -> list[tuple[int, Piece]]:
        rows = self._db.execute(
            "SELECT id, start, stop, title, text, language FROM chunks WHERE language = ? ORDER BY digest LIMIT ?",
            (language, limit),
        )  # fmt: skip
        return [(row[0], Piece(*row[1:])) for row in rows]

    def note(self, key: str, value: str | None = None) -> str | None:
        if value is not None:
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (key, value))
        row = self._db.execute("SELECT value FROM notes WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def state(self) -> str:
        return self.note(STATE) or ""

    def settle(self) -> bool:
        self._follow()
        with self._reading():
            if self._common is None:
                self._common = self._often()
            end = time.monotonic() + TURN
            while self._common and time.monotonic() < end:
                self._grams.hold(self._common.pop())
        return bool(self._common)

    def close(self) -> None:
        self._db.close()

    def _made(self) -> None:
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'documents'").fetchone() is None:
            self._db.executescript("BEGIN IMMEDIATE;" + _TABLES + "COMMIT;")
            self.note("schema", str(SCHEMA))
            self.note(STATE, secrets.token_hex(8))
        schema = int(self.note("schema") or 0)
        if schema > SCHEMA:
            fix = "Update trimtab, or delete docs.db."
            raise StorageError("A newer version wrote the index of the documents.", fix, code="newer_database")
        if schema < SCHEMA:
            self._renewed()

    def _renewed(self) -> None:
        """Of an index of schema 1: its chunks' words, which were in an FTS5 table; some 0.1 ms a chunk."""
        with self._change():
            if self.note("schema") == str(SCHEMA):  # another process was first
                return
            self._db.execute("CREATE TABLE words_of (chunk INTEGER PRIMARY KEY, packed BLOB NOT NULL)")
            self._db.execute("DROP TABLE words")
            for row in self._db.execute("SELECT id, title, text FROM chunks ORDER BY id"):
                self._db.execute("INSERT INTO words_of VALUES (?, ?)", (row[0], self._words.stems.packed(*row[1:])))
            self.note("schema", str(SCHEMA))

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (STATE, secrets.token_hex(8)))
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")
        self._changes += 1

    def _access(self, readers: Sequence[str]) -> int:
        """The class of documents with these readers."""
        key = json.dumps(sorted(set(readers)))
        self._db.execute("INSERT OR IGNORE INTO access (readers) VALUES (?)", (key,))
        return int(self._db.execute("SELECT id FROM access WHERE readers = ?", (key,)).fetchone()[0])

    def _often(self) -> list[str]:
        """Grams that many chunks have, as a sample of each language tells, the most frequent last."""
        counts: Counter[str] = Counter()
        asked = 0
        for language in self.languages():
            for _, piece in self.sample(language, SAMPLE):
                asked += 1
                if _terms.grammed(piece.text, language):
                    counts.update(set(_terms.grams(f"{piece.title} {piece.text}")))
        common = [(count, gram) for gram, count in counts.items() if count >= max(2, OFTEN * asked)]
        return [gram for _, gram in sorted(common)][-MOST:]

    def _insert(self, document: int, access: int, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            digest = hashlib.sha256(piece.embedded.encode("utf-8", "replace")).digest()
            row = (document, access, piece.start, piece.end, _clean(piece.title), _clean(piece.text), piece.language,
                   digest)  # fmt: skip
            done = self._db.execute("INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            packed = self._words.stems.packed(*row[4:6])
            self._db.execute("INSERT INTO words_of VALUES (?, ?)", (done.lastrowid, packed))
            if _terms.grammed(row[5], piece.language):
                given = _spelt(*row[4:6])
                self._db.execute("INSERT INTO grams (rowid, text) VALUES (?, ?)", (done.lastrowid, given))

    def _taken_out(self, sources: Sequence[str]) -> list[bytes]:
        """Delete documents with their chunks; the digests of these."""
        gone: list[bytes] = []
        for source in sources:
            found = self._db.execute("SELECT id FROM documents WHERE source = ?", (source,)).fetchone()
            if found is None:
                continue
            rows = self._db.execute("SELECT id, title, text, language, digest FROM chunks WHERE document = ?", found)
            for chunk, title, text, language, digest in rows.fetchall():
                gone.append(digest)
                self._db.execute("DELETE FROM words_of WHERE chunk = ?", (chunk,))
                if _terms.grammed(text, language):
                    sql = "INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)"
                    self._db.execute(sql, (chunk, _spelt(title, text)))
            self._db.execute("DELETE FROM chunks WHERE document = ?", found)
            self._db.execute("DELETE FROM documents WHERE id = ?", found)
        return gone

    def _forgotten(self, digests: Iterable[bytes]) -> None:
        """Drop the vectors that no chunk refers to any more."""
        sql = "DELETE FROM vectors WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE digest = ?1)"
        self._db.executemany(sql, [(digest,) for digest in digests])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """One state of the database, whatever others write meanwhile, which words and grams follow."""
        self._db.execute("BEGIN")
        try:
            state = self._state()
            if state != self._read:
                rows = Rows(*self._pairs("SELECT id, access FROM chunks ORDER BY id").T.copy())
                self._words.follow(rows)
                self._grams.follow(rows)
                self._read = state
            yield
        finally:
            self._db.execute("COMMIT")

    def _pairs(self, sql: str, *given: Any) -> NDArray[np.int64]:
        return np.array(self._db.execute(sql, given).fetchall(), np.int64).reshape(-1, 2)

    def _allowed(self, column: str, reader: str | None) -> str:
        """A condition on the class of access, empty where the reader may read all."""
        classes = self._classes(reader)
        return "" if classes is None else f"AND {column} IN ({', '.join(map(str, classes))})"

    def _classes(self, reader: str | None) -> list[int] | None:
        """The classes of access that a reader has; None where that is all of them."""
        if reader is None:
            return None
        rows = [(row[0], json.loads(row[1])) for row in self._db.execute("SELECT id, readers FROM access")]
        mine = [access for access, readers in rows if "*" in readers or reader in readers]
        return None if len(mine) == len(rows) else mine

    def _state(self) -> tuple[int, int]:
        """Another one where the database was changed since, here or by another process."""
        return int(self._db.execute("PRAGMA data_version").fetchone()[0]), self._changes

    def _follow(self) -> None:
        """Take up what was changed since, here or by another process."""
        state = self._state()
        if state == self._seen:
            return
        rows = self._pairs(
            "SELECT c.id, c.access FROM chunks c JOIN vectors v ON v.digest = c.digest WHERE length(v.vector) = ? "
            "ORDER BY c.id", self._bytes,
        )  # fmt: skip
        missing = self._matrix.keep(rows)
        for first in range(0, len(missing), 500):
            self._matrix.add(*self._stored(missing[first : first + 500]))
        self._matrix.settle()
        self._seen = state

    def _stored(self, chunks: Sequence[int]) -> tuple[list[tuple[int, int]], Floats]:
        marks = ", ".join("?" * len(chunks))
        rows = self._db.execute(
            "SELECT c.id, c.access, v.vector FROM chunks c JOIN vectors v ON v.digest = c.digest "  # noqa: S608
            f"WHERE c.id IN ({marks})", tuple(chunks),
        ).fetchall()  # fmt: skip
        return [row[:2] for row in rows], np.frombuffer(b"".join(row[2] for row in rows), np.float32)


def _card(row: Sequence[Any]) -> Card:
    names = _CARD.split(", ")
    return Card(**dict(zip(names, row, strict=False)), readers=tuple(json.loads(row[len(names)])))


def _clean(text: str) -> str:
    """SQLite takes no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _spelt(title: str, text: str) -> str:
    return " ".join(_terms.grams(f"{title} {text}"))
