"""Trains the difficulty head on recorded outcomes of small models, and measures it where it was not taught.

    python -m trimtab.train.difficulty DATA OUT

DATA holds `mmlupro_29models`, `zeroeval_gsm_math_crux` (Apache-2.0), `llmrouter_9models` (MIT) and RouteLLM's two, for
scoring alone (docs/reference/data.md). A question's hash decides whether it teaches or scores; besides, each set is
scored by a head of the others alone. Needs pyarrow. Minutes on two cores, nearly all of them the encoder's.
"""

# pyright: reportMissingImports=false
import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.odds import difficulty, fitted
from trimtab.odds.ridge import Matrix
from trimtab.train.subjects import embedded, marked, sent, stem

TAUGHT = {
    "mmlupro_29models": ("Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3-8B", "mathstral-7B", "Phi-3-mini-4k-instruct",
                         "gemma-7b", "Mistral-7B-Instruct-v0.2", "Qwen1.5-7B-Chat"),
    "zeroeval_gsm_math_crux": ("Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3-8B-Instruct", "Phi-3.5-mini-instruct",
                               "Qwen2-7B-Instruct", "Yi-1.5-9B-Chat", "gemma-2-2b-it", "gemma-2-9b-it"),
    "llmrouter_9models": ("qwen2.5-7b-instruct", "mistral-7b-instruct-v0.3", "gemma-2-9b-it", "llama-3.1-8b-instruct"),
}  # fmt: skip
"""The small models of each set; a question's difficulty is the share of them that was wrong."""
SCORED = {"routellm_mmlu_mixtral_gpt4": ("mixtral",), "routellm_gsm8k_mixtral_gpt4": ("mixtral",)}
PART, TENTHS = 10, 7
"""Of ten parts of the questions, by hash, so many teach; the others score."""


class Asked(NamedTuple):
    """Questions with the set of each, the share of models that were wrong, and what is seen of them (n, d)."""

    texts: list[str]
    origin: NDArray[Any]
    wrong: Matrix
    seen: Matrix

    def taught(self) -> NDArray[np.bool_]:
        return np.isin(self.origin, list(TAUGHT))

    def part(self) -> NDArray[np.int64]:
        return np.array([marked(stem(text)) % PART for text in self.texts])


def read(data: Path) -> Asked:
    """All sets, with the features of their questions."""
    import pyarrow.parquet as parquet

    texts: list[str] = []
    origin: list[str] = []
    wrong: list[float] = []
    for name, models in {**TAUGHT, **SCORED}.items():
        for row in parquet.read_table(data / f"{name}.parquet").to_pylist():
            given = [str(row.get(f"ok:{model}", row.get(model))) for model in models]
            right = [1.0 if one == "True" else 0.0 if one == "False" else float(one) for one in given]
            texts.append(sent(row) if "options" in row else row.get("question") or row["prompt"])
            origin.append(name)
            wrong.append(1 - float(np.mean(right)))
    seen = [fitted.features(*pair) for pair in zip(embedded(texts), texts, strict=True)]
    return Asked(texts, np.array(origin), np.array(wrong), np.stack(seen))


def made(asked: Asked, rows: NDArray[np.bool_]) -> difficulty.Difficulty:
    return difficulty.fitted(asked.seen[rows], asked.wrong[rows], fitted.QUERY)


def figures(head: difficulty.Difficulty, asked: Asked, rows: NDArray[np.bool_]) -> dict[str, float]:
    """Area under the curve for `most were wrong`, rank correlation with the share, mean of both, and their error."""
    told, wrong = head.chance(asked.seen[rows]), asked.wrong[rows]
    bins = np.minimum((told * 10).astype(int), 9)
    error = sum((bins == b).mean() * abs(told[bins == b].mean() - wrong[bins == b].mean()) for b in np.unique(bins))
    found = {
        "rows": len(told), "auc": _area(told, wrong > 0.5),
        "spearman": float(np.corrcoef(_ranks(told), _ranks(wrong))[0, 1]),
        "told": float(told.mean()), "wrong": float(wrong.mean()), "ece": float(error),
    }  # fmt: skip
    return {name: round(value, 3) for name, value in found.items()}


def measured(asked: Asked) -> dict[str, dict[str, float]]:
    """On questions held out by hash, together and set by set; on each set by a head that saw none of its questions."""
    held = asked.taught() & (asked.part() >= TENTHS)
    head = made(asked, asked.taught() & ~held)
    found = {"held out, all": figures(head, asked, held)}
    for name in TAUGHT:
        found[f"held out, {name}"] = figures(head, asked, held & (asked.origin == name))
    stems = np.array([stem(text) for text in asked.texts])
    for name in {**TAUGHT, **SCORED}:
        own = asked.origin == name
        others = asked.taught() & ~own & ~np.isin(stems, stems[own])
        found[f"left out, {name}"] = figures(made(asked, others), asked, own)
    return found


def _ranks(values: Matrix) -> Matrix:
    """Ranks from 1, ties at their mean."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def _area(score: Matrix, yes: NDArray[np.bool_]) -> float:
    """The area under the ROC curve (Mann-Whitney)."""
    many = int(yes.sum())
    return float((_ranks(score)[yes].sum() - many * (many + 1) / 2) / max(1, many * (len(yes) - many)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    asked = read(chosen.data)
    scores = measured(asked)
    rows = asked.taught() & (asked.part() < TENTHS)
    facts = {
        "what": "difficulty head",
        "licence": "Apache-2.0",
        "source": "MMLU-Pro eval_results, ZeroEval (Apache-2.0), LLMRouter (MIT): questions, outcomes of small models",
        "rows": int(rows.sum()),
        "scores": scores,
    }
    made(asked, rows).save(chosen.out, facts)
    for name, row in scores.items():
        print(f"{name:45} {json.dumps(row)}")  # noqa: T201 - what a person who trains it wants to see


if __name__ == "__main__":
    main()
