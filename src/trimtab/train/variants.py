"""Which part a text belongs to, and which are variants of one another: jailbreaks are handed on with few words changed,
and must not be split.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Sequence

RUN, WORDS = 5, 400
"""Words of a run, and the words from a text's beginning that are compared."""
ALIKE = 0.3
"""The share of the shorter text's runs that two variants have in common, at least."""


def part_of(group: str | int, seed: int = 0) -> str:
    """The part a template or row belongs to: three fifths train, one fifth each of the others."""
    return ("train", "train", "train", "calibrate", "test")[zlib.crc32(f"{seed}/{group}".encode()) % 5]


def families(texts: Sequence[str]) -> list[int]:
    """For each text the number of its family: the place of the family's first text. Variants of variants are of it."""
    runs = [_runs(text) for text in texts]
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    family = list(range(len(texts)))
    for number, mine in enumerate(runs):
        shared = Counter(other for run in mine for other in holders[run])
        near = [other for other, count in shared.items() if count > ALIKE * min(len(mine), len(runs[other]))]
        for run in mine:
            holders[run].append(number)
        first = min((_root(family, other) for other in near), default=number)
        for other in (*near, number):
            family[_root(family, other)] = first
    return [_root(family, number) for number in range(len(texts))]


def _root(family: list[int], number: int) -> int:
    while family[number] != number:
        number = family[number]
    return number


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    words = text.lower().split()[:WORDS]
    return frozenset(tuple(words[at : at + RUN]) for at in range(max(1, len(words) - RUN + 1)))
