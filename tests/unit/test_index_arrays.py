"""What an index keeps in memory ranks as FTS5 does, and follows whatever is put in and dropped, here and elsewhere."""

import random
import sqlite3

import numpy as np
import pytest

from trimtab.errors import StorageError
from trimtab.retrieve import _grams, _matrix, _terms, _words
from trimtab.retrieve._index import Card, Piece
from trimtab.retrieve._matrix import Matrix
from trimtab.retrieve._sqlite import Sqlite

DIMS = 64
PLAIN = ["harbour", "berths", "pilot", "boarding", "crane", "lifted", "winter", "storm", "tugs", "café", "E_42", "runs"]
THAI = ["ท่าเรือ", "เปิด", "บริการ", "หกโมง", "เช้า", "ทุกวัน"]


def document(name, texts, readers=("*",)):
    pieces = [Piece(0, len(text), name, text, _terms.language(text)) for text in texts]
    return Card(source=name, title=name, kind="text", digest=f"{texts}", root="/", readers=readers), pieces


def texts(drawn, words, count=1):
    return [" ".join(drawn.choices(words, k=drawn.randint(3, 30))) for _ in range(count)]


def learn(index, drawn):
    while missing := index.unlearnt(100):
        rows = np.random.default_rng(drawn.randrange(10**6)).standard_normal((len(missing), DIMS)).astype(np.float32)
        index.learn([chunk for chunk, _ in missing], rows / np.linalg.norm(rows, axis=1, keepdims=True))


def fts5(rows, tokenize, query, weights=""):
    db = sqlite3.connect(":memory:")
    db.execute(f"CREATE VIRTUAL TABLE t USING fts5(title, text, tokenize={tokenize})")
    db.executemany("INSERT INTO t (rowid, title, text) VALUES (?, ?, ?)", rows)
    sql = f"SELECT rowid, -bm25(t{weights}) FROM t WHERE t MATCH ? ORDER BY 2 DESC, rowid"  # noqa: S608
    return dict(db.execute(sql, (query,)))


def test_words_rank_as_fts5_ranks_them():
    drawn, index = random.Random(1), Sqlite(None, DIMS)
    card, pieces = document("Harbour storm", texts(drawn, PLAIN, 200))
    index.put(card, pieces)
    rows = [(at, piece.title, piece.text) for at, piece in enumerate(pieces, 1)]
    for asked in ("pilots", "crane tug", "cafe winters boards", "run lifting harbour"):
        wanted = fts5(rows, "porter", " OR ".join(asked.split()), ", 2.0, 1.0")
        found = index.words(asked, 1000, None)
        assert found.keys() == wanted.keys()
        assert list(found.values()) == pytest.approx(sorted(wanted.values(), reverse=True), rel=1e-4)
        assert found == pytest.approx(wanted, rel=1e-4)
    assert index.words("e_42", 1000, None).keys() == fts5(rows, "porter", '"e 42"').keys()


def test_grams_rank_as_fts5_ranks_them():
    drawn, index = random.Random(2), Sqlite(None, DIMS)
    card, pieces = document("x", texts(drawn, THAI, 150))
    index.put(card, pieces)
    rows = [(at, "", " ".join(_terms.grams(f"{p.title} {p.text}"))) for at, p in enumerate(pieces, 1)]
    for asked in ("เปิดบริการ", "หกโมงเช้า"):
        query = " OR ".join(f'"{gram}"' for gram in _terms.asked_grams(asked))
        wanted = fts5(rows, _grams.TOKENIZE, query)
        assert index.grams(asked, 1000, None) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_put_in_and_dropped_it_finds_what_a_new_index_finds(seed, tmp_path, monkeypatch):
    monkeypatch.setattr(_matrix, "FEW", 10)
    monkeypatch.setattr(_words, "SMALL", 2)
    monkeypatch.setattr(_grams, "ROOM", 2000)
    drawn = random.Random(seed)
    one, other = Sqlite(tmp_path / "docs.db", DIMS), Sqlite(tmp_path / "docs.db", DIMS)
    held = {}
    for step in range(60):
        who = drawn.choice([one, other])
        if held and drawn.random() < 0.4:
            gone = drawn.sample(sorted(held), min(len(held), drawn.randint(1, 3)))
            who.drop(gone)
            held = {name: kept for name, kept in held.items() if name not in gone}
        else:
            name, words = f"d{drawn.randrange(12)}", drawn.choice([PLAIN, THAI, [*PLAIN, *THAI]])
            held[name] = document(name, texts(drawn, words, drawn.randint(1, 9)), drawn.choice([("*",), ("alice",)]))
            who.put(*held[name])
        if step % 3 == 0:
            learn(who, drawn)
        if step % 5 == 0:
            compared(one, other, held, drawn.choice([None, "alice", "bob"]))
    one.close()
    other.close()


