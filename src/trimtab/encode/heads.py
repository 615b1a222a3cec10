"""The heads' folder: two layers over the encoder's middle states, a first tier beside them, and what calibrates both.

On disk: `branch.onnx`, `static.npz`, `calibration.json` and the manifest that seals them (`runs/heads.sh` makes them).
"""

from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from numpy.typing import NDArray

from trimtab.encode.head import sigmoid
from trimtab.encode.located import Run
from trimtab.encode.reading import KINDS, SCORES, Glance, Part, words
from trimtab.encode.sealed import opened
from trimtab.encode.session import Session, session
from trimtab.encode.static import Static
from trimtab.encode.tokenizer import WordPiece
from trimtab.encode.turns import Floats
from trimtab.encode.windows import parts
from trimtab.errors import ConfigError

FILES = ["branch.onnx", "static.npz", "calibration.json"]
PART = 62
"""Pieces of the parts that a glance looks at: with their marks what the heads were trained on."""
FIX = "Reinstall trimtab, or make the heads again with runs/heads.sh."
Positive = Annotated[float, msgspec.Meta(gt=0)]


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """Logits of tags are divided by `tags`; a word is personal data at `least` probability or more.

    A score is sigmoid(slope * the head's logit + word * the first tier's + shift), in the order of SCORES; by the first
    tier alone it is sigmoid(alone * logit + offset) (Platt 1999). Where that tier's logit is below `clear`, its word is
    enough; from `likely` on (of older heads from `clear` on) a reading may well find something. All are fitted on
    held-out rows.
    """

    kinds: tuple[str, ...]
    scores: tuple[str, ...]
    tags: Positive
    least: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    slopes: tuple[Positive, ...]
    words: tuple[Positive, ...]
    shifts: tuple[float, ...]
    alone: tuple[Positive, ...]
    offsets: tuple[float, ...]
    clear: tuple[float, ...]
    likely: tuple[float, ...] = ()


class Said(msgspec.Struct, frozen=True, eq=False):
    """Logits of one window: its pieces' kinds (pieces, kinds + 1) and its scores (scores,)."""

    tags: Floats
    scores: Floats


class Heads:
    """`load` makes one; used in the encoder's thread."""

    def __init__(self, session: Session, static: Static, calibration: Calibration) -> None:
        self.calibration, self._session, self._static = calibration, session, static
        self._slopes, self._words, self._shifts, self._alone, self._offsets, self._clear, self._likely = (
            np.array(part, np.float32) for part in _lines(calibration)
        )

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
        if {len(part) for part in _lines(calibration)} != {len(SCORES)}:
            raise ConfigError(f"{folder / 'calibration.json'} lacks a score's slope or shift.", fix=FIX)
        return cls(session(folder / "branch.onnx", threads, FIX), Static.load(folder, FIX), calibration)

    def glance(self, text: str, pieces: WordPiece) -> list[Glance]:
        """The text part by part, by its words alone; none where it has no token."""
        if not (runs := list(parts(text, pieces, PART))):
            return []
        logits = self._static.each([ids for _, _, ids in runs])
        scores = sigmoid(self._alone * logits + self._offsets).tolist()
        doubtful, likely = (_named((logits >= bar).tolist()) for bar in (self._clear, self._likely))
        places = ((start, end) for start, end, _ in runs)
        return [Glance(*place, *of, *named) for place, of, *named in zip(places, scores, doubtful, likely, strict=True)]

    def said(self, middle: Floats, mask: NDArray[np.int64], batch: Sequence[Run]) -> list[Said]:
        """What the heads say of each run; `middle` (n, length, dims) are its states, marks at its ends."""
        shapes = np.zeros(mask.shape, np.int64)
        for row, run in enumerate(batch):
            shapes[row, 1 : len(run) + 1] = run.shapes
        tags, scores = self._session.run(["tags", "scores"], {"middle": middle, "mask": mask, "shapes": shapes})
        return [Said(tags[row, 1 : len(run) + 1], scores[row]) for row, run in enumerate(batch)]

    def part(self, run: Run, heard: Said) -> Part:
        """A window's share of a reading, in probabilities."""
        logits = heard.tags / np.float32(self.calibration.tags)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        found = words(run, odds / odds.sum(axis=1, keepdims=True), self.calibration.least)
        said = self._slopes * heard.scores + self._words * self._static.logits(run.ids) + self._shifts
        return Part(found, sigmoid(said.astype(np.float32)))


def _lines(calibration: Calibration) -> tuple[tuple[float, ...], ...]:
    c = calibration
    return c.slopes, c.words, c.shifts, c.alone, c.offsets, c.clear, c.likely or c.clear


def _named(table: list[list[bool]]) -> list[frozenset[str]]:
    """The scores that are marked in each row, by name."""
    return [frozenset(compress(SCORES, marks)) for marks in table]
