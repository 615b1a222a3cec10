"""Names in Thai, which has no capitals and no spaces between words: a small net over characters and known words.

The house encoder's vocabulary lacks the script. On disk: `thai.npz` (float16 weights, hashes of known words) and the
manifest that seals it (`runs/thai.sh` makes both). Pure, numpy alone.
"""

import re
import zipfile
from collections.abc import Iterator
from functools import cache
from math import inf, sqrt
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trimtab.encode.head import log_sum
from trimtab.encode.sealed import opened
from trimtab.encode.turns import Floats
from trimtab.errors import ConfigError

HOME = Path(__file__).parent / "thai"
FILE = "thai.npz"
FIX = "Reinstall trimtab, or make the tagger again with runs/thai.sh."
KINDS = ("PERSON", "ADDRESS", "ORGANIZATION")
"""What a character may belong to; the net's first column is none of them."""
LETTERS = re.compile(r"[\u0e01-\u0e4e]{2}")
"""Where no such run stands, nothing is found."""
SPACINGS = (1, 2, 4, 8, 16)
"""How far apart the three characters are that each layer looks at."""
REACH = sum(SPACINGS)
BLOCK = 4_000
"""Characters that are read at once, beside their surroundings."""
LONGEST = 16
"""Characters of a known word."""
_GROUPS = (" \t\xa0", "\n\r", "0123456789๐๑๒๓๔๕๖๗๘๙", ".", ",", ":;", "'\"`", "([{<", ")]}>", "-_", "/\\|", "@")
_LOWER, _UPPER, OTHER = (128 + len(_GROUPS) + at for at in range(3))
SIGNS = OTHER + 1
MARKS = frozenset(
    "\u0e30\u0e31\u0e32\u0e33\u0e34\u0e35\u0e36\u0e37\u0e38\u0e39\u0e3a\u0e45\u0e47\u0e48\u0e49\u0e4a\u0e4b\u0e4c\u0e4d\u0e4e"
)
"""What belongs to the letter before it: signs above and below, and vowels that stand behind."""
LEADING = frozenset("เแโใไ")
"""Vowels that belong to the letter behind them."""
EDGES = frozenset(" \n\t\r,:;")
CHANGE = 3.0
"""What a name's beginning or end costs, in logarithms of odds: it keeps single letters from being names."""


class Tag(NamedTuple):
    """The characters text[start:end], and what they are."""

    kind: str
    start: int
    end: int


class Words:
    """The words of a language as hashes, in order: what stands where in a text."""

    def __init__(self, hashes: NDArray[np.uint32]) -> None:
        self._hashes = hashes

    def marks(self, codes: NDArray[np.uint32], left_out: int = 0) -> NDArray[np.int64]:
        """(3, n): lengths of the longest word that begins at, that ends at, and that holds each character, or 0.

        `left_out`, where not 0, draws one word in twelve that is taken for unknown.
        """
        size = len(codes)
        found = np.zeros((3, size), np.int64)
        sums = np.zeros(size, np.uint64)
        for length, sums in enumerate(_sums(codes), 1):
            if length < 2 or not len(sums):
                continue
            keys = _mixed(sums)
            at = np.minimum(np.searchsorted(self._hashes, keys), len(self._hashes) - 1)
            known = self._hashes[at] == keys
            if left_out:
                known &= (keys * np.uint32(2654435761) + np.uint32(left_out)) % np.uint32(251) >= 21
            starts = np.flatnonzero(known)
            found[0, starts] = found[1, starts + length - 1] = length
            found[2, (starts[:, None] + np.arange(length)).ravel()] = length
        return found


