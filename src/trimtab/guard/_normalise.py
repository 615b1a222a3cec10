"""Texts as an injection's author hoped a model would read them: one spelling, with a way back to the original offsets.

NFKD without accents, look-alike letters as Latin ones, invisible characters out, Unicode tag characters as the ASCII
they smuggle, lower case. Every step works character by character, so that an offset can be traced back.
"""

import re
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
LEET = str.maketrans("013457@$!", "oieastasi")
LEET_HINT = re.compile(r"[013457$!][a-z]")
LEETED = re.compile(r"(?<=[a-z])[013457$!](?=[a-z])|(?<![a-z0-9.])[013457$][a-z]{3}")
ROT13 = str.maketrans(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "nopqrstuvwxyzabcdefghijklmNOPQRSTUVWXYZABCDEFGHIJKLM"
)
ENCODED = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{20,8000}={0,2}(?![A-Za-z0-9+/=_-])")
ROT_WORDS = ("vafgehpgvba", "cebzcg", "qvfertneq", "vtaber", "wnvyoernx")
"""`instruction`, `prompt`, `disregard`, `ignore` and `jailbreak` in ROT13."""
HINTS = (LEET_HINT.pattern, "|".join(ROT_WORDS), r"[a-z0-9+/_-]{20}")
"""Without one of these in a plain text nothing stands encoded in it."""


def plain(text: str) -> str:
    """`text` in its one spelling; its length may differ."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKD", text).casefold().translate(FOLD)


def back(text: str, start: int, end: int) -> tuple[int, int]:
    """The offsets in `text` of `plain(text)[start:end]`; slow, for findings only."""
    if text.isascii():
        return start, end
    ends = list(accumulate(len(plain(char)) for char in text))
    if ends[-1] != len(plain(text)):  # pragma: no cover - a character whose spelling depends on its neighbours
        return 0, len(text)
    return bisect_right(ends, start), min(bisect_right(ends, end - 1) + 1, len(text))


def decoded(text: str, normal: str) -> list[tuple[str, int, int]]:
    """(plain text, start, end in `text`) of what stands encoded in it: leet, ROT13, base64."""
    found: list[tuple[str, int, int]] = []
    if LEET_HINT.search(normal) and LEETED.search(normal):
        found.append((normal.translate(LEET), 0, len(text)))
    if any(word in normal for word in ROT_WORDS):
        found.append((normal.translate(ROT13), 0, len(text)))
    if len(text) >= 20:
        found += _base64(text)
    return found


def _base64(text: str) -> list[tuple[str, int, int]]:
    import base64
    import binascii

    found: list[tuple[str, int, int]] = []
    for match in ENCODED.finditer(text):
        run = match[0].rstrip("=").replace("-", "+").replace("_", "/")
        try:
            inside = base64.b64decode(run + "=" * (-len(run) % 4)).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError, ValueError):
            continue
        if inside.isprintable() or inside.replace("\n", "").isprintable():
            found.append((plain(inside), *match.span()))
    return found
