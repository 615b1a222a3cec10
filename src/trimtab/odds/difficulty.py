"""How hard a question is: the share of small models that get it wrong, told from the question alone.

A ridge and a logistic line. The head that ships was taught by recorded outcomes of models of 2 to 9 billion parameters
on exam questions: see `difficulty/CARD.md` for where it knows nothing.
"""

import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from trimtab.encode.sealed import opened, seal
from trimtab.errors import ConfigError
from trimtab.odds.ridge import PARTS, Matrix, Ridge, fit, platt, sigmoid

HOME = Path(__file__).parent / "difficulty"
FILES = ["difficulty.npz"]


class Difficulty(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """`line` is the slope and offset that turn the ridge's score into log-odds."""

    ridge: Ridge
    line: tuple[float, float]

    @classmethod
    def load(cls, folder: Path) -> "Difficulty":
        """Read and check. Raises `ConfigError` where the file is missing, changed or no head."""
        fix = "Reinstall trimtab, or make the head again with trimtab.train.difficulty."
        opened(folder, FILES, fix)
        try:
            with np.load(folder / "difficulty.npz", allow_pickle=False) as arrays:
                ridge = Ridge(**{part: arrays[part].astype(float) for part in PARTS})
                slope, offset = map(float, arrays["line"])
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
            raise ConfigError(f"The head in {folder} cannot be used ({error!r}).", fix) from error
        return cls(ridge=ridge, line=(slope, offset))

    def save(self, folder: Path, facts: dict[str, Any]) -> None:
        """Write the folder and seal it with `facts` (data, rows, figures)."""
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {
            part: getattr(self.ridge, part).astype(np.float16 if part == "weights" else np.float32) for part in PARTS
        }
        np.savez_compressed(folder / "difficulty.npz", **arrays, line=np.array(self.line, np.float32))
        seal(folder, FILES, facts)

    def chance(self, features: Matrix) -> Matrix:
        """(n, d) to (n,): the share of small models that would be wrong."""
        slope, offset = self.line
        return sigmoid(slope * self.ridge.predict(features)[:, 0] + offset)


def fitted(features: Matrix, wrong: Matrix, blocks: tuple[int, ...]) -> Difficulty:
    """From (n, d) features whose groups are `blocks` wide, and (n,) shares of the models that were wrong."""
    ridge, held = fit(features, wrong[:, None], blocks)
    return Difficulty(ridge=ridge, line=platt(held[:, 0], wrong))


@cache
def shipped() -> Difficulty:
    """The head in the package, read at its first use."""
    return Difficulty.load(HOME)
