"""Texts with the many digits, dashes and spaces of Unicode written as ASCII, one for one: offsets stay the same."""

import re
from collections.abc import Callable, Iterator

ZEROS = (
    *(0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50),
    *(0x0ED0, 0x0F20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50),
    *(0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136),
    *(0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730, 0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0),
    *(0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0),
    *(0x1E950, 0x1FBF0),
)
"""The zeros of all of Unicode's decimal digits but ASCII's: each script's, full-width and mathematical ones."""
ALIKE: dict[int, str] = {
    **{ord(char): "-" for char in "\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d"},
    **dict.fromkeys((0xA0, 0x1680, *range(0x2000, 0x200B), 0x202F, 0x205F, 0x3000), " "),
    0xFF20: "@", 0xFF0B: "+", 0xFF0E: ".", 0xFF1A: ":", 0xFF08: "(", 0xFF09: ")", 0xFF0F: "/", 0xFF0C: ",",
    **{zero + digit: str(digit) for zero in ZEROS for digit in range(10)},
}  # fmt: skip

SHORT = 4
ANY = re.compile("[" + "".join(re.escape(chr(code)) for code in ALIKE if code < 0x10000) + "]")
ASTRAL = re.compile("[\U00010000-\U0010ffff]")
"""Apart: a class that holds both kinds is searched many times slower."""
ESCAPED = re.compile(r"\\[nrt]")
"""A line's end or a tab inside of JSON: no letter of what follows."""


def ascii_digits(text: str) -> str:
    """`text` with look-alikes of digits and of the signs between them in ASCII; its length is the same."""
    if text.isascii():
        return text
    text = ANY.sub(lambda odd: ALIKE[ord(odd[0])], text)
    return ASTRAL.sub(lambda odd: ALIKE.get(ord(odd[0]), odd[0]), text) if ASTRAL.search(text) else text


def small(text: str) -> str:
    """`text` in lower case, as long as it was."""
    low = text.lower()
    return low if len(low) == len(text) else "".join(c.lower() if len(c.lower()) == 1 else c for c in text)


def tried(shape: re.Pattern[str], text: str, is_one: Callable[[re.Match[str]], bool]) -> Iterator[tuple[int, int]]:
    """(start, end) of the matches of `shape` that `is_one`; after one that is none the next may begin inside of it."""
    at = 0
    while match := shape.search(text, at):
        at = match.start() + 1
        if is_one(match):
            at = match.end()
            yield match.span()


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
