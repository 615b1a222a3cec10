"""Trains the span head's branch over what the served int8 encoder says of question and window: `runs/span.sh`."""

# ruff: noqa: S311 - seeded draws of training texts
# pyright: reportMissingImports=false
import argparse
import json
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as f

from trimtab.encode.encoder import HOME
from trimtab.encode.pairs import Pair
from trimtab.encode.session import session
from trimtab.encode.tokenizer import WordPiece
from trimtab.train.questions import Cut, Question, cut, drawn, squad
from trimtab.train.span_branch import LAYERS, SpanBranch

STEP = 2048
RATE, NEW_RATE, DECAY, WARM = 1.5e-4, 1e-3, 0.01, 0.06
SHORT, LONG = 40, 100  # pieces of a training window
KEPT_EVERY, SAID_EVERY = 100, 10


def lower(source: Path, out: Path, name: str) -> Path:
    from onnx.utils import extract_model

    if not out.exists():
        extract_model(str(source), str(out), ["input_ids", "attention_mask"], [name])
    return out


def targets(one: Question, made: Pair) -> np.ndarray:
    """(length, 2): each piece's share of being first and last; all on the mark where the answer is not in the window."""
    wanted = np.zeros((len(made), 2), np.float32)
    for start, end in one.spans:
        inside = np.flatnonzero((made.starts < end) & (made.ends > start))
        whole = len(inside) and made.starts[inside[0]] <= start and made.ends[inside[-1]] >= end
        if whole:
            wanted[made.first + inside[0], 0] += 1
            wanted[made.first + inside[-1], 1] += 1
    if wanted.sum() == 0:
        wanted[0] = 1
    return wanted / wanted.sum(0)


def padded(batch: Sequence[Pair]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    longest = max(map(len, batch))
    ids, mask, marks = (np.zeros((len(batch), longest), np.int64) for _ in range(3))
    for row, one in enumerate(batch):
        ids[row, : len(one)], mask[row, : len(one)], marks[row, : len(one)] = one.ids, 1, one.marks
    return ids, mask, marks


class Batches:
    """Batches of about one length, a new draw of windows each epoch."""

    def __init__(self, rows: Sequence[Question], pieces: WordPiece, epochs: float, seed: int) -> None:
        self.rows, self.pieces, self.epochs, self.seed = rows, pieces, epochs, seed
        self.cuts: dict[str, Cut] = {}

    def __iter__(self) -> Iterator[list[tuple[Question, Pair]]]:
        for epoch in range(math.ceil(self.epochs)):
            chance = random.Random(self.seed + epoch)
            made = [(row, self._drawn(row, chance)) for row in self.rows]
            made.sort(key=lambda item: len(item[1]) + chance.random() * 16)
            batches, batch = [], []
            for item in made:
                if batch and max(len(item[1]), max(len(p) for _, p in batch)) * (len(batch) + 1) > STEP:
                    batches.append(batch)
                    batch = []
                batch.append(item)
            batches.append(batch)
            chance.shuffle(batches)
            yield from batches[: round(len(batches) * min(1.0, self.epochs - epoch))]

    def _drawn(self, row: Question, chance: random.Random) -> Pair:
        if row.text not in self.cuts:
            self.cuts[row.text] = cut(row.text, self.pieces)
        return drawn(row, self.cuts[row.text], self.pieces, chance.randint(SHORT, LONG), chance)


def losses(branch: SpanBranch, served: Any, batch: Sequence[tuple[Question, Pair]], name: str) -> list[Any]:
    ids, mask, marks = padded([made for _, made in batch])
    (states,) = served.run([name], {"input_ids": ids, "attention_mask": mask})
    ends, here = branch(torch.from_numpy(states), torch.from_numpy(mask), torch.from_numpy(marks))
    wanted = np.zeros((*ids.shape, 2), np.float32)
    for row, (one, made) in enumerate(batch):
        wanted[row, : len(made)] = targets(one, made)
    gold = torch.from_numpy(wanted)
    # the likelihood of any of the marked answers, not of their average
    first = -torch.logsumexp(torch.log_softmax(ends, 1) + torch.log(gold.clamp(min=1e-9)), 1)
    present = 1 - gold[:, 0, 0]
    return [first.sum(1).mean() / 2, 0.5 * f.binary_cross_entropy_with_logits(here, present)]


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def train(branch, served, name, rows, pieces, epochs, seed, out: Path, rate=RATE, check=None):
    batches = list(Batches(rows, pieces, epochs, seed))
    old = [p for n, p in branch.named_parameters() if n.startswith("layers")]
    new = [p for n, p in branch.named_parameters() if not n.startswith("layers")]
    best = torch.optim.AdamW([{"params": old, "lr": rate}, {"params": new, "lr": NEW_RATE}], weight_decay=DECAY)
    plan = torch.optim.lr_scheduler.LambdaLR(
        best, lambda s: (s / len(batches)) / WARM if s / len(batches) < WARM
        else 0.02 + 0.98 * (1 - (s / len(batches) - WARM) / (1 - WARM)))
    branch.train()
    began, sums = time.monotonic(), np.zeros(2)
    for step, batch in enumerate(batches):
        torch.manual_seed(seed * 1_000_003 + step)
        parts = losses(branch, served, batch, name)
        best.zero_grad()
        torch.stack(parts).sum().backward()
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        best.step()
        plan.step()
        sums += [float(p.detach()) for p in parts]
        if (step + 1) % SAID_EVERY == 0:
            left = (time.monotonic() - began) / (step + 1) * (len(batches) - step - 1)
            say(f"step {step + 1}/{len(batches)}: span, here {np.round(sums / SAID_EVERY, 3)}; {left / 60:.1f} min left")
            sums[:] = 0
        if (step + 1) % KEPT_EVERY == 0:
            torch.save(branch.state_dict(), out)
        if check and (step + 1) % check[0] == 0:
            branch.eval(); say(json.dumps(check[1](branch))); branch.train()
    torch.save(branch.state_dict(), out)
    branch.eval()
