"""The span head: where a passage answers a question, and how much more likely that is than "not here".

Layers of its own over the encoder's lower ones, read with question and window beside each other. On disk: `branch.onnx`
and the manifest that seals it (`runs/span.sh` makes them).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.pairs import Pair
from trimtab.encode.sealed import opened
from trimtab.encode.session import Session, session
from trimtab.encode.turns import Floats

FILES = ["branch.onnx"]
FIX = "Reinstall trimtab, or make the span head again with runs/span.sh."
LONGEST = 24  # pieces of an answer


class Span(NamedTuple):
    """The likeliest answer at the characters text[start:end]. `lead` and `here` are logits, 0 about even: of this span
    against "not here", and of the window holding an answer at all. They are not calibrated for any use.
    """

    start: int
    end: int
    lead: float
    here: float


class SpanHead:
    """`load` makes one; used in the encoder's thread."""

    def __init__(self, session: Session) -> None:
        self._session = session

    @classmethod
    def load(cls, folder: Path, threads: int = 1) -> "SpanHead":
        """The head in `folder`; raises `ConfigError` where a file is missing or changed."""
        opened(folder, FILES, FIX)
        return cls(session(folder / "branch.onnx", threads, FIX))

    def said(self, lower: Floats, mask: NDArray[np.int64], batch: Sequence[Pair]) -> list[Span]:
        """The likeliest span of each pair; `lower` (n, length, dims) are the states of its pieces and marks."""
        marks = np.zeros(mask.shape, np.int64)
        for row, pair in enumerate(batch):
            marks[row, : len(pair)] = pair.marks
        ends, here = self._session.run(["ends", "here"], {"lower": lower, "mask": mask, "marks": marks})
        return [likeliest(pair, *row) for pair, row in zip(batch, zip(ends, here, strict=True), strict=True)]


def likeliest(pair: Pair, ends: Floats, here: np.float32) -> Span:
    """The span of at most LONGEST pieces, of whole words, with the highest sum of logits; `ends` is (length, 2)."""
    size = len(pair.starts)
    inside = ends[pair.first : pair.first + size]
    sums = inside[:, None, 0] + inside[None, :, 1]
    sums[~np.tri(size, size, LONGEST - 1, bool) | np.tri(size, size, -1, bool)] = -np.inf
    first, last = divmod(int(sums.argmax()), size)
    lead = float(sums[first, last] - ends[0].sum())
    return Span(int(pair.starts[first]), int(pair.ends[last]), lead, float(here))
