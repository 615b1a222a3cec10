"""Trains the tagger of Thai names (`trimtab.encode.thai`) on drawn texts, sets its threshold, and seals it.

    python -m trimtab.train.thai CORPUS OUT

CORPUS is the folder of PyThaiNLP's word lists; OUT gets `thai.npz` and its manifest. `runs/thai.sh` is its recipe.
"""

# pyright: reportMissingImports=false
import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as f
from torch import nn

from trimtab.encode import thai
from trimtab.encode.sealed import seal
from trimtab.train.thai_draw import Drawing, Drawn, Lists

WIDTH, BATCH, POOL, RATE = 64, 64, 20, 3e-3
LENGTH = 220
"""Characters of a text that are taught; the rest is cut."""
DROPPED = 0.15
"""Of what each layer says, left out while training."""
LEANING = 1.0
"""Log odds for a name, of every character, beside what was learnt: a name that leaves costs more than one hidden."""
LOST = 0.02
"""Share of drawn harmless texts, many of nonsense, in which something is found; of prose it is a third of that."""


class Net(nn.Module):
    """The net of `trimtab.encode.thai.Tagger`, by its names."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = nn.Parameter(torch.randn(thai.SIGNS, WIDTH) * 0.3)
        self.begin, self.finish, self.inside = (
            nn.Parameter(torch.randn(thai.LONGEST + 1, WIDTH) * 0.1) for _ in range(3)
        )
        layers = len(thai.SPACINGS)
        self.weights = nn.Parameter(torch.randn(layers, 3 * WIDTH, WIDTH) * (3 * WIDTH) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(layers, WIDTH))
        self.out = nn.Parameter(torch.randn(WIDTH, len(thai.KINDS) + 1) * WIDTH**-0.5)
        self.out_bias = nn.Parameter(torch.zeros(len(thai.KINDS) + 1))

    def forward(self, signs: Any, marks: Any, there: Any) -> Any:
        """Logits (texts, length, kinds + 1) of signs (texts, length), marks (texts, 3, length) and which are there."""
        x = self.signs[signs] + self.begin[marks[:, 0]] + self.finish[marks[:, 1]] + self.inside[marks[:, 2]]
        x = x * there
        for gap, weights, bias in zip(thai.SPACINGS, self.weights, self.bias, strict=True):
            around = f.pad(x, (0, 0, gap, gap))
            joined = torch.cat([around[:, : -2 * gap], x, around[:, 2 * gap :]], dim=2)
            x = (x + f.dropout(f.relu(joined @ weights + bias), DROPPED, self.training)) * there
        return x @ self.out + self.out_bias


def batched(drawn: Sequence[Drawn], words: thai.Words, salts: Sequence[int]) -> tuple[Any, ...]:
    """Signs, marks, which characters are there, and the kinds (-100 where none is), padded."""
    length = min(LENGTH, max(len(one.text) for one in drawn))
    signs = np.zeros((len(drawn), length), np.int64)
    marks = np.zeros((len(drawn), 3, length), np.int64)
    kinds = np.full((len(drawn), length), -100, np.int64)
    for row, (one, salt) in enumerate(zip(drawn, salts, strict=True)):
        codes = thai.coded(one.text[:length])
        size = len(codes)
        signs[row, :size], marks[row, :, :size], kinds[row, :size] = thai.signed(codes), words.marks(codes, salt), 0
        for kind, start, end in one.spans:
            kinds[row, start : min(end, size)] = 1 + thai.KINDS.index(kind)
    there = torch.from_numpy(kinds >= 0).unsqueeze(2).float()
    return torch.from_numpy(signs), torch.from_numpy(marks), there, torch.from_numpy(kinds)


def trained(drawing: Drawing, words: thai.Words, steps: int) -> Net:
    """The net after so many batches of texts that are drawn once each."""
    torch.manual_seed(1)
    net, random = Net(), np.random.default_rng(1)
    best = torch.optim.AdamW(net.parameters(), RATE, weight_decay=0.01)
    slower = torch.optim.lr_scheduler.OneCycleLR(best, RATE, total_steps=steps, pct_start=0.05)
    total = 0.0
    for step, drawn in enumerate(_batches(drawing, steps), 1):
        *given, kinds = batched(drawn, words, random.integers(1, 1 << 31, BATCH).tolist())
        loss = f.cross_entropy(net(*given).flatten(0, 1), kinds.flatten(), ignore_index=-100)
        best.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        best.step()
        slower.step()
        total += float(loss)
        if step % 100 == 0:
            print(f"step {step}/{steps}: {total / 100:.4f}", flush=True)  # noqa: T201
            total = 0.0
    return net.eval()


def _batches(drawing: Drawing, steps: int) -> Iterator[list[Drawn]]:
    """Batches of texts of about the same length."""
    for first in range(0, steps, POOL):
        drawn = sorted((drawing.text() for _ in range(BATCH * POOL)), key=lambda one: len(one.text))
        order = list(range(POOL))
        Random(first).shuffle(order)  # noqa: S311 - seeded
        yield from (drawn[at * BATCH : (at + 1) * BATCH] for at in order[: steps - first])


def arrays(net: Net, hashes: Any) -> dict[str, Any]:
    """What `thai.npz` holds, with no threshold yet."""
    held = {name: value.detach().numpy().astype(np.float16) for name, value in net.named_parameters()}
    held["out_bias"][0] -= LEANING
    return {**held, "words": hashes, "least": np.float32(0)}


def least(tagger: thai.Tagger, drawn: Sequence[Drawn]) -> float:
    """What speaks for a name at some place of LOST of the harmless texts."""
    tops = sorted(
        (max((said for _, said in tagger.weighed(one.text)), default=0.0) for one in drawn if not one.spans),
        reverse=True,
    )
    return tops[int(LOST * len(tops))]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="PyThaiNLP's folder `corpus`")
    parser.add_argument("out", type=Path, help="folder of thai.npz")
    parser.add_argument("--steps", type=int, default=4000, help="batches of 64 texts")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    lists = Lists.read(chosen.corpus)
    hashes = np.unique(np.array([thai.hashed(word) for word in lists.words if len(word) <= thai.LONGEST], np.uint32))
    net = trained(Drawing(lists, "train", 1), thai.Words(hashes), chosen.steps)
    held = arrays(net, hashes)
    drawing = Drawing(lists, "calibrate", 1)
    held["least"] = np.float32(least(thai.Tagger(held), [drawing.text() for _ in range(6000)]))
    chosen.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(chosen.out / thai.FILE, **held)
    facts = {
        "name": "tagger of Thai names, float16", "licence": "Apache-2.0",
        "data": "sentences of our own; names of Faker 40.63.0 (MIT) and of our own; PyThaiNLP 5.4.0's word lists (CC0)",
        "made": {"by": "runs/thai.sh", "seed": 1, "steps": chosen.steps, "least": round(float(held["least"]), 2)},
    }  # fmt: skip
    seal(chosen.out, [thai.FILE], facts)
    print(json.dumps(facts["made"]))  # noqa: T201


if __name__ == "__main__":
    main()
