"""What routing keeps and spends on recorded outcomes: from the question, from the small answer, with a second opinion.

    python benchmarks/routing.py --data ../shared/data/routing [--test DIR] [--only Llama,flash] [--rows 1500]

Needs pyarrow (the data is parquet), which is no dependency of Trimtab. Rows are split in five by SHA-256 of the
question; each is scored by routers that saw the other four parts (of its own file). `--test DIR` scores, without
training on them, files of the same names and columns. Of a file with more than `--rows` those of the lowest hash are
taken. Results of cases that were not asked for stay in the file. APGR is the mean share of the quality gap between the
models that is won, over all shares of large calls; CPT80 the share of large calls at which 80 % of the gap is won. +-
is the standard deviation over 200 bootstrap samples.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.odds import answer, question, ridge, words
from trimtab.route import _contract

FOLDS, DRAWS = 5, 200
LLAMA = ("Meta-Llama-3.1-8B-Instruct", "Meta-Llama-3.1-70B-Instruct")
Case = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--test", type=Path, help="files that are scored and never trained on")
    parser.add_argument("--cache", type=Path, default=Path(".trimtab/routing"), help="embeddings, between runs")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "routing.json")
    parser.add_argument("--only", default="", help="parts of the names of the cases to run, with commas")
    parser.add_argument("--rows", type=int, default=1500, help="rows of one file, at most")
    asked = parser.parse_args()
    began, shown = time.monotonic(), dict[str, Any]()
    print(
        "| case | router | rows | APGR | +- | CPT50 | CPT80 | AUROC small | ECE |\n"
        "|---|---|---|---|---|---|---|---|---|"
    )
    wanted = tuple(asked.only.split(","))
    cases = read(asked.data, asked.cache, asked.rows, wanted)
    held = read(asked.test, asked.cache, asked.rows, wanted) if asked.test else {}
    for name, case in cases.items():
        shown[name] = table(name, case, held.get(name))
    shown["unseen"] = unseen(cases)
    shown["contract"] = contract(cases, shown)
    for rows in shown.values():
        for row in rows.values():
            row.pop("score", None)
    before = json.loads(asked.out.read_text()) if asked.out.exists() else {}
    for name, rows in shown.items():
        before[name] = before.get(name, {}) | rows
    asked.out.write_text(json.dumps(before, indent=1) + "\n")
    print(f"{time.monotonic() - began:.0f} s")


# The data: the question as a user would send it, what both models made of it, what the small one wrote.


def read(folder: Path, cache: Path, most: int, wanted: tuple[str, ...]) -> dict[str, Case]:
    embedded, found = Embedded(cache), dict[str, Case]()
    for name, (file, small, large, text, opinion) in CASES.items():
        if any(part in name for part in wanted):
            rows = rows_of(folder / f"{file}.parquet", most)
            if name == "RouteLLM-GSM8K":
                zero = rows_of(folder / "zeroeval_gsm_math_crux.parquet", 10**6)
                opinions = {row["question"].strip(): row["text:gemma-2-2b-it"] for row in zero}
                rows = [row | {"opinion": opinions.get(row["prompt"].strip())} for row in rows]
            if made := case(rows, embedded, small, large, text, opinion):
                found[name] = made
    return found


LLAMA_31 = tuple(name.replace("3.1", "3_1") for name in LLAMA)
CASES = {
    "RouteLLM-MMLU": ("routellm_mmlu_mixtral_gpt4", "mixtral", "gpt4", None, ""),
    "RouteLLM-GSM8K": ("routellm_gsm8k_mixtral_gpt4", "mixtral", "gpt4", "mixtral_resp", "opinion"),
    "GSM8K+MATH Llama 8B-70B": (
        "zeroeval_gsm_math_crux", f"ok:{LLAMA[0]}", f"ok:{LLAMA[1]}", f"text:{LLAMA[0]}", "text:gemma-2-2b-it",
    ),
    "MMLU-Pro Llama 8B-70B": (
        "mmlupro_29models", f"ok:{LLAMA_31[0]}", f"ok:{LLAMA_31[1]}", f"text:{LLAMA_31[0]}",
        "text:Phi-3-mini-4k-instruct",
    ),
    "MMLU-Pro flash-pro": (
        "mmlupro_29models", "ok:gemini-1.5-flash-002", "ok:gemini-1.5-pro-002", "text:gemini-1.5-flash-002",
        f"text:{LLAMA_31[0]}",
    ),
}  # fmt: skip
"""The file, the small and the large model's columns, the small one's text, and that of a second cheap opinion (a 2B
for sums, Phi-3-mini or Llama 8B for MMLU-Pro)."""


def rows_of(path: Path, most: int) -> list[dict[str, Any]]:
    """At most so many rows, those of the lowest hash; none where there is no file."""
    import pyarrow.parquet

    rows = pyarrow.parquet.read_table(path).to_pylist() if path.exists() else []
    return rows if len(rows) <= most else sorted(rows, key=lambda row: marked(sent(row)))[:most]


def marked(asked: str) -> int:
    """A question's hash, whatever its case and white space."""
    return int(hashlib.sha256(" ".join(asked.lower().split()).encode()).hexdigest()[:8], 16)


