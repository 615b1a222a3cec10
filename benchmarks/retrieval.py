"""Retrieval: nDCG@10 of words, grams, meaning and their mix, on any corpus; what a question costs among many chunks.

    python benchmarks/retrieval.py --data ../shared/data              scores every pair NAME_docs, NAME_queries there
    python benchmarks/retrieval.py --data DIR                         the same for other files of that schema
    python benchmarks/retrieval.py --scale 100000                     latency, memory and index time instead; with
                                                                      10000 also of the bar for retrieving and reading

A document is a Markdown file under its title, read, cut and encoded as the product does it (`trimtab docs add`); the
weights are what it learns from the corpus alone. Of a question only whether its document is found counts: nDCG@10 with
one right document. Questions of the corpora that the method was chosen on (LOOKED) are split by a hash into a half that
was looked at (`seen`) and one that was not (`report`), which counts; of any other corpus all count. Intervals are of
2,000 bootstrap samples, 95 %. Corpora without an answerable question are left out with a word.

`--scale` is synthetic: sentences of the corpus shuffled to chunks, vectors with noise; one core asks. Figures of a busy
machine mean little: read the CPU time. SQuAD 2.0, CC BY-SA 4.0.
"""

import argparse
import asyncio
import hashlib
import json
import math
import re
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from corpora import Corpus, corpora, looked_at, no_answer, title
from trimtab.encode.encoder import Encoder
from trimtab.retrieve import _fusion, _search
from trimtab.retrieve._fusion import Mix
from trimtab.retrieve._library import Library
from trimtab.retrieve._sqlite import Sqlite

RESULT = Path(__file__).parent / "results" / "retrieval.json"
LOOKED = ("squad2", "manpages-")
"""What the names begin with of the corpora that the method was chosen on; SQuAD's questions are known anywhere."""
K = 10
SAMPLES = 2000
ONE = {"words": Mix(1.0, 0.0, 0.0), "grams": Mix(0.0, 1.0, 0.0), "meaning": Mix(0.0, 0.0, 1.0)}


def answerable(folder: Path) -> list[Corpus]:
    """The corpora of a folder without the questions that their documents do not answer."""
    return [one._replace(queries=[q for q in one.queries if not no_answer(q)]) for one in corpora(folder)]


def seen(corpus: Corpus, query: Mapping[str, Any]) -> bool:
    looked = corpus.name.startswith(LOOKED) or looked_at(query["q"])
    return looked and hashlib.sha256(str(query.get("id", query["q"])).encode("utf-8", "replace")).digest()[0] % 2 == 0


async def made(corpus: Corpus, home: Path, encoder: Encoder) -> tuple[Sqlite, dict[str, Any]]:
    """The corpus in an index, by way of files; what was there from an earlier run is not made again."""
    folder = home / corpus.name
    folder.mkdir(parents=True, exist_ok=True)
    for doc, name in zip(corpus.docs, names(corpus), strict=True):
        text = f"# {title(doc)}\n\n{doc['text']}" if title(doc) else doc["text"]
        (folder / name).write_text(text, "utf-8", "replace")
    thread = ThreadPoolExecutor(1)

    async def off(work: Any, *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *given)

    index = await off(Sqlite, home / f"{corpus.name}.db", encoder.dims)
    library = Library(index, lambda: encoder, folder, off, size=1200, overlap=200, tell=_told)
    report = await library.take(".")
    for path, why in report.failed:
        print(f"  {Path(path).name}: {why}", flush=True)
    await library.learn()
    await library.calibrate()
    return index, {name: round_mix(one.mix) for name, one in _search.learnt(index).items()}


def names(corpus: Corpus) -> list[str]:
    """The file of each document: its id's letters and digits, with its place where these are another's too."""
    found: dict[str, None] = {}
    for at, doc in enumerate(corpus.docs):
        name = re.sub(r"[^\w-]", "_", str(doc["id"])).encode("utf-8", "replace")[:200].decode("utf-8", "ignore")
        found[f"{name}-{at}.md" if f"{name}.md" in found else f"{name}.md"] = None
    return list(found)


def _told(what: str, done: int, total: int) -> None:
    if done == total or (what == "learning" and done % 256 == 0):
        print(f"  {what}: {done} of {total}", flush=True)


def round_mix(mix: Mix) -> dict[str, float]:
    return {name: round(getattr(mix, name), 2) for name in mix.__struct_fields__}


def gains(index: Sqlite, corpus: Corpus, encoder: Encoder) -> dict[str, np.ndarray]:
    """Each way's gain of each question: the legs alone, their ranks mixed (RRF), and the product's mix."""
    rows: list[dict[str, float]] = []
    files = names(corpus)
    found = {chunk: passage.source for chunk, passage in _passages(index).items()}
    vectors = np.concatenate(
        [encoder.embed_now([q["q"] for q in corpus.queries[i : i + 16]]) for i in range(0, len(corpus.queries), 16)]
    )
    for query, vector in zip(corpus.queries, vectors, strict=True):
        legs = _search.legs(index, query["q"], vector, Mix(0.4, 0.3, 0.3), None)
        ways = {name: _fusion.fused(legs, mix) for name, mix in ONE.items()}
        ways["rrf"] = rrf(ways["words"], ways["meaning"])
        weights = _search.mix(index, query["q"])
        ways["ours"] = _fusion.fused(_search.legs(index, query["q"], vector, weights, None), weights)
        right = files[query["doc"]]
        rows.append({name: gain(scores, right, found) for name, scores in ways.items()})
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _passages(index: Sqlite) -> dict[int, Any]:
    chunks = [chunk for language in index.languages() for chunk, _ in index.sample(language, 10**9)]
    found: dict[int, Any] = {}
    for first in range(0, len(chunks), 500):
        some = dict.fromkeys(chunks[first : first + 500], 0.0)
        found |= dict(zip(some, index.passages(some, None), strict=True))
    return found


