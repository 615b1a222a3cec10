"""Trains the span head's branch over what the served int8 encoder says of question and window: `runs/span.sh`.

The order of the rows, and the windows that are drawn of their passages, follow from the seed; a later call goes on
where the last one ended.
"""

# ruff: noqa: S311 - seeded draws of training texts
# pyright: reportMissingImports=false
import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as f

from trimtab.encode.encoder import HOME, LOWER
from trimtab.encode.pairs import Pair
from trimtab.encode.session import session
from trimtab.encode.tokenizer import WordPiece
from trimtab.train.asked import Cut, Question, cut, drawn, padded, targets
from trimtab.train.questions import passes
from trimtab.train.span_branch import SpanBranch
from trimtab.train.steps import say, train

STEP = 1280  # pieces of a step, padding counted
SHORT, LONG = 36, 96  # pieces of a training window, unless a sentence alone has more
MOST = 200  # a longer pair is left out
Batch = list[tuple[Question, Pair]]


def batches(data: Path, pieces: WordPiece, seed: int, count: int) -> Iterator[Batch]:
    """Every pass in batches of about one length, in a random order."""
    cuts: dict[str, Cut] = {}
    for number, rows in enumerate(passes(data, seed, count)):
        chance = random.Random(seed + number)
        made: Batch = []
        for row in rows:
            if row.text not in cuts:
                cuts[row.text] = cut(row.text, pieces)
            made.append((row, drawn(row, cuts[row.text], pieces, chance.randint(SHORT, LONG), chance)))
        made = sorted((one for one in made if len(one[1]) <= MOST), key=lambda one: len(one[1]) + chance.random() * 16)
        found = list(_even(made))
        chance.shuffle(found)
        yield from found


def _even(made: Batch) -> Iterator[Batch]:
    batch: Batch = []
    for one in made:
        if batch and max(len(kept) for _, kept in (*batch, one)) * (len(batch) + 1) > STEP:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def losses(branch: SpanBranch, served: Any, batch: Batch) -> tuple[Any, Any]:
    """Minus the log likelihood of any marked answer (or of none), and of there being one."""
    ids, mask, marks = padded([made for _, made in batch])
    (states,) = served.run([LOWER], {"input_ids": ids, "attention_mask": mask})
    with torch.autocast("cpu", torch.bfloat16):  # three times as fast where the processor has it
        ends, here = branch(torch.from_numpy(states), torch.from_numpy(mask), torch.from_numpy(marks))
    ends, here = ends.float(), here.float()
    wanted = np.zeros((*ids.shape, 2), np.float32)
    for row, (one, made) in enumerate(batch):
        wanted[row, : len(made)] = targets(one, made)
    gold = torch.from_numpy(wanted)
    marked = torch.tensor([float(one.follows is None) for one, _ in batch])
    present = torch.tensor([float(bool(one.follows)) for one, _ in batch]) + marked * (1 - gold[:, 0, 0])
    missed = -torch.logsumexp(torch.log_softmax(ends, 1) + torch.log(gold.clamp(min=1e-9)), 1)
    of_spans = (missed.mean(1) * marked).sum() / marked.sum().clamp(min=1)
    return of_spans, f.binary_cross_entropy_with_logits(here, present)


def main() -> None:
    """`python -m trimtab.train.span SOURCE WORK --data DIR [--passes N]`."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of model.safetensors")
    parser.add_argument("work", type=Path, help="folder for the checkpoint and branch.pt")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--passes", type=int, default=2, help="over people's questions, after the first over made ones")
    parser.add_argument("--threads", type=int, default=1, help="more than one only on a quiet machine")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    chosen.work.mkdir(parents=True, exist_ok=True)
    pieces = WordPiece.load(HOME / "vocab.txt")
    order = list(batches(chosen.data, pieces, chosen.seed, chosen.passes))
    say(f"{sum(map(len, order))} rows in {len(order)} steps")
    served = session(HOME / "lower.onnx", chosen.threads)
    branch = SpanBranch(load_file(chosen.source / "model.safetensors"))
    train(branch, order, lambda batch: losses(branch, served, batch), "span, here", chosen.work, chosen.seed)


if __name__ == "__main__":
    main()
