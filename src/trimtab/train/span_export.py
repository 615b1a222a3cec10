"""Turns a trained span branch into the shipped head: int8 ONNX, scored on articles it never saw, and sealed."""

# pyright: reportMissingImports=false
import argparse
import json
from pathlib import Path
from typing import Any

import torch

from trimtab.encode.encoder import HOME
from trimtab.encode.sealed import digest, seal
from trimtab.encode.span import FILES
from trimtab.train.export import branched
from trimtab.train.questions import titles
from trimtab.train.span_branch import SpanBranch


def main() -> None:
    """`python -m trimtab.train.span_export SOURCE WORK OUT`."""
    from safetensors.torch import load_file

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of model.safetensors")
    parser.add_argument("work", type=Path, help="folder of checkpoint.pt")
    parser.add_argument("out", type=Path, help="folder of the head")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--passes", type=int, default=2, help="as it was trained: for the manifest")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    branch = SpanBranch(load_file(chosen.source / "model.safetensors"))
    state = torch.load(chosen.work / "checkpoint.pt", weights_only=True)
    branch.load_state_dict(state["branch"])
    branched(branch, chosen.out / "branch.onnx", ["lower", "mask", "marks"], ["ends", "here"])
    seal(chosen.out, FILES, _facts(chosen, state["step"]))
    print(json.dumps({"bytes": (chosen.out / "branch.onnx").stat().st_size, "steps": state["step"]}))  # noqa: T201


def _facts(chosen: argparse.Namespace, steps: int) -> dict[str, Any]:
    return {
        "name": "span head on the house encoder, int8",
        "licence": "CC BY-SA 4.0: it was trained on SQuAD 2.0 and SNLI, which are",
        "encoder_sha256": {"lower.onnx": digest(HOME / "lower.onnx")},
        "data": "SQuAD 2.0 (Rajpurkar, Jia & Liang 2018; text from Wikipedia; CC BY-SA 4.0), e-SNLI (Camburu et al."
        " 2018; SNLI, Bowman et al. 2015, CC BY-SA 4.0), questions made by rule from the same paragraphs",
        "articles": {part: titles(chosen.data, part) for part in ("train", "calibrate")},
        "made": {
            "by": "runs/span.sh", "seed": chosen.seed, "passes": chosen.passes, "steps": steps,
            "torch": torch.__version__,
        },
    }  # fmt: skip


if __name__ == "__main__":
    main()
