"""How an injection head does on sources that it never saw: each source of attacks left out in turn.

    python benchmarks/guard_heads.py --data DIR [--out benchmarks/results/guard_heads.json]

A linear head on the encoder's sentence embedding is trained on all attacks but one source's and on benign texts of all
files but one, and scored on those two: recall at 1 % and 0.1 % benign false positives, AUC and calibration error, with
bootstrap intervals. It says what a head can be trusted with on attacks of a new sort; the head that ships has seen all
of these sources, so its own figures on them (guards.py) say less.
"""

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

import guard_data
from trimtab.encode.encoder import Encoder
from trimtab.evaluate import curves
from trimtab.train.head import Part, calibrated, fit

RESULT = Path(__file__).parent / "results" / "guard_heads.json"
MOST = 400
"""Texts of a file, and of a source."""
FIGURES = {
    "recall at 1 %": curves.recall_at(0.01), "recall at 0.1 %": curves.recall_at(0.001), "auc": curves.auc,
    "calibration error": curves.calibration_error,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=RESULT)
    asked = parser.parse_args()
    folder = asked.data / "guard" if (asked.data / "guard").is_dir() else asked.data
    attacks, benign = _attacks(folder), _benign(folder)
    if len(attacks) < 2 or len(benign) < 2:
        print(f"Skipped, {RESULT.name} left as it was: no two sources of attacks and of benign texts in {folder}.")
        return
    encoder = Encoder.load()
    bad, fine = ({name: encoder.embed_now(said) for name, said in sets.items()} for sets in (attacks, benign))
    encoder.close()
    asked.out.write_text(json.dumps(left_out(bad, fine), indent=1) + "\n")


def left_out(bad: dict[str, Any], fine: dict[str, Any]) -> dict[str, Any]:
    """The figures for each source of attacks left out, beside a file of benign texts left out."""
    print(f"{'left out':58}{'of':>6}" + "".join(f"{name:>26}" for name in FIGURES))
    found: dict[str, Any] = {}
    for i, source in enumerate(bad):
        other = sorted(fine)[i % len(fine)]
        rows = np.concatenate([bad[name] for name in bad if name != source])
        plain = np.concatenate([fine[name] for name in fine if name != other])
        part = Part(np.concatenate([plain, rows]), np.r_[np.zeros(len(plain), int), np.ones(len(rows), int)])
        mixed = np.random.default_rng(1).permutation(len(part.y))
        kept, held = mixed[len(mixed) // 10 :], mixed[: len(mixed) // 10]
        head = calibrated(
            fit(Part(part.x[kept], part.y[kept]), ("benign", "attack"), 1e-5), Part(part.x[held], part.y[held])
        )
        scores = [head.probabilities(x)[:, 1].tolist() for x in (bad[source], fine[other])]
        figures = {name: curves.with_interval(figure, *scores) for name, figure in FIGURES.items()}
        found[f"{source} | {other}"] = figures
        shown = "".join(f"{_shown(one):>26}" for one in figures.values())
        print(f"{f'{source} | {other}':58}{len(bad[source]):6}{shown}", flush=True)
    return found


def _shown(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.3f} ({low:.3f}-{high:.3f})"


def _attacks(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in guard_data.files(folder, guard_data.ATTACKS, guard_data.PLANTED):
        for row in guard_data.rows(path):
            found.setdefault(row.get("source", path.stem), []).append(row["text"])
    return {name: _some(texts) for name, texts in found.items()}


def _benign(folder: Path) -> dict[str, list[str]]:
    return {path.stem: _some(guard_data.texts([path])) for path in guard_data.files(folder, *guard_data.BENIGN)}


def _some(texts: list[str]) -> list[str]:
    """At most `MOST` of them; the beginning of each, as long as the encoder reads in one window."""
    return [text[:1200] for text in random.Random(1).sample(texts, min(len(texts), MOST))]


if __name__ == "__main__":
    main()
