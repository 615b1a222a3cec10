"""The reader and its retriever on SQuAD 2.0: does it pick the right sentence, and does it know when there is none?

    python benchmarks/reader.py --data ../shared/data          scores the scoring half with the shipped constants
    python benchmarks/reader.py --data ../shared/data --fit    also fits the constants on the other half and prints them
    python benchmarks/reader.py --starter                      asks the starter's questions of its documents instead

The corpus is all 1,216 paragraphs (each a Markdown file under its article's title), the questions are drawn from 6,078,
half of them adversarial ones without an answer. An answerable question is asked twice: as it is, and with its paragraph
withheld. The halves are split by a hash of the article's title, so that no article is in both. Right is a quote that
holds a gold answer at its place in the gold paragraph. SQuAD 2.0 (Rajpurkar et al. 2018), CC BY-SA 4.0.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trimtab.answer import reader
from trimtab.encode.encoder import Encoder
from trimtab.ports import Tools
from trimtab.retrieve import hybrid
from trimtab.settings import RECIPES
from trimtab.types import Answer, Evidence, Request

FILES = ("squad2_docs.jsonl", "squad2_queries.jsonl")
"""What is needed of `--data`, in its folder retrieval: docs/reference/data.md."""
MIX = {"answerable": 0.5, "withheld": 0.4, "impossible": 0.1}
"""What the confidence is calibrated for: half of the questions have an answer in the documents; four in ten have had
their paragraph taken away; one in ten is an adversarial one of SQuAD, written to look answered."""


class Row(NamedTuple):
    """One question: the candidates' features, which of them are right, and how retrieval did."""

    features: np.ndarray
    right: np.ndarray
    sort: str
    rank: int | None
    title: str


class Data(NamedTuple):
    docs: list[dict[str, Any]]
    queries: list[dict[str, Any]]

    def head(self, doc: int) -> str:
        return f"# {self.docs[doc]['title'].replace('_', ' ')}\n\n"


def load(folder: Path, limit: int) -> Data:
    lines = [(folder / "retrieval" / name).read_text("utf-8").splitlines() for name in FILES]
    docs, queries = ([json.loads(line) for line in part] for part in lines)
    random.Random(7).shuffle(queries)
    return Data(docs, queries[:limit])


def fitting(title: str) -> bool:
    return hashlib.sha256(title.encode()).digest()[0] % 2 == 0


@contextlib.asynccontextmanager
async def opened(recipe: Path, folder: str, home: Path) -> AsyncIterator[tuple[hybrid.Hybrid, reader.Reader]]:
    """The real kinds over the documents in `folder` of `recipe`."""
    encoder = Encoder.load()
    tools = Tools(
        name="reader", recipe=recipe, home=home, encoder=lambda: encoder, store=None, personal=lambda _: (),
        secret=lambda _: None, starting=lambda _: None, closing=lambda _: None, say=print,
    )  # fmt: skip  # pyright: ignore[reportArgumentType]
    found = hybrid.Hybrid(hybrid.Options(paths=(folder,)), tools)
    await found.start()
    await found.ready()
    try:
        yield found, reader.Reader(reader.Options(), tools, kept=8000)
    finally:
        await found.close()
        encoder.close()


def gold(data: Data, query: dict[str, Any]) -> list[tuple[int, int]]:
    shift = len(data.head(query["doc"]))
    return [(shift + start, shift + start + len(answer))
            for start, answer in zip(query["starts"], query["answers"], strict=True)]  # fmt: skip


def right(one: reader.Candidate, source: str, spans: list[tuple[int, int]]) -> bool:
    start, end = (one.passage.start + place for place in reader.readable(one))
    return one.passage.source == source and any(start <= a and b <= end for a, b in spans)


async def examined(data: Data, query: dict[str, Any], found: hybrid.Hybrid, reads: reader.Reader) -> list[Row]:
    """The question as it is, and an answerable one a second time with the gold paragraph withheld."""
    request = Request(id="tr_benchmark", messages=({"role": "user", "content": query["q"]},))
    evidence: Evidence = await found.retrieve(request)
    source, spans = f"corpus/{query['doc']}.md", gold(data, query)
    ranks = [i for i, passage in enumerate(evidence.passages) if passage.source == source]
    sort, title = "impossible" if query["impossible"] else "answerable", data.docs[query["doc"]]["title"]
    if reader.unfit(query["q"]):
        return []
    rows = [
        Row(*await judged(query, evidence.passages, source, spans, reads), sort, ranks[0] if ranks else None, title)
    ]
    if sort == "answerable":
        others = [passage for passage in evidence.passages if passage.source != source]
        rows.append(Row(*await judged(query, others, source, spans, reads), "withheld", None, title))
    return rows


