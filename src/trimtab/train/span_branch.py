"""The span head's own layers over the encoder's first two: copies of its last four, trained further; needs torch.

In: the encoder's `lower_state` of a question beside a window, the mask, and each piece's mark (`encode/pairs.py`). Out:
each piece's logits of being the first and the last of the answer, those of the mark at the beginning for "not here",
and a logit of the answer being here at all.
"""

# pyright: reportMissingImports=false
from typing import Any

import torch
from torch import nn

from trimtab.encode.located import SHAPES
from trimtab.encode.pairs import MATCHED
from trimtab.train.branch import _kept, _layer
from trimtab.train.layers import WIDTH, hidden_places, layer_weights, run_layer

LAYERS = (2, 3, 4, 5)  # of the checkpoint, counted from 0
DROPPED = 0.1


class SpanBranch(nn.Module):
    """forward(lower (n, length, 384), mask, marks (n, length)) -> ends (n, length, 2), here (n,)."""

    def __init__(self, weights: dict[str, Any], layers: tuple[int, ...] = LAYERS) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_kept(layer_weights(weights, index)) for index in layers)
        self.matched = nn.Parameter(torch.randn(2 * len(MATCHED), WIDTH) * 0.02)
        self.shapes = nn.Parameter(torch.zeros(len(SHAPES), WIDTH))
        self.ends = nn.Linear(WIDTH, 2)
        self.here = nn.Linear(WIDTH, 1)

    def forward(self, lower: Any, mask: Any, marks: Any) -> tuple[Any, Any]:
        table = (self.matched[:, None] + self.shapes[None]).flatten(0, 1)
        x = nn.functional.dropout(lower + table[marks], DROPPED, self.training)
        hidden = hidden_places(mask)
        for kept in self.layers:
            x = run_layer(x, hidden, _layer(kept))
            x = nn.functional.dropout(x, DROPPED / 2, self.training)
        ends = self.ends(x) + hidden[:, 0, 0, :, None]
        return ends, self.here(x[:, :1])[:, 0, 0]  # a product of three dimensions: the exporter makes others otherwise
