"""Trains a head of intents over the encoder's views, calibrates it, and scores it on texts it never saw.

numpy alone: ten thousand rows of 1,536 numbers are a logistic regression of seconds. The views come from the same int8
encoder that serves, so what is trained is what is served. `runs/banking77.sh` is its recipe.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from trimtab.encode.encoder import Encoder
from trimtab.encode.head import Head, Scope, log_sum, softmax
from trimtab.encode.turns import Floats

Ints: TypeAlias = NDArray[np.int64]
PENALTIES = (3e-5, 1e-4, 3e-4)  # tried in turn; the calibration part chooses
SHARE = 0.3  # of the votes, where there are any
TEMPERATURES = np.geomspace(0.2, 5, 324, dtype=np.float32)
KEPT = 0.95  # of the texts inside, at the limit
STEPS, RATE = 150, 0.1
LENGTH = 6.0  # of a row of features, on average, once each has the same spread
GROUPS = 32  # centres per label, at most


class Rows(NamedTuple):
    """Texts with their labels, as in the data."""

    texts: list[str]
    labels: list[str]


class Part(NamedTuple):
    """Views (n, views), of which the first `dims` are the embedding, and label numbers (n,)."""

    x: Floats
    y: Ints
    dims: int


def rows(paths: Sequence[Path], without: frozenset[str] = frozenset()) -> Rows:
    """The rows of JSONL files with `text` and `label`, without those of some labels."""
    found = [json.loads(line) for path in paths for line in path.read_text("utf-8").split("\n") if line]
    kept = [row for row in found if row["label"] not in without]
    return Rows([row["text"] for row in kept], [row["label"] for row in kept])


def split(y: Ints, seed: int) -> tuple[Ints, Ints, Ints]:
    """Row numbers of the train, calibration and held-out parts: 80, 10 and 10 % of every label."""
    random = np.random.default_rng(seed)
    parts: tuple[list[Ints], ...] = ([], [], [])
    for label in range(int(y.max()) + 1):
        mixed = random.permutation(np.flatnonzero(y == label))
        tenth = max(1, round(len(mixed) * 0.1))
        for part, piece in zip(parts, np.split(mixed, [len(mixed) - 2 * tenth, len(mixed) - tenth]), strict=True):
            part.append(piece)
    train, calibration, held_out = (np.sort(np.concatenate(part)) for part in parts)
    return train, calibration, held_out


def fit(part: Part, labels: tuple[str, ...], penalty: float, centres: Floats, owners: Ints) -> Head:
    """The head of the logistic regression: each feature is given the same spread first, which the weights undo."""
    mean, share = part.x.mean(axis=0), LENGTH / np.sqrt(part.x.shape[1]) / np.maximum(part.x.std(axis=0), 1e-6)
    weights, bias = logistic((part.x - mean) * share, part.y, len(labels), penalty)
    own = (weights * share[:, None]).astype(np.float32)
    return Head(labels=labels, weights=own, bias=bias - mean @ own, centres=centres, owners=owners)


def logistic(features: Floats, y: Ints, labels: int, penalty: float) -> tuple[Floats, Floats]:
    """Multinomial logistic regression with an L2 penalty on the weights: Adam on the whole batch, from zero.

    From features (n, d) and label numbers (n,) below `labels` the weights (d, labels) and the bias (labels,).
    """
    x = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1, dtype=np.float32)
    target = np.eye(labels, dtype=np.float32)[y]
    weights = np.zeros((x.shape[1], labels), np.float32)
    slow, square = np.zeros_like(weights), np.zeros_like(weights)
    for step in range(1, STEPS + 1):
        slope = x.T @ (softmax(x @ weights) - target) / np.float32(len(x))
        slope[:-1] += np.float32(penalty) * weights[:-1]
        slow = np.float32(0.9) * slow + np.float32(0.1) * slope
        square = np.float32(0.99) * square + np.float32(0.01) * slope**2
        rate = np.float32(RATE * (1 - step / STEPS) / (1 - 0.9**step))
        weights -= rate * slow / (np.sqrt(square / np.float32(1 - 0.99**step)) + np.float32(1e-8))
    return weights[:-1], weights[-1]


def calibrated(head: Head, part: Part) -> Head:
    """The head with the temperature (to 1 %) of the least log loss on `part`, and with votes where they clearly help.

    That is where they lower the loss by more than a standard error: part of their gain is of texts that nearly stand in
    both parts, which new texts do not.
    """
    (plain, without), (voting, loss) = (_tempered(replace(head, share=share), part) for share in (0.0, SHARE))
    gain = without - loss
    return voting if gain.mean() > gain.std() / np.sqrt(len(gain)) else plain


def _tempered(head: Head, part: Part) -> tuple[Head, Floats]:
    """The head at its best temperature, and the loss of each row there, nats."""
    odds = head.odds(part.x)
    right = odds[np.arange(len(part.y)), part.y]
    losses = {float(t): log_sum(odds / t)[:, 0] - right / t for t in TEMPERATURES}
    best = min(losses, key=lambda t: losses[t].mean())
    return replace(head, temperature=best), losses[best]


def scoped(head: Head, calibration: Part, outside: Floats) -> Head:
    """The head with its scope: calibration texts against texts from outside, each side weighing half."""
    weights = _logistic(head.signs(calibration.x), head.signs(outside))
    head = replace(head, scope=Scope(weights=weights, limit=1.0))
    limit = float(np.quantile(head.outside(calibration.x), KEPT))
    return replace(head, scope=Scope(weights=weights, limit=limit))


def known(part: Part, seed: int) -> tuple[Floats, Ints]:
    """Centres (m, dims) of groups of each label's embeddings, and the label of each (m,)."""
    groups = [_centres(part.x[part.y == label, : part.dims], seed) for label in range(int(part.y.max()) + 1)]
    return np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def log_loss(head: Head, part: Part) -> float:
    """Mean negative log probability of the right label, nats."""
    right = head.probabilities(part.x)[np.arange(len(part.y)), part.y]
    return float(-np.log(np.maximum(right, 1e-12)).mean())


