"""Trains the first tier: a linear model over word pieces and pairs of them, on the rows that the heads are taught.

No weight of injection and toxicity is negative: no word speaks against an attack, so that none can be appended to clear
one (Fleshman et al., "Non-Negative Networks Against Adversarial Attacks", 2018). Of instruction some are: words tell a
story from a task.

    python -m trimtab.train.static WORK OUT

WORK holds `rows.json` as the heads' training drew it; OUT gets `static.npz`. Two minutes on two cores.
"""

# pyright: reportMissingImports=false
import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as f

from trimtab.encode.encoder import HOME
from trimtab.encode.heads import PART
from trimtab.encode.reading import SCORES
from trimtab.encode.static import PAIRS, features, packed
from trimtab.encode.tokenizer import WordPiece
from trimtab.train.corpus import Row, taught

STEPS, RATE, RIDGE = 100, 0.05, 2e-5
"""Steps of Adam over all rows at once; its rate; the weight of the squares."""


def fitted(rows: Sequence[Row], pieces: WordPiece) -> tuple[Any, Any]:
    """Weights (words + PAIRS, scores) and bias, float32. Labels that are not known teach nothing."""
    words = pieces.size
    runs = [features(ids, words) if (ids := pieces.ids(row.text)[:PART]) else np.zeros(1, np.int64) for row in rows]
    at = torch.from_numpy(np.cumsum([0, *map(len, runs[:-1])]))
    flat = torch.from_numpy(np.concatenate(runs))
    shrink = torch.tensor([[len(run) ** -0.5] for run in runs])
    wanted = torch.tensor([[row.injection, row.instruction, row.toxicity] for row in rows])
    known = ~wanted.isnan()
    weights = torch.zeros(words + PAIRS, len(SCORES), requires_grad=True)
    bias = torch.zeros(len(SCORES), requires_grad=True)
    best = torch.optim.Adam([weights, bias], lr=RATE)
    for step in range(STEPS):
        logits = f.embedding_bag(flat, weights, at, mode="sum") * shrink + bias
        each = f.binary_cross_entropy_with_logits(logits, wanted.nan_to_num(), reduction="none") * known
        losses = each.sum(0) / known.sum(0).clamp(min=1)
        best.zero_grad()
        (losses.sum() + RIDGE * weights.square().sum()).backward()
        best.step()
        with torch.no_grad():
            weights.clamp_(min=torch.tensor([-torch.inf if name == "instruction" else 0.0 for name in SCORES]))
        if step % 20 == 19:
            said = dict(zip(SCORES, np.round(losses.tolist(), 4), strict=True))
            print(f"step {step + 1}/{STEPS}: {said}", flush=True)  # noqa: T201
    return weights.detach().numpy(), bias.detach().numpy()


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path, help="folder of rows.json")
    parser.add_argument("out", type=Path, help="folder of the heads")
    parser.add_argument("--leave", nargs="*", default=[], help="sources of attacks to leave out, for a benchmark")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    chosen.out.mkdir(parents=True, exist_ok=True)
    rows = [row for row in taught(chosen.work / "rows.json") if row.part == "train" and row.source not in chosen.leave]
    packed(*fitted(rows, WordPiece.load(HOME / "vocab.txt")), chosen.out)


if __name__ == "__main__":
    main()
