"""The index for several machines: PostgreSQL with tsvector and pgvector, by the extra `trimtab[postgres]`.

PostgreSQL's own ranks know nothing of how rare a word is. So candidates are ranked in the database by the sum of their
terms' inverse document frequencies, and twice as many as are wanted get their BM25 here, from the positions in their
tsvector.
"""

import hashlib
import math
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np

from trimtab.errors import ConfigError, StorageError
from trimtab.retrieve import _terms
from trimtab.retrieve._index import Card, Floats, Piece, Scores
from trimtab.retrieve._words import TITLE
from trimtab.types import Passage

EXTRA = "pip install 'trimtab[postgres]'"
SCHEMA = 1
K1, B = 1.2, 0.75  # of BM25, as FTS5 has them
MORE = 2  # times as many candidates as are wanted
_CARD = "source, title, kind, digest, root, origin, readers, chunks, characters, at"
_MADE = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS trimtab_docs;
SET search_path TO trimtab_docs, public;
CREATE TABLE IF NOT EXISTS notes (key text PRIMARY KEY, value text NOT NULL);
CREATE TABLE IF NOT EXISTS documents (
  id bigserial PRIMARY KEY, source text NOT NULL UNIQUE, title text, kind text, digest text, root text, origin text,
  readers text[] NOT NULL, chunks integer, characters integer, at double precision);
CREATE TABLE IF NOT EXISTS chunks (
  id bigserial PRIMARY KEY, document bigint NOT NULL REFERENCES documents ON DELETE CASCADE, readers text[] NOT NULL,
  start integer, stop integer, title text, text text, language text, digest bytea NOT NULL,
  words tsvector NOT NULL, grams tsvector NOT NULL, length integer NOT NULL, vector vector({dims}));
