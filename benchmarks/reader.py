"""The reader and its retriever on SQuAD 2.0: does it pick the right sentence, and does it know when there is none?

    python benchmarks/reader.py --data ../shared/data            scores articles that nothing was trained or fitted on
    python benchmarks/reader.py --data ../shared/data --fit      also fits the constants on the calibration articles
    python benchmarks/reader.py --data ../shared/data --words    the reader as it is without a span head

`--data DIR` may hold other files of that schema: each pair NAME_docs, NAME_queries (corpora.py) is scored by itself,
and of it all that is not of the span head's articles. Figures that a pair has no questions for are null.
Alone, the reader gets the question's own paragraph, as SQuAD asks; from end to end it gets what the retriever finds
among all paragraphs (each a Markdown file under its article's title). From end to end an answerable question is asked
twice: as it is, and with its paragraph withheld. Right is a quote that holds a gold answer at its place in the gold
paragraph. Intervals are of whole paragraphs. `--fit` also asks of the same paragraphs what has nothing to do with them
(CLINC150, Larson et al. 2019, CC BY 3.0). SQuAD 2.0 (Rajpurkar et al. 2018), CC BY-SA 4.0.
"""

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import given
from corpora import Corpus, answers, corpora, marked, no_answer, part, title
from reader_figures import (
    MIX,
    auroc,
    best_threshold,
    calibration_error,
    half,
    logistic,
    mean,
    mixed,
    selective,
    squad,
    told,
    with_interval,
)
from trimtab.answer import reader
from trimtab.encode.encoder import HEADS, HOME, Encoder
from trimtab.ports import Tools
from trimtab.retrieve import hybrid
from trimtab.types import Evidence, Passage, Request

RESULT = Path(__file__).parent / "results" / "reader.json"
ELSEWHERE = "guard/intent_clinc150_train.jsonl"
"""What `--fit` needs of `--data`: docs/reference/data.md."""


ALONE = (0.881, 0.819)
"""The confidence from which an answer to its own paragraph is given, by F1 on the calibration articles (`--fit`):
without a span head, and with it.
"""
HOPE = 0.6
"""How much of what the span head says of sentences adds less than `Weights.hope`."""
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Row(NamedTuple):
    """One question read once: what may be quoted with its features and whether it is right, and the answers' texts.

    `sort` is alone, answerable, withheld, impossible or elsewhere; `rank` the gold paragraph's among the passages.
    """

    features: np.ndarray
    right: np.ndarray
    said: list[str]
    golds: list[str]
    sort: str
    rank: int | None
    doc: int
    ms: float


class Data(NamedTuple):
    """Documents, and the questions that count: of each, the answers and their places in its document."""

    docs: list[dict[str, Any]]
    queries: list[dict[str, Any]]

    def head(self, doc: int) -> str:
        return f"# {title(self.docs[doc])}\n\n" if title(self.docs[doc]) else ""


def lines(path: Path) -> list[dict[str, Any]]:
    return given.rows(path)


def load(corpus: Corpus, limit: int, fit: bool) -> Data:
    """The questions of articles that count, and with `fit` those of the calibration articles as well."""
    left = {"train"} if fit else {"train", "calibrate"}
    counted = [query for query in corpus.queries if part(corpus.docs[query["doc"]]) not in left]
    if dropped := len(corpus.queries) - len(counted):
        print(f"{corpus.name}: {dropped} questions left out, for they are of the span head's articles")
    queries = [query | answers(query, corpus.docs[query["doc"]]) for query in counted]
    random.Random(7).shuffle(queries)
    return Data(corpus.docs, queries[:limit])


def readable(folder: Path) -> list[Corpus]:
    """The corpora whose questions have answers, or say that there are none; the others are named."""
    found: list[Corpus] = []
    for corpus in corpora(folder, marked):
        if bare := sum(not no_answer(query) and "answers" not in query for query in corpus.queries):
            print(f"{corpus.name}: skipped, {bare} of its {len(corpus.queries)} questions say nothing of an answer")
        else:
            found.append(corpus)
    return found


