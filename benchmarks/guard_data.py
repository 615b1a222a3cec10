"""The texts that guards are measured on: JSONL files told apart by the beginnings of their names.

Rules were written while looking at the even half of each known set only (SHA-256 of the text, or of the template for
synthetic personal data): of those the odd half is read. Of any other file of the same schema all of it is.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, Any]

ATTACKS, PLANTED, PERSONAL = "injection", "bipia", "pii"
BENIGN = ("benign", "sst2", "trec", "intent")
PASSAGES = "ground"
TOXIC = "toxicity"
KNOWN = frozenset({
    "injection_pos", "bipia_attack_strings", "pii_synth_v2", "benign_instructions", "sst2_train", "sst2_dev",
    "trec_train", "intent_banking77_train", "intent_clinc150_train", "intent_clinc150_val", "intent_clinc150_oos_train",
    "intent_clinc150_oos_val", "ground_begin_dev_cmu", "ground_begin_dev_tc", "ground_begin_dev_wow",
    "toxicity_tweets", "harmful_requests", "halueval_general",
})  # fmt: skip
TAUGHT = frozenset({
    "injection_pos", "bipia_attack_strings", "pii_synth_v2", "toxicity_tweets", "intent_banking77_train",
    "intent_clinc150_train",
})  # fmt: skip
"""Sets of which the encoder's heads were taught a part (runs/heads.sh), by another split than the rules':
benchmarks/heads.py measures heads on what training left out of these, and nothing here does."""
OWN = Path(__file__).with_name("guard_words.jsonl")
"""Benign texts full of the words that attacks have, and attacks in twenty languages: ours, and looked at."""


def files(folder: Path, *prefixes: str) -> list[Path]:
    """The JSONL files of `folder` whose names begin so, by name."""
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.startswith(prefixes))


def fair(rule: str, paths: list[Path]) -> list[Path]:
    """The files that a rule may be measured on: patterns on all, a head on none that it was taught from."""
    return [path for path in paths if rule.startswith("patterns") or path.stem not in TAUGHT]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def held_out(path: Path) -> list[Row]:
    """The rows of a file that no rule was written on."""
    return [row for row in rows(path) if path.stem not in KNOWN or is_odd(_key(row))]


def is_odd(key: str) -> bool:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()[0] % 2 == 1


def _key(row: Row) -> str:
    return f"t{row['template_id']}" if "template_id" in row else row["text"]


def texts(paths: list[Path]) -> list[str]:
    return [row["text"] for path in paths for row in rows(path)]