async def judged(query: dict[str, Any], passages: Any, source: str, spans: Any, reads: reader.Reader) -> Any:
    ones = reader.candidates(query["q"], passages, 16)
    return await reads.features(query["q"], ones), np.array([right(one, source, spans) for one in ones])


def logistic(x: np.ndarray, y: np.ndarray, weights: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Ridge logistic regression by Newton's method; the bias comes first and is not shrunk."""
    x = np.column_stack([np.ones(len(x)), x])
    w = np.zeros(x.shape[1])
    shrink = ridge * np.eye(len(w))
    shrink[0, 0] = 0
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        w += np.linalg.solve(
            (x * (weights * p * (1 - p))[:, None]).T @ x + shrink, x.T @ (weights * (y - p)) - shrink @ w
        )
    return w


def fit(rows: list[Row]) -> tuple[np.ndarray, np.ndarray]:
    answerable = [row for row in rows if row.sort == "answerable"]
    x, y = (np.concatenate([row[i] for row in answerable]) for i in (0, 1))
    pick = logistic(x, y, np.ones(len(y)))
    seen, hits = zip(*(top(row, pick) for row in rows), strict=True)
    return pick, logistic(np.array(seen), np.array(hits), mixed(rows))


def mixed(rows: list[Row]) -> np.ndarray:
    """A weight for each row, so that the sorts count as in `MIX`."""
    sorts = np.array([row.sort for row in rows])
    weights = np.zeros(len(rows))
    for sort, part in MIX.items():
        weights[sorts == sort] = part * len(rows) / max((sorts == sort).sum(), 1)
    return weights


def top(row: Row, pick: np.ndarray) -> tuple[np.ndarray, bool]:
    scores = row.features @ pick[1:] + pick[0]
    return reader.sureness(row.features, scores), bool(row.right[int(scores.argmax())])


def auroc(scores: np.ndarray, labels: np.ndarray) -> float:
    """The chance that a positive scores above a negative; ties count half."""
    order = np.argsort(scores, kind="stable")
    ranks = np.empty(len(scores))
    ranks[order] = np.arange(1, len(scores) + 1)
    good = labels.sum()
    return float((ranks[labels].sum() - good * (good + 1) / 2) / (good * (len(labels) - good)))


def report(rows: list[Row], pick: np.ndarray, sure: np.ndarray) -> dict[str, Any]:
    seen, hits = (np.array(part) for part in zip(*(top(row, pick) for row in rows), strict=True))
    p = 1 / (1 + np.exp(-(seen @ sure[1:] + sure[0])))
    sorts, weights = np.array([row.sort for row in rows]), mixed(rows)
    possible = sorts == "answerable"
    ranks = [row.rank for row in rows if row.sort == "answerable"]
    retrieved = np.array([row.rank is not None for row in rows]) & possible
    against = {sort: (sorts == sort) | possible for sort in ("impossible", "withheld")}
    return {
        "questions": {sort: int((sorts == sort).sum()) for sort in MIX},
        "recall_at_1": share(rank == 0 for rank in ranks), "recall_at_6": share(rank is not None for rank in ranks),
        "hit_rate": share(hits[possible]), "hit_rate_where_retrieved": share(hits[retrieved]),
        "auroc_no_answer": {sort: round(auroc(p[kept], possible[kept]), 4) for sort, kept in against.items()},
        "ece": calibration_error(p, hits, weights),
        "selective": [selective(p, hits, weights, possible, at) for at in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)],
    }  # fmt: skip


def share(values: Any) -> float:
    return round(float(np.mean([float(value) for value in values])), 4)


def calibration_error(p: np.ndarray, hits: np.ndarray, weights: np.ndarray) -> float:
    """Expected calibration error over ten bins, in the mix."""
    bins = [(p >= low) & (p < low + 0.1) for low in np.arange(0, 1, 0.1)]
    gaps = [abs(float(((p - hits) * weights)[kept].sum())) for kept in bins]
    return round(sum(gaps) / float(weights.sum()), 4)


