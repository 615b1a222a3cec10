"""The encoder's cost and fidelity: milliseconds by length, resident memory, cosine of int8 to float32.

    python benchmarks/encoder.py [--reference FILE] [--data DIR]

`--reference` is the float32 model that runs/encoder.sh keeps. Without it or without the data (docs/reference/data.md)
fidelity is skipped, and results/encoder.json stays as it was.
"""

import argparse
import itertools
import json
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.encoder import FILES, HOME, Encoder
from trimtab.encode.session import session
from trimtab.encode.windows import windows

LENGTHS = (16, 64, 128, 256)
ROUNDS = 40
SOURCES = (
    ("guard/intent_banking77_train.jsonl", "text"),
    ("guard/intent_clinc150_train.jsonl", "text"),
    ("guard/sst2_train.jsonl", "text"),
    ("guard/toxicity_tweets.jsonl", "text"),
    ("guard/injection_pos.jsonl", "text"),
    ("retrieval/squad2_docs.jsonl", "text"),
)
EACH = 100
RESULT = Path(__file__).parent / "results" / "encoder.json"


def milliseconds(encoder: Encoder) -> dict[int, dict[str, float]]:
    """Least, median and 95th percentile of one text of exactly so many tokens (marks counted), one thread."""
    return {length: _timed(encoder, length - 2) for length in LENGTHS}


def _timed(encoder: Encoder, pieces: int) -> dict[str, float]:
    spent: list[float] = []
    for number in range(ROUNDS + 5):  # each time another text: what was read of late is not read again
        text = " ".join([str(number), *["card"] * (pieces - 1)])
        start = time.perf_counter()
        encoder.embed_now([text])
        spent.append((time.perf_counter() - start) * 1e3)
    return {
        "min": round(min(spent[5:]), 2),
        "median": round(statistics.median(spent[5:]), 2),
        "p95": round(statistics.quantiles(spent[5:], n=20)[-1], 2),
    }


def shared(encoder: Encoder) -> dict[str, float]:
    """CPU milliseconds for heads, router, skill and index, 18 pieces: of one question, and of one each."""
    numbers = itertools.count(100)
    readers = (encoder.read_now, encoder.gist_now, encoder.views_now, encoder.embed_now)

    def spent(same: bool) -> float:
        start, text = time.process_time(), ""
        for _ in range(ROUNDS):
            for read in readers:
                if not same or read is readers[0]:
                    text = f"{next(numbers)} " + "card " * 15
                read([text])
        return (time.process_time() - start) / ROUNDS * 1e3

    one, each = (
        statistics.median(column) for column in zip(*((spent(True), spent(False)) for _ in range(5)), strict=True)
    )
    return {"one": round(one, 2), "each": round(each, 2), "ratio": round(each / one, 2)}


def memory() -> dict[str, float]:
    """Resident megabytes of this process: now, and the most it ever had."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "now": round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1),
        "peak": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, 1),
    }


def fidelity(encoder: Encoder, reference: Path, data: Path) -> dict[str, float]:
    """Cosine of the embeddings of real texts, served int8 against float32, and how far their similarities agree."""
    texts = [text for path, field in SOURCES for text in _sample(data / path, field)]
    small, large = encoder.embed_now(texts), _embedded(reference, encoder, texts)
    cosine = (small * large).sum(axis=1)
    between = np.triu_indices(len(texts), 1)
    return {
        "texts": len(texts),
        "mean": round(float(cosine.mean()), 5),
        "p1": round(float(np.quantile(cosine, 0.01)), 5),
        "min": round(float(cosine.min()), 5),
        "similarities_r": round(float(np.corrcoef((small @ small.T)[between], (large @ large.T)[between])[0, 1]), 5),
    }


def _embedded(reference: Path, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """The embeddings by another model in one file, which has the encoder's vocabulary and window."""
    model, rows = session(reference, 1), np.zeros((len(texts), encoder.dims), np.float32)
    for row, text in enumerate(texts):
        for ids in windows(text, encoder.pieces, encoder.window - 2):
            marked = np.array([[encoder.pieces.cls, *ids, encoder.pieces.sep]], np.int64)
            feed = {"input_ids": marked, "attention_mask": np.ones_like(marked)}
            rows[row] += model.run(["sentence_embedding"], feed)[0][0] * len(ids)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def _sample(path: Path, field: str) -> list[str]:
    with path.open(encoding="utf-8") as lines:
        return random.Random(1).sample([json.loads(line)[field] for line in lines], EACH)


def invariance(encoder: Encoder) -> float:
    """The lowest cosine of a text read in a batch to the same text read alone."""
    texts = [f"Where is the card number {n} that I ordered? " * (1 + n % 7) for n in range(40)]
    other = Encoder.load()  # it has read none of them of late
    together = encoder.embed_now(texts)
    alone = np.concatenate([other.embed_now([text]) for text in texts])
    other.close()
    return round(float((together * alone).sum(axis=1).min()), 7)


def show(found: dict[str, Any]) -> None:
    print("| tokens | least ms | median ms | p95 ms |\n|---:|---:|---:|---:|")
    for length, row in found["milliseconds"].items():
        print(f"| {length} | {row['min']} | {row['median']} | {row['p95']} |")
    for name in (
        "load_ms",
        "model_mb",
        "rss_before_mb",
        "rss_loaded_mb",
        "rss_used_mb",
        "batch_min_cosine",
        "shared_cpu_ms",
        "fidelity",
    ):
        print(f"{name}: {found[name]}")


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="float32 ONNX model")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="in place of results/encoder.json, and written in any case")
    chosen = parser.parse_args(argv)
    before = memory()
    start = time.perf_counter()
    encoder = Encoder.load()
    found: dict[str, Any] = {
        "load_ms": round((time.perf_counter() - start) * 1e3),
        "model_mb": round(sum((HOME / name).stat().st_size for name in FILES if name.endswith(".onnx")) / 1e6, 1),
        "rss_before_mb": before,
        "rss_loaded_mb": memory(),
    }
    found["milliseconds"] = milliseconds(encoder)
    found["shared_cpu_ms"] = shared(encoder)
    encoder.embed_now(["Where is my card? " * 2000])
    found["rss_used_mb"] = memory()
    found["batch_min_cosine"] = invariance(encoder)
    known = chosen.reference and all((chosen.data / path).exists() for path, _ in SOURCES)
    found["fidelity"] = fidelity(encoder, chosen.reference, chosen.data) if known else None
    encoder.close()
    found["machine"] = {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),  # over the number of cores: others were at work, the times are long
        "python": sys.version.split()[0],
        "threads": 1,
    }
    show(found)
    if not (known or chosen.out):
        print(f"Fidelity skipped, {RESULT.name} as it was: it needs --reference (runs/encoder.sh) and {chosen.data}.")
        return
    out = chosen.out or RESULT
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
