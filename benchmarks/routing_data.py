"""Recorded outcomes for `benchmarks/routing.py`: questions as sent, what models made of them, what the small one wrote.

Texts were cut at 1,400 to 1,600 characters when they were recorded, the final answers and the lengths were not. Where a
text was cut, its final answer is put behind it and its length is the whole one's: both are in what a live model writes.
"""

import hashlib
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np

from routing_rows import Row, bare, marked, rows_of, sent
from trimtab.encode.encoder import Encoder
from trimtab.odds import answer, question, subject, words

FOLDS = 5
Case = dict[str, Any]
CHARS = answer.NAMES.index("chars")

CASES: dict[str, dict[str, Any]] = {
    "RouteLLM-MMLU": {"file": "routellm_mmlu_mixtral_gpt4", "small": "mixtral", "large": "gpt4", "label": "domain",
                      "prices": (0.24, 24.7)},
    "RouteLLM-GSM8K": {"file": "routellm_gsm8k_mixtral_gpt4", "small": "mixtral", "large": "gpt4",
                       "text": "mixtral_resp", "opinions": ("gemma-2-2b-it",), "prices": (0.24, 24.7, 0.1)},
    "GSM8K+MATH Llama 8B-70B": {
        "file": "zeroeval_gsm_math_crux", "small": "Meta-Llama-3.1-8B-Instruct", "label": "task",
        "large": "Meta-Llama-3.1-70B-Instruct", "opinions": ("Phi-3.5-mini-instruct", "gemma-2-9b-it"),
        "prices": (0.08, 0.79, 0.08, 0.08),
    },
    "MMLU-Pro Llama 8B-70B": {
        "file": "mmlupro_29models", "small": "Meta-Llama-3_1-8B-Instruct", "large": "Meta-Llama-3_1-70B-Instruct",
        "opinions": ("Phi-3-mini-4k-instruct", "mathstral-7B"), "label": "task", "prices": (0.08, 0.79, 0.08, 0.08),
    },
    "MMLU-Pro flash-pro": {
        "file": "mmlupro_29models", "small": "gemini-1.5-flash-002", "large": "gemini-1.5-pro-002", "label": "task",
        "opinions": ("Meta-Llama-3_1-8B-Instruct", "Meta-Llama-3_1-70B-Instruct"), "prices": (0.3, 5.0, 0.08, 0.79),
    },
}  # fmt: skip
"""Files, models, and USD per million output tokens of small, large and each opinion: Gemini's and Llama's (Groq) from
`src/trimtab/plan/catalog/prices.csv`, Mixtral's and GPT-4's as RouteLLM reckons, a small opinion's as Llama 8B's."""


def read(folder: Path, cache: Path, most: int, wanted: tuple[str, ...]) -> dict[str, Case]:
    """The cases of which `folder` has the file."""
    embedded, found, files = Embedded(cache), dict[str, Case](), dict[str, list[Row]]()
    for name, about in CASES.items():
        if not any(part in name for part in wanted):
            continue
        file = about["file"]
        rows = files[file] if file in files else files.setdefault(file, rows_of(folder / f"{file}.parquet", most))
        if name == "RouteLLM-GSM8K":
            rows = with_opinions(rows, rows_of(folder / "zeroeval_gsm_math_crux.parquet", 10**6), "gemma-2-2b-it")
        rows = [row for row in rows if None not in (of(row, about["small"]), of(row, about["large"]))]
        if rows:
            found[name] = case(rows, about, embedded)
    return found


def with_opinions(rows: list[Row], others: list[Row], model: str) -> list[Row]:
    """The rows with what a model of another file made of the same question."""
    columns = [f"{what}:{model}" for what in ("text", "pred", "chars")]
    known = {bare(row).strip(): {name: row.get(name) for name in columns} for row in others}
    return [row | known.get(bare(row).strip(), {}) for row in rows]


def of(row: Row, model: str) -> Any:
    """Whether a model was right, None where that is not recorded."""
    return row.get(f"ok:{model}", row.get(model))


