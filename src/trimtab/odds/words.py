"""Words and pairs of words of a text in a fixed number of slots, by CRC-32: the same on every machine and run."""

import math
import re
import zlib
from collections import Counter
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
SLOTS = 512
_WORD = re.compile(r"[a-z]{2,20}|[0-9]{1,6}")


def hashed(text: str) -> Floats:
    """(SLOTS,) of length 1: a word's weight is 1 + log of how often it stands there; all zeros for no word."""
    words = ["0" * len(word) if word.isdigit() else word for word in _WORD.findall(text[:6000].lower())]
    pairs = map(" ".join, pairwise(words))
    row = np.zeros(SLOTS, np.float32)
    for word, count in Counter([*words, *pairs]).items():
        row[zlib.crc32(word.encode()) % SLOTS] += 1 + math.log(count)
    return row / max(1e-9, float(np.linalg.norm(row)))