def accuracy(head: Head, part: Part) -> float:
    """Share of rows whose most probable label is right."""
    return float((head.probabilities(part.x).argmax(axis=1) == part.y).mean())


def calibration_error(head: Head, part: Part, bins: int = 15) -> float:
    """Expected calibration error of the top label over equal-width bins (Naeini et al. 2015)."""
    given = head.probabilities(part.x)
    sure, right = given.max(axis=1), given.argmax(axis=1) == part.y
    place = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = [(place == b).mean() * abs(sure[place == b].mean() - right[place == b].mean()) for b in np.unique(place)]
    return float(sum(gaps))


def rejected(head: Head, views: Floats, limit: float | None = None) -> float:
    """Share of the texts that lie outside, at the head's own limit or another."""
    if limit is None:
        limit = head.scope.limit if head.scope else 1.0
    return float((head.outside(views) > limit).mean())


def _centres(x: Floats, seed: int) -> Floats:
    """Spherical k-means: the unit means of GROUPS groups (fewer where there are fewer texts)."""
    random = np.random.default_rng(seed)
    centres = x[random.choice(len(x), min(GROUPS, len(x)), replace=False)]
    for _ in range(20):
        nearest = (x @ centres.T).argmax(axis=1)
        sums = [x[nearest == c].sum(axis=0) if (nearest == c).any() else centres[c] for c in range(len(centres))]
        centres = np.stack([total / max(float(np.linalg.norm(total)), 1e-12) for total in sums])
    return centres


def _logistic(inside: Floats, outside: Floats) -> Floats:
    """Weights of P(outside | signs) by Newton's method; the two sides weigh the same whatever their sizes."""
    x = np.concatenate([inside, outside]).astype(np.float64)
    target = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
    share = np.r_[np.full(len(inside), 0.5 / len(inside)), np.full(len(outside), 0.5 / len(outside))]
    weights = np.zeros(x.shape[1])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        bend = (x * (share * p * (1 - p))[:, None]).T @ x + 1e-6 * np.eye(x.shape[1])
        weights += np.linalg.solve(bend, x.T @ (share * (target - p)) - 1e-6 * weights)
    return weights.astype(np.float32)


def train(inside: Part, labels: tuple[str, ...], outside: Floats, seed: int) -> tuple[Head, Part, dict[str, Any]]:
    """The head, the held-out part (which nothing here has looked at) and how it was made.

    What the calibration part has chosen is kept; the weights and centres are then made anew from it too.
    """
    places = split(inside.y, seed)
    trained, calibration, held_out = (Part(inside.x[at], inside.y[at], inside.dims) for at in places)
    near = known(trained, seed)
    heads = {penalty: calibrated(fit(trained, labels, penalty, *near), calibration) for penalty in PENALTIES}
    penalty = min(heads, key=lambda tried: log_loss(heads[tried], calibration))
    chosen = scoped(heads[penalty], calibration, outside)
    both = np.sort(np.concatenate(places[:2]))
    taught = Part(inside.x[both], inside.y[both], inside.dims)
    head = replace(
        fit(taught, labels, penalty, *known(taught, seed)),
        share=chosen.share, temperature=chosen.temperature, scope=chosen.scope,
    )  # fmt: skip
    sizes = {"train": len(trained.y), "calibration": len(calibration.y), "held_out": len(held_out.y)}
    made = {"seed": seed, "rows": sizes | {"outside": len(outside)}, "l2": penalty, "votes": head.share}
    return head, held_out, made | {"temperature": round(head.temperature, 3)}


