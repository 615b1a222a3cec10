"""What stands encoded in a text: leet, ROT13, letters set apart, backwards, mistyped, base64 and hexadecimal."""

import base64
import binascii
import re
from collections.abc import Iterator

from trimtab.guard._normalise import plain
from trimtab.guard._typos import mended

LEET = str.maketrans("013457@$!", "oieastasi")
LEET_HINT = r"[013457$!][a-z]"
LEETED = re.compile(r"(?<=[a-z])[013457$!](?=[a-z])|(?<![a-z0-9.])[013457$][a-z]{3}")
ROT13 = str.maketrans("abcdefghijklmnopqrstuvwxyz", "nopqrstuvwxyzabcdefghijklm")
ROT_WORDS = ("vafgehpgvba", "cebzcg", "qvfertneq", "vtaber", "wnvyoernx")
"""`instruction`, `prompt`, `disregard`, `ignore` and `jailbreak` in ROT13."""
BACKWARDS = tuple(word[::-1] for word in ("instruction", "prompt", "disregard", "ignore", "jailbreak"))
SIGNS = r"[ .,_*|/~+\-]"
APART = re.compile(rf"(?<![^\W_])[a-z](?:{SIGNS}{{1,2}}[a-z](?![a-z])){{5,400}}")
"""Single letters with a sign or two between them."""
SIGN = re.compile(rf"{SIGNS}+")
ENCODED = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{20,16000}={0,2}(?![A-Za-z0-9+/=_-])")
HEX = re.compile(r"(?:[0-9A-Fa-f]{2}){10,8000}")
HINTS = (LEET_HINT, "|".join((*ROT_WORDS, *BACKWARDS)), rf"(?:[a-z]{SIGNS}{{1,2}}){{5}}[a-z]", r"[a-z0-9+/_-]{20}")
"""Without one of these in a plain text nothing stands encoded in it."""
LONGEST = 16_010
"""Characters of the longest run that is decoded."""


def respelt(normal: str) -> Iterator[str]:
    """`normal`, a text in its one spelling, read as leet, ROT13, backwards, with letters that stood apart, mended."""
    if LEETED.search(normal):
        yield normal.translate(LEET)
    if any(word in normal for word in ROT_WORDS):
        yield normal.translate(ROT13)
    if any(word in normal for word in BACKWARDS):
        yield normal[::-1]
    if APART.search(normal):
        yield APART.sub(lambda run: _together(run[0]), normal)
    if (better := mended(normal)) != normal:
        yield better


def _together(run: str) -> str:
    """Letters that stood apart as words: the commonest sign stands between letters, any other between words."""
    signs = SIGN.findall(run)
    usual = max(set(signs), key=lambda sign: (signs.count(sign), sign))
    return SIGN.sub(lambda sign: "" if sign[0] == usual else " ", run)


def decoded(text: str, start: int, end: int) -> Iterator[tuple[str, int, int]]:
    """(plain text, start, end in `text`) of the runs that begin in `text[start:end]` and are base64 or hexadecimal."""
    for match in ENCODED.finditer(text, start, min(len(text), end + LONGEST)):
        if match.start() >= end:
            return
        if inside := _hex(match[0]) or _base64(match[0]):
            yield plain(inside), *match.span()


def _base64(run: str) -> str:
    """The text in `run`, or an empty one."""
    run = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return _readable(base64.b64decode(run + "=" * (-len(run) % 4)))
    except (binascii.Error, ValueError):
        return ""


def _hex(run: str) -> str:
    return _readable(bytes.fromhex(run)) if HEX.fullmatch(run) else ""


def _readable(found: bytes) -> str:
    try:
        text = found.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    return text if text.replace("\n", "").isprintable() else ""