@contextlib.asynccontextmanager
async def opened(
    recipe: Path, folder: str, home: Path, words: bool, whole: bool = False
) -> AsyncIterator[tuple[hybrid.Hybrid, Any]]:
    """The real kinds over the documents in `folder` of `recipe`; with `words`, without the span head."""
    encoder = Encoder.load(HOME, heads=HEADS) if words else Encoder.load()
    tools = Tools(
        name="reader", recipe=recipe, home=home, encoder=lambda: encoder, store=None, personal=lambda _: (),
        secret=lambda _: None, starting=lambda _: None, closing=lambda _: None, say=print,
    )  # fmt: skip  # pyright: ignore[reportArgumentType]
    found = hybrid.Hybrid(hybrid.Options(paths=(folder,)), tools)
    await found.start()
    await found.ready()
    try:
        yield found, reader.Reader(reader.Options(), tools, whole)
    finally:
        await found.close()
        encoder.close()


async def examined(data: Data, query: dict[str, Any], found: hybrid.Hybrid, reads: reader.Reader) -> list[Row]:
    """The question with its paragraph, with what is found, and an answerable one with its paragraph withheld."""
    if reader.unfit(query["q"]):
        return []
    doc, shift = data.docs[query["doc"]], len(data.head(query["doc"]))
    whole = Passage(text=doc["text"], source="alone", start=0, end=len(doc["text"]), score=1.0, title=title(doc))
    rows = [await judged(query, [whole], "alone", 0, reads, "alone")]
    began = time.perf_counter()
    evidence: Evidence = await found.retrieve(put(query["q"]))
    spent = (time.perf_counter() - began) * 1e3
    source, sort = f"corpus/{query['doc']}.md", "impossible" if query["impossible"] else "answerable"
    row = await judged(query, evidence.passages, source, shift, reads, sort)
    rows.append(row._replace(ms=row.ms + spent))
    if sort == "answerable":
        others = [passage for passage in evidence.passages if passage.source != source]
        rows.append(await judged(query, others, source, shift, reads, "withheld"))
    return rows


async def judged(
    query: dict[str, Any], passages: Sequence[Passage], source: str, shift: int, reads: reader.Reader, sort: str
) -> Row:
    began = time.perf_counter()
    ones, features = await reads.read(query["q"], passages)
    if len(ones):
        reader.choose(features, reader.weighing(features))
    ms = (time.perf_counter() - began) * 1e3
    gold = [(shift + at, shift + at + len(said)) for at, said in zip(query["starts"], query["answers"], strict=True)]
    ranks = [at for at, passage in enumerate(passages) if passage.source == source]
    said = [one.one.passage.text[slice(*(one.span or one.quoted))] for one in ones]
    right = np.array([holds(one, source, gold) for one in ones], bool)
    return Row(features, right, said, query["answers"], sort, ranks[0] if ranks else None, query["doc"], ms)


def holds(one: reader.Found, source: str, spans: list[tuple[int, int]]) -> bool:
    start, end = (one.one.passage.start + place for place in one.quoted)
    return one.one.passage.source == source and any(start <= a and b <= end for a, b in spans)


async def strangers(others: Sequence[str], found: hybrid.Hybrid, reads: reader.Reader) -> list[Row]:
    """Questions that these documents have nothing to do with."""
    kept = [question for question in others if not reader.unfit(question)]
    return [
        await judged(
            {"q": question, "answers": [], "starts": [], "doc": -1}, (await found.retrieve(put(question))).passages,
            "", 0, reads, "elsewhere",
        )
        for question in kept
    ]  # fmt: skip


def put(question: str) -> Request:
    return Request(id="tr_benchmark", messages=({"role": "user", "content": question},))


def fit(rows: Sequence[Row]) -> reader.Weights:
    """What picks is fitted on answerable questions, what says how sure on the mix and on some from elsewhere."""
    width = max(row.features.shape[1] for row in rows)  # with a span head: not those of yes or no
    rows = [row for row in rows if row.features.shape[1] == width]
    answerable = [row for row in rows if row.sort == "answerable" and len(row.right)]
    x = np.concatenate([row.features for row in answerable])
    y = np.concatenate([row.right for row in answerable])
    pick = logistic(x, y, np.ones(len(y)))
    print(f"NEAR = {np.median(x[y, reader.FEATURES.index('near')]):.2f}")
    heads = len(reader.FEATURES)
    hope = float(np.quantile(x[:, heads:] @ pick[1 + heads :], HOPE))
    others = np.concatenate([row.features[1:, heads:] for row in rows if row.sort != "alone" and len(row.right) > 1])
    weights = reader.Weights(rounded(pick), (), round(hope, 3), rounded(np.median(others, axis=0)))
    asked = [cut(row, weights) for row in rows if row.sort != "alone" and len(row.right)]
    seen, hits = [], []
    for row in asked:
        scores = row.features @ pick[1:] + pick[0]
        seen.append(reader.sureness(row.features, scores))
        hits.append(row.right[int(scores.argmax())])
    sorts = np.array([row.sort for row in asked])
    sure = logistic(np.array(seen), np.array(hits), mixed(sorts, MIX | {"elsewhere": 0.1}))
    return weights._replace(sure=rounded(sure))