def scores(head: Head, held_out: Part, unseen: dict[str, Floats]) -> dict[str, float]:
    """Figures on rows that trained and calibrated nothing, rounded to three places.

    `rejected_x` is at the head's limit, which calibration chose; `rejected_x_at_95` where just 95 % of the held-out
    rows are kept, which compares heads but is known only with the held-out rows in hand.
    """
    found = {
        "accuracy": accuracy(head, held_out),
        "ece": calibration_error(head, held_out),
        "log_loss": log_loss(head, held_out),
        "kept": 1 - rejected(head, held_out.x),
    }
    at_95 = float(np.quantile(head.outside(held_out.x), KEPT))
    for name, x in unseen.items():
        found |= {f"rejected_{name}": rejected(head, x), f"rejected_{name}_at_95": rejected(head, x, at_95)}
    return {name: round(value, 3) for name, value in found.items()}


def spread(inside: Part, labels: tuple[str, ...], outside: Floats, seeds: Sequence[int]) -> dict[str, float]:
    """The lowest, mean and highest held-out accuracy of the same recipe over other splits."""
    found = [accuracy(head, held_out) for head, held_out, _ in (train(inside, labels, outside, seed) for seed in seeds)]
    return {
        f"accuracy_{name}": round(float(of(found)), 3) for name, of in (("min", min), ("mean", np.mean), ("max", max))
    }


def main() -> None:
    """`python -m trimtab.train.head OUT --inside FILE --outside FILE... --unseen NAME=FILE...`."""
    chosen = _arguments().parse_args()
    encoder = Encoder.load()
    ours, near = (frozenset(filter(None, part.split(","))) for part in (chosen.ours, chosen.near))

    def read(name: str, found: Rows) -> Floats:
        print(f"reading {len(found.texts):6d} texts: {name}", flush=True)  # noqa: T201
        return encoder.views_now(found.texts)

    inside = rows([chosen.inside])
    labels = tuple(sorted(set(inside.labels)))
    numbers = np.array([labels.index(label) for label in inside.labels])
    part = Part(read("inside", inside), numbers, encoder.dims)
    outside = read("outside", rows(chosen.outside, without=ours))
    unseen = {name: read(name, rows([Path(path)], without=ours)) for name, path in chosen.unseen}
    if near:
        paths = [Path(path) for _, path in chosen.unseen]
        others = frozenset(rows(paths).labels) - near
        unseen["near"] = read("near", rows(paths, without=others))
    head, held_out, made = train(part, labels, outside, chosen.seed)
    figures = scores(head, held_out, unseen)
    if chosen.splits:
        print(f"training again on {chosen.splits} other splits", flush=True)  # noqa: T201
        figures |= spread(part, labels, outside, range(chosen.seed + 1, chosen.seed + 1 + chosen.splits))
    facts = {"licence": chosen.licence, "sources": chosen.source, "made": {"by": chosen.by, **made}, "scores": figures}
    head.save(chosen.out, facts)
    encoder.close()
    print(json.dumps(made | figures, indent=2))  # noqa: T201


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("out", type=Path, help="folder for head.npz, labels.json and manifest.json")
    add("--inside", type=Path, required=True, help="JSONL of texts and their labels")
    add("--outside", type=Path, nargs="+", required=True, help="JSONL of texts that have none of the labels")
    add("--unseen", type=_named, nargs="+", default=[], help="NAME=FILE: texts from outside, for scoring only")
    add("--ours", default="", help="labels of the outside files that belong inside, with commas: left out")
    add("--near", default="", help="labels among --ours that no inside label covers, with commas: scored as `near`")
    add("--seed", type=int, default=1)
    add("--splits", type=int, default=0, help="other splits to train on, to see how far the accuracy depends on it")
    add("--licence", required=True, help="of the head that is made")
    add("--source", nargs="+", required=True, help="attribution of each data set")
    add("--by", default="python -m trimtab.train.head", help="the recipe's name, for the manifest")
    return parser


def _named(written: str) -> tuple[str, str]:
    name, separator, path = written.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError(f"{written!r} is not NAME=FILE")
    return name, path


if __name__ == "__main__":
    main()
