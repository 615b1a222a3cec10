"""What the deterministic rung's parsers share: a reading, exact numbers as people write them, and how one is shown."""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from math import isqrt
from typing import NamedTuple

MAX_BITS = 4096
"""Numerators and denominators stay below this many bits, so that no input can take time or memory."""
MAX_SHOWN = 60
"""Longest integer that is written out, in digits."""
MAX_DIGITS = 30
"""Longest literal that is read, in characters."""
PLACES = 10
"""Decimals shown exactly, and significant digits of a rounded result."""

_PLAIN = re.compile(r"(?:0|[1-9][0-9]*)?(?:\.[0-9]+)?(?:e[+-]?[0-9]{1,3})?")
_GROUPED = re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?")
_GROUPED_BY_POINT = re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3}")
_SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
WORDS = {word: n for n, word in enumerate(_SMALL)} | _TENS | {
    f"{ten}-{_SMALL[n]}": tens + n for ten, tens in _TENS.items() for n in range(1, 10)
}  # fmt: skip
"""The number words that are read: zero to ninety-nine, the compound ones with a hyphen."""


class Reading(NamedTuple):
    """The one way to understand a question: the answer, and the parse it rests on."""

    text: str
    parse: str


class Unclear(Exception):  # noqa: N818 - no error: the question is left to another rung
    """The question can be read in no way, or in more than one."""


def number(text: str, *, english: bool = True) -> Fraction:
    """The exact value of a literal such as `12`, `1,234.5`, `.5`, `1e3` or `twelve`.

    `1,5`, `007` and `1.2.3` are not read; neither are `1,234` and `1.234` where no English word says which of their
    marks is the decimal one. Raises `Unclear`.
    """
    if text in WORDS:
        return Fraction(WORDS[text])
    if len(text) > MAX_DIGITS or not any(char.isdigit() for char in text):
        raise Unclear
    if _GROUPED.fullmatch(text):
        if not english and text.count(",") == 1 and "." not in text:
            raise Unclear
        return Fraction(text.replace(",", ""))
    if not _PLAIN.fullmatch(text) or (not english and _GROUPED_BY_POINT.fullmatch(text)):
        raise Unclear
    return bounded(Fraction(text))


def bounded(value: Fraction) -> Fraction:
    """`value`, or `Unclear` where it has grown too large."""
    if value.numerator.bit_length() > MAX_BITS or value.denominator.bit_length() > MAX_BITS:
        raise Unclear
    return value


def whole(value: Fraction) -> int:
    """`value` as an integer, or `Unclear`."""
    if value.denominator != 1:
        raise Unclear
    return value.numerator


def show(value: Fraction) -> str:
    """Exact where ten decimals suffice, else rounded to ten significant digits and marked with `≈`."""
    if value.denominator == 1:
        return _short(str(value.numerator))
    scaled = value * 10**PLACES
    if scaled.denominator == 1:
        return _short(_plain(Decimal(scaled.numerator).scaleb(-PLACES, Context(prec=5000))))
    return f"≈ {about(Decimal(value.numerator), Decimal(value.denominator))}"


def about(numerator: Decimal, denominator: Decimal = Decimal(1)) -> str:
    """The quotient, correctly rounded to ten significant digits. Raises `Unclear` where that needs an exponent."""
    rounded = Context(prec=PLACES, rounding=ROUND_HALF_EVEN).divide(numerator, denominator)
    if not -7 <= rounded.adjusted() < 15:
        raise Unclear
    return _plain(rounded)


def root(value: Fraction, degree: int) -> Fraction | None:
    """The exact root of a value >= 0, None where it is irrational."""
    top, bottom = _integer_root(value.numerator, degree), _integer_root(value.denominator, degree)
    return None if top is None or bottom is None else Fraction(top, bottom)


def _integer_root(n: int, degree: int) -> int | None:
    if degree == 2:
        found = isqrt(n)
        return found if found * found == n else None
    low, high = 0, 1 << (n.bit_length() // degree + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**degree < n else (low, middle)
    return low if low**degree == n else None


def _short(text: str) -> str:
    if len(text) > MAX_SHOWN:
        raise Unclear
    return text


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
