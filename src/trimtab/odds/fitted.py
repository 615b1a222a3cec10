"""P(right | model, question) and P(right | model, question, its answer), fitted on recorded outcomes; kept in a folder.

On disk: `odds.npz` (float32, no pickle), `models.json` (their names) and the manifest that seals both.
"""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.encode.sealed import opened, seal
from trimtab.errors import ConfigError
from trimtab.odds import answer, question, words
from trimtab.odds.outcomes import Outcome
from trimtab.odds.ridge import Matrix, Ridge, fit, platt, sigmoid

FILES = ["odds.npz", "models.json"]
FIX = "Make it again with `trimtab route train`."
LEAST = 100
"""Labelled outcomes under which a model gets no odds of its own."""
DIMS = 384
QUERY = (DIMS, len(question.NAMES), words.SLOTS)
PARTS = ("centre", "spread", "weights", "bias")


class Side(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """One model's odds: P(right) = sigmoid(slope * ridge + offset), fitted on `rows` outcomes."""

    ridge: Ridge
    slope: float
    offset: float
    rows: int

    def chance(self, features: Matrix) -> Matrix:
        """(n, d) to (n,) probabilities."""
        return sigmoid(self.slope * self.ridge.predict(features)[:, 0] + self.offset)


class Odds(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`asked` by model, from the question; `answered`, with the answer too, where enough answers were recorded."""

    asked: dict[str, Side]
    answered: dict[str, Side]

    @classmethod
    def load(cls, folder: Path) -> "Odds":
        """Read and check. Raises `ConfigError` where a file is missing, changed or not what this version reads."""
        opened(folder, FILES, FIX)
        try:
            names = msgspec.json.decode((folder / "models.json").read_bytes(), type=dict[str, list[str]])
            with np.load(folder / "odds.npz", allow_pickle=False) as arrays:
                found = {name: arrays[name].astype(float) for name in arrays.files}
            return cls(**{stage: {name: _side(found, f"{stage}.{at}") for at, name in enumerate(names[stage])}
                          for stage in ("asked", "answered")})  # fmt: skip
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
            raise ConfigError(f"The odds in {folder} cannot be used ({error!r}).", FIX) from error

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the folder and seal it with `facts` (data, rows, how made)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for stage, sides in (("asked", self.asked), ("answered", self.answered)):
            for at, side in enumerate(sides.values()):
                arrays |= {f"{stage}.{at}.{part}": getattr(side.ridge, part).astype(np.float32) for part in PARTS}
                arrays[f"{stage}.{at}.platt"] = np.array([side.slope, side.offset, side.rows], np.float32)
        np.savez_compressed(folder / "odds.npz", **arrays)
        named = {"asked": list(self.asked), "answered": list(self.answered)}
        (folder / "models.json").write_bytes(msgspec.json.encode(named))
        seal(folder, FILES, facts)


def features(embedding: Matrix, asked: str) -> Matrix:
    """(QUERY,) of one question and its embedding."""
    return np.concatenate([embedding, question.facts(asked), words.hashed(asked)]).astype(float)


def seen(embedding: Matrix, asked: str, said: str | None) -> Matrix:
    """`features`, and those of an answer before them."""
    return np.concatenate([answer.facts(asked, said), features(embedding, asked)]).astype(float)


def train(outcomes: Sequence[Outcome], embeddings: Matrix) -> Odds:
    """Odds of every model with `LEAST` outcomes or more, and of its answers where so many were recorded.

    `embeddings` (n, 384) in the order of `outcomes`. Raises `ConfigError` where no model has enough.
    """
    rows = np.stack([features(one, outcome.question) for one, outcome in zip(embeddings, outcomes, strict=True)])
    asked: dict[str, Side] = {}
    answered: dict[str, Side] = {}
    for name in sorted({name for outcome in outcomes for name in outcome.right}):
        has = [at for at, outcome in enumerate(outcomes) if name in outcome.right]
        if len(has) >= LEAST:
            asked[name] = _fitted(rows[has], np.array([outcomes[at].right[name] for at in has]), QUERY)
        said = [at for at in has if name in outcomes[at].answers]
        if len(said) >= LEAST:
            texts = [answer.facts(outcomes[at].question, outcomes[at].answers[name]) for at in said]
            both = np.concatenate([np.stack(texts).astype(float), rows[said]], 1)
            right = np.array([outcomes[at].right[name] for at in said])
            answered[name] = _fitted(both, right, (len(answer.NAMES), *QUERY))
    if not asked:
        raise ConfigError(f"No model has {LEAST} outcomes or more.", "Label more answers; 100 to 300 a model will do.")
    return Odds(asked=asked, answered=answered)


def _fitted(rows: Matrix, right: Matrix, blocks: tuple[int, ...]) -> Side:
    ridge, left_out = fit(rows, right[:, None], blocks)
    slope, offset = platt(left_out[:, 0], right)
    return Side(ridge=ridge, slope=slope, offset=offset, rows=len(right))


def _side(arrays: dict[str, Matrix], at: str) -> Side:
    slope, offset, rows = map(float, arrays[f"{at}.platt"])
    ridge = Ridge(**{part: arrays[f"{at}.{part}"] for part in PARTS})
    width = sum(QUERY) + (len(answer.NAMES) if at.startswith("answered") else 0)
    if ridge.weights.shape != (width, 1) or ridge.centre.shape != (width,) or ridge.spread.shape != (width,):
        raise ValueError(f"{at} has features of another version")
    return Side(ridge=ridge, slope=slope, offset=offset, rows=int(rows))
