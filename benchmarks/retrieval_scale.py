"""What a question costs among many chunks: the part of benchmarks/retrieval.py that is asked for with `--scale`."""

import asyncio
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab import wiring
from trimtab.answer import reader
from trimtab.encode.encoder import HOME, Encoder
from trimtab.retrieve import _search
from trimtab.retrieve._index import Card, Piece
from trimtab.retrieve._library import Library
from trimtab.retrieve._sqlite import Sqlite
from trimtab.testing import Hears
from trimtab.types import Evidence, Request

QUESTIONS, WARM = 300, 20
DOCUMENT = 50  # chunks
ENCODED = 2000  # chunks that are really encoded, to reckon with


def measured(corpus: Any, chunks: int, home: Path) -> dict[str, Any]:
    """Index time, size, memory and latency, each question on one core."""
    encoder, file = Encoder.load(), home / "docs.db"
    texts = _texts(corpus, chunks)
    found: dict[str, Any] = {"encode": asyncio.run(_encoding(encoder, texts[:ENCODED], chunks))}
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    began, cpu = time.perf_counter(), time.process_time()
    index = Sqlite(file, encoder.dims)
    for first in range(0, chunks, DOCUMENT):
        index.put(Card(source=f"{first}", title="", kind="text", digest="", root=""),
                  _pieces(texts[first : first + DOCUMENT]))  # fmt: skip
    found["put_s"] = {"wall": round(time.perf_counter() - began, 1), "cpu": round(time.process_time() - cpu, 1)}
    _taught(index, encoder, [text for _, text in texts[:512]], chunks)
    index.close()
    began = time.perf_counter()
    index = Sqlite(file, encoder.dims)
    while index.settle():
        pass
    found["open_s"] = round(time.perf_counter() - began, 1)
    questions = [query["q"] for query in random.Random(3).sample(corpus.queries, QUESTIONS)]
    found["latency_ms"] = {**_latency(index, encoder, questions), **asyncio.run(_read(index, encoder, questions, home))}
    found["memory_mb"] = _memory(file, questions[:30])
    found["disk_mb"] = round(sum(one.stat().st_size for one in home.rglob("*") if one.is_file()) / 1e6)
    found["recall10"] = _recall(index, encoder, questions[:100])
    index.close()
    encoder.close()
    print(json.dumps(found, indent=1))
    return found


def _pieces(texts: Sequence[tuple[str, str]]) -> list[Piece]:
    return [Piece(0, len(text), title, text, "english") for title, text in texts]


def _texts(corpus: Any, chunks: int) -> list[tuple[str, str]]:
    """The corpus itself, then chunks of its sentences shuffled."""
    rng = random.Random(1)
    sentences = [part for doc in corpus.docs for part in doc["text"].split(". ")]
    titles = [str(doc.get("title", "")).replace("_", " ") for doc in corpus.docs]
    real = [(title, doc["text"]) for title, doc in zip(titles, corpus.docs, strict=True)][:chunks]
    return real + [(rng.choice(titles), ". ".join(rng.choices(sentences, k=6))) for _ in range(chunks - len(real))]


async def _encoding(encoder: Encoder, texts: list[tuple[str, str]], chunks: int) -> dict[str, float]:
    """With one encoder and with one for each core, in turn; as `trimtab docs add` does it."""
    helpers = [Encoder.load(HOME) for _ in range(len(os.sched_getaffinity(0)) - 1)]

    async def off(work: Callable[..., Any], *given: Any) -> Any:
        return work(*given)

    async def each(*others: Encoder) -> tuple[float, float]:
        index = Sqlite(None, encoder.dims)
        index.put(Card(source="", title="", kind="text", digest="", root=""), _pieces(texts))
        library = Library(index, lambda: encoder, Path(), off, size=1200, overlap=200, helpers=lambda: others)
        began, cpu = time.perf_counter(), time.process_time()
        await library.learn()
        index.close()
        return (time.perf_counter() - began) / len(texts), (time.process_time() - cpu) / len(texts)

    pieces = sum(encoder.tokens(f"{title}\n{text}") for title, text in texts)
    rounds = [(await each(), await each(*helpers)) for _ in range(2)]
    for helper in helpers:
        helper.close()
    (one, computed), (all_, _) = np.median(rounds, axis=0).tolist()
    return {"cores": len(helpers) + 1, "ms_per_chunk_one_core": round(one * 1e3, 1),
            "cpu_ms_per_chunk": round(computed * 1e3, 1), "tokens_per_chunk": round(pieces / len(texts), 1),
            "ms_per_chunk_all_cores": round(all_ * 1e3, 1), "ratio": round(one / all_, 2),
            "minutes_for_all_reckoned": round(all_ * chunks / 60, 1)}  # fmt: skip


