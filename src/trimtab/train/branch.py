"""The heads' own two layers over the encoder's first four: copies of its last two, trained further; needs torch.

In: the encoder's `middle_state`, the mask, and how each piece's word was written (`encode/located.py`). Out: logits of
each piece's kind of personal data, and of each score; a score is the mean of its pieces' votes, weighted by attention
of its own, so that a short attack is not drowned by the harmless words around it.
"""

# pyright: reportMissingImports=false
from typing import Any

import torch
from torch import nn

from trimtab.encode.located import SHAPES
from trimtab.encode.reading import KINDS, SCORES
from trimtab.train.layers import WIDTH, Layer, hidden_places, layer_weights, run_layer

LAYERS = (4, 5)  # of the checkpoint, counted from 0
DROPPED = 0.1


class Branch(nn.Module):
    """forward(middle (n, length, 384), mask, shapes (n, length)) -> tags (n, length, kinds + 1), scores (n, scores)."""

    def __init__(self, weights: dict[str, Any]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_kept(layer_weights(weights, index)) for index in LAYERS)
        self.shapes = nn.Parameter(torch.zeros(len(SHAPES), WIDTH))
        self.tags = nn.Linear(WIDTH, len(KINDS) + 1)
        self.heed, self.votes = nn.Linear(WIDTH, len(SCORES)), nn.Linear(WIDTH, len(SCORES))

    def forward(self, middle: Any, mask: Any, shapes: Any) -> tuple[Any, Any]:
        x = nn.functional.dropout(middle + self.shapes[shapes], DROPPED, self.training)
        hidden = hidden_places(mask)
        for kept in self.layers:
            x = run_layer(x, hidden, _layer(kept))
        heeded = torch.softmax(self.heed(x) + hidden[:, 0, 0, :, None], 1)
        return self.tags(x), (heeded * self.votes(x)).sum(1)


def _kept(layer: Layer) -> nn.ParameterList:
    return nn.ParameterList(nn.Parameter(array.clone()) for pair in layer for array in pair)


def _layer(kept: Any) -> Layer:
    return tuple((kept[at], kept[at + 1]) for at in range(0, len(kept), 2))