def selective(
    p: np.ndarray, hits: np.ndarray, weights: np.ndarray, possible: np.ndarray, at: float
) -> dict[str, float]:
    """What passing below a threshold leaves: the parts of the mix and of the answerable answered; the right."""
    kept = p >= at
    return {
        "threshold": at, "answered": round(float(weights[kept].sum() / weights.sum()), 4),
        "answered_of_answerable": share(kept[possible]),
        "right": round(float((weights * hits)[kept].sum() / max(weights[kept].sum(), 1e-9)), 4),
    }  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=3000, help="questions of the sample that are asked")
    parser.add_argument("--fit", action="store_true", help="fit PICK and SURE on the fitting half and print them")
    parser.add_argument("--home", type=Path, help="a folder that keeps the corpus and its embeddings between runs")
    parser.add_argument("--starter", action="store_true", help="ask the starter's questions of its documents instead")
    options = parser.parse_args()
    missing = [name for name in FILES if not (options.data / "retrieval" / name).is_file()]
    if missing and not options.starter:
        place = options.data / "retrieval"
        print(f"Skipped, reader.json left as it was: no {', '.join(missing)} in {place} (give --data).")
        return
    with tempfile.TemporaryDirectory() as scratch:
        if options.starter:
            print(json.dumps(await starter(options.home or Path(scratch)), indent=1))
            return
        rows, ms = await measured(load(options.data, options.limit), options.home or Path(scratch))
    pick, sure = np.array(reader.PICK), np.array(reader.SURE)
    if options.fit:
        pick, sure = fit([row for row in rows if fitting(row.title)])
        for name, values in (("PICK", pick), ("SURE", sure)):
            print(name, "=", tuple(round(float(value), 3) for value in values))
    found = {"ms_per_question": ms, **report([row for row in rows if not fitting(row.title)], pick, sure)}
    print(json.dumps(found, indent=1))
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "reader.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")


async def starter(home: Path) -> dict[str, Any]:
    """What the reader makes of the starter's questions: those looked at while tuning, and the fresh ones."""
    lines = (Path(__file__).parents[1] / "tests" / "data" / "starter_questions.jsonl").read_text("utf-8").splitlines()
    counts: dict[str, Counter[str]] = {"tuned": Counter(), "fresh": Counter()}
    async with opened(RECIPES / "starter", "docs", home) as (found, reads):
        for question in map(json.loads, lines):
            request = Request(id="tr_benchmark", messages=({"role": "user", "content": question["ask"]},))
            said = await reads.answer(request, await found.retrieve(request), Unheard())
            result = graded(question, said)
            counts[question["part"]][result] += 1
            if result in ("answered wrongly", "passed, though answerable"):
                print(f"{result}: {question['ask']}")
    return {part: dict(sorted(count.items())) for part, count in counts.items()}


def graded(question: dict[str, Any], said: Any) -> str:
    possible, answered = question["source"] is not None, isinstance(said, Answer)
    if not answered:
        return "passed, though answerable" if possible else "passed rightly"
    good = possible and said.citations[0].source == question["source"] and question["has"].lower() in said.text.lower()
    return "answered rightly" if good else "answered wrongly"


class Unheard:
    """A sink that nobody listens to."""

    live = False

    async def emit(self, delta: Any) -> None: ...

    def spent(self, usage: Any) -> None: ...

    def lost(self, usage: Any, ms: float) -> None: ...


async def measured(data: Data, home: Path) -> tuple[list[Row], float]:
    began = time.perf_counter()
    corpus = home / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for doc in data.docs:
        (corpus / f"{doc['id']}.md").write_text(data.head(doc["id"]) + doc["text"], "utf-8")
    async with opened(home, "corpus", home) as (found, reads):
        print(f"index ready after {time.perf_counter() - began:.1f} s")
        began = time.perf_counter()
        rows = [row for query in data.queries for row in await examined(data, query, found, reads)]
    ms = (time.perf_counter() - began) * 1e3 / len(rows)
    return rows, round(ms, 2)


if __name__ == "__main__":
    asyncio.run(main())
