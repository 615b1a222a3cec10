"""Draws that follow from an id alone: the same in every worker, after a restart, and when the log is read again."""

import hashlib

from trimtab.types import Signal

PROPENSITY = "propensity"
"""The signal of a ladder that was drawn: the chance with which it was to be taken."""


def fraction(key: str) -> float:
    """A number from 0 to below 1, spread evenly over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def redrawn(signals: tuple[Signal, ...]) -> tuple[Signal, ...]:
    """The signals of a ladder that was changed after it was drawn: with what chance it came about is not known."""
    return tuple(one for one in signals if one.name != PROPENSITY)
