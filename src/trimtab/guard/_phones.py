"""Telephone numbers: cheap candidates first, then what the numbering plans say (phonenumbers, loaded on first use)."""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from trimtab.guard._digits import near

SHAPE = re.compile(
    r"[+(0-9](?<![\w.,@#$€£/-].)[0-9]?(?:[ .\-()/]{0,2}[0-9]){6,14}"
    r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
    r"(?![\w@%€]|[.,][0-9])"
)
DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}([-/.])(?:0?[1-9]|1[0-2])\1[0-3]?[0-9]|[0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)?[0-9]{2})(?![-/.]?[0-9])"
)
WORDS = (
    "phone", "tel", "mobile", "cell", "fax", "call", "dial", "ring", "text me", "texts", "sms", "whatsapp", "contact",
    "reach", "answering at", "messages to", "hotline", "télé", "handy", "móvil", "teléfono", "โทร", "điện thoại",
)  # fmt: skip
SIGNS = str.maketrans("", "", " .-()/")
NOT = ("order", "invoice", "ticket", "account", "reference", "tracking", "serial", "case", "isbn", "booking", "parcel",
       "policy", "licen", "routing", "sort code", "imei", "zip")  # fmt: skip
"""A number right after one of these is what the word says, whatever plan it fits."""


LOOKUPS = 500
"""How many different numbers of one text are looked up in the plans (some 50 us each)."""


def phones(text: str, low: str, regions: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(start, end) of telephone numbers: international ones, ones of `regions`, and others with a word nearby."""
    plans = Plans()
    for match in SHAPE.finditer(text):
        if not DATE.match(match[0]) and _is_phone(match[0], low, match.start(), match.end(), regions, plans):
            start, end = match.span()
            yield start + (match[0][0] == "(" and ")" not in match[0]), end


class Plans:
    """The numbering plans, asked once for each number of a text, and for no more than `LOOKUPS` of them.

    What comes after those passes for a telephone number: a text of so many that look like one is a list of them.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], bool] = {}

    def possible(self, number: str, region: str | None) -> bool:
        return self._asked(_possible, number, region)

    def valid(self, number: str, region: str) -> bool:
        return self._asked(_valid, number, region)

    def _asked(self, ask: Callable[[str, Any], bool], number: str, region: str | None) -> bool:
        key = (number.translate(SIGNS), region)
        if (known := self._known.get(key)) is None:
            known = ask(number, region) if len(self._known) < LOOKUPS else _written_like_one(number)
            if len(self._known) < LOOKUPS:
                self._known[key] = known
        return known


def _is_phone(number: str, low: str, start: int, end: int, regions: Sequence[str], plans: Plans) -> bool:
    if number.startswith(("+", "00")):
        return plans.possible(number, None if number[0] == "+" else "ZZ")
    if near(low, start, end, NOT, before=24, after=0) and not near(low, start, end, WORDS, before=24):
        return False
    if near(low, start, end, WORDS):
        return any(plans.possible(number, region) for region in regions) or _written_like_one(number)
    return _grouped(number) and any(plans.valid(number, region) for region in regions)


def _grouped(number: str) -> bool:
    """Whether signs part it: a bare run of digits without a word nearby may be anything."""
    return not number.isdigit()


def _written_like_one(number: str) -> bool:
    return 7 <= sum(char.isdigit() for char in number) <= 15


def _possible(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number if region != "ZZ" else "+" + number[2:], region if region != "ZZ" else None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(parsed)


def _valid(number: str, region: str) -> bool:
    import phonenumbers

    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(number, region), region)
    except phonenumbers.NumberParseException:
        return False