def rrf(*scores: Mapping[int, float]) -> dict[int, float]:
    """Reciprocal-rank fusion, with the usual constant 60."""
    total: dict[int, float] = {}
    for one in scores:
        for rank, (chunk, score) in enumerate(one.items(), 1):
            if score > 0:
                total[chunk] = total.get(chunk, 0.0) + 1 / (60 + rank)
    return dict(sorted(total.items(), key=lambda item: -item[1]))


def gain(scores: Mapping[int, float], right: str, found: Mapping[int, str]) -> float:
    """nDCG@10 of one right document; a document ranks by its first chunk."""
    order = list(dict.fromkeys(found[chunk] for chunk, score in scores.items() if score > 0))[:K]
    return 1 / math.log2(order.index(right) + 2) if right in order else 0.0


def interval(values: np.ndarray) -> list[float]:
    rng = np.random.default_rng(11)
    means = [float(rng.choice(values, len(values)).mean()) for _ in range(SAMPLES)]
    return [round(float(np.quantile(means, q)), 4) for q in (0.025, 0.975)]


def scored(found: Mapping[str, np.ndarray], kept: np.ndarray) -> dict[str, Any]:
    """Means with intervals, and how far ours is from the better single leg."""
    table = {name: {"ndcg10": round(float(all_[kept].mean()), 4), "interval": interval(all_[kept])}
             for name, all_ in found.items()}  # fmt: skip
    best = max(ONE, key=lambda name: table[name]["ndcg10"])
    ahead = (found["ours"] - found[best])[kept]
    return {"questions": int(kept.sum()), "ways": table, "best_leg": best,
            "ours_over_best_leg": {"mean": round(float(ahead.mean()), 4), "interval": interval(ahead)}}  # fmt: skip


async def quality(folder: Path, home: Path) -> dict[str, Any]:
    encoder, results = Encoder.load(), {}
    try:
        for corpus in answerable(folder):
            print(f"{corpus.name}: {len(corpus.docs)} documents, {len(corpus.queries)} questions", flush=True)
            if not corpus.queries:
                print(f"{corpus.name}: skipped, no question of its has an answer", flush=True)
                continue
            index, weights = await made(corpus, home, encoder)
            found = gains(index, corpus, encoder)
            early = np.array([seen(corpus, query) for query in corpus.queries])
            results[corpus.name] = {
                "documents": len(corpus.docs), "chunks": dict(index.languages()), "learnt": weights,
                **{part: scored(found, kept) for part, kept in (("report", ~early), ("seen", early)) if kept.any()},
            }  # fmt: skip
            show(corpus.name, results[corpus.name])
            index.close()
    finally:
        encoder.close()
    return results


def show(name: str, result: Mapping[str, Any]) -> None:
    part, what = result.get("report"), "that were not looked at"
    if not part:
        part, what = result["seen"], "that were looked at while the method was chosen, for there are no others"
    print(f"\n{name}, {part['questions']} questions {what}; weights {result['learnt'] or 'the usual'}")
    for way, figure in part["ways"].items():
        print(f"  {way:<8} {figure['ndcg10']:.4f}  {figure['interval'][0]:.4f} to {figure['interval'][1]:.4f}")
    ahead = part["ours_over_best_leg"]
    low, high = ahead["interval"]
    print(f"  ours over {part['best_leg']}: {ahead['mean']:+.4f}  {low:+.4f} to {high:+.4f}\n")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--home", type=Path, help="a folder that keeps the indexes between runs")
    parser.add_argument("--scale", type=int, default=0, help="measure latency among so many synthetic chunks instead")
    parser.add_argument("--out", type=Path, default=RESULT, help="where the figures go")
    options = parser.parse_args()
    if not corpora(options.data):
        print(f"Skipped, retrieval.json left as it was: no NAME_docs.jsonl with NAME_queries.jsonl in {options.data} "
              "(give --data).")  # fmt: skip
        return
    with tempfile.TemporaryDirectory() as scratch:
        if options.scale:
            from retrieval_scale import measured

            corpus = answerable(options.data)[0]
            figures = await asyncio.to_thread(measured, corpus, options.scale, Path(scratch))  # it has loops of its own
            found = {"scale": {str(options.scale): figures}}
        else:
            found = {"corpora": await quality(options.data, options.home or Path(scratch))}
    kept = json.loads(options.out.read_text("utf-8")) if options.out.is_file() else {}
    for part, figures in found.items():
        kept[part] = {**kept.get(part, {}), **figures}
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
