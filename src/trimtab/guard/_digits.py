"""Texts with the many digits, dashes and spaces of Unicode written as ASCII, one for one: offsets stay the same."""

import re
from collections.abc import Callable, Iterator

ZEROS = (0x0660, 0x06F0, 0x0966, 0x09E6, 0x0E50, 0xFF10)
"""The zeros of Arabic-Indic, Persian, Devanagari, Bengali, Thai and full-width digits."""
ALIKE: dict[int, str] = {
    **{ord(char): "-" for char in "\u2010\u2011\u2012\u2013\u2212\uff0d"},
    **{ord(char): " " for char in "\u00a0\u2007\u2009\u202f\u3000"},
    0xFF20: "@", 0xFF0B: "+", 0xFF0E: ".", 0xFF1A: ":", 0xFF08: "(", 0xFF09: ")",
    **{zero + digit: str(digit) for zero in ZEROS for digit in range(10)},
}  # fmt: skip


GROUPS = 3
SMALL = re.compile(r"[0-9]{1,2} {1,2}(?=[+(]|[0-9]{3})")
SHORT = 4
ANY = re.compile("[" + "".join(map(re.escape, map(chr, ALIKE))) + "]")


def ascii_digits(text: str) -> str:
    """`text` with look-alikes of digits and of the signs between them in ASCII; its length is the same."""
    return text if text.isascii() else ANY.sub(lambda odd: ALIKE[ord(odd[0])], text)


def runs(shape: re.Pattern[str], text: str, is_one: Callable[[str, int, int], bool]) -> Iterator[tuple[int, int]]:
    """(start, end) of the matches of `shape`, or parts of them, that `is_one` (of the part, its start and end).

    Numbers may follow one another with a space between: a match is tried whole, then without its last group, its last
    two, ...; then without a small number before it.
    """
    at = 0
    while match := shape.search(text, at):
        start, at = match.span()
        part = next((part for part in _parts(match[0]) if is_one(part, start, start + len(part))), "")
        if part:
            at = start + len(part)
            yield start, at
        elif after := SMALL.match(match[0]):
            at = start + after.end()


def _parts(run: str) -> Iterator[str]:
    """`run`, and what is left of it without its last groups; no more than `GROUPS` of them."""
    yield run
    for _ in range(GROUPS):
        if (end := run.rfind(" ")) < 0:
            return
        yield (run := run[:end].rstrip(" "))


def near(low: str, start: int, end: int, words: tuple[str, ...], before: int = 48, after: int = 16) -> bool:
    """Whether one of `words` stands within `before` characters before `start` or `after` characters after `end`.

    A word of up to `SHORT` letters counts only where it stands alone: `nif` stands in `significant` too.
    """
    around = low[max(0, start - before) : start] + "\n" + low[end : end + after]
    return any(word in around and (not is_short(word) or _alone(word, around)) for word in words)


def is_short(word: str) -> bool:
    """Whether it may well be a part of another word."""
    return len(word) <= SHORT and word.isascii()


def _alone(word: str, around: str) -> bool:
    at = around.find(word)
    while at >= 0:
        if not (around[max(0, at - 1) : at].isalnum() or around[at + len(word) : at + len(word) + 1].isalpha()):
            return True
        at = around.find(word, at + 1)
    return False