def cut(row: Row, weights: reader.Weights) -> Row:
    """A question of which `spans` sentences were read, as if the reader had stopped where it does."""
    if len(row.right) < 2 or not weights.unread or not fits(row, weights) or not reader.settled(row.features, weights):
        return row
    features = row.features.copy()
    features[1:, len(reader.FEATURES) :] = weights.unread
    return row._replace(features=features)


def fits(row: Row, weights: reader.Weights) -> bool:
    """Whether the weights are of this row's features: those of yes or no have none of the span head's."""
    return row.features.shape[1] == len(weights.pick) - 1


def rounded(values: np.ndarray) -> tuple[float, ...]:
    return tuple(round(float(value), 3) for value in values)


class Scored(NamedTuple):
    """All rows of some sorts: P(right), right or not, the answers, and the rows."""

    p: np.ndarray
    hits: np.ndarray
    said: list[str]
    rows: list[Row]

    @property
    def docs(self) -> np.ndarray:
        return np.array([row.doc for row in self.rows])

    @property
    def golds(self) -> list[list[str]]:
        return [row.golds for row in self.rows]

    @property
    def possible(self) -> np.ndarray:
        return np.array([bool(row.golds) and row.sort != "withheld" for row in self.rows])


def scored(rows: Sequence[Row], weights: reader.Weights, *sorts: str) -> Scored:
    kept = [row for row in rows if row.sort in sorts]
    picked = [
        reader.choose(row.features, weights if fits(row, weights) else reader.WORDS) if len(row.right) else (None, 0.0)
        for row in kept
    ]
    hits = [best is not None and bool(row.right[best]) for row, (best, _) in zip(kept, picked, strict=True)]
    said = ["" if best is None else row.said[best] for row, (best, _) in zip(kept, picked, strict=True)]
    return Scored(np.array([p for _, p in picked]), np.array(hits), said, kept)


def alone(rows: Sequence[Row], weights: reader.Weights, at: float) -> dict[str, Any]:
    """SQuAD's own figures; below the confidence `at` the reader says that there is no answer."""
    one = scored(rows, weights, "alone")
    points, forced = (squad(one.said, one.golds, one.p >= least) for least in (at, -1.0))
    possible = one.possible
    return {
        "questions": len(one.rows), "impossible": int((~possible).sum()), "threshold": round(at, 4),
        "f1": with_interval(lambda kept: float(points[kept, 0].mean()), one.docs),
        "exact": with_interval(lambda kept: float(points[kept, 1].mean()), one.docs),
        "f1_never_answering": round(float((~possible).mean()), 4),
        "f1_answerable_forced": with_interval(lambda kept: mean(forced[kept, 0][possible[kept]]), one.docs),
        "sentence_right": with_interval(lambda kept: mean(one.hits[kept][possible[kept]]), one.docs),
        "auroc_no_answer": with_interval(lambda kept: auroc(one.p[kept], possible[kept]), one.docs),
    }  # fmt: skip


