"""What the thresholds of the settings have become: moved where others were proven, lowered where money runs short."""

from collections.abc import Callable
from typing import TypeAlias

from trimtab.types import Request

Move: TypeAlias = Callable[[Request, str, float, float], float]
"""From a request, the model whose answer is judged, its score and its threshold, to the threshold that holds now."""


class Thresholds:
    """Moves one after the other, in the order in which they were added."""

    def __init__(self) -> None:
        self._moves: list[Move] = []

    def add(self, move: Move) -> None:
        self._moves.append(move)

    def now(self, request: Request, model: str, score: float, threshold: float) -> float:
        """The threshold for an answer of `model`, `threshold` in the settings."""
        for move in self._moves:
            threshold = move(request, model, score, threshold)
        return threshold
