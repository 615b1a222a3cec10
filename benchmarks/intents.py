"""How well a head of intents knows its own, and what is none of them: `intents.py --data DIR`.

Heads are made by `train/head.py` as the banking skill's is, on CLINC150's training texts: all of its 150 intents, and
20 of them with 20 texts each, as a desk of its own would have. Scored on its `val` and `oos_val` files. Without the
data (docs/reference/data.md) it says so, and results/intents.json stays as it was.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.train import head as training
from trimtab.train.head import Part, Rows

RESULT = Path(__file__).parent / "results" / "intents.json"
FILES = ("train", "val", "oos_train", "oos_val")
FEW, EACH, DRAWS = 20, 20, 5
"""Intents of a small skill, texts of each, and how many such skills are drawn."""


def scored(taught: Part, labels: tuple[str, ...], outside: Any, held: Part, unseen: dict[str, Any]) -> dict[str, Any]:
    """The figures of `training.scores` of a head made of `taught`, on what it never saw."""
    head, _, made = training.train(taught, labels, outside, seed=1)
    return training.scores(head, held, unseen) | {"votes": made["votes"]}


def small(read: dict[str, Any], rows: dict[str, Rows], dims: int, seed: int) -> dict[str, Any]:
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
    unseen = {"oos": np.concatenate([read["oos_train"], read["oos_val"]]), "other": read["val"][of("val", rest)]}
    return scored(taught, tuple(own), outside, part("val", of("val", own)), unseen)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, help="in place of results/intents.json")
    asked = parser.parse_args(argv)
    paths = {name: asked.data / "guard" / f"intent_clinc150_{name}.jsonl" for name in FILES}
    if lost := [path.name for path in paths.values() if not path.is_file()]:
        print(f"Skipped, {RESULT.name} left as it was: no {', '.join(lost)} in {asked.data / 'guard'} (give --data).")
        return
    rows = {name: training.rows([path]) for name, path in paths.items()}
    encoder = Encoder.load()
    read = {name: encoder.views_now(found.texts) for name, found in rows.items()}
    encoder.close()
    labels = tuple(sorted(set(rows["train"].labels)))

    def part(name: str) -> Part:
        return Part(read[name], np.array([labels.index(label) for label in rows[name].labels]), encoder.dims)

    whole = scored(part("train"), labels, read["oos_train"], part("val"), {"oos": read["oos_val"]})
    few = [small(read, rows, encoder.dims, seed) for seed in range(DRAWS)]
    mean = {name: round(float(np.mean([one[name] for one in few])), 3) for name in few[0]}
    found = {"clinc150": whole, f"{FEW} intents, {EACH} texts each, mean of {DRAWS}": mean}
    for name, figures in found.items():
        print(name, json.dumps(figures))
    out = asked.out or RESULT
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
