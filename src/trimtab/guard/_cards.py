"""Card numbers: an issuer's first digits, a checksum, and how they are laid out or what is said beside them."""

import re
from collections.abc import Iterator

from trimtab.guard._digits import near

GAP = r"(?:[ -]{0,3}|\s{1,2}|\.)"
LAID = re.compile(
    rf"[0-9](?<![0-9].)(?=([0-9]{{3}}(?:{GAP}[0-9]{{4}}){{3}}|[0-9]{{3}}{GAP}[0-9]{{6}}{GAP}[0-9]{{4,5}}|[0-9]{{12,18}})"
    r"(?![0-9]))"
)
"""Laid out as on the card or without gaps, whatever stands beside it: each group of digits may be the first."""
STUCK_BEFORE, STUCK_AFTER = re.compile(r"(?:[A-Za-z]|[0-9]\.)\Z"), re.compile(r"[A-Za-z]")
"""What makes bare digits a part of a word or a fraction."""
LOOSE = re.compile(r"[0-9](?<![\w.-].)(?:[ -]?[0-9]){11,18}(?![\w-]|\.[0-9])", re.ASCII)
"""In any groups, where nothing but a space or a comma stands beside it."""
SMALL = re.compile(r"[0-9]{1,2} (?=[0-9]{3})")
TRIES = 3
"""Groups that may follow such a number and be no part of it."""
ISSUER = re.compile(
    r"4|5[1-5]|2[2-7]|3[47]|6011|6[45]|3[5689]|30[0-5]|1800|2131|50|5[6-9]|6[0-9]"
)  # Visa, Mastercard, American Express, Discover, JCB, Diners Club, Maestro, UnionPay: ISO/IEC 7812 ranges
WORDS = ("card", "visa", "master", "amex", "maestro", "credit", "debit", "diners", "jcb", "discover", "pay", "cc")
SINGLE = re.compile(r"(?<![0-9])[0-9](?![0-9])")
NAMES = ("card number", "card no", "credit card", "debit card", "visa", "mastercard", "amex", "american express")
FORM = re.compile(r"[0-9]{4}([ -]?)[0-9]{4}\1[0-9]{4}\1[0-9]{4}|[0-9]{4}([ -]?)[0-9]{6}\2[0-9]{5}")
DIGIT = re.compile(r"[0-9]")
DOUBLED = str.maketrans("0123456789", "0246813579")


CODES = re.compile(
    r"(?<![^\W_])(?:cv[vc]2?|csc|(?:card )?(?:security|verification) (?:code|number|value)"
    r"|(?:karten)?prüf(?:nummer|ziffer)|sicherheitscode|code de sécurité|cryptogramme|código de seguridad"
    r"|codice di sicurezza)[\"']?\s?(?:(?:is|code|number|no\.?|ist|est|es|[:=#(-])[\s\"']{0,2}){0,3}"
    r"(?P<code>[0-9]{3,4})(?![0-9]|[.,-][0-9])",
    re.IGNORECASE,
)
"""The three or four figures that stand on a card beside its number, after their name."""


def codes(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the cards' security codes in a text."""
    return (match.span("code") for match in CODES.finditer(text))


def cards(text: str, low: str) -> list[tuple[int, int]]:
    """(start, end) of the card numbers in `text`; `low` is the text in lower case.

    Where several that share digits could each be one, all of their digits are one find: no part of a number is left.
    """
    found: list[tuple[int, int]] = []
    for start, end in _laid(text, low):
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], end
        else:
            found.append((start, end))
    loose = (one for one in _loose(text, low) if not any(one[0] < end and start < one[1] for start, end in found))
    return [*found, *loose]


def _laid(text: str, low: str) -> Iterator[tuple[int, int]]:
    for match in LAID.finditer(text):
        start, end = match.start(), match.end(1)
        close = STUCK_BEFORE.search(text, max(0, start - 2), start) or STUCK_AFTER.match(text, end)
        stuck = close and match[1].isdigit()
        if _is_card(text[start:end], low, start, end) and not (stuck and not near(low, start, end, WORDS)):
            yield start, end


def _loose(text: str, low: str) -> Iterator[tuple[int, int]]:
    at = 0
    while match := LOOSE.search(text, at):
        start, at = match.span()
        if end := next((end for end in _ends(text, *match.span()) if _is_card(text[start:end], low, start, end)), 0):
            at = end
            yield start, end
        elif small := SMALL.match(match[0]):
            at = start + small.end()


def _ends(text: str, start: int, end: int) -> Iterator[int]:
    """The end, and the ends before the last groups."""
    yield end
    for _ in range(TRIES):
        if (end := text.rfind(" ", start, end)) < 0:
            return
        yield end


def _is_card(number: str, low: str, start: int, end: int) -> bool:
    digits = "".join(DIGIT.findall(number))
    if len(digits) < 12 or not ISSUER.match(digits) or SINGLE.search(number):
        return False
    sure = len(digits) >= 14 or near(low, start, end, WORDS)
    return sure and (_luhn(digits) or _mistyped(number, low, start, end))


def _mistyped(number: str, low: str, start: int, end: int) -> bool:
    """Whether it is called a card's number and written like one: a wrong digit in it makes it no less personal."""
    return near(low, start, end, NAMES) and FORM.fullmatch(number) is not None and len(set(number)) > 2


def _luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B: every second digit from the right doubled, its digits added."""
    total = sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2].translate(DOUBLED)))
    return total % 10 == 0 and len(set(digits)) > 1
