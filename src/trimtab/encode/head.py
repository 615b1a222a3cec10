"""A head of intents on the encoder's views: calibrated probabilities, and whether a text is outside.

It blends a linear map of all views with a vote of the nearest known texts, by the first view, the embedding. On disk:
`head.npz` (float16 and float32, no pickle), `labels.json` (a list of names) and the manifest that seals both.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.encode.sealed import opened, seal
from trimtab.encode.turns import Floats
from trimtab.errors import ConfigError

FILES = ["head.npz", "labels.json"]
NEAREST = 10
"""Centres whose mean cosine says how near a text is to what is known."""
WIDTH = 0.03
"""Of the kernel by which centres vote: a cosine less by so much has a vote less by e."""
ARRAYS = ("weights", "bias", "temperature", "share", "centres", "owners", "outside", "limit")


class Scope(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """P(outside) = sigmoid(weights . `Head.signs`), which assumes that inside and outside are equally frequent.

    At or under `limit`, 95 % of the calibration texts were kept.
    """

    weights: Floats
    limit: float


class Head(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`weights` (views, k) and `bias` (k,) give logits; `centres` (m, dims), unit means of groups of training texts,
    give votes to the labels that are their `owners` (m,), in order. The log odds are blended, `share` of the votes',
    and divided by `temperature` (Guo et al. 2017).
    """

    labels: tuple[str, ...]
    weights: Floats
    bias: Floats
    centres: Floats
    owners: NDArray[np.int64]
    share: float = 0.0
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
        large: dict[str, Any] = {"weights": self.weights, "centres": self.centres}
        small: dict[str, Any] = {"bias": self.bias, "temperature": self.temperature, "share": self.share}
        if self.scope:
            small |= {"outside": self.scope.weights, "limit": self.scope.limit}
        arrays: dict[str, Any] = {name: np.asarray(array, np.float16) for name, array in large.items()}
        arrays |= {name: np.asarray(array, np.float32) for name, array in small.items()}
        arrays["owners"] = self.owners.astype(np.int16)
        np.savez_compressed(folder / "head.npz", **arrays)
        (folder / "labels.json").write_text(json.dumps(self.labels, indent=1) + "\n", "utf-8")
        seal(folder, FILES, facts)

    def probabilities(self, views: Floats) -> Floats:
        """Calibrated probabilities (n, k) of views (n, views); each row sums to 1."""
        return softmax(self.odds(views) / np.float32(self.temperature))

    def odds(self, views: Floats) -> Floats:
        """The blended log odds (n, k), before the temperature."""
        said = views @ self.weights + self.bias
        if not self.share:
            return said
        said -= log_sum(said)
        said += np.float32(self.share) * (self.votes(views) - said)
        return said

    def votes(self, views: Floats) -> Floats:
        """(n, k): the log of each label's share of the centres' votes."""
        close = np.exp((self._cosines(views) - 1) / np.float32(WIDTH))
        counts = np.add.reduceat(close, np.searchsorted(self.owners, np.arange(len(self.labels))), axis=1)
        counts += np.float32(1e-12)
        return np.log(counts / counts.sum(axis=1, keepdims=True))

    def outside(self, views: Floats) -> Floats:
        """P(none of the labels) (n,), where `scope` was trained; compare with `scope.limit`. Raises `ConfigError`."""
        if self.scope is None:
            raise ConfigError("This head was trained without texts from outside.", fix="Train it with --outside.")
        return sigmoid(self.signs(views) @ self.scope.weights)

    def signs(self, views: Floats) -> Floats:
        """(n, 4): log-odds of the top probability, log of the logits' summed odds, nearness of centres, and 1."""
        top = np.clip(self.probabilities(views).max(axis=1), 1e-6, 1 - 1e-6)
        energy = log_sum(views @ self.weights + self.bias)[:, 0]
        cosines = self._cosines(views)
        near = -np.sort(-cosines, axis=1)[:, :NEAREST].mean(axis=1)
        return np.stack([np.log(top / (1 - top)), energy, near, np.ones_like(top)], axis=1)

    def _cosines(self, views: Floats) -> Floats:
        return views[:, : self.centres.shape[1]] @ self.centres.T


def log_sum(logits: Floats) -> Floats:
    """log(sum(exp)) of each row, (n, 1)."""
    top = logits.max(axis=1, keepdims=True)
    return top + np.log(np.exp(logits - top).sum(axis=1, keepdims=True))


def softmax(logits: Floats) -> Floats:
    """Rows of logits to rows of probabilities."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def sigmoid(x: Floats) -> Floats:
    """1 / (1 + exp(-x)), float32; beyond 30 it is 0 or 1 in all but name."""
    return (1 / (1 + np.exp(-np.clip(x, -30, 30)))).astype(np.float32)


def _head(labels: tuple[str, ...], arrays: dict[str, Any]) -> Head:
    if strange := set(arrays) - set(ARRAYS):
        raise ValueError(f"arrays that it does not know: {sorted(strange)}")
    if not all(array.dtype.kind in "fi" and np.isfinite(array).all() for array in arrays.values()):
        raise ValueError("what is no finite number")
    weights, bias, centres, owners = (arrays[name] for name in ("weights", "bias", "centres", "owners"))
    if weights.ndim != 2 or not (len(labels) == weights.shape[1] == len(bias)) or len(set(labels)) != len(labels):
        raise ValueError(f"{len(labels)} labels, weights {weights.shape}, bias {bias.shape}")
    if centres.ndim != 2 or centres.shape[1] > len(weights) or owners.shape != (len(centres),):
        raise ValueError(f"weights {weights.shape}, centres {centres.shape}, owners {owners.shape}")
    if not (np.array_equal(np.unique(owners), np.arange(len(labels))) and (np.diff(owners) >= 0).all()):
        raise ValueError("labels without centres, or out of order")
    temperature, share = float(arrays["temperature"]), float(arrays["share"])
    if temperature <= 0 or not 0 <= share <= 1:
        raise ValueError(f"temperature {temperature}, share {share}")
    scope = None
    if "outside" in arrays:
        if arrays["outside"].shape != (4,):
            raise ValueError(f"outside {arrays['outside'].shape}")
        scope = Scope(weights=arrays["outside"], limit=float(arrays["limit"]))
    floats = {name: array.astype(np.float32) for name, array in arrays.items()}
    return Head(
        labels=labels, weights=floats["weights"], bias=floats["bias"], centres=floats["centres"],
        owners=owners.astype(np.int64), share=share, temperature=temperature, scope=scope,
    )  # fmt: skip
