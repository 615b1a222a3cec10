"""The buffer llama.cpp computes in: the largest of the moments at which most intermediate results are alive.

Fitted by hand on the reserve of `ggml_gallocr` for a CPU (0c1e570); with a GPU the part that is offloaded moves there.
"""

from trimtab.plan.architecture import MIB, Architecture
from trimtab.plan.cache import Session, cells
from trimtab.plan.figure import Figure, around

BELOW, ABOVE = 0.9, 1.1
ABSORBED = 2.83
"""Latent attention: buffers of the absorbed query's size that are alive at once (one model measured)."""


def buffer(shape: Architecture, session: Session) -> Figure:
    """MiB, with the interval that held on four in five rows of the measured ones."""
    moments = {
        "logits": _logits(shape), "feed-forward": _forward(shape, session), "scores": _scores(shape, session),
    }  # fmt: skip
    why = max(moments, key=moments.__getitem__)
    value = moments[why] * session.micro * 4 / MIB
    return around(value, BELOW, ABOVE, "MiB", "calibrated" if shape.known else "extrapolated", why)


def logits(shape: Architecture, session: Session) -> float:
    """MiB of the output buffer: one row of logits a sequence."""
    return shape.vocab * 4 * session.sequences / MIB


def _logits(shape: Architecture) -> float:
    """Numbers a token of the micro-batch: all logits, and the hidden state before and after its norm."""
    also = 3 if shape.recurrent or any(layer.window for layer in shape.layers) else 2
    return shape.vocab + also * shape.hidden


def _forward(shape: Architecture, session: Session) -> float:
    """Gate, up and their product, the residual stream; and the mask, 16 bit a cell."""
    wide = max(max(layer.ffn, layer.used * layer.expert_ffn) for layer in shape.layers)
    latent = max((layer.heads for layer in shape.layers if layer.mixer == "mla"), default=0)
    absorbed = ABSORBED * latent * (shape.latent.kv + shape.latent.rope)
    return max(3 * wide + 4 * shape.hidden, absorbed) + cells(session) / 2


def _scores(shape: Architecture, session: Session) -> float:
    """Without flash attention all scores of a layer are held at once, and a mask of 32 bit."""
    if session.flash:
        return 0.0
    held = cells(session)
    return max(
        (layer.heads + 1) * held + 3 * shape.hidden + 2 * (layer.heads + layer.kv_heads) * layer.head_k
        for layer in shape.layers
    )  # fmt: skip
