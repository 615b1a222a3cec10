"""The texts that guards are measured on: JSONL files told apart by the beginnings of their names.

Rules were written while looking at the even half of each development set only (SHA-256 of the text, or of the template
for synthetic personal data), and heads were taught from some of those sets. Which rows these are is known by what they
say, whatever file they come in: of the development sets the odd half is read, of anything else all of it.

    python benchmarks/guard_data.py DIR        # notes the rows of the development sets of DIR in guard_seen.npz
"""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import given

Row: TypeAlias = dict[str, Any]

ATTACKS, PLANTED, PERSONAL = "injection", "bipia", "pii"
BENIGN = ("benign", "sst2", "trec", "intent")
PASSAGES = "ground"
TOXIC = "toxicity"
PREFIXES = (ATTACKS, PLANTED, PERSONAL, *BENIGN, PASSAGES, TOXIC)
TAUGHT = frozenset({
    "injection_pos", "bipia_attack_strings", "pii_synth_v2", "toxicity_tweets", "intent_banking77_train",
    "intent_clinc150_train",
})  # fmt: skip
"""Sets of which the encoder's heads were taught a part (runs/heads.sh), by another split than the rules':
benchmarks/heads.py measures heads on what training left out of these, and nothing here does."""
SEEN = Path(__file__).with_name("guard_seen.npz")
"""The first four bytes of the SHA-256 of each row of the development sets: of `TAUGHT`, and of the others."""
OWN = Path(__file__).with_name("guard_words.jsonl")
"""Benign texts full of the words that attacks have, and attacks in twenty languages: ours, and looked at."""


def files(folder: Path, *prefixes: str) -> list[Path]:
    """The JSONL files of `folder` whose names begin so, by name."""
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.startswith(prefixes))


def unread(folder: Path) -> list[str]:
    """The names of what else is in `folder`."""
    return sorted({path.name for path in folder.glob("*")} - {path.name for path in files(folder, *PREFIXES)})


def rows(path: Path) -> list[Row]:
    """Its rows, each with what its kind of file has. Raises `SystemExit` with the line of one that has not."""
    if path.stem.startswith(PERSONAL):
        return given.rows(path, "text", check=given.spanned)
    if path.stem.startswith(TOXIC):
        return given.rows(path, "text", check=given.yes_or_no)
    return given.rows(path, "knowledge" if path.stem.startswith(PASSAGES) else "text")


def scorable(folder: Path, *prefixes: str) -> list[str]:
    """The beginnings of names, of all or of some, of which there are files with rows in them."""
    return [prefix for prefix in prefixes or PREFIXES if any(rows(path) for path in files(folder, prefix))]


def held_out(paths: Iterable[Path], rule: str = "patterns") -> list[Row]:
    """The rows that no rule was written on, less those that the head behind `rule` was taught from."""
    return [row for row in fair(paths, rule) if not (is_taught(row) or _is("looked", row)) or is_odd(_half(row))]


def fair(paths: Iterable[Path], rule: str = "patterns") -> list[Row]:
    """The rows that a rule may be measured on: patterns on all, a head on none of a set that it was taught from."""
    found = [row for path in paths for row in rows(path)]
    return found if rule.startswith("patterns") else [row for row in found if not is_taught(row)]


def texts(paths: Iterable[Path], rule: str = "patterns") -> list[str]:
    return [row["text"] for row in fair(paths, rule)]


def attacks(folder: Path, *kinds: str, rule: str = "patterns") -> list[Row]:
    """The rows of attacks that are held out; those of their files with a label of 0 are none."""
    return [row for row in held_out(files(folder, *kinds), rule) if not _harmless(row)]


def benign(folder: Path, rule: str = "patterns") -> list[str]:
    """The texts of ordinary users, and those that the files of attacks say are harmless."""
    beside = [row["text"] for row in fair(files(folder, ATTACKS), rule) if _harmless(row)]
    return [*texts(files(folder, *BENIGN), rule), *beside]


def is_taught(row: Row) -> bool:
    """Whether it is of a set of `TAUGHT`; of synthetic personal data, whether its template is."""
    return _is("taught", row)


def is_odd(key: str) -> bool:
    return _digest(key)[0] % 2 == 1


def _harmless(row: Row) -> bool:
    return row.get("label") in (0, "0")


def _is(what: str, row: Row) -> bool:
    return _number(row) in given.seen(SEEN, what)


def _half(row: Row) -> str:
    """What the halves of a set are told apart by."""
    return row["text"] if row.get("template_id") is None else f"t{row['template_id']}"


def _number(row: Row) -> int:
    """What a row is known by: its text, or its template."""
    return given.number(row.get("masked") or row["text"])


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


def main(argv: Sequence[str]) -> None:
    folder = Path(argv[0])
    kinds = [prefix for prefix in PREFIXES if prefix != PASSAGES]
    every = {path.stem: [_number(row) for row in rows(path)] for path in files(folder, *kinds)}
    taught = {number for name, numbers in every.items() if name in TAUGHT for number in numbers}
    looked = {number for numbers in every.values() for number in numbers} - taught
    np.savez(SEEN, taught=np.array(sorted(taught), np.uint32), looked=np.array(sorted(looked), np.uint32))
    print(f"{len(taught) + len(looked):,} rows of {len(every)} sets, {len(taught):,} of them taught")


if __name__ == "__main__":
    main(sys.argv[1:])
