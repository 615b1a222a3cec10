"""BERT's layers (Devlin et al. 2018) as functions of their weights, as plain as they can be written; needs torch."""

# pyright: reportMissingImports=false
from typing import Any, TypeAlias

import torch
from torch.nn import functional as f

HEADS, WIDTH = 12, 384
Layer: TypeAlias = tuple[tuple[Any, Any], ...]  # (weight, bias) of query-key-value, out, norm, up, down, norm


def layer_weights(weights: dict[str, Any], index: int) -> Layer:
    """A layer's weights from a checkpoint's, query, key and value joined."""

    def pair(name: str) -> tuple[Any, Any]:
        return weights[f"{name}.weight"], weights[f"{name}.bias"]

    at = f"encoder.layer.{index}"
    query, key, value = (pair(f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
    joined = (torch.cat([query[0], key[0], value[0]]), torch.cat([query[1], key[1], value[1]]))
    rest = ("attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense")
    return joined, *(pair(f"{at}.{name}") for name in (*rest, "output.LayerNorm"))


def hidden_places(mask: Any) -> Any:
    """(n, 1, 1, length): added to a score, it leaves a padding place no weight."""
    return ((1 - mask.float()) * -1e4)[:, None, None, :]


def run_layer(x: Any, hidden: Any, layer: Layer) -> Any:
    """(n, length, 384) to the same, one layer on."""
    joined, out, norm1, up, down, norm2 = layer
    x = normed(x + f.linear(_attention(f.linear(x, *joined), hidden), *out), norm1)
    return normed(x + f.linear(f.gelu(f.linear(x, *up)), *down), norm2)


def normed(x: Any, by: tuple[Any, Any]) -> Any:
    return f.layer_norm(x, (WIDTH,), *by, 1e-12)


def _attention(joined: Any, hidden: Any) -> Any:
    n, length, _ = joined.shape
    each = WIDTH // HEADS
    query, key, value = (part.reshape(n, length, HEADS, each) for part in joined.split(WIDTH, -1))
    scores = torch.matmul(query.transpose(1, 2), key.permute(0, 2, 3, 1)) / each**0.5
    mixed = torch.matmul(torch.softmax(scores + hidden, -1), value.transpose(1, 2))
    return mixed.transpose(1, 2).reshape(n, length, WIDTH)