def _taught(index: Sqlite, encoder: Encoder, texts: list[str], chunks: int) -> None:
    """Vectors: of the first texts the real ones, of the others one of these with noise."""
    rng = np.random.default_rng(2)
    real = np.concatenate([encoder.embed_now(texts[i : i + 16]) for i in range(0, len(texts), 16)])
    while missing := index.unlearnt(1000):
        rows = real[rng.integers(0, len(real), len(missing))]
        rows = rows + 0.03 * rng.standard_normal(rows.shape).astype(np.float32)
        index.learn([chunk for chunk, _ in missing], rows / np.linalg.norm(rows, axis=1, keepdims=True))
    print(f"{chunks} chunks are in", flush=True)


def _latency(index: Sqlite, encoder: Encoder, questions: list[str]) -> dict[str, Any]:
    spent: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, work: Callable[..., Any], *given: Any) -> Any:
        began, cpu = time.perf_counter(), time.process_time()
        result = work(*given)
        row = ((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3)
        spent.setdefault(name, []).append(row)
        return result

    for question in questions:
        vector = timed("encode the question", encoder.embed_now, [question])[0]
        timed("words", index.words, question, 100, "local")
        timed("meaning", index.near, vector, 100, "local")
        timed("hybrid", _search.search, index, question, vector, 6, "local")
    return {name: _figures(rows) for name, rows in spent.items()}


async def _read(index: Sqlite, encoder: Encoder, questions: list[str], home: Path) -> dict[str, Any]:
    """Retrieve and read: the question is encoded, looked up, and the reader answers from the six best passages."""
    tools = msgspec.structs.replace(wiring.bench_tools(home), name="reader", encoder=lambda: encoder)
    model, rows = reader.build(reader.Options(), tools), []
    for question in questions:
        request = Request(id="r", messages=({"role": "user", "content": question},))
        began, cpu = time.perf_counter(), time.process_time()
        (vector,) = await encoder.embed([question])
        passages = _search.search(index, question, vector, 6, "local")
        await model.answer(request, Evidence(passages=tuple(passages)), Hears(live=False))
        rows.append(((time.perf_counter() - began) * 1e3, (time.process_time() - cpu) * 1e3))
    return {"retrieve and read": _figures(rows)}


def _figures(rows: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = np.array(rows[WARM:]).T
    return {f"{what}_p{q}": round(float(np.percentile(ms, q)), 2)
            for what, ms in (("wall", wall), ("cpu", cpu)) for q in (50, 95, 99)}  # fmt: skip


def _memory(file: Path, questions: list[str]) -> dict[str, int]:
    """Resident MB of a process of its own that has opened the index and answered some questions, encoder included."""
    done = subprocess.run([sys.executable, __file__, str(file)], input=json.dumps(questions), text=True,
                          capture_output=True, check=True)  # fmt: skip
    return json.loads(done.stdout)


def _recall(index: Sqlite, encoder: Encoder, questions: list[str]) -> float:
    """The share of the ten nearest that are found, where not every cosine is worked out."""
    every = [chunk for language in index.languages() for chunk, _ in index.sample(language, 10**9)]
    shares = []
    for question in questions:
        vector = encoder.embed_now([question])[0]
        cosines = index.cosines(every, vector)
        exact = sorted(cosines, key=lambda chunk: -cosines[chunk])[:10]
        shares.append(len({*exact} & {*list(index.near(vector, 100, None))[:10]}) / len(exact))
    return round(float(np.mean(shares)), 4)


def _child(file: Path) -> None:
    encoder = Encoder.load()
    index = Sqlite(file, encoder.dims)
    for question in json.load(sys.stdin):
        _search.search(index, question, encoder.embed_now([question])[0], 6, "local")
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"now": pages * os.sysconf("SC_PAGE_SIZE") // 1_000_000, "peak": peak * 1024 // 1_000_000}))
    index.close()
    encoder.close()


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
