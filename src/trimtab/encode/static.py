"""The first tier: what the words of a text say before the encoder reads it, in well under a millisecond. Pure.

A linear model over a text's word pieces and pairs of them, trained on the same rows as the heads (`runs/heads.sh`). It
clears the texts that are nowhere near an attack or an insult; the others are read, and its word is part of the verdict.
"""

import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.reading import SCORES
from trimtab.encode.turns import Floats
from trimtab.errors import ConfigError

FILE = "static.npz"
PAIRS = 1 << 17
"""Places that pairs of pieces are hashed to; a pair of frequent pieces shares its own with few others of any weight."""
FIRST, SECOND = 1_000_003, 7_919


def features(ids: list[int], words: int) -> NDArray[np.int64]:
    """The rows of the weights that a run of pieces has: its pieces (below `words`) and its hashed pairs, each once."""
    pairs = {(one * FIRST + other * SECOND) % PAIRS + words for one, other in pairwise(ids)}
    return np.array(sorted(pairs.union(ids)), np.int64)  # of some hundred numbers sets are faster than arrays


class Static:
    """`weights` (words + PAIRS, scores) and `bias` (scores,); `load` reads them."""

    def __init__(self, weights: Floats, bias: Floats) -> None:
        self._weights, self._bias = weights, bias
        self._words = len(weights) - PAIRS

    @classmethod
    def load(cls, folder: Path, fix: str) -> "Static":
        """The tier in a folder whose seal was checked; int8 weights by column. Raises `ConfigError`."""
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                small, scale, bias = arrays["weights"], arrays["scale"], arrays["bias"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{folder / FILE} cannot be used ({error!r}).", fix=fix) from error
        shapes = (small.ndim, small.shape[-1:], scale.shape, bias.shape)
        if shapes != (2, (len(SCORES),), (len(SCORES),), (len(SCORES),)) or len(small) <= PAIRS:
            raise ConfigError(f"{folder / FILE} has weights of another shape.", fix=fix)
        return cls((small * scale).astype(np.float32), bias.astype(np.float32))

    def logits(self, ids: list[int]) -> Floats:
        """What a run of pieces says: the sum of its features' weights over the root of their number."""
        return self.each([ids])[0] if ids else self._bias

    def each(self, runs: Sequence[list[int]]) -> Floats:
        """What runs of one or more pieces say (runs, scores), all at once."""
        found = [features(ids, self._words) for ids in runs]
        counts = np.array([len(rows) for rows in found])
        sums = np.add.reduceat(self._weights[np.concatenate(found)], np.cumsum(counts) - counts, axis=0)
        return (sums / np.sqrt(counts)[:, None] + self._bias).astype(np.float32)


def packed(weights: Floats, bias: Floats, folder: Path) -> None:
    """Write the tier to a folder, int8 by column."""
    scale = np.abs(weights).max(axis=0) / 127
    small = np.round(weights / np.maximum(scale, 1e-12)).astype(np.int8)
    arrays = {"weights": small, "scale": scale.astype(np.float32), "bias": bias.astype(np.float32)}
    np.savez_compressed(folder / FILE, **arrays)
