"""Trains the subject head: labels of MMLU-Pro's questions, those left out that the routing benchmark scores.

    python -m trimtab.train.subjects DATA OUT [--rows 1500]

DATA holds `mmlupro_29models.parquet` and `routellm_mmlu_mixtral_gpt4.parquet` (Apache-2.0; docs/reference/data.md). No
outcome is read. Each question is shown as it stands, with four of its choices and with none: what it is about does not
hang on them, and with all ten alone the head takes their number for news. Needs pyarrow. Some ten minutes on two cores,
most of it the encoder's.
"""

# pyright: reportMissingImports=false
import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.encode.sealed import seal
from trimtab.odds import fitted, subject
from trimtab.odds.calibration import BATCH
from trimtab.odds.ridge import PARTS, Matrix, Ridge, standard
from trimtab.train import head

MMLU = "ori_mmlu-"
COLUMNS = ["question", "options", "task", "orig"]
FORMS = (10, 4, 0)
"""How many of its choices a question is shown with, once each."""
PENALTY = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1500, help="rows that the benchmark takes of a file, at most")
    asked = parser.parse_args()
    rows, rng = free(asked.data, asked.rows), np.random.default_rng(0)
    shown = [[sent(row, most, rng) for row in rows] for most in FORMS]
    features = np.stack([np.stack([fitted.plain(*pair) for pair in zip(embedded(form), form, strict=True)])
                         for form in shown], 1)  # fmt: skip
    named = [at for at, row in enumerate(rows) if (row["orig"] or "").startswith(MMLU)]
    subjects = group(features[named], [rows[at]["orig"][len(MMLU) :] for at in named])
    fields = group(features, [row["task"] for row in rows])
    asked.out.mkdir(parents=True, exist_ok=True)
    groups = {"subject": subjects, "field": fields}
    arrays: dict[str, Any] = {
        f"{name}.{part}": getattr(one.ridge, part).astype(np.float16 if part == "weights" else np.float32)
        for name, one in groups.items() for part in PARTS
    }  # fmt: skip
    np.savez_compressed(asked.out / "subjects.npz", **arrays)
    (asked.out / "names.json").write_text(json.dumps({name: one.names for name, one in groups.items()}))
    facts = {
        "what": "subject head",
        "licence": "Apache-2.0",
        "source": "TIGER-AI-Lab/MMLU-Pro: question, options, task, orig",
        "rows": {"subject": len(named), "field": len(rows)},
    }
    seal(asked.out, subject.FILES, facts)
    print(json.dumps(facts, indent=1))  # noqa: T201 - what a person who trains it wants to see


def group(features: Matrix, labels: list[str]) -> subject.Group:
    """Logistic regression on (n, forms, d) and n labels; blocks of features weigh alike, a row's length is about 1."""
    names, rows = tuple(sorted(set(labels))), features.reshape(-1, features.shape[-1])
    numbers = np.array([names.index(label) for label in labels]).repeat(features.shape[1])
    spread = rows.std(0)
    centre, spread = rows.mean(0), np.where(spread < 1e-6, np.inf, spread)
    share = 1 / np.sqrt(np.repeat(np.array(fitted.PLAIN, float), fitted.PLAIN) * len(fitted.PLAIN))
    x = (standard(rows, centre, spread) * share).astype(np.float32)
    weights, bias = head.logistic(x, numbers, len(names), PENALTY)
    ridge = Ridge(centre=centre, spread=spread, weights=share[:, None] * weights, bias=bias.astype(float))
    return subject.Group(ridge=ridge, names=names)


def free(data: Path, most: int) -> list[dict[str, Any]]:
    """The questions of MMLU-Pro that are in no case of the benchmark: not its rows, and no MMLU question of theirs."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(data / "mmlupro_29models.parquet", columns=COLUMNS).to_pylist()
    asked = parquet.read_table(data / "routellm_mmlu_mixtral_gpt4.parquet", columns=["prompt"])["prompt"].to_pylist()
    scored = sorted(rows, key=lambda row: marked(sent(row)))[:most]
    used = {stem(one) for one in (*asked, *map(sent, scored))}
    return [row for row in rows if stem(sent(row)) not in used]


def sent(row: dict[str, Any], most: int = 10, rng: np.random.Generator | None = None) -> str:
    """A question as the benchmark sends it, or with at most so many of its choices, drawn by `rng`."""
    choices = json.loads(row["options"])
    if rng is not None and most < len(choices):
        choices = [choices[at] for at in rng.permutation(len(choices))[:most]]
    return row["question"] + "".join(f"\n{chr(65 + at)}. {one}" for at, one in enumerate(choices))


def stem(asked: str) -> str:
    """A question without its choices, whatever its case and white space."""
    return " ".join(asked.split("\nA.", maxsplit=1)[0].lower().split())


def marked(asked: str) -> int:
    return int(hashlib.sha256(" ".join(asked.lower().split()).encode()).hexdigest()[:8], 16)


def embedded(texts: list[str]) -> Matrix:
    """(n, 384), in batches of like length."""
    encoder = Encoder.load(threads=2)
    found, order = np.zeros((len(texts), encoder.dims)), sorted(range(len(texts)), key=lambda at: len(texts[at]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        found[batch] = encoder.gist_now([texts[at] for at in batch])
    encoder.close()
    return found


if __name__ == "__main__":
    main()