def whole(row: Row, model: str, column: str = "") -> str:
    """What a model wrote, with its final answer where the text was cut or only that was recorded."""
    text, said = row.get(column or f"text:{model}") or "", row.get(f"pred:{model}")
    if said in (None, "", "None") or (text and length(row, model, text) <= len(text) + 2):
        return text
    return f"{text}\nThe answer is {f'({said})' if len(said) == 1 and said.isalpha() else said}."


def length(row: Row, model: str, text: str) -> float:
    return float(row.get(f"chars:{model}") or len(text))


class Embedded:
    """What the house encoder says of questions halfway, kept in a file by the question."""

    def __init__(self, cache: Path) -> None:
        cache.mkdir(parents=True, exist_ok=True)
        self._file = cache / "gists.npz"
        self._known: dict[str, np.ndarray] = dict(np.load(self._file)) if self._file.exists() else {}

    def __call__(self, asked: list[str]) -> np.ndarray:
        keys = [hashlib.sha256(one.encode()).hexdigest()[:24] for one in asked]
        new = sorted({key: one for key, one in zip(keys, asked, strict=True) if key not in self._known}.items(),
                     key=lambda pair: len(pair[1]))  # fmt: skip
        if new:
            encoder = Encoder.load(threads=2)
            for start in range(0, len(new), 64):
                batch = new[start : start + 64]
                rows = encoder.gist_now([one for _, one in batch])
                self._known |= {key: row for (key, _), row in zip(batch, rows, strict=True)}
            encoder.close()
            np.savez(self._file, **self._known)
        return np.stack([self._known[key] for key in keys])


def case(rows: list[Row], about: dict[str, Any], embedded: Embedded) -> Case:
    asked, small = [sent(row) for row in rows], about["small"]
    found: Case = {
        "asked": np.array(asked, object), "mark": np.array([marked(bare(row)) for row in rows]),
        "label": np.array([str(row.get(about.get("label", ""))) for row in rows]),
        "small": np.array([of(row, small) for row in rows], float),
        "large": np.array([of(row, about["large"]) for row in rows], float),
        "fold": np.array([marked(one) % FOLDS for one in asked]), **features(asked, embedded(asked)),
    }  # fmt: skip
    column, opinions = written(about), heard_of(rows, about)
    if any(row.get(column) for row in rows):
        said = [whole(row, small, column) for row in rows]
        found["answer"] = np.stack([answer.facts(*pair) for pair in zip(asked, said, strict=True)])
        found["answer"][:, CHARS] = np.log1p([length(row, small, text) for row, text in zip(rows, said, strict=True)])
        found["said"] = np.stack([words.hashed(one) for one in said])
        others = [[whole(row, model) for model in opinions] for row in rows]
        for at in range(len(opinions)):
            found[f"opinion {at}"] = np.stack([
                answer.second(one, text, heard[at], heard[:at])
                for one, text, heard in zip(asked, said, others, strict=True)
            ])  # fmt: skip
    return found


def written(about: dict[str, Any]) -> str:
    """The column of what the small model wrote."""
    return about.get("text", f"text:{about['small']}")


def heard_of(rows: list[Row], about: dict[str, Any]) -> tuple[str, ...]:
    """The opinions that were recorded, up to the first that was not: each is weighed after those before it."""
    return tuple(takewhile(
        lambda model: any(row.get(f"text:{model}") or row.get(f"pred:{model}") for row in rows),
        about.get("opinions", ()),
    ))  # fmt: skip


def features(asked: list[str], embedding: np.ndarray) -> Case:
    """What is known of questions alone."""
    found: Case = {
        "embedding": embedding, "facts": np.stack([question.facts(one) for one in asked]),
        "words": np.stack([words.hashed(one) for one in asked]),
    }  # fmt: skip
    plain = np.concatenate([found["embedding"], found["facts"], found["words"]], 1).astype(float)
    found["subject"], found["field"] = subject.shipped().chances(plain)
    return found


def part(case: Case, rows: np.ndarray) -> Case:
    return {name: column[rows] for name, column in case.items()}
