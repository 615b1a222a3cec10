"""Chooses among options that were described in words, by how near each description lies to the text. Pure.

P(option) = softmax(SCALE * cosine). It tells subjects apart, not truth: "the card arrived" and "the card did not
arrive" are near each other. SCALE is the one of least log loss over CLINC150's training texts with 2 to 20 of its
intents' names as options; `benchmarks/decide.py --fit` finds it, and measures held-out texts.
"""

import numpy as np

from trimtab.encode.turns import Floats

SCALE = 20.9


def probabilities(text: Floats, options: Floats, scale: float = SCALE) -> Floats:
    """The probability of each option (k,), from the text's embedding (dims,) and theirs (k, dims)."""
    logits = np.float32(scale) * (options @ text)
    odds = np.exp(logits - logits.max())
    return odds / odds.sum()