def compared(one, other, held, reader):
    """Both, and one made anew of what is held, find the same passages with the same scores."""
    fresh = Sqlite(None, DIMS)
    for card, pieces in held.values():
        fresh.put(card, pieces)
    for asked, leg in (("pilot storm cafe", "words"), ("the berths", "words"), ("เปิดบริการ", "grams")):
        wanted, *found = (told(index, getattr(index, leg)(asked, 500, reader), reader) for index in (fresh, one, other))
        assert [dict(rows) == pytest.approx(dict(wanted), abs=1e-4) for rows in found] == [True, True]
    vector = np.full(DIMS, DIMS**-0.5, np.float32)
    assert one.near(vector, 9, reader) == other.near(vector, 9, reader)
    assert all(one.passages({chunk: 1.0}, reader) for chunk in one.near(vector, 9, reader))
    fresh.close()


def told(index, scores, reader):
    """By document and text; of two alike the sum."""
    total = {}
    for passage in index.passages(scores, reader):
        place = (passage.source, passage.text)
        total[place] = total.get(place, 0.0) + passage.score
    assert len(index.passages(scores, reader)) == len(scores)
    return total


def test_of_many_vectors_the_nearest_are_found_without_all_cosines(monkeypatch):
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((60, DIMS))
    rows = (centres[rng.integers(0, 60, 6000)] + 0.3 * rng.standard_normal((6000, DIMS))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    monkeypatch.setattr(_matrix, "FEW", 1000)
    matrix = Matrix(DIMS)
    matrix.add([(2 * chunk, chunk % 3) for chunk in range(6000)], rows)
    matrix.settle()
    hits = 0
    for asked in range(0, 6000, 300):
        cosines = rows @ rows[asked]
        for classes in (None, [1, 2]):
            allowed = np.arange(6000) % 3 >= 1 if classes else np.ones(6000, bool)
            exact = (2 * np.argsort(np.where(allowed, -cosines, 9))[:10]).tolist()
            found = matrix.near(rows[asked], 10, classes)
            assert all(chunk // 2 % 3 in (classes or (0, 1, 2)) for chunk in found)
            assert found == pytest.approx({chunk: float(cosines[chunk // 2]) for chunk in found}, abs=1e-5)
            hits += len({*exact} & found.keys())
    assert hits >= 0.95 * 400
    assert matrix.keep(np.zeros((0, 2), np.int64)) == []
    assert matrix.near(rows[0], 10, None) == {}


OLD = """
CREATE TABLE notes (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE vectors (digest BLOB PRIMARY KEY, vector BLOB NOT NULL);
CREATE TABLE access (id INTEGER PRIMARY KEY, readers TEXT NOT NULL UNIQUE);
CREATE TABLE documents (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL UNIQUE, title TEXT, kind TEXT, digest TEXT, root TEXT, origin TEXT,
  chunks INTEGER, characters INTEGER, at REAL, access INTEGER NOT NULL REFERENCES access);
CREATE TABLE chunks (
  id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL REFERENCES documents, access INTEGER NOT NULL,
  start INTEGER, stop INTEGER, title TEXT, text TEXT, language TEXT, digest BLOB NOT NULL);
CREATE VIRTUAL TABLE words USING fts5(title, text, content='chunks', content_rowid='id', tokenize='porter');
CREATE VIRTUAL TABLE grams USING fts5(text, content='',
  tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co' tokenchars '_'");
INSERT INTO notes VALUES ('schema', '1');
INSERT INTO access VALUES (1, '["*"]');
INSERT INTO documents VALUES (1, 'a', 'a', 'text', 'd', '/', 'added', 1, 30, 1.0, 1);
INSERT INTO chunks VALUES (7, 1, 1, 0, 30, 'Fees', 'The pilots board at the buoy.', 'english', x'00');
INSERT INTO words (rowid, title, text) VALUES (7, 'Fees', 'The pilots board at the buoy.');
"""


def test_an_index_of_an_older_version_is_taken_over_and_one_of_a_newer_refused(tmp_path):
    with sqlite3.connect(tmp_path / "docs.db") as db:
        db.executescript(OLD)
    db.close()
    index = Sqlite(tmp_path / "docs.db", DIMS)
    assert list(index.words("pilot", 5, None)) == [7]
    index.drop(["a"])
    assert index.words("pilot", 5, None) == {}
    index.put(*document("b", ["A pilot."]))
    assert list(index.words("pilot", 5, None)) == [8]
    index.note("schema", "99")
    index.close()
    with pytest.raises(StorageError, match="newer version"):
        Sqlite(tmp_path / "docs.db", DIMS)
