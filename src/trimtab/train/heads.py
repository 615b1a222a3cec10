"""Trains the heads' branch (`branch.py`) on the corpus, over what the served int8 encoder says: `runs/heads.sh`.

The encoder's middle states of every training row are worked out once, by the model that serves, and kept on disk in
float16. Rows come in an order that the seed decides; a later call goes on where the last one ended.
"""

# ruff: noqa: S311 - seeded draws of training texts
# pyright: reportMissingImports=false
import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as f

from trimtab.encode.encoder import HOME, LOWER, MIDDLE
from trimtab.encode.located import Run, runs
from trimtab.encode.reading import KINDS
from trimtab.encode.session import session
from trimtab.encode.tokenizer import WordPiece
from trimtab.train.branch import Branch
from trimtab.train.corpus import PIECES, Row, kept
from trimtab.train.layers import WIDTH
from trimtab.train.steps import say, train

BATCH = 2048  # pieces that the encoder reads at a time, padding counted
STEP = 1024  # pieces of a step, padding counted
UNMARKED = -100  # the label of a piece that nobody has marked
WEIGHTS = (2.0, 0.7, 1.0)  # of the scores' losses beside the tags'


class Item(NamedTuple):
    """A training row: its window, where its states begin, its pieces' kinds, its scores and its source."""

    run: Run
    at: int
    kinds: NDArray[np.int64]
    scores: tuple[float, float, float]
    source: str


def items(rows: Sequence[Row], pieces: WordPiece) -> list[Item]:
    """The rows' first windows with the labels of their pieces."""
    found: list[Item] = []
    at = 0
    for row in rows:
        if cut := runs(row.text, pieces, PIECES):
            found.append(
                Item(cut[0], at, kinds(cut[0], row), (row.injection, row.instruction, row.toxicity), row.source)
            )
            at += len(cut[0].ids) + 2
    return found


def kinds(run: Run, row: Row) -> NDArray[np.int64]:
    """For each piece 0 (none) or 1 + the place of its kind in KINDS; the marks at both ends count as unmarked."""
    labels = np.full(len(run.ids) + 2, UNMARKED, np.int64)
    if row.spans is not None:
        labels[1:-1] = 0
        for kind, start, end in row.spans:
            labels[1:-1][(run.starts < end) & (run.ends > start)] = KINDS.index(kind) + 1
    return labels


def states(taught: Sequence[Item], pieces: WordPiece, path: Path, encoder: Path) -> NDArray[np.float16]:
    """The middle states of every item in turn (pieces with marks, 384), from `path` where they are there already."""
    total = taught[-1].at + len(taught[-1].kinds)
    done = path.with_suffix(".done")
    if not done.exists():
        made = np.lib.format.open_memmap(path, "w+", np.float16, (total, WIDTH))
        served = middle(encoder)
        for at, (numbers, ids, mask) in enumerate(padded_batches(taught, pieces, BATCH)):
            for number, row in zip(numbers, served(ids, mask), strict=True):
                item = taught[number]
                made[item.at : item.at + len(item.kinds)] = row[: len(item.kinds)]
            if at % 50 == 49:
                say(f"states: {at + 1} batches of at most {BATCH} pieces")
        made.flush()
        done.write_text("")
    return np.load(path, mmap_mode="r")