def end_to_end(rows: Sequence[Row], weights: reader.Weights) -> dict[str, Any]:
    every = scored(rows, weights, *MIX)
    sorts, possible = np.array([row.sort for row in every.rows]), every.possible
    weight, sure = mixed(sorts), scored(rows, weights, "answerable")
    ranks = np.array([-1 if row.rank is None else row.rank for row in sure.rows])
    near = scored(rows, weights, "answerable", "impossible")
    gone = scored(rows, weights, "answerable", "withheld")
    ms = np.array([row.ms for row in near.rows])
    return {
        "questions": {sort: int((sorts == sort).sum()) for sort in MIX},
        "recall_at_1": told(mean(ranks == 0)), "recall_at_6": told(mean(ranks >= 0)),
        "citation": with_interval(lambda kept: mean(sure.hits[kept]), sure.docs),
        "citation_where_retrieved": told(mean(sure.hits[ranks >= 0])),
        "auroc_impossible": with_interval(lambda kept: auroc(near.p[kept], near.possible[kept]), near.docs),
        "auroc_withheld": with_interval(lambda kept: auroc(gone.p[kept], gone.possible[kept]), gone.docs),
        "right_at_half_of_answerable": with_interval(
            lambda kept: half(sure.p[kept], sure.hits[kept], np.ones(len(kept))), sure.docs),
        "right_at_half_of_all": with_interval(
            lambda kept: half(every.p[kept], every.hits[kept], weight[kept]), every.docs),
        "ece": round(calibration_error(every.p, every.hits, weight), 4),
        "selective": [selective(every.p, every.hits, weight, possible, at) for at in THRESHOLDS],
        "ms": {name: round(float(np.quantile(ms, at)), 1) for name, at in (("p50", 0.5), ("p99", 0.99))},
    }  # fmt: skip


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--limit", type=int, default=10_000, help="questions of the sample that are asked")
    parser.add_argument("--fit", action="store_true", help="fit the constants on the calibration articles, print them")
    parser.add_argument("--words", action="store_true", help="without the span head")
    parser.add_argument("--home", type=Path, help="a folder that keeps the corpus and its embeddings between runs")
    parser.add_argument("--out", type=Path, help="in place of results/reader.json, which SQuAD's figures alone change")
    options = parser.parse_args()
    asked = readable(options.data)
    if options.fit and not (options.data / ELSEWHERE).is_file():
        print(f"Skipped, reader.json left as it was: no {ELSEWHERE} in {options.data} (give --data).")
        return
    if not asked:
        print(f"Skipped, reader.json left as it was: no NAME_docs.jsonl with NAME_queries.jsonl and answers in "
              f"{options.data} (give --data).")  # fmt: skip
        return
    found = {one.name: figures for one in asked if (figures := await of_corpus(one, options))}
    if not (out := options.out or (RESULT if [*found] == ["squad2"] else None)):
        print("reader.json left as it was: it is of squad2 alone (give --out to keep this).")
        return
    out.write_text(json.dumps(found["squad2"] if [*found] == ["squad2"] else found, indent=1) + "\n", "utf-8")


async def of_corpus(corpus: Corpus, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one corpus, printed; nothing where none of its questions counts."""
    data = load(corpus, options.limit, options.fit)
    if not data.queries:
        print(f"{corpus.name}: skipped, for it has no question that counts")
        return {}
    asked = [row["text"] for row in lines(options.data / ELSEWHERE)] if options.fit else []
    others = random.Random(7).sample(asked, min(300, len(asked)))
    with tempfile.TemporaryDirectory() as scratch:
        rows = await measured(data, others, options.home or Path(scratch), options.words, options.fit)
    if unfit := len(data.queries) - sum(row.sort == "alone" for row in rows):
        print(f"{corpus.name}: {unfit} questions not asked, for the reader takes them for none, or for too long")
    calibrate = {at for at, doc in enumerate(data.docs) if options.fit and part(doc) == "calibrate"} | {-1}
    fitted, rows = ([row for row in rows if (row.doc in calibrate) == mine] for mine in (True, False))
    if not rows:
        print(f"{corpus.name}: skipped, for none of its questions was asked")
        return {}
    name, weights, at = ("WORDS", reader.WORDS, ALONE[0]) if options.words else ("SPANS", reader.SPANS, ALONE[1])
    if options.fit:
        weights = fit(fitted)
        fitted, rows = ([cut(row, weights) for row in some] for some in (fitted, rows))
        one = scored(fitted, weights, "alone")
        at = best_threshold(one.p, one.said, one.golds)
        print(f"{name} = {weights}\nALONE: {at:.3f}")
    found = {"alone": alone(rows, weights, at), "end_to_end": end_to_end(rows, weights)}
    print(corpus.name, json.dumps(found, indent=1))
    return found


async def measured(data: Data, others: Sequence[str], home: Path, words: bool, whole: bool) -> list[Row]:
    """Every question of `data`, and those from elsewhere."""
    began = time.perf_counter()
    corpus = home / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for at, doc in enumerate(data.docs):
        (corpus / f"{at}.md").write_text(data.head(at) + doc["text"], "utf-8", "replace")
    async with opened(home, "corpus", home, words, whole) as (found, reads):
        print(f"index ready after {time.perf_counter() - began:.1f} s")
        rows = [row for query in data.queries for row in await examined(data, query, found, reads)]
        return rows + await strangers(others, found, reads)


if __name__ == "__main__":
    asyncio.run(main())
