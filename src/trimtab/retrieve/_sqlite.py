"""The usual index: one SQLite file with FTS5 for words and grams, and exact cosines over a matrix in memory."""

import hashlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.errors import StorageError
from trimtab.retrieve import _terms
from trimtab.retrieve._index import Card, Floats, Piece, Scores
from trimtab.retrieve._matrix import Matrix
from trimtab.types import Passage

SCHEMA = 1
TITLE_WEIGHT = 2.0  # of a word in the headings against one in the text, for BM25
WAIT = 30.0  # seconds for another process that writes
_CARD = "source, title, kind, digest, root, origin, chunks, characters, at"
_UNLEARNT = """FROM chunks c LEFT JOIN vectors v ON v.digest = c.digest AND length(v.vector) = ?
WHERE v.digest IS NULL"""
_TABLES = """
CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS vectors (digest BLOB PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS access (id INTEGER PRIMARY KEY, readers TEXT NOT NULL UNIQUE);
CREATE TABLE IF NOT EXISTS documents (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT, kind TEXT, digest TEXT, root TEXT, origin TEXT,
  chunks INTEGER, characters INTEGER, at REAL, access INTEGER NOT NULL REFERENCES access);
CREATE TABLE IF NOT EXISTS chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents, access INTEGER NOT NULL,
  start INTEGER, stop INTEGER, title TEXT, text TEXT, language TEXT, digest BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS chunks_document ON chunks (document);
CREATE INDEX IF NOT EXISTS chunks_digest ON chunks (digest);
CREATE INDEX IF NOT EXISTS chunks_language ON chunks (language);
CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(title, text, content='chunks', content_rowid='id',
  tokenize='porter');
CREATE VIRTUAL TABLE IF NOT EXISTS grams USING fts5(text, content='',
  tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '_'");
INSERT INTO words (words, rank) VALUES ('rank', 'bm25(2.0, 1.0)');
"""


class Sqlite:
    """`_index.Index` in `file`, or in memory; `dims` is the vectors' length.

    Raises `sqlite3.Error` and `OSError` where the file cannot be used, `StorageError` where a newer version wrote it.
    """

    def __init__(self, file: Path | None, dims: int) -> None:
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file or ":memory:", timeout=WAIT, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._matrix = Matrix(dims)
        self._bytes = 4 * dims
        self._seen: tuple[int, int] | None = None  # the state of the database that the matrix follows
        self._counted: tuple[tuple[int, int], dict[str, int]] | None = None
        self._changes = 0
        self._made()

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
        return self._matched("words", _any(_terms.words(question)), k, reader)

    def grams(self, question: str, k: int, reader: str | None) -> Scores:
        return self._matched("grams", _any(_terms.asked_grams(question)), k, reader)

    def near(self, vector: Floats, k: int, reader: str | None) -> Scores:
        self._follow()
        return self._matrix.near(vector, k, self._classes(reader))

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        self._follow()
        return self._matrix.cosines(chunks, vector)

    def passages(self, scores: Scores, reader: str | None) -> list[Passage]:
        marks = ", ".join("?" * len(scores))
        sql = (
            "SELECT c.id, c.text, d.source, c.start, c.stop, c.title "  # noqa: S608
            "FROM chunks c JOIN documents d ON d.id = c.document "
            f"WHERE c.id IN ({marks}) {self._allowed('c.access', reader)}"
        )
        rows = {row[0]: row for row in self._db.execute(sql, tuple(scores))}
        return [
            Passage(text=row[1], source=row[2], start=row[3], end=row[4], score=round(score, 6), title=row[5])
            for chunk, score in scores.items()
            if (row := rows.get(chunk))
        ]

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

    def settle(self) -> None:
        self._follow()

    def close(self) -> None:
        self._db.close()

    def _made(self) -> None:
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'documents'").fetchone() is None:
            self._db.executescript("BEGIN IMMEDIATE;" + _TABLES + "COMMIT;")
            self.note("schema", str(SCHEMA))
        if int(self.note("schema") or 0) > SCHEMA:
            fix = "Update trimtab, or delete docs.db."
            raise StorageError("A newer version wrote the index of the documents.", fix, code="newer_database")

    @contextmanager
    def _change(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
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

    def _insert(self, document: int, access: int, pieces: Iterable[Piece]) -> None:
        for piece in pieces:
            digest = hashlib.sha256(piece.embedded.encode("utf-8", "replace")).digest()
            row = (document, access, piece.start, piece.end, _clean(piece.title), _clean(piece.text), piece.language,
                   digest)  # fmt: skip
            done = self._db.execute("INSERT INTO chunks VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._db.execute("INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (done.lastrowid, *row[4:6]))
            if _terms.grammed(row[5], piece.language):
                given = _grams(*row[4:6])
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
                sql = "INSERT INTO words (words, rowid, title, text) VALUES ('delete', ?, ?, ?)"
                self._db.execute(sql, (chunk, title, text))
                if _terms.grammed(text, language):
                    sql = "INSERT INTO grams (grams, rowid, text) VALUES ('delete', ?, ?)"
                    self._db.execute(sql, (chunk, _grams(title, text)))
            self._db.execute("DELETE FROM chunks WHERE document = ?", found)
            self._db.execute("DELETE FROM documents WHERE id = ?", found)
        return gone

    def _forgotten(self, digests: Iterable[bytes]) -> None:
        """Drop the vectors that no chunk refers to any more."""
        sql = "DELETE FROM vectors WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM chunks WHERE digest = ?1)"
        self._db.executemany(sql, [(digest,) for digest in digests])

    def _matched(self, table: str, query: str, k: int, reader: str | None) -> Scores:
        if not query:
            return {}
        allowed = self._allowed(f"(SELECT access FROM chunks WHERE id = {table}.rowid)", reader)  # noqa: S608
        sql = f"SELECT rowid, -rank FROM {table} WHERE {table} MATCH ? {allowed} ORDER BY rank LIMIT ?"  # noqa: S608
        return dict(self._db.execute(sql, (query, k)))

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
        rows = self._db.execute(
            "SELECT c.id, c.access FROM chunks c JOIN vectors v ON v.digest = c.digest WHERE length(v.vector) = ? "
            "ORDER BY c.id", (self._bytes,),
        ).fetchall()  # fmt: skip
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


def _any(terms: Sequence[str]) -> str:
    """An FTS5 query that matches any of the terms; each is quoted, so none is an operator."""
    return " OR ".join(f'"{term}"' for term in terms)


def _clean(text: str) -> str:
    """SQLite takes no lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def _grams(title: str, text: str) -> str:
    return " ".join(_terms.grams(f"{title} {text}"))
