"""How often a choice among options in words is right, and whether its probabilities are true: `decide.py --data DIR`.

The texts are CLINC150's, the options 2, 5, 10, 20 or all of its 150 intents, named as they are in the data with spaces
for underscores: no text of theirs trained anything here. `--fit` finds the scale of least log loss on training texts.
Without the data (docs/reference/data.md) it says so, and results/decide.json stays as it was.
"""

import argparse
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trimtab.encode.encoder import Encoder
from trimtab.encode.meaning import SCALE, probabilities

RESULT = Path(__file__).parent / "results" / "decide.json"
SIZES = (2, 5, 10, 20, 150)
FITTED = (2, 5, 10, 20)


def rows(path: Path, count: int) -> list[tuple[str, str]]:
    """`count` texts and their labels, drawn with a fixed seed."""
    found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [(row["text"], row["label"]) for row in random.Random(1).sample(found, count)]


class Chosen:
    """Texts, the options' embeddings, and a way to ask with some of them."""

    def __init__(self, encoder: Encoder, pairs: Sequence[tuple[str, str]], labels: Sequence[str]) -> None:
        self.pairs, self.labels = pairs, list(labels)
        self.texts = encoder.embed_now([text for text, _ in pairs])
        self.options = encoder.embed_now([label.replace("_", " ") for label in labels])

    def asked(self, size: int, scale: float) -> tuple[Any, Any, Any]:
        """Of each text: the probability of the choice, whether it is right, and the probability of the right one."""
        drawn, top, right, given = random.Random(size), [], [], []
        for row, (_, label) in enumerate(self.pairs):
            at = self.labels.index(label)
            others = drawn.sample([n for n in range(len(self.labels)) if n != at], size - 1)
            found = probabilities(self.texts[row], self.options[[at, *others]], scale)
            top.append(found.max())
            right.append(found.argmax() == 0)
            given.append(found[0])
        return np.array(top), np.array(right), np.array(given)


def error(top: Any, right: Any, bins: int = 15) -> float:
    """Expected calibration error (Naeini et al. 2015)."""
    place = np.minimum((top * bins).astype(int), bins - 1)
    return float(sum((place == b).mean() * abs(top[place == b].mean() - right[place == b].mean()) for b in set(place)))


def fit(chosen: Chosen) -> float:
    """The scale of least mean log loss over FITTED sizes."""

    def loss(scale: float) -> float:
        return float(np.mean([-np.log(np.maximum(chosen.asked(size, scale)[2], 1e-9)).mean() for size in FITTED]))

    return min((round(float(s), 1) for s in np.geomspace(4, 60, 60)), key=loss)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--fit", action="store_true", help="print the scale that training texts choose")
    parser.add_argument("--out", type=Path, help="in place of results/decide.json")
    asked = parser.parse_args(argv)
    train, held = (asked.data / "guard" / f"intent_clinc150_{part}.jsonl" for part in ("train", "val"))
    if not (train.is_file() and held.is_file()):
        print(
            f"Skipped, {RESULT.name} left as it was: no {train.name} and {held.name} in {train.parent} (give --data)."
        )
        return
    encoder = Encoder.load()
    labels = sorted({json.loads(line)["label"] for line in train.read_text("utf-8").splitlines()})
    if asked.fit:
        print(f"scale {fit(Chosen(encoder, rows(train, 600), labels))}")
    chosen = Chosen(encoder, rows(held, 600), labels)
    encoder.close()
    table = {}
    print("| options | right | calibration error |\n|---:|---:|---:|")
    for size in SIZES:
        top, right, _ = chosen.asked(size, SCALE)
        table[str(size)] = {"right": round(float(right.mean()), 3), "ece": round(error(top, right), 3)}
        print(f"| {size} | {table[str(size)]['right']} | {table[str(size)]['ece']} |")
    out = asked.out or RESULT
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(
        json.dumps({"scale": SCALE, "texts": len(chosen.pairs), "by_options": table}, indent=1) + "\n", "utf-8"
    )


if __name__ == "__main__":
    main()
