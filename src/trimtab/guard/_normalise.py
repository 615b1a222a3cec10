"""Texts as an injection's author hoped a model would read them: one spelling, with a way back to the original offsets.

NFKD without accents, look-alike letters as Latin ones, invisible characters out, Unicode tag characters as the ASCII
they smuggle, lower case. Every step works character by character, so that an offset can be traced back, and on short
slices: sorting a flood of combining characters takes the square of their number, and nobody else runs meanwhile.
"""

import unicodedata
from bisect import bisect_right
from itertools import accumulate

INVISIBLE = (
    0x00AD,
    0x034F,
    0x061C,
    0x115F,
    0x1160,
    0x180E,
    0x3164,
    0xFEFF,
    0xFFA0,
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
)
ACCENTS = range(0x0300, 0x0370)
ALIKE = {
    "а": "a",
    "е": "e",
    "о": "o",
    "р": "p",
    "с": "c",
    "у": "y",
    "х": "x",
    "і": "i",
    "ј": "j",
    "ѕ": "s",
    "ԁ": "d",
    "һ": "h",
    "к": "k",
    "м": "m",
    "т": "t",
    "в": "b",
    "н": "h",
    "ԛ": "q",
    "ԝ": "w",
    "ӏ": "l",
    "г": "r",
    "п": "n",
    "α": "a",
    "ο": "o",
    "ε": "e",
    "ι": "i",
    "κ": "k",
    "ν": "v",
    "ρ": "p",
    "τ": "t",
    "υ": "u",
    "χ": "x",
    "η": "n",
    "ı": "i",
    "ɡ": "g",
    "ɩ": "i",
    "ℓ": "l",
    "ʟ": "l",
    "ɴ": "n",
    "ʀ": "r",
    "ꜱ": "s",
    "ᴛ": "t",
    "ᴏ": "o",
    "ᴇ": "e",
    "ɪ": "i",
    "ɢ": "g",
    "ᴀ": "a",
    "ᴄ": "c",
    "ᴘ": "p",
    "ᴜ": "u",
    "ᴠ": "v",
    "ʏ": "y",
    "ᴍ": "m",
    "ᴅ": "d",
    "ʜ": "h",
    "’": "'",
    "‘": "'",
    "ʼ": "'",
    "“": '"',
    "”": '"',
    "ß": "ss",
    "ø": "o",
    "đ": "d",
    "ł": "l",
}
"""From Unicode's confusables (UTS 39), the letters that are drawn like Latin small ones."""
FOLD: dict[int, str | None] = {
    **dict.fromkeys((*INVISIBLE, *ACCENTS), None),
    **{ord(odd): plain for odd, plain in ALIKE.items()},
    **{0xE0000 + code: chr(code).lower() for code in range(0x20, 0x7F)},
}
SLICE = 256
"""Characters that are brought into one spelling at a time."""


def plain(text: str) -> str:
    """`text` in its one spelling; its length may differ."""
    if text.isascii():
        return text.lower()
    if len(text) <= SLICE:
        return unicodedata.normalize("NFKD", text).casefold().translate(FOLD)
    return "".join(plain(text[at : at + SLICE]) for at in range(0, len(text), SLICE))


class Ways:
    """The ways from `plain(text)` back to `text`; made for texts in which something was found."""

    def __init__(self, text: str) -> None:
        self._text = text
        slices = () if text.isascii() else range(0, len(text), SLICE)
        self._ends = list(accumulate(len(plain(text[at : at + SLICE])) for at in slices))

    def back(self, start: int, end: int) -> tuple[int, int]:
        """The offsets in `text` of `plain(text)[start:end]`, which is not empty."""
        return (self._at(start), self._at(end - 1) + 1) if self._ends else (start, end)

    def _at(self, offset: int) -> int:
        """The offset of the character that `offset` comes from; of the slice's end where neighbours made it."""
        which = bisect_right(self._ends, offset)
        first, before = which * SLICE, self._ends[which - 1] if which else 0
        part = self._text[first : first + SLICE]
        inside = bisect_right(list(accumulate(len(plain(char)) for char in part)), offset - before)
        return first + min(inside, len(part) - 1)
