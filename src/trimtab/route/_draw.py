"""Draws that follow from an id alone: the same in every worker, after a restart, and when the log is read again."""

import hashlib


def fraction(key: str) -> float:
    """A number from 0 to below 1, spread evenly over keys."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64
