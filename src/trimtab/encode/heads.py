"""The heads' folder: two layers over the encoder's middle states, and the numbers that turn their logits into odds.

On disk: `branch.onnx`, `calibration.json` and the manifest that seals both (`runs/heads.sh` makes them).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.encode.located import Run
from trimtab.encode.reading import KINDS, SCORES, Part, words
from trimtab.encode.sealed import opened
from trimtab.encode.session import Session, session
from trimtab.encode.turns import Floats
from trimtab.errors import ConfigError

FILES = ["branch.onnx", "calibration.json"]
FIX = "Reinstall trimtab, or make the heads again with runs/heads.sh."
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Logits of tags are divided by `tags`; a word is personal data at `least` probability or more.

    A score is sigmoid(slope * logit + shift), in the order of SCORES (Platt 1999). Fitted on held-out rows.
    """

    kinds: tuple[str, ...]
    scores: tuple[str, ...]
    tags: Positive
    least: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    slopes: tuple[Positive, ...]
    shifts: tuple[float, ...]


class Said(msgspec.Struct, frozen=True, eq=False):
    """Logits of one window: its pieces' kinds (pieces, kinds + 1) and its scores (scores,)."""

    tags: Floats
    scores: Floats


class Heads:
    """`load` makes one; used in the encoder's thread."""

    def __init__(self, session: Session, calibration: Calibration) -> None:
        self.calibration, self._session = calibration, session
        self._slopes, self._shifts = (np.array(part, np.float32) for part in (calibration.slopes, calibration.shifts))

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "Heads":
        """The heads in `folder`; raises `ConfigError` where a file is missing, changed, or made for other kinds."""
        opened(folder, FILES, FIX)
        try:
            calibration = msgspec.json.decode((folder / "calibration.json").read_bytes(), type=Calibration)
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{folder / 'calibration.json'} cannot be used ({error}).", fix=FIX) from error
        if (calibration.kinds, calibration.scores) != (KINDS, SCORES):
            raise ConfigError(f"The heads in {folder} were made for other kinds or scores.", fix=FIX)
        if not len(calibration.slopes) == len(calibration.shifts) == len(SCORES):
            raise ConfigError(f"{folder / 'calibration.json'} lacks a score's slope or shift.", fix=FIX)
        return cls(session(folder / "branch.onnx", threads, FIX), calibration)

    def said(self, middle: Floats, mask: NDArray[np.int64], batch: Sequence[Run]) -> list[Said]:
        """What the heads say of each run; `middle` (n, length, dims) are its states, marks at its ends."""
        shapes = np.zeros(mask.shape, np.int64)
        for row, run in enumerate(batch):
            shapes[row, 1 : len(run) + 1] = run.shapes
        tags, scores = self._session.run(["tags", "scores"], {"middle": middle, "mask": mask, "shapes": shapes})
        return [Said(tags[row, 1 : len(run) + 1], scores[row]) for row, run in enumerate(batch)]

    def part(self, run: Run, tags: Floats, scores: Floats, weighted: Floats) -> Part:
        """A window's share of a reading, in probabilities."""
        logits = tags / np.float32(self.calibration.tags)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = words(run, odds / odds.sum(axis=1, keepdims=True), self.calibration.least)
        odd = np.clip(self._slopes * scores + self._shifts, -30, 30)
        return Part(found, (1 / (1 + np.exp(-odd))).astype(np.float32), weighted)
