"""Trains the subject head: labels of MMLU-Pro's questions, those left out that the routing benchmark scores.

    python -m trimtab.train.subjects DATA OUT [--rows 1500]

DATA holds `mmlupro_29models.parquet` and `routellm_mmlu_mixtral_gpt4.parquet` (Apache-2.0; docs/reference/data.md). No
outcome is read. Needs pyarrow. Some ten minutes on two cores, nearly all of it the encoder's.
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

MMLU = "ori_mmlu-"
COLUMNS = ["question", "options", "task", "orig"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1500, help="rows that the benchmark takes of a file, at most")
    asked = parser.parse_args()
    rows = free(asked.data, asked.rows)
    features = np.stack(
        [fitted.plain(*pair) for pair in zip(embedded(list(map(sent, rows))), map(sent, rows), strict=True)]
    )
    named = [at for at, row in enumerate(rows) if (row["orig"] or "").startswith(MMLU)]
    subjects, right = subject.group(features[named], [rows[at]["orig"][len(MMLU) :] for at in named], fitted.PLAIN)
    fields, also = subject.group(features, [row["task"] for row in rows], fitted.PLAIN)
    asked.out.mkdir(parents=True, exist_ok=True)
    groups = {"subject": subjects, "field": fields}
    arrays: dict[str, Any] = {
        f"{name}.{part}": getattr(one.ridge, part).astype(np.float16 if part == "weights" else np.float32)
        for name, one in groups.items() for part in subject.PARTS
    }  # fmt: skip
    np.savez_compressed(asked.out / "subjects.npz", **arrays)
    (asked.out / "names.json").write_text(json.dumps({name: one.names for name, one in groups.items()}))
    facts = {
        "what": "subject head",
        "licence": "Apache-2.0",
        "source": "TIGER-AI-Lab/MMLU-Pro: question, task, orig",
        "rows": {"subject": len(named), "field": len(rows)},
        "left_out_accuracy": {"subject": right, "field": also},
    }
    seal(asked.out, subject.FILES, facts)
    print(json.dumps(facts, indent=1))  # noqa: T201 - what a person who trains it wants to see


def free(data: Path, most: int) -> list[dict[str, Any]]:
    """The questions of MMLU-Pro that are in no case of the benchmark: not its rows, and no MMLU question of theirs."""
    import pyarrow.parquet as parquet

    rows = parquet.read_table(data / "mmlupro_29models.parquet", columns=COLUMNS).to_pylist()
    asked = parquet.read_table(data / "routellm_mmlu_mixtral_gpt4.parquet", columns=["prompt"])["prompt"].to_pylist()
    scored = sorted(rows, key=lambda row: marked(sent(row)))[:most]
    used = {stem(one) for one in (*asked, *map(sent, scored))}
    return [row for row in rows if stem(sent(row)) not in used]


def sent(row: dict[str, Any]) -> str:
    """A question with its choices, as the benchmark sends it."""
    return row["question"] + "".join(f"\n{chr(65 + at)}. {one}" for at, one in enumerate(json.loads(row["options"])))


def stem(asked: str) -> str:
    """A question without its choices, whatever its case and white space."""
    return " ".join(asked.split("\nA.", maxsplit=1)[0].lower().split())


def marked(asked: str) -> int:
    return int(hashlib.sha256(" ".join(asked.lower().split()).encode()).hexdigest()[:8], 16)


def embedded(texts: list[str]) -> np.ndarray:
    """(n, 384), in batches of like length."""
    encoder = Encoder.load(threads=2)
    found, order = np.zeros((len(texts), encoder.dims)), sorted(range(len(texts)), key=lambda at: len(texts[at]))
    for start in range(0, len(order), BATCH):
        batch = order[start : start + BATCH]
        found[batch] = encoder.embed_now([texts[at] for at in batch])
    encoder.close()
    return found


if __name__ == "__main__":
    main()