def middle(encoder: Path) -> Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]:
    """The served encoder up to its middle state: from ids and mask (n, length) to (n, length, 384)."""
    first, second = session(encoder / "lower.onnx", 1), session(encoder / "middle.onnx", 1)

    def states(ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        feed = {"input_ids": ids, "attention_mask": mask}
        (lower,) = first.run([LOWER], feed)
        return second.run([MIDDLE], {LOWER: lower, **feed})[0]

    return states


def _losses(branch: Branch, batch: Sequence[Item], said: NDArray[np.float16]) -> list[Any]:
    middle, mask, shapes = _inputs(batch, said)
    with torch.autocast("cpu", torch.bfloat16):  # a third of the time, where the processor has it
        tags, scores = (logits.float() for logits in branch(middle, mask, shapes))
    labels = torch.full(mask.shape, UNMARKED)
    for row, item in enumerate(batch):
        labels[row, : len(item.kinds)] = torch.from_numpy(item.kinds)
    marked = (labels != UNMARKED).sum().clamp(min=1)
    of_tags = f.cross_entropy(tags.flatten(0, 1), labels.flatten(), ignore_index=UNMARKED, reduction="sum") / marked
    wanted = torch.tensor([item.scores for item in batch])
    known = ~wanted.isnan()
    each = f.binary_cross_entropy_with_logits(scores, wanted.nan_to_num(), reduction="none") * known
    of_scores = each.sum(0) / known.sum(0).clamp(min=1)
    return [of_tags, *(of_scores[at] * weight for at, weight in enumerate(WEIGHTS))]


def _inputs(batch: Sequence[Item], said: NDArray[np.float16]) -> tuple[Any, Any, Any]:
    longest = max(len(item.kinds) for item in batch)
    middle = np.zeros((len(batch), longest, WIDTH), np.float32)
    mask, shapes = (np.zeros((len(batch), longest), np.int64) for _ in range(2))
    for row, item in enumerate(batch):
        count = len(item.kinds)
        middle[row, :count] = said[item.at : item.at + count]
        mask[row, :count] = 1
        shapes[row, 1 : count - 1] = item.run.shapes
    return torch.from_numpy(middle), torch.from_numpy(mask), torch.from_numpy(shapes)


def _order(taught: Sequence[Item], passes: float, seed: int) -> Iterator[list[Item]]:
    """Batches of about one length in a random order, `passes` times over."""
    for number in range(math.ceil(passes)):
        drawn = random.Random(seed + number)
        mixed = sorted(taught, key=lambda item: len(item.kinds) + drawn.random() * 6)
        batches = list(_batches(mixed, STEP))
        drawn.shuffle(batches)
        yield from batches[: round(len(batches) * min(1.0, passes - number))]


def _batches(taught: Sequence[Item], most: int) -> Iterator[list[Item]]:
    batch: list[Item] = []
    for item in taught:
        if batch and max(len(item.kinds), *(len(one.kinds) for one in batch)) * (len(batch) + 1) > most:
            yield batch
            batch = []
        batch.append(item)
    if batch:
        yield batch


def padded_batches(
    wanted: Sequence[Item], pieces: WordPiece, most: int
) -> Iterator[tuple[list[int], NDArray[np.int64], NDArray[np.int64]]]:
    """Places in `wanted` with the ids and the mask of their windows, in batches of about one length."""
    place = {id(item): number for number, item in enumerate(wanted)}
    for batch in _batches(sorted(wanted, key=lambda item: len(item.kinds)), most):
        ids = np.full((len(batch), len(batch[-1].kinds)), pieces.pad, np.int64)
        mask = np.zeros_like(ids)
        for row, item in enumerate(batch):
            ids[row, : len(item.kinds)] = (pieces.cls, *item.run.ids, pieces.sep)
            mask[row, : len(item.kinds)] = 1
        yield [place[id(item)] for item in batch], ids, mask


def main() -> None:
    """`python -m trimtab.train.heads SOURCE WORK --data DIR [--passes N] [--leave NAME ...]`."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of model.safetensors")
    parser.add_argument("work", type=Path, help="folder for states, checkpoint and branch.pt")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--size", type=float, default=1.0, help="scales how many texts are drawn")
    parser.add_argument("--passes", type=float, default=1.0, help="over the training rows")
    parser.add_argument("--leave", nargs="*", default=[], help="sources of attacks to leave out, for a benchmark")
    parser.add_argument("--states", type=Path, help="of an earlier run, to share them")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(1)  # a second thread waits more than it works where others share the processor
    torch.manual_seed(chosen.seed)
    chosen.work.mkdir(parents=True, exist_ok=True)
    pieces = WordPiece.load(HOME / "vocab.txt")
    shared = chosen.states or chosen.work
    drawn = kept(shared / "rows.json", chosen.data, pieces, chosen.seed, chosen.size)
    rows = [row for row in drawn if row.part == "train"]
    taught = items(rows, pieces)
    say(f"{len(taught)} rows, {sum(len(item.kinds) for item in taught)} pieces")
    said = states(taught, pieces, shared / "states.npy", HOME)
    taught = [item for item in taught if item.source not in chosen.leave]
    branch = Branch(load_file(chosen.source / "model.safetensors"))
    order = list(_order(taught, chosen.passes, chosen.seed))
    told = "tags, injection, instruction, toxicity"
    train(branch, order, lambda batch: _losses(branch, batch, said), told, chosen.work, chosen.seed)


if __name__ == "__main__":
    main()
