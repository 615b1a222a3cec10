"""How well a head of intents knows its own, and what is none of them: `intents.py --data DIR`.

Heads are made by `train/head.py` as the banking skill's is, on CLINC150's training texts: all of its 150 intents, and
20 of them with 20 texts each, as a desk of its own would have. Scored on its `val` and `oos_val` files. Other sets of
that schema in DIR, or in its folder guard/, are scored alike: intent_NAME_train and _oos_train teach, and _val with
_oos_val, or _test with _oos_test, score. Without the data (docs/reference/data.md) it says so; results/intents.json is
written where CLINC150 is all there is.
"""

import argparse
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import given
from trimtab.encode.encoder import Encoder
from trimtab.train import head as training
from trimtab.train.head import Part, Rows

RESULT = Path(__file__).parent / "results" / "intents.json"
TAUGHT, HELD = ("train", "oos_train"), (("val", "oos_val"), ("test", "oos_test"))
FEW, EACH, DRAWS = 20, 20, 5
"""Intents of a small skill, texts of each, and how many such skills are drawn."""


def scored(taught: Part, labels: tuple[str, ...], outside: Any, held: Part, unseen: dict[str, Any]) -> dict[str, Any]:
    """The figures of `training.scores` of a head made of `taught`, on what it never saw."""
    head, _, made = training.train(taught, labels, outside, seed=1)
    return training.scores(head, held, unseen) | {"votes": made["votes"]}


def small(read: dict[str, Any], rows: dict[str, Rows], dims: int, seed: int) -> dict[str, float]:
    """A skill of FEW intents; as texts from outside it has as many of other intents, none of which is scored."""
    drawn, names = random.Random(seed), sorted(set(rows["train"].labels))
    drawn.shuffle(names)
    own, strange, rest = sorted(names[:FEW]), set(names[FEW : 3 * FEW]), set(names[3 * FEW :])

    def of(part: str, wanted: Sequence[str] | set[str]) -> list[int]:
        return [at for at, label in enumerate(rows[part].labels) if label in wanted]

    def part(name: str, places: Sequence[int]) -> Part:
        return Part(read[name][places], np.array([own.index(rows[name].labels[at]) for at in places]), dims)

    taught = part("train", [at for label in own for at in drawn.sample(of("train", [label]), EACH)])
    outside = read["train"][drawn.sample(of("train", strange), FEW * EACH)]
    unseen = {"oos": np.concatenate([read["oos_train"], read["oos"]]), "other": read["held"][of("held", rest)]}
    return scored(taught, tuple(own), outside, part("held", of("held", own)), unseen)


def sets(folder: Path) -> dict[str, tuple[Path, ...]]:
    """By name the files of each set that can be scored: of TAUGHT, then of one of HELD. Says what others lack."""
    found: dict[str, tuple[Path, ...]] = {}
    places = [place for place in (folder, folder / "guard") if place.is_dir()]
    for train in sorted(path for place in places for path in place.glob("intent_*_train.jsonl")):
        if (name := train.name[len("intent_") : -len("_train.jsonl")]).endswith("_oos"):
            continue
        there = {part: train.with_name(f"intent_{name}_{part}.jsonl") for part in (*TAUGHT, *HELD[0], *HELD[1])}
        lost = {part: path.name for part, path in there.items() if not path.is_file()}
        for held in HELD:
            if not any(part in lost for part in (*TAUGHT, *held)):
                found[name if held == HELD[0] else f"{name} {held[0]}"] = tuple(there[p] for p in (*TAUGHT, *held))
        if not {name, f"{name} test"} & {*found}:
            print(f"{name}: skipped, for there is no {', '.join(lost.values())}")
    return found


def figures(name: str, paths: Sequence[Path], encoder: Encoder) -> dict[str, Any]:
    """The figures of one set: of all its intents, and of few where it has enough."""
    train, oos_train, held, oos = (given.rows(path, "text", "label") for path in paths)
    labels = sorted({row["label"] for row in train})
    if strange := [row for row in held if row["label"] not in labels]:
        print(f"{name}: {len(strange)} of {len(held)} rows left out, for no text of {paths[0].name} has their label")
    known = [row for row in held if row["label"] in labels]
    if not (len(labels) > 1 and oos_train and known and oos):
        print(f"{name}: skipped, for a file has no rows of use, or there are less than two intents")
        return {}
    parts = {"train": train, "oos_train": oos_train, "held": known, "oos": oos}
    rows = {part: Rows([row["text"] for row in one], [row["label"] for row in one]) for part, one in parts.items()}
    read = {part: encoder.views_now(one.texts) for part, one in rows.items()}

    def part(name: str) -> Part:
        return Part(read[name], np.array([labels.index(label) for label in rows[name].labels]), encoder.dims)

    found = {name: scored(part("train"), tuple(labels), read["oos_train"], part("held"), {"oos": read["oos"]})}
    if min(Counter(rows["train"].labels).values()) < EACH or len(labels) <= 3 * FEW:
        print(f"{name}: no small skills, for they take more than {3 * FEW} intents of {EACH} texts each")
        return found
    few = [small(read, rows, encoder.dims, seed) for seed in range(DRAWS)]
    head = f"{FEW} intents, {EACH} texts each, mean of {DRAWS}"
    mean = {what: round(float(np.mean([one[what] for one in few])), 3) for what in few[0]}
    return found | {head if name == "clinc150" else f"{name}, {head}": mean}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="in place of results/intents.json")
    asked = parser.parse_args(argv)
    if not (there := sets(asked.data)):
        print(f"Skipped, {RESULT.name} left as it was: no intent_NAME_train.jsonl with _oos_train, and _val with "
              f"_oos_val or _test with _oos_test, in {asked.data} (give --data).")  # fmt: skip
        return
    encoder = Encoder.load()
    found = {what: row for name, paths in there.items() for what, row in figures(name, paths, encoder).items()}
    encoder.close()
    for name, row in found.items():
        print(name, json.dumps(row))
    if not (out := asked.out or (RESULT if [*there] == ["clinc150"] else None)):
        print(f"{RESULT.name} left as it was: it is of clinc150's val alone (give --out to keep this).")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
