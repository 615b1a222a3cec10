"""A linear multinomial head on the encoder's embeddings: calibrated probabilities, and whether a text is outside.

On disk: `head.npz` (float32, no pickle), `labels.json` (a list of names) and the manifest that seals both.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.encode.sealed import opened, seal
from trimtab.encode.turns import Floats
from trimtab.errors import ConfigError

FILES = ["head.npz", "labels.json"]


class Scope(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """P(outside) = sigmoid(weights . (log-odds of the top probability, cosine to the nearest centre, 1)).

    `centres` (m, dims) are unit means of groups of training texts; the probability assumes that inside and outside are
    equally frequent. At or under `limit`, 95 % of the calibration texts were kept.
    """

    centres: Floats
    weights: Floats
    limit: float


class Head(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`labels` k names; `weights` (dims, k); `bias` (k,); logits are divided by `temperature` (Guo et al. 2017)."""

    labels: tuple[str, ...]
    weights: Floats
    bias: Floats
    temperature: float = 1.0
    scope: Scope | None = None

    @classmethod
    def load(cls, folder: Path, fix: str = "Reinstall trimtab, or train the head again.") -> "Head":
        """Read and check a head; raises `ConfigError` where a file is missing, changed or does not fit the others."""
        opened(folder, FILES, fix)
        try:
            labels = msgspec.json.decode((folder / "labels.json").read_bytes(), type=tuple[str, ...])
            with np.load(folder / "head.npz", allow_pickle=False) as arrays:
                head = _head(labels, {name: arrays[name] for name in arrays.files})
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
            raise ConfigError(f"The head in {folder} cannot be used ({error!r}).", fix=fix) from error
        return head

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the head to `folder` and seal it with `facts` (data, licence, scores, how made)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays = {"weights": self.weights, "bias": self.bias, "temperature": np.float32(self.temperature)}
        if self.scope:
            arrays |= {"centres": self.scope.centres, "outside": self.scope.weights}
            arrays |= {"limit": np.float32(self.scope.limit)}
        singles: dict[str, Any] = {name: np.asarray(array, np.float32) for name, array in arrays.items()}
        np.savez(folder / "head.npz", **singles)
        (folder / "labels.json").write_text(json.dumps(self.labels, indent=1) + "\n", "utf-8")
        seal(folder, FILES, facts)

    def probabilities(self, embeddings: Floats) -> Floats:
        """Calibrated probabilities (n, k) of embeddings (n, dims); each row sums to 1."""
        logits = (embeddings @ self.weights + self.bias) / np.float32(self.temperature)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def outside(self, embeddings: Floats) -> Floats:
        """P(none of the labels) (n,), where `scope` was trained; compare with `scope.limit`. Raises `ConfigError`."""
        if self.scope is None:
            raise ConfigError("This head was trained without texts from outside.", fix="Train it with --outside.")
        return sigmoid(signs(self.probabilities(embeddings), embeddings, self.scope.centres) @ self.scope.weights)


def signs(probabilities: Floats, embeddings: Floats, centres: Floats) -> Floats:
    """(n, 3): the log-odds of the top probability, the cosine to the nearest centre, and 1."""
    top = np.clip(probabilities.max(axis=1), 1e-6, 1 - 1e-6)
    nearest = (embeddings @ centres.T).max(axis=1)
    return np.stack([np.log(top / (1 - top)), nearest, np.ones_like(top)], axis=1)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), float32; beyond 30 it is 0 or 1 in all but name."""
    return (1 / (1 + np.exp(-np.clip(x, -30, 30)))).astype(np.float32)


def _head(labels: tuple[str, ...], arrays: dict[str, Any]) -> Head:
    weights, bias = arrays["weights"], arrays["bias"]
    if weights.ndim != 2 or not (len(labels) == weights.shape[1] == len(bias)) or len(set(labels)) != len(labels):
        raise ValueError(f"{len(labels)} labels, weights {weights.shape}, bias {bias.shape}")
    if any(array.dtype != np.float32 or not np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("numbers that are not finite float32")
    scope = None
    if "centres" in arrays:
        if arrays["centres"].ndim != 2 or arrays["centres"].shape[1] != len(weights) or arrays["outside"].shape != (3,):
            raise ValueError(f"centres {arrays['centres'].shape}, outside {arrays['outside'].shape}")
        scope = Scope(centres=arrays["centres"], weights=arrays["outside"], limit=float(arrays["limit"]))
    temperature = float(arrays["temperature"])
    if temperature <= 0:
        raise ValueError(f"temperature {temperature}")
    return Head(labels=labels, weights=weights, bias=bias, temperature=temperature, scope=scope)
