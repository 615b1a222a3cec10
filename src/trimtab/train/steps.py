"""Trains a branch of layers and maps of its own, step by step; what was done is kept, a later call goes on there."""

# pyright: reportMissingImports=false
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

Batch = TypeVar("Batch")

RATE, NEW_RATE, DECAY, WARM = 2e-4, 1e-3, 0.01, 0.06
"""AdamW's rates of layers that were MiniLM's and of what is new, its decay, and the share of the steps that warm up."""
KEPT_EVERY, SAID_EVERY = 50, 10


def train(
    branch: Any, order: Sequence[Batch], losses: Callable[[Batch], Sequence[Any]], told: str, folder: Path, seed: int
) -> None:
    """Train in place on the sum of a batch's `losses`, which `told` names; checkpoint and `branch.pt` are in `folder`.

    The rate rises for `WARM` of the steps, then falls in a line to a fiftieth.
    """
    old = [p for name, p in branch.named_parameters() if name.startswith("layers")]
    new = [p for name, p in branch.named_parameters() if not name.startswith("layers")]
    best = torch.optim.AdamW([{"params": old, "lr": RATE}, {"params": new, "lr": NEW_RATE}], weight_decay=DECAY)
    plan = torch.optim.lr_scheduler.LambdaLR(best, lambda step: _rate(step / len(order)))
    state_file, first = folder / "checkpoint.pt", 0
    if state_file.exists():
        state = torch.load(state_file, weights_only=True)
        branch.load_state_dict(state["branch"])
        best.load_state_dict(state["best"])
        plan.load_state_dict(state["plan"])
        first = state["step"]
    branch.train()
    began, sums = time.monotonic(), 0.0
    for step in range(first, len(order)):
        torch.manual_seed(seed * 1_000_003 + step)
        found = losses(order[step])
        best.zero_grad()
        torch.stack(list(found)).sum().backward()
        torch.nn.utils.clip_grad_norm_(branch.parameters(), 1.0)
        best.step()
        plan.step()
        sums = sums + np.array([float(loss.detach()) for loss in found])
        if (step + 1) % SAID_EVERY == 0:
            left = (time.monotonic() - began) / (step + 1 - first) * (len(order) - step - 1)
            say(f"step {step + 1}/{len(order)}: {told} {np.round(sums / SAID_EVERY, 4)}; {left / 60:.1f} min left")
            sums = 0.0
        if (step + 1) % KEPT_EVERY == 0 or step + 1 == len(order):
            _keep(state_file, branch, best, plan, step + 1)
    branch.eval()
    torch.save(branch.state_dict(), folder / "branch.pt")


def _rate(done: float) -> float:
    return done / WARM if done < WARM else 0.02 + 0.98 * (1 - (done - WARM) / (1 - WARM))


def _keep(path: Path, branch: Any, best: Any, plan: Any, step: int) -> None:
    state = {"branch": branch.state_dict(), "best": best.state_dict(), "plan": plan.state_dict(), "step": step}
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def say(text: str) -> None:
    """A line of progress, at once."""
    print(text, flush=True)  # noqa: T201