CREATE INDEX IF NOT EXISTS chunks_document ON chunks (document);
CREATE INDEX IF NOT EXISTS chunks_digest ON chunks (digest);
CREATE INDEX IF NOT EXISTS chunks_language ON chunks (language);
CREATE INDEX IF NOT EXISTS chunks_unlearnt ON chunks (id) WHERE vector IS NULL;
CREATE INDEX IF NOT EXISTS chunks_words ON chunks USING gin (words);
CREATE INDEX IF NOT EXISTS chunks_grams ON chunks USING gin (grams);
CREATE INDEX IF NOT EXISTS chunks_vector ON chunks USING hnsw (vector vector_ip_ops);
"""


class Postgres:
    """`_index.Index` in the schema `trimtab_docs` of the database at `address`; `dims` is the vectors' length.

    Raises `ConfigError` where the extra is not installed, `StorageError` where the database cannot be reached or used.
    """

    def __init__(self, address: str, dims: int) -> None:
        try:
            psycopg = import_module("psycopg")
        except ImportError as error:
            raise ConfigError('[retrieve] engine = "postgres" needs psycopg.', f"Run {EXTRA}.") from error
        self._psycopg, self._address, self._dims = psycopg, address, dims
        self._connection: Any = None
        with self._change() as db:
            db.execute("SELECT pg_advisory_xact_lock(7205759)")  # several machines may start at once
            db.execute(_MADE.format(dims=int(dims)))
        if int(self.note("schema") or self.note("schema", str(SCHEMA)) or 0) > SCHEMA:
            raise StorageError("A newer version wrote the index of the documents.", "Update trimtab.",
                               code="newer_database")  # fmt: skip
        if not self.state():
            self.note("state", secrets.token_hex(8))

    def cards(self) -> Mapping[str, Card]:
        rows = self._rows(f"SELECT {_CARD} FROM documents")  # noqa: S608
        names = _CARD.split(", ")
        return {row[0]: Card(**{**dict(zip(names, row, strict=True)), "readers": tuple(row[6])}) for row in rows}

    def put(self, card: Card, pieces: Sequence[Piece]) -> None:
        size = max((piece.end for piece in pieces), default=0)
        values = (card.source, card.title, card.kind, card.digest, card.root, card.origin, sorted(set(card.readers)),
                  len(pieces), card.characters or size, card.at or time.time())  # fmt: skip
        digests = [hashlib.sha256(piece.embedded.encode("utf-8", "replace")).digest() for piece in pieces]
        with self._other_state() as db:
            sql = "SELECT DISTINCT ON (digest) digest, vector::text FROM chunks WHERE digest = ANY(%s)"
            known = dict(db.execute(f"{sql} AND vector IS NOT NULL", (digests,)).fetchall())
            db.execute("DELETE FROM documents WHERE source = %s", (card.source,))
            marks = ", ".join(["%s"] * len(values))
            sql = f"INSERT INTO documents ({_CARD}) VALUES ({marks}) RETURNING id"  # noqa: S608
            document = db.execute(sql, values).fetchone()[0]
            rows = [
                self._row(document, values[6], piece, digest, known)
                for piece, digest in zip(pieces, digests, strict=True)
            ]
            with db.cursor() as cursor:
                cursor.executemany(
                    "INSERT INTO chunks (document, readers, start, stop, title, text, language, digest, words, grams, "
                    "length, vector) SELECT %s, %s, %s, %s, t, x, %s, %s, w, array_to_tsvector(%s), "
                    "(SELECT coalesce(sum(cardinality(positions)), 0) FROM unnest(w)), %s::vector FROM "
                    "(SELECT %s::text AS t, %s::text AS x, setweight(to_tsvector('english', %s), 'A') || "
                    "setweight(to_tsvector('english', %s), 'B') AS w) AS made", rows,
                )  # fmt: skip

    def drop(self, sources: Sequence[str]) -> None:
        with self._other_state() as db:
            db.execute("DELETE FROM documents WHERE source = ANY(%s)", (list(sources),))

    def waiting(self) -> int:
        return self._rows("SELECT count(DISTINCT digest) FROM chunks WHERE vector IS NULL")[0][0]

    def unlearnt(self, limit: int) -> list[tuple[int, str]]:
        rows = self._rows(
            "SELECT min(id), min(title), min(text) FROM (SELECT * FROM chunks WHERE vector IS NULL "
            "ORDER BY id LIMIT %s) AS next GROUP BY digest ORDER BY 1", (limit,),
        )  # fmt: skip
        return [(chunk, f"{title}\n{text}") for chunk, title, text in rows]

    def learn(self, chunks: Sequence[int], vectors: Floats) -> None:
        rows = [(_vector(vector), chunk) for chunk, vector in zip(chunks, vectors, strict=True)]
        sql = "UPDATE chunks SET vector = %s::vector WHERE digest = (SELECT digest FROM chunks WHERE id = %s)"
        with self._other_state() as db, db.cursor() as cursor:
            cursor.executemany(sql, rows)

    def forget(self) -> None:
        with self._other_state() as db:
            db.execute("UPDATE chunks SET vector = NULL")

    def words(self, question: str, k: int, reader: str | None) -> Scores:
        given = " ".join(_terms.words(question))
        terms = self._rows("SELECT tsvector_to_array(to_tsvector('english', %s))", (given,))[0][0]
        return self._bm25("words", terms, k, reader)

    def grams(self, question: str, k: int, reader: str | None) -> Scores:
        return self._bm25("grams", _terms.asked_grams(_clean(question)), k, reader)

    def near(self, vector: Floats, k: int, reader: str | None) -> Scores:
        allowed, who = _allowed(reader)
        rows = self._rows(
            f"SELECT id, -(vector <#> %s::vector) FROM chunks WHERE vector IS NOT NULL {allowed} "  # noqa: S608
            "ORDER BY vector <#> %s::vector LIMIT %s", (_vector(vector), *who, _vector(vector), k),
        )  # fmt: skip
        return dict(sorted(rows, key=lambda row: (-row[1], row[0])))

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        sql = "SELECT id, -(vector <#> %s::vector) FROM chunks WHERE id = ANY(%s) AND vector IS NOT NULL"
        return dict(self._rows(sql, (_vector(vector), list(chunks))))

    def passages(self, scores: Scores, reader: str | None, cosines: Scores | None = None) -> list[Passage]:
        allowed, who = _allowed(reader, "c.")
        rows = self._rows(
            "SELECT c.id, c.text, d.source, c.start, c.stop, c.title "  # noqa: S608
            "FROM chunks c JOIN documents d ON d.id = c.document "
            f"WHERE c.id = ANY(%s) {allowed}", (list(scores), *who),
        )  # fmt: skip
        found = {row[0]: row for row in rows}
        near = cosines or {}
        return [
            Passage(
                text=row[1], source=row[2], start=row[3], end=row[4], title=row[5], score=round(score, 6),
                near=near.get(chunk),
            )
            for chunk, score in scores.items()
            if (row := found.get(chunk))
        ]  # fmt: skip

    def languages(self) -> Mapping[str, int]:
        return dict(self._rows("SELECT language, count(*) FROM chunks GROUP BY language"))

    def sample(self, language: str, limit: int) -> list[tuple[int, Piece]]:
        sql = "SELECT id, start, stop, title, text, language FROM chunks WHERE language = %s ORDER BY digest LIMIT %s"
        return [(row[0], Piece(*row[1:])) for row in self._rows(sql, (language, limit))]

    def note(self, key: str, value: str | None = None) -> str | None:
        if value is not None:
            with self._change() as db:
                sql = "INSERT INTO notes VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
                db.execute(sql, (key, value))
        rows = self._rows("SELECT value FROM notes WHERE key = %s", (key,))
        return rows[0][0] if rows else None

    def state(self) -> str:
        return self.note("state") or ""

    def settle(self) -> bool:
        return False  # the database does it by itself

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    @contextmanager
    def _change(self) -> Iterator[Any]:
        """A transaction. Raises `StorageError`."""
        try:
            db = self._opened()
            with db.transaction():
                yield db
        except self._psycopg.Error as error:
            fix = "Look at TRIMTAB_DOCS_URL; its user must be able to make tables and the extension vector."
            raise StorageError(f"The database of the documents says: {str(error).strip()}.", fix) from error

    def _rows(self, sql: str, given: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._change() as db:
            return db.execute(sql, given).fetchall()

    @contextmanager
    def _other_state(self) -> Iterator[Any]:
        """A transaction after which `state` is another."""
        with self._change() as db:
            yield db
            sql = "INSERT INTO notes VALUES ('state', %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            db.execute(sql, (secrets.token_hex(8),))

    def _opened(self) -> Any:
        """The connection; another one where it was lost."""
        if self._connection is None or self._connection.closed:
            self._connection = self._psycopg.connect(self._address, autocommit=True, connect_timeout=10)
            self._connection.execute("SET search_path TO trimtab_docs, public")
            self._connection.execute("SET hnsw.ef_search = 200")
            self._connection.execute("SET hnsw.iterative_scan = strict_order")  # a reader's own, however few they are
        return self._connection

    def _row(
        self, document: int, readers: list[str], piece: Piece, digest: bytes, known: Mapping[bytes, str]
    ) -> tuple[Any, ...]:
        title, text = _clean(piece.title), _clean(piece.text)
        grams = list(dict.fromkeys(_terms.grams(f"{title} {text}"))) if _terms.grammed(text, piece.language) else []
        return (document, readers, piece.start, piece.end, piece.language, digest, grams, known.get(digest), title,
                text, _apart(title), _apart(text))  # fmt: skip

    def _bm25(self, column: str, terms: Sequence[str], k: int, reader: str | None) -> Scores:
        if not terms:
            return {}
        quoted = [_lexeme(term) for term in terms]
        counts = self._rows(
            f"SELECT (SELECT count(*) FROM chunks WHERE {column} @@ t::tsquery) FROM unnest(%s::text[]) "  # noqa: S608
            "WITH ORDINALITY AS given (t, place) ORDER BY place", (quoted,),
        )  # fmt: skip
        total, average = self._rows("SELECT count(*), coalesce(avg(length), 0)::float8 FROM chunks")[0]
        rare = {term: _rarity(total, row[0]) for term, row in zip(terms, counts, strict=True) if row[0]}
        if not rare:
            return {}
        rows = self._candidates(column, rare, MORE * k, reader)
        scores = {row[0]: _score(row[2], row[1], average, rare) for row in rows}
        return dict(sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:k])

    def _candidates(self, column: str, rare: Mapping[str, float], k: int, reader: str | None) -> list[tuple[Any, ...]]:
        """Chunks with their length and, for each of the terms that they have, how often: words in titles twice."""
        allowed, who = _allowed(reader)
        worth = " + ".join([f"CASE WHEN {column} @@ %s::tsquery THEN %s::float8 ELSE 0 END"] * len(rare))
        pairs = [value for term, weight in rare.items() for value in (_lexeme(term), weight)]
        often = "coalesce((SELECT sum(CASE w WHEN 'A' THEN %s::float8 ELSE 1 END) FROM unnest(weights) AS w), 1)"
        return self._rows(
            f"SELECT id, length, (SELECT json_object_agg(lexeme, {often}) FROM unnest({column}) "  # noqa: S608
            f"WHERE lexeme = ANY(%s)) FROM (SELECT id, length, {column} FROM chunks "
            f"WHERE {column} @@ %s::tsquery {allowed} ORDER BY {worth} DESC, id LIMIT %s) AS best",
            (float(TITLE), list(rare), " | ".join(map(_lexeme, rare)), *who, *pairs, k),
        )


def _score(counts: Mapping[str, float], length: int, average: float, rare: Mapping[str, float]) -> float:
    """BM25 of a chunk (Robertson & Zaragoza, 2009)."""
    damped = K1 * (1 - B + B * length / max(average, 1.0))
    return sum(rare[term] * count * (K1 + 1) / (count + damped) for term, count in counts.items())


def _rarity(total: int, having: int) -> float:
    return max(1e-6, math.log((total - having + 0.5) / (having + 0.5)))


def _allowed(reader: str | None, table: str = "") -> tuple[str, tuple[list[str], ...]]:
    """A condition on who may read, and what it is given."""
    return ("", ()) if reader is None else (f"AND {table}readers && %s", (["*", reader],))


def _lexeme(term: str) -> str:
    """A tsquery of one term, quoted so that nothing in it is an operator."""
    doubled = term.replace("\\", "\\\\").replace("'", "''")
    return f"'{doubled}'"


def _vector(vector: Floats) -> str:
    return "[" + ",".join(f"{number:.7g}" for number in np.asarray(vector).tolist()) + "]"


def _apart(text: str) -> str:
    """Words and no more: to PostgreSQL `b.md` is a host."""
    return " ".join(_terms.all_words(text))


def _clean(text: str) -> str:
    """PostgreSQL takes no lone surrogates and no zero characters."""
    return text.encode("utf-8", "replace").decode().replace("\0", " ")