class Embedded:
    """Embeddings of the house encoder, kept in a file for each set of questions."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        cache.mkdir(parents=True, exist_ok=True)

    def __call__(self, asked: list[str]) -> np.ndarray:
        kept = self._cache / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]}.npy"
        if not kept.exists():
            encoder, found = Encoder.load(threads=2), np.zeros((len(asked), 384), np.float32)
            order = sorted(range(len(asked)), key=lambda at: len(asked[at]))
            for start in range(0, len(asked), 64):
                batch = order[start : start + 64]
                found[batch] = encoder.embed_now([asked[at] for at in batch])
            encoder.close()
            np.save(kept, found)
        return np.load(kept)


def case(
    rows: list[dict[str, Any]], embedded: Embedded, small: str, large: str, text: str | None, opinion: str = ""
) -> Case:
    rows = [row for row in rows if row.get(small) is not None and row.get(large) is not None]
    if not rows:
        return {}
    asked = [sent(row) for row in rows]
    case: Case = {
        "small": np.array([row[small] for row in rows], float), "large": np.array([row[large] for row in rows], float),
        "fold": np.array([marked(one) % FOLDS for one in asked]),
        "embedding": embedded(asked), "facts": np.stack([question.facts(one) for one in asked]),
        "words": np.stack([words.hashed(one) for one in asked]),
    }  # fmt: skip
    if text:
        case["answer"] = np.stack([answer.facts(one, row[text]) for one, row in zip(asked, rows, strict=True)])
    if opinion:
        case["second"] = np.stack(
            [answer.second(one, row[text], row[opinion]) for one, row in zip(asked, rows, strict=True)]
        )
        case["second_facts"] = np.stack([answer.facts(one, row[opinion]) for one, row in zip(asked, rows, strict=True)])
    return case


def sent(row: dict[str, Any]) -> str:
    asked = str(row.get("prompt") or row["question"])
    if not row.get("options"):
        return asked
    return asked + "\n" + "\n".join(f"{chr(65 + at)}. {one}" for at, one in enumerate(json.loads(row["options"])))


# The routers: each says how much better the large model is expected to be, and how likely the small one is right.

QUERY = ("embedding", "facts", "words")
ROUTERS: dict[str, tuple[str, ...]] = {
    "per-model regression on the encoder (CARROT-like)": ("embedding",),
    "words alone": ("words",),
    "ours, question": QUERY,
    "ours, small answer seen": ("answer", *QUERY),
    "ours, and one cheap opinion": ("second", "answer", "second_facts", *QUERY),
}


def table(name: str, case: Case, held: Case | None) -> dict[str, Any]:
    shown = {"random": scored(case, np.random.default_rng(0).random(len(case["small"])), None),
             "oracle": scored(case, case["large"] - case["small"], None),
             "kNN on the encoder": scored(case, neighbours(case), None)}  # fmt: skip
    for router, blocks in ROUTERS.items():
        if all(block in case for block in blocks):
            shown[router] = scored(case, *crossed(case, blocks))
            if held:
                shown[f"{router}, held out"] = scored(held, *trained(case, held, blocks))
    for router, row in shown.items():
        show(name, router, row)
    return shown


def show(name: str, router: str, row: dict[str, Any]) -> None:
    figures = ("rows", "apgr", "sd", "cpt50", "cpt80", "auroc", "ece")
    print(f"| {name} | {router} | {' | '.join(str(row.get(figure, '')) for figure in figures)} |", flush=True)


def trained(train: Case, test: Case, blocks: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(gain expected of the large model, P(the small one is right)) for `test`, from `train` alone."""
    targets = np.stack([train["large"] - train["small"], train["small"]], 1)
    widths = tuple(train[block].shape[1] for block in blocks)
    fitted, left_out = ridge.fit(joined(train, blocks), targets, widths)
    slope, offset = ridge.platt(left_out[:, 1], train["small"])
    gain, right = fitted.predict(joined(test, blocks)).T
    ranked = mixed(left_out, train)
    return gain - ranked * right - fitted.bias @ (1, -ranked), ridge.sigmoid(slope * right + offset)