class Tagger:
    """`arrays` are those of the file: `signs` (SIGNS, width), `begin`, `finish` and `inside` (LONGEST + 1, width),
    `weights` (layers, 3 * width, width), `bias` (layers, width), `out` (width, kinds + 1), `out_bias`, `words`, and
    `least`, from which what speaks for a name is enough.
    """

    def __init__(self, arrays: dict[str, Any]) -> None:
        self.words = Words(arrays["words"])
        self._least = float(arrays["least"])
        self._net = {name: array.astype(np.float32) for name, array in arrays.items() if name not in ("words", "least")}

    @classmethod
    def load(cls, folder: Path = HOME) -> "Tagger":
        """The tagger in a folder; raises `ConfigError` where its file is missing, changed or of another shape."""
        opened(folder, [FILE], FIX)
        try:
            with np.load(folder / FILE, allow_pickle=False) as arrays:
                tagger = cls({name: arrays[name] for name in arrays.files})
            tagger.tags("สมชาย ใจดี")
        except (OSError, ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{folder / FILE} cannot be used ({error!r}).", fix=FIX) from error
        return tagger

    def tags(self, text: str) -> list[Tag]:
        """The names in a text that is not empty, in order and apart."""
        return [tag for tag, said in self.weighed(text) if said >= self._least]

    def weighed(self, text: str) -> Iterator[tuple[Tag, float]]:
        """All that may be names, and what speaks for each: its characters' log odds against none, over their root."""
        logits = self.logits(text)
        for kind, start, end in _likeliest(text, logits):
            start, end = _trimmed(text, start, end)
            if LETTERS.search(text, start, end):
                odds = float((logits[start:end, kind] - logits[start:end, 0]).sum())
                yield Tag(KINDS[kind - 1], start, end), odds / sqrt(end - start)

    def logits(self, text: str) -> Floats:
        """The logarithms of the probabilities (n, kinds + 1) of each character."""
        codes = coded(text)
        signs, marks = signed(codes), self.words.marks(codes)
        parts: list[Floats] = []
        for start in range(0, len(text), BLOCK):
            first, last = max(0, start - REACH), min(len(text), start + BLOCK + REACH)
            part = self._read(signs[first:last], marks[:, first:last])
            parts.append(part[start - first : start - first + BLOCK])
        return np.concatenate(parts)

    def _read(self, signs: NDArray[np.int64], marks: NDArray[np.int64]) -> Floats:
        net = self._net
        x = net["signs"][signs] + net["begin"][marks[0]] + net["finish"][marks[1]] + net["inside"][marks[2]]
        for gap, weights, bias in zip(SPACINGS, net["weights"], net["bias"], strict=True):
            around = np.pad(x, ((gap, gap), (0, 0)))
            x = x + np.maximum(np.concatenate([around[: -2 * gap], x, around[2 * gap :]], axis=1) @ weights + bias, 0)
        said = x @ net["out"] + net["out_bias"]
        return said - log_sum(said)


@cache
def tagger() -> Tagger:
    """The one that ships."""
    return Tagger.load()


def names(text: str) -> list[Tag]:
    """What the one that ships finds; it is read when the first text needs it."""
    return tagger().tags(text) if LETTERS.search(text) else []


def coded(text: str) -> NDArray[np.uint32]:
    """The characters' numbers."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def signed(codes: NDArray[np.uint32]) -> NDArray[np.int64]:
    """What the net reads of each character: one of SIGNS."""
    return _table()[np.minimum(codes, len(_table()) - 1)]


def hashed(word: str) -> int:
    """The number by which `Words` knows a word."""
    *_, last = _sums(coded(word))
    return int(_mixed(last)[0])


def _likeliest(text: str, logits: Floats) -> Iterator[tuple[int, int, int]]:
    """(kind, start, end) of the likeliest kinds (Viterbi's): a change costs CHANGE, and cuts no letter or number."""
    rows = logits.tolist()
    best, steps = [0.0, *[-CHANGE] * len(KINDS)], []
    for at, row in enumerate(rows):
        top = max(range(len(best)), key=best.__getitem__)
        leap = best[top] - CHANGE if at and _may_part(text, at) else -inf
        steps.append([top if leap > stay else kind for kind, stay in enumerate(best)])
        best = [max(stay, leap) + said for stay, said in zip(best, row, strict=True)]
    kind, end = max(range(len(best)), key=best.__getitem__), len(rows)
    found: list[tuple[int, int, int]] = []
    for at in range(len(rows) - 1, -1, -1):
        before = steps[at][kind] if at else 0
        if before != kind:
            if kind:
                found.append((kind, at, end))
            kind, end = before, at
    return reversed(found)


def _may_part(text: str, at: int) -> bool:
    pair = text[at - 1 : at + 1]
    return pair[1] not in MARKS and pair[0] not in LEADING and not (pair.isascii() and pair.isalnum())


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The same run without spaces and commas at its ends."""
    while start < end and text[start] in EDGES:
        start += 1
    while start < end and text[end - 1] in EDGES:
        end -= 1
    return start, end


def _sums(codes: NDArray[np.uint32]) -> Any:
    """For each length from 1 the polynomial sums of the runs of so many characters, by where they begin."""
    sums = np.zeros(len(codes) + 1, np.uint64)
    for length in range(1, min(LONGEST, len(codes)) + 1):
        sums = sums[:-1] * np.uint64(1_000_003) + codes[length - 1 :]
        yield sums


def _mixed(sums: NDArray[np.uint64]) -> NDArray[np.uint32]:
    return ((sums * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)).astype(np.uint32)


@cache
def _table() -> NDArray[np.int64]:
    table = np.full(0xE81, OTHER, np.int64)
    table[0xE00:0xE80] = np.arange(128)
    table[ord("a") : ord("z") + 1], table[ord("A") : ord("Z") + 1] = _LOWER, _UPPER
    for at, group in enumerate(_GROUPS, 128):
        for char in group:
            if ord(char) < len(table) - 1:
                table[ord(char)] = at
    return table
