"""What a question is about: the chances of the subjects of MMLU and of the fields of MMLU-Pro, from its other features.

A linear score for each, then a softmax. The head that ships was taught by labels of questions alone, by no model's
outcome: see `topics/CARD.md`.
"""

import zipfile
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

from trimtab.encode.sealed import opened
from trimtab.errors import ConfigError
from trimtab.odds.ridge import PARTS, Matrix, Ridge

HOME = Path(__file__).parent / "topics"
FILES = ["subjects.npz", "names.json"]
GROUPS = ("subject", "field")
SUBJECTS, FIELDS = 56, 14


class Group(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """The linear scores of one group of labels, kept as a ridge is, and their names."""

    ridge: Ridge
    names: tuple[str, ...]

    def chances(self, features: Matrix) -> Matrix:
        """(n, d) to (n, names): each row adds up to 1."""
        score = self.ridge.predict(features)
        odds = np.exp(score - score.max(1, keepdims=True))
        return odds / odds.sum(1, keepdims=True)


class Subjects(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """Both groups."""

    subject: Group
    field: Group

    @classmethod
    def load(cls, folder: Path) -> "Subjects":
        """Read and check. Raises `ConfigError` where a file is missing, changed or no head."""
        fix = "Reinstall trimtab, or make the head again with trimtab.train.subjects."
        opened(folder, FILES, fix)
        try:
            names = msgspec.json.decode((folder / "names.json").read_bytes(), type=dict[str, tuple[str, ...]])
            with np.load(folder / "subjects.npz", allow_pickle=False) as arrays:
                found = cls(**{group: Group(names=names[group], ridge=Ridge(**{
                    part: arrays[f"{group}.{part}"].astype(float) for part in PARTS
                })) for group in GROUPS})  # fmt: skip
            if (len(found.subject.names), len(found.field.names)) != (SUBJECTS, FIELDS):
                raise ValueError("it has other labels")
        except (ValueError, KeyError, TypeError, zipfile.BadZipFile, msgspec.MsgspecError) as error:
            raise ConfigError(f"The head in {folder} cannot be used ({error!r}).", fix) from error
        return found

    def chances(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """(n, d) features of questions to the chances of each group."""
        return self.subject.chances(features), self.field.chances(features)


@cache
def shipped() -> Subjects:
    """The head in the package, read at its first use."""
    return Subjects.load(HOME)