def mixed(left_out: np.ndarray, train: Case) -> float:
    """How much P(the small one is right) is to count beside the gain: what ranks the left-out training rows best.

    The mean of the training rows is taken off, since a part with a high mean leaves a low one to the others: pooled
    over parts this would rank rows against their own outcomes.
    """
    shares = (0.0, 0.5, 1.0, 2.0, 5.0)
    won = [curve(left_out[:, 0] - share * left_out[:, 1], train["small"], train["large"]).mean() for share in shares]
    return shares[int(np.argmax(won))]


def crossed(case: Case, blocks: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    gain, right = np.zeros(len(case["small"])), np.zeros(len(case["small"]))
    for fold in range(FOLDS):
        inside, out = case["fold"] != fold, case["fold"] == fold
        gain[out], right[out] = trained(part(case, inside), part(case, out), blocks)
    return gain, right


def neighbours(case: Case, k: int = 40) -> np.ndarray:
    gain, found = case["large"] - case["small"], np.zeros(len(case["small"]))
    for fold in range(FOLDS):
        inside, out = case["fold"] != fold, case["fold"] == fold
        like = case["embedding"][out] @ case["embedding"][inside].T
        found[out] = gain[inside][np.argpartition(-like, k, 1)[:, :k]].mean(1) - gain[inside].mean()
    return found


def part(case: Case, rows: np.ndarray) -> Case:
    return {name: column[rows] for name, column in case.items()}


def joined(case: Case, blocks: tuple[str, ...]) -> np.ndarray:
    return np.concatenate([case[block] for block in blocks], 1).astype(float)


def unseen(cases: dict[str, Case]) -> dict[str, Any]:
    """Trained on one kind of task, tested on another, none of whose labels was seen."""
    shown, math = {}, cases.get("GSM8K+MATH Llama 8B-70B")
    for name in ("MMLU-Pro Llama 8B-70B",):
        if math and name in cases:
            for router, blocks in (
                ("ours, question", QUERY),
                ("ours, small answer seen", ("answer", *QUERY)),
                ("answer alone", ("answer",)),
            ):
                shown[f"{name}: {router}"] = row = scored(cases[name], *trained(math, cases[name], blocks))
                show(f"unseen: {name}", router, row)
    gsm, pro = cases.get("RouteLLM-GSM8K"), cases.get("MMLU-Pro Llama 8B-70B")
    if gsm and pro:
        for router, blocks in (("ours, small answer seen", ("answer", *QUERY)), ("answer alone", ("answer",))):
            shown[f"RouteLLM-GSM8K: {router}"] = row = scored(gsm, *trained(pro, gsm, blocks))
            show("unseen: RouteLLM-GSM8K (from MMLU-Pro, Llama)", router, row)
    return shown


# The figures.


def scored(case: Case, gain: np.ndarray, right: np.ndarray | None) -> dict[str, Any]:
    small, large, rng = case["small"], case["large"], np.random.default_rng(0)
    samples = [rng.integers(0, len(small), len(small)) for _ in range(DRAWS)]
    won = curve(gain, small, large)
    found = {
        "rows": len(small), "small": round(small.mean(), 4), "large": round(large.mean(), 4),
        "apgr": round(float(won.mean()), 3),
        "sd": round(float(np.std([curve(gain[at], small[at], large[at]).mean() for at in samples])), 3),
        "cpt50": reach(won, 0.5), "cpt80": reach(won, 0.8), "equal": reach(won, 1.0),
        "best": round(float(won.max()), 3), "score": gain,
    }  # fmt: skip
    if right is not None:
        found |= {"auroc": auroc(right, small), "ece": ece(right, small)}
    return found


def curve(gain: np.ndarray, small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Share of the gap that is won at each share of large calls, from none to all."""
    order = np.argsort(-gain, kind="stable")
    return np.concatenate([[0.0], np.cumsum((large - small)[order])]) / max(1e-9, (large - small).sum())


def reach(won: np.ndarray, share: float) -> float | None:
    return round(float(np.argmax(won >= share - 1e-9)) / (len(won) - 1), 3) if won.max() >= share - 1e-9 else None


def auroc(score: np.ndarray, right: np.ndarray) -> float:
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    yes = right.sum()
    return round(float((ranks[right > 0].sum() - yes * (yes + 1) / 2) / max(1, yes * (len(right) - yes))), 3)


def ece(chance: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """Expected calibration error over bins of equal size."""
    order = np.argsort(chance)
    return round(float(sum(abs((chance[at] - right[at]).sum()) for at in np.array_split(order, bins)) / len(right)), 3)


def contract(cases: dict[str, Case], shown: dict[str, Any]) -> dict[str, Any]:
    """How often the quality kept on all rows is below 0.9 of the large model's, over draws of 400 calibration rows."""
    found = {}
    promise = _contract.Contract(keep=0.9, confidence=0.9)
    for name, router in (
        ("RouteLLM-GSM8K", "ours, small answer seen"),
        ("MMLU-Pro Llama 8B-70B", "ours, small answer seen"),
    ):
        if name not in cases:
            continue
        case, score = cases[name], -shown[name][router]["score"]
        for method in ("threshold", "clt", "betting", "exact"):
            found[f"{name}: {method}"] = row = violations(case, score, promise, method)
            print(
                f"| contract, {name} | {method} | 400 | violations {row['violations']} | large calls {row['large']} |"
            )
    return found


def violations(case: Case, score: np.ndarray, promise: _contract.Contract, method: str) -> dict[str, float]:
    """Calibration rows are drawn with replacement from all rows, which are the population whose quality is known."""
    rng, broken, calls = np.random.default_rng(7), 0, list[float]()
    costs = np.zeros(len(score))
    everything = _contract.Rows(
        score=score, small=case["small"], large=case["large"], small_cost=costs, large_cost=costs
    )
    for _ in range(DRAWS):
        at = rng.integers(0, len(score), 400)
        rows = _contract.Rows(**{name: getattr(everything, name)[at] for name in everything.__struct_fields__})
        threshold = (
            plain(rows, promise.keep) if method == "threshold" else _contract.calibrate(rows, promise, method).threshold
        )
        broken += bool(_contract.surplus(everything, threshold, promise.keep).mean() < 0)
        calls.append(float((score < threshold).mean()))
    return {"violations": broken / DRAWS, "large": round(float(np.mean(calls)), 3)}


def plain(rows: _contract.Rows, keep: float) -> float:
    """The cheapest threshold that keeps the promise on the calibration rows themselves, as threshold tuning does."""
    kept = [one for one in _contract.thresholds(rows.score) if _contract.surplus(rows, one, keep).mean() >= 0]
    return min(kept, default=float("inf"))


if __name__ == "__main__":
    main()
