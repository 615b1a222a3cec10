"""The index for many documents: words and grams by tantivy, meaning by usearch (HNSW), of the extra `trimtab[search]`.

SQLite stays the truth; what lies in the folder beside it follows from it, is brought up to date before a question and
made anew where it is missing or was left half written. Each class of access has its own graph, so that nobody's search
walks over what they may not read.
"""

import fcntl
import json
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.errors import ConfigError
from trimtab.retrieve import _terms
from trimtab.retrieve._index import Floats, Scores
from trimtab.retrieve._sqlite import TITLE_WEIGHT, Sqlite

EXTRA = "pip install 'trimtab[search]'"
BATCH = 2000  # chunks taken up at a time
HEAP = 64_000_000  # bytes that tantivy writes in
LINKS, CARE, REACH = 16, 128, 256  # of HNSW: connectivity, candidates while adding, candidates while searching
DONE = "CREATE TABLE IF NOT EXISTS swift_{} (chunk INTEGER PRIMARY KEY, access INTEGER NOT NULL)"
WANTED = {
    "terms": "SELECT id, access FROM chunks",
    "vectors": "SELECT c.id, c.access FROM chunks c JOIN vectors v ON v.digest = c.digest WHERE length(v.vector) = {}",
}


class Swift(Sqlite):
    """`_index.Index` in `file` and the folder `<file>.swift`; looks for changes at most every `pause` seconds.

    Raises `ConfigError` where the extra is not installed.
    """

    def __init__(self, file: Path, dims: int, pause: float = 0.0) -> None:
        try:
            tantivy, usearch = import_module("tantivy"), import_module("usearch.index")
        except ImportError as error:
            raise ConfigError('[retrieve] engine = "swift" needs tantivy and usearch.', f"Run {EXTRA}.") from error
        super().__init__(file, dims)
        self._tantivy, self._usearch, self._dims, self._pause = tantivy, usearch, dims, pause
        self._folder = file.with_name(file.name + ".swift")
        self._token, self._looked = "", 0.0
        self._terms: Any = None
        self._graphs: dict[int, Any] = {}
        for name in WANTED:
            self._db.execute(DONE.format(name))

    def words(self, question: str, k: int, reader: str | None) -> Scores:
        terms = _terms.words(question)
        return self._found(lambda: self._terms.parse_query_lenient(" ".join(terms), ["text"])[0], terms, k, reader)

    def grams(self, question: str, k: int, reader: str | None) -> Scores:
        terms = _terms.asked_grams(question)
        return self._found(lambda: self._either("grams", terms), terms, k, reader)

    def near(self, vector: Floats, k: int, reader: str | None) -> Scores:
        self._follow()
        classes = self._classes(reader)
        found: list[tuple[float, int]] = []
        for access, graph in self._graphs.items():
            if classes is None or access in classes:
                matches = graph.search(vector, k, threads=1)
                found += zip((1.0 - matches.distances).tolist(), matches.keys.tolist(), strict=True)
        return {int(chunk): float(cosine) for cosine, chunk in sorted(found, key=lambda one: (-one[0], one[1]))[:k]}

    def cosines(self, chunks: Sequence[int], vector: Floats) -> Scores:
        self._follow()
        found: Scores = {}
        asked = np.asarray(chunks, np.uint64)
        for graph in self._graphs.values() if len(asked) else ():
            here = asked[graph.contains(asked)]
            if len(here):
                products = np.asarray(graph.get(here), np.float32).reshape(-1, self._dims) @ vector
                found |= zip(here.tolist(), products.tolist(), strict=True)
        return found

    def settle(self) -> None:
        self._looked = 0.0
        self._follow()

    def _found(self, query: Callable[[], Any], terms: Sequence[str], k: int, reader: str | None) -> Scores:
        self._follow()
        if not terms:
            return {}
        asked, classes = query(), self._classes(reader)
        if classes is not None:
            must = self._tantivy.Occur.Must
            mine = self._tantivy.Query.term_set_query(self._terms.schema, "access", classes)
            asked = self._tantivy.Query.boolean_query(
                [(must, asked), (must, self._tantivy.Query.const_score_query(mine, 0.0))]
            )
        searcher = self._terms.searcher()
        hits = searcher.search(asked, k, count=False).hits
        return {int(searcher.doc(place)["chunk"][0]): float(score) for score, place in hits}

    def _either(self, field: str, terms: Sequence[str]) -> Any:
        query, should = self._tantivy.Query, self._tantivy.Occur.Should
        return query.boolean_query([(should, query.term_query(self._terms.schema, field, term)) for term in terms])

    def _follow(self) -> None:
        now = time.monotonic()
        if self._token and now - self._looked < self._pause:
            return
        self._looked = now
        state = self._state()
        if state == self._seen:
            return
        with self._locked():
            if not self._whole():
                self._begun()
            if self._terms is None:
                self._terms = self._opened_terms()
            self._reopened()
            lacking = {name: self._lacking(name) for name in WANTED}
            if any(gone or new for gone, new in lacking.values()):
                self._take_up(lacking)
        self._seen = self._state()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _whole(self) -> bool:
        """Whether what lies in the folder is what SQLite says was put there."""
        return bool(token := self.note("swift")) and self._kept().get("token") == token

    def _kept(self) -> dict[str, Any]:
        try:
            return json.loads((self._folder / "state.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def _begun(self) -> None:
        """An empty folder, and nothing taken up."""
        for path in self._folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != "lock":
                path.unlink()
        self._terms, self._graphs = None, {}
        for name in WANTED:
            self._db.execute(f"DELETE FROM swift_{name}")  # noqa: S608

    def _lacking(self, name: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """What is taken up and no longer there, and what is there and not taken up: (chunk, class of access)."""
        wanted, done = WANTED[name].format(self._bytes), f"SELECT chunk, access FROM swift_{name}"  # noqa: S608
        return (self._db.execute(f"{done} EXCEPT {wanted}").fetchall(),
                self._db.execute(f"{wanted} EXCEPT {done}").fetchall())  # fmt: skip

    def _take_up(self, lacking: dict[str, tuple[list[tuple[int, int]], list[tuple[int, int]]]]) -> None:
        (self._folder / "state.json").unlink(missing_ok=True)  # until all is done, what lies here is not whole
        self._write_terms(*lacking["terms"])
        touched = self._write_vectors(*lacking["vectors"])
        token = secrets.token_hex(8)
        for access in touched:
            self._graphs[access].save(str(self._folder / f"{access}-{token}.usearch"))
        with self._change():
            for name, (gone, new) in lacking.items():
                self._db.executemany(f"DELETE FROM swift_{name} WHERE chunk = ? AND access = ?", gone)  # noqa: S608
                self._db.executemany(f"INSERT OR REPLACE INTO swift_{name} VALUES (?, ?)", new)  # noqa: S608
            self.note("swift", token)
        self._tidied(touched)
        (self._folder / "state.json").write_text(json.dumps({"token": token}), "utf-8")
        self._token = token

    def _write_terms(self, gone: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> None:
        if not gone and not new:
            return
        writer = self._terms.writer(heap_size=HEAP, num_threads=1)
        if gone:
            chunks = [chunk for chunk, _ in gone]
            writer.delete_documents_by_query(self._tantivy.Query.term_set_query(self._terms.schema, "chunk", chunks))
        for first in range(0, len(new), BATCH):
            part = [chunk for chunk, _ in new[first : first + BATCH]]
            marks = ", ".join("?" * len(part))
            sql = f"SELECT id, access, title, text, language FROM chunks WHERE id IN ({marks})"  # noqa: S608
            for row in self._db.execute(sql, part):
                writer.add_document(self._document(*row))
        writer.commit()
        writer.wait_merging_threads()
        self._terms.reload()

    def _document(self, chunk: int, access: int, title: str, text: str, language: str) -> Any:
        titles = f"{title} " * int(TITLE_WEIGHT)
        document = self._tantivy.Document()
        document.add_unsigned("chunk", chunk)
        document.add_unsigned("access", access)
        document.add_text("text", f"{titles}\n{text}")
        if _terms.grammed(text, language):
            document.add_text("grams", " ".join(_terms.grams(f"{title} {text}")))
        return document

    def _write_vectors(self, gone: Sequence[tuple[int, int]], new: Sequence[tuple[int, int]]) -> set[int]:
        """The classes of access whose graphs were changed; these are in memory then."""
        touched = {access for _, access in (*gone, *new)}
        for access in touched:
            self._graphs[access] = self._loaded(access)
        for chunk, access in gone:
            self._graphs[access].remove(chunk)
        for first in range(0, len(new), BATCH):
            rows, vectors = self._stored([chunk for chunk, _ in new[first : first + BATCH]])
            vectors = vectors.reshape(-1, self._dims)
            for access in {access for _, access in rows}:
                mine = [i for i, row in enumerate(rows) if row[1] == access]
                self._graphs[access].add(np.array([rows[i][0] for i in mine], np.uint64), vectors[mine])
        return touched

    def _graph(self) -> Any:
        return self._usearch.Index(ndim=self._dims, metric="ip", dtype="f16", connectivity=LINKS, expansion_add=CARE,
                                   expansion_search=REACH)  # fmt: skip

    def _loaded(self, access: int) -> Any:
        graph, files = self._graph(), sorted(self._folder.glob(f"{access}-*.usearch"))
        if files:
            graph.load(str(files[0]))
        return graph

    def _tidied(self, touched: set[int]) -> None:
        """Delete the files of graphs that were written anew, and graphs with nothing left in them."""
        token = self.note("swift")
        for access in touched:
            empty = len(self._graphs[access]) == 0
            for file in self._folder.glob(f"{access}-*.usearch"):
                if empty or not file.name.endswith(f"-{token}.usearch"):
                    file.unlink()
            if empty:
                del self._graphs[access]

    def _reopened(self) -> None:
        """Map the graphs that another process has written."""
        token = self.note("swift") or ""
        if token == self._token:
            return
        self._terms.reload()
        self._graphs = {}
        for file in self._folder.glob("*.usearch"):
            graph = self._graph()
            graph.view(str(file))
            self._graphs[int(file.name.partition("-")[0])] = graph
        self._token = token

    def _opened_terms(self) -> Any:
        tantivy, path = self._tantivy, self._folder / "terms"
        schema = (
            tantivy.SchemaBuilder().add_unsigned_field("chunk", stored=True, indexed=True, fast=True)
            .add_unsigned_field("access", stored=False, indexed=True)
            .add_text_field("text", stored=False, tokenizer_name="stems", index_option="freq")
            .add_text_field("grams", stored=False, tokenizer_name="grams", index_option="freq").build()
        )  # fmt: skip
        path.mkdir(exist_ok=True)
        index = tantivy.Index(schema, path=str(path))
        index.register_tokenizer("stems", _stems(tantivy))
        index.register_tokenizer("grams", tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace()).build())
        return index


def _stems(tantivy: Any) -> Any:
    """As FTS5's porter tokenizer: words in small letters, without accents, stemmed."""
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple())
    for each in (tantivy.Filter.lowercase(), tantivy.Filter.ascii_fold(), tantivy.Filter.stemmer("english")):
        builder = builder.filter(each)
    return builder.build()
