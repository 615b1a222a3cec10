"""Above which score a guard speaks: the one that so many of the user's own benign texts exceed, and no more.

The bound is split conformal prediction's (Vovk et al. 2005): with n benign texts that came in no special order, at most
a share `fpr` of those that follow scores above the k-th highest, k = floor((n + 1) * fpr). `trimtab guard calibrate`
keeps the highest scores of each guard in `<home>/guards.json`.
"""

import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trimtab.errors import ConfigError

FILE = "guards.json"
KEPT = 2000
"""Highest scores of a guard that are kept: they give every rate up to 10 % of 20,000 texts."""
FIX = "Give trimtab guard calibrate a file of more benign texts, or set a greater fpr, or a threshold."


class Benign(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The highest scores, falling, of `n` benign texts; `by` is what scored them."""

    by: str
    n: int
    scores: tuple[float, ...]

    def threshold(self, fpr: float) -> float:
        """The score that at most a share `fpr` of benign texts exceeds. Raises `ConfigError` for too few texts."""
        rank = math.floor((self.n + 1) * fpr)
        if rank < 1:
            need = math.ceil(1 / fpr) - 1
            raise ConfigError(f"{self.n} benign texts are too few for fpr = {fpr}: it takes {need}.", FIX)
        if rank > len(self.scores):
            raise ConfigError(f"fpr = {fpr} of {self.n} texts needs more than the {KEPT} scores kept.", FIX)
        return self.scores[rank - 1]


def benign(by: str, scores: Sequence[float]) -> Benign:
    """What is kept of the scores of benign texts."""
    highest = sorted(scores, reverse=True)[:KEPT]
    return Benign(by=by, n=len(scores), scores=tuple(round(score, 6) for score in highest))


def load(home: Path) -> dict[str, Benign]:
    """The calibrations in `home` by the guard's name. Raises `ConfigError` for a file that is none."""
    path = home / FILE
    if not path.is_file():
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Benign])
    except msgspec.DecodeError as error:
        fix = "Delete it, and run trimtab guard calibrate again."
        raise ConfigError(f"{path} is no calibration: {error}.", fix) from error


def save(home: Path, found: dict[str, Benign]) -> Path:
    """Write `found` over what there was of the same guards, whole or not at all."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / FILE
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.encode({**load(home), **found}))
    new.replace(path)
    return path


def chosen(home: Path, name: str, by: str, fpr: float, own: Benign | float) -> float:
    """The threshold of the guard `name`: by the user's calibration where it is of what scores now, else `own`'s.

    Raises `ConfigError` where the calibration is of another model, which scores otherwise.
    """
    if not 0 < fpr < 1:
        raise ConfigError(f"{name}: fpr = {fpr} is no share.", "Give one between 0 and 1, such as 0.01.")
    found = load(home).get(name)
    if found and found.by != by:
        fix = "Run trimtab guard calibrate again."
        raise ConfigError(f"{name}: {home / FILE} was made with {found.by}, and {by} scores now.", fix)
    best = found or own
    return best.threshold(fpr) if isinstance(best, Benign) else best
