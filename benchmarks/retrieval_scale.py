"""What a question costs among many chunks: the part of benchmarks/retrieval.py that is asked for with `--scale`."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _search
from trimtab.retrieve._index import Card, Piece
from trimtab.retrieve._sqlite import Sqlite
from trimtab.retrieve._swift import Swift

QUESTIONS, WARM = 300, 20
DOCUMENT = 50  # chunks
ENGINES: dict[str, Callable[[Path, int], Sqlite]] = {
    "sqlite": Sqlite,
    "swift": lambda file, dims: Swift(file, dims, 1.0),
}


def measured(corpus: Any, chunks: int, home: Path) -> dict[str, Any]:
    """Index time, size, memory and latency of each engine; both are asked each question in turn, on one core."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    encoder, file = Encoder.load(), home / "docs.db"
    texts = _texts(corpus, chunks)
    found: dict[str, Any] = {"encode": _encoding(encoder, [text for _, text in texts[:64]], chunks)}
    began = time.perf_counter()
    index = Sqlite(file, encoder.dims)
    for first in range(0, chunks, DOCUMENT):
        pieces = [Piece(0, len(text), title, text, "english") for title, text in texts[first : first + DOCUMENT]]
        index.put(Card(source=f"{first}", title="", kind="text", digest="", root=""), pieces)
    found["index_words_s"] = round(time.perf_counter() - began, 1)
    _taught(index, encoder, [text for _, text in texts[:512]], chunks)
    index.close()
    opened = {}
    for name, open_ in ENGINES.items():
        began = time.perf_counter()
        opened[name] = open_(file, encoder.dims)
        opened[name].settle()
        found[f"{name}_settle_s"] = round(time.perf_counter() - began, 1)
    questions = [query["q"] for query in random.Random(3).sample(corpus.queries, QUESTIONS)]
    found["latency_ms"] = _latency(opened, encoder, questions)
    found["memory_mb"] = {name: _memory(name, file, questions[:30]) for name in ENGINES}
    found["disk_mb"] = round(sum(one.stat().st_size for one in home.rglob("*") if one.is_file()) / 1e6)
    found["swift_recall10"] = _recall(opened, encoder, questions[:100])
    for index in opened.values():
        index.close()
    encoder.close()
    print(json.dumps(found, indent=1))
    return found


def _texts(corpus: Any, chunks: int) -> list[tuple[str, str]]:
    """The corpus itself, then chunks of its sentences shuffled."""
    rng = random.Random(1)
    sentences = [part for doc in corpus.docs for part in doc["text"].split(". ")]
    titles = [str(doc.get("title", "")).replace("_", " ") for doc in corpus.docs]
    real = [(title, doc["text"]) for title, doc in zip(titles, corpus.docs, strict=True)][:chunks]
    return real + [(rng.choice(titles), ". ".join(rng.choices(sentences, k=6))) for _ in range(chunks - len(real))]


def _encoding(encoder: Encoder, texts: list[str], chunks: int) -> dict[str, float]:
    began = time.perf_counter()
    for first in range(0, len(texts), 16):
        encoder.embed_now(texts[first : first + 16])
    each = (time.perf_counter() - began) / len(texts)
    return {"ms_per_chunk": round(each * 1e3, 1), "minutes_for_all_reckoned": round(each * chunks / 60, 1)}


def _taught(index: Sqlite, encoder: Encoder, texts: list[str], chunks: int) -> None:
    """Vectors: of the first texts the real ones, of the others one of these with noise."""
    rng = np.random.default_rng(2)
    real = np.concatenate([encoder.embed_now(texts[i : i + 16]) for i in range(0, len(texts), 16)])
    while missing := index.unlearnt(1000):
        rows = real[rng.integers(0, len(real), len(missing))]
        rows = rows + 0.03 * rng.standard_normal(rows.shape).astype(np.float32)
        index.learn([chunk for chunk, _ in missing], rows / np.linalg.norm(rows, axis=1, keepdims=True))
    print(f"{chunks} chunks are in", flush=True)


def _latency(opened: dict[str, Sqlite], encoder: Encoder, questions: list[str]) -> dict[str, Any]:
    """Milliseconds by the clock, and of this process's CPU, which says more where others take turns on the core."""
    spent: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        result = work(*given)
        row = ((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3)
        spent.setdefault(name, []).append(row)
        return result

    for question in questions:
        vector = timed("encode the question", encoder.embed_now, [question])[0]
        for name, index in opened.items():
            timed(f"{name}: words", index.words, question, 100, "local")
            timed(f"{name}: meaning", index.near, vector, 100, "local")
            timed(f"{name}: hybrid", _search.search, index, question, vector, 6, "local")
    figures: dict[str, Any] = {}
    for name, rows in spent.items():
        wall, cpu = np.array(rows[WARM:]).T
        figures[name] = {f"{what}_p{q}": round(float(np.percentile(ms, q)), 2)
                         for what, ms in (("wall", wall), ("cpu", cpu)) for q in (50, 95, 99)}  # fmt: skip
    pairs = np.array(spent["sqlite: hybrid"][WARM:])[:, 1] / np.array(spent["swift: hybrid"][WARM:])[:, 1]
    figures["sqlite over swift, hybrid, CPU, median of the ratios"] = round(float(np.median(pairs)), 2)
    return figures


def _memory(engine: str, file: Path, questions: list[str]) -> int:
    """Resident MB of a process of its own that has opened the index and answered some questions, encoder included."""
    done = subprocess.run([sys.executable, __file__, engine, str(file)], input=json.dumps(questions), text=True,
                          capture_output=True, check=True)  # fmt: skip
    return int(done.stdout)


def _recall(opened: dict[str, Sqlite], encoder: Encoder, questions: list[str]) -> float:
    """The share of the ten nearest that the graph finds."""
    shares = []
    for question in questions:
        vector = encoder.embed_now([question])[0]
        exact = list(opened["sqlite"].near(vector, 100, None))[:10]
        shares.append(len({*exact} & {*list(opened["swift"].near(vector, 100, None))[:10]}) / len(exact))
    return round(float(np.mean(shares)), 4)


def _child(engine: str, file: Path) -> None:
    encoder = Encoder.load()
    index = ENGINES[engine](file, encoder.dims)
    for question in json.load(sys.stdin):
        _search.search(index, question, encoder.embed_now([question])[0], 6, "local")
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    print(pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000)
    index.close()
    encoder.close()


if __name__ == "__main__":
    _child(sys.argv[1], Path(sys.argv[2]))
