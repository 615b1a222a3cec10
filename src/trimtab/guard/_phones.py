"""Telephone numbers: cheap candidates first, then how they are written, what stands beside them, and the plans.

Three things speak for a run of digits: a form in which nothing else is written, a word nearby, a numbering plan
(phonenumbers, loaded on first use). Against it speak a word of another sort nearer by, and the look of a range.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from trimtab.guard._digits import runs

SHAPE = re.compile(
    r"[+(0-9](?<![\w.,@#$€£/-].)(?!(?<=\()[ .\-()/])[0-9]?(?:(?:[.\-()/][ .\-()/]?| [.\-()/]?)?[0-9]){6,14}"
    r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
    r"(?![\w@%€]|[.,][0-9])"
)
DATE = re.compile(
    r"(?:(?:19|20)[0-9]{2}([-/.])(?:0?[1-9]|1[0-2])\1[0-3]?[0-9]|[0-3]?[0-9]([-/.])[0-3]?[0-9]\2(?:19|20)?[0-9]{2})(?![-/.]?[0-9])"
)
YEAR = r"(?:1[0-9]|20)[0-9]{2}"
YEARS = re.compile(rf"\(?{YEAR} ?- ?{YEAR}\)?")
DOTTED = re.compile(r"[+(]{0,2}[0-9]{1,4}(?:\)?[.-]{1,2}\(?[0-9]{2,8}\)?){2,6}(?:x[0-9]{1,5})?|[^.]*\.|ext\.?[0-9]*")
"""A part with dots in it that is none the less a telephone number's."""
RANGE = re.compile(
    rf"\(?(?:[0-9]{{3,}}/[0-9]{{3,}}|{YEAR} ?- ?(?:[0-9]{{2}}|{YEAR}|2100)|[1-9][0-9]{{3,}} ?- ?[0-9]{{4,}})\)?"
)
"""Two years, two numbers of one sort, a fraction."""
RECKONED = re.compile(r"[=*^{×÷] ?#|# ?[=*^}×÷]|[)\]][(#]")
"""What stands beside a number (#) of a formula."""

EXTENSION = r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
SURE = re.compile(r"(?:1[-. ])?\([2-9][0-9]{2}\) ?[2-9][0-9]{2}[-.][0-9]{4}" + EXTENSION)
"""Written like this a number is nothing else, whatever word stands before it."""
FORM = re.compile(
    r"(?:1[-. ])?(?:\([0-9]{3}\)[-. ]{0,2}[0-9]{3}[-. ]|[0-9]{3}([-.])[0-9]{3}\1)[0-9]{4}" + EXTENSION +
    r"|\(0?[0-9]{1,5}\)(?:[-/ ]{1,2}[0-9]{2,8}){1,4}"
    r"|0[1-9](?: [0-9]{2}){4}"
    r"|0[1-9][0-9]{0,3}[-/ ](?=(?:[-/ ]?[0-9]){6,9}\Z)[0-9]{2,8}(?:[-/ ][0-9]{2,4}){0,4}"
    r"|0-[0-9]{4}-[0-9]{4}"
)  # fmt: skip
"""Forms of numbers in the country's own style: North America's, an area in brackets, a 0 before groups."""
WORDS = (
    r"(?:tele|smart|i)?(?:phone|fone|foon|fono)s?|t[ée]l[ée]f(?:on\w{0,3}|ono|one)?|t[ée]l\w?\.?|tel|mob|mobil[ei]?\w{0,2}",
    r"cell(?:ulare?|phone)?|celular|m[óo]vil|fax|landline|hotline|voicemail|ph|gsm|portable",
    r"call(?:s|ed|ing|er|back)?|dial(?:l?ed|l?ing)?|ring (?:me|us|him|her|them)|text(?:ed|ing)|answering at",
    r"texts?(?= (?:me|us|him|her|them|at|to|or|the)(?![^\W_])|:)|messages? (?:to|on|at|from)",
    r"sms|otp|whats ?app|signal|viber|telegram|contact(?:o|er|s|ez)?|kontakt|reach(?:able)? (?:\w{2,4}|at|on)",
    r"(?:get |call )?back to (?:me|us|him|her|them)",
    r"(?:office|home|work|desk|direct|switchboard|toll[- ]free)(?= ?[:=|(]? ?\Z)",
    r"(?:my|his|her|their|our|your|new|old|home|work|office|registered|emergency|'s) (?:\w{3,9} )?(?:number|line|no)",
    r"registered (?:number|with|on|under)|my registered",
    r"(?:mon|ton|son|notre|votre|nouveau|le) num[ée]ro|appelez|joignable",
    r"(?:mi|tu|su|nuestro|nuevo|il mio|il suo|nuovo|meu|seu|novo) n[úu]mero|ll[áa]m\w{1,5}",
    r"ligue|liga[rm]?|chiam\w{1,4}",
    r"(?:m[óo]j|nowy|jego|jej) numer|zadzwo\w{1,3}|telefonszám|puh(?:elin)?",
    r"handy(?:nummer)?|rufnummer|telefonnummer|bel(?=len| mij)",
    r"(?:mijn|meine?|neue|zijn|haar|ihre?|mitt|min|mit|nytt) (?:nieuwe |neue )?(?:nummer|numret)",
    r"gọi|số (?:của|mới|điện|máy|dt|đt)|điện thoại|sđt|đt",
    r"тел(?:ефон)?\w{0,2}|номер|звонит\w{0,2}|τηλ\w{0,8}",
)  # fmt: skip
SIGNS_OF_ONE = (
    r"(?:^|[\n|,;(/])[ \t]{0,3}(?:[tmfphcw]|s?dt)[:.][ \t]{0,3}\Z", "โทร", "เบอร์", "มือถือ", "电话", "電話", "手机",
    "手機", "携帯", "전화", "휴대", "फ़?ोन", "मोबाइल", "هاتف", "جوال", "תלפון", "טלפון", "📞", "☎", "📱",
)  # fmt: skip
MEANT = re.compile(rf"(?<![^\W_])(?:{'|'.join(WORDS)})(?![^\W_])|{'|'.join(SIGNS_OF_ONE)}")
OTHERS = (
    "order", "invoice", "ticket", "account", "reference", r"\bref\b", "tracking", "serial", r"\bcase\b", "isbn",
    "booking", "parcel", "policy", "licen[cs]e", "routing", "sort code", "imei", r"\bzip\b", "reservation",
    "confirmation", r"\bsku\b", r"\bitem\b", r"\bmodel\b", r"\bpart\b", "version", "patent", r"\bdoi\b", "issn",
    r"\bpmid\b", "passport", r"\biban\b", r"\bcard\b", "konto", "commande", "pedido", "bestell", "rechnung", "factura",
    r"\bserie\b", "lottery", "population", r"\bprice", r"\bsum\b", "total", r"\bpin\b", r"\bid\b",
)  # fmt: skip
NOT = re.compile("|".join(OTHERS))
"""A number right after one of these is what the word says, whatever form it has."""
BEFORE, AFTER, NOT_BEFORE = 48, 20, 26
"""Characters on each side in which a word counts."""
THOUSANDS = re.compile(r"\(?[1-9][0-9]{0,2}(?: [0-9]{3})+")
ALONE_BEFORE, ALONE_AFTER = re.compile(r"(?:\A|\n)[ \t]{0,2}\Z"), re.compile(r"[ \t]{0,2}(?:\n|\Z)")
FEWEST = 7
"""Digits of a telephone number."""
GROUP = re.compile(r"[0-9]+")
SINGLE = frozenset("02345679")
SIGNS = str.maketrans("", "", " .-()/+")
LOOKUPS = 500
"""How many different numbers of one text are looked up in the plans (some 50 us each)."""


def phones(text: str, low: str, regions: Sequence[str], plans: "Plans") -> Iterator[tuple[int, int]]:
    """(start, end) of telephone numbers: international ones, ones of `regions`, ones of a plain form or with a word.

    `low` is the text in lower case.
    """

    def is_phone(number: str, start: int, end: int) -> bool:
        return (
            _digits(number) >= FEWEST and not DATE.match(number) and _is_phone(number, low, start, end, regions, plans)
        )

    for start, end in runs(SHAPE, text, is_phone):
        yield start + (text[start] == "(" and ")" not in text[start:end]), end


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
        key = (number if number[0] == "+" else number.translate(SIGNS), region)
        if (known := self._known.get(key)) is None:
            known = ask(number, region) if len(self._known) < LOOKUPS else _written_like_one(number)
            if len(self._known) < LOOKUPS:
                self._known[key] = known
        return known


def _is_phone(number: str, low: str, start: int, end: int, regions: Sequence[str], plans: Plans) -> bool:
    if "." in number and _is_decimal(number):
        return False
    abroad = number.startswith(("+", "00")) and number[1:2] != " "
    if abroad and plans.possible(number, None if number[0] == "+" else "ZZ"):
        return True
    if SURE.fullmatch(number):
        return True
    meant = _meant(low, start, end)
    if meant is not None:
        return meant and _written_like_one(number)
    if FORM.fullmatch(number) and not RANGE.match(number):
        return True
    beside = f"{low[max(0, start - 3) : start]}#{low[end : end + 3]}"
    if RANGE.match(number) or number.count("(") > 1 or RECKONED.search(beside):
        return False
    alone = _may_stand_alone(number)
    return alone and (_set_apart(number, low, start, end) or any(plans.valid(number, region) for region in regions))


def _meant(low: str, start: int, end: int) -> bool | None:
    """What the nearest word says of the number: that it is for a telephone, or something else, or nothing."""
    before = _said(low[max(0, start - BEFORE) : start])
    return before if before is not None else _said_after(low[end : end + AFTER])


@lru_cache(maxsize=64)
def _said(before: str) -> bool | None:
    """The same of what stands before it; a number is asked about several times, with more or less of its end."""
    word = max((match.end() for match in MEANT.finditer(before)), default=-1)
    other = max((match.end() for match in NOT.finditer(before, max(0, len(before) - NOT_BEFORE))), default=-1)
    return None if word < 0 and other < 0 else word >= other


@lru_cache(maxsize=64)
def _said_after(after: str) -> bool | None:
    return True if MEANT.search(after) else None


def _may_stand_alone(number: str) -> bool:
    """Whether signs part it into groups, or a 0 leads it: any other bare run of digits may be anything."""
    if number.isdigit():
        return number[0] == "0" and len(number) in (10, 11)
    first, *others = GROUP.findall(number)
    return first not in SINGLE and all(len(group) > 1 for group in others)


def _set_apart(number: str, low: str, start: int, end: int) -> bool:
    """Whether it has a line of its own in a text of several, or brackets, and is no number in groups of thousands."""
    if number.isdigit() or THOUSANDS.fullmatch(number) or not 8 <= _digits(number) <= 14:
        return False
    before, after = low[max(0, start - 3) : start], low[end : end + 3]
    bracketed = number[0] == "(" and ")" not in number and after[:1] == ")"
    lines = ALONE_BEFORE.search(before) and ALONE_AFTER.match(after) and "\n" in before + after
    return bracketed or bool(lines)


def _digits(number: str) -> int:
    """How many there are, with the signs of an extension."""
    return len(number.translate(SIGNS))


def _written_like_one(number: str) -> bool:
    return FEWEST <= _digits(number) <= 20 and not YEARS.fullmatch(number)


def _is_decimal(number: str) -> bool:
    """Whether part of it is a decimal fraction or a version, not groups of digits with dots between."""
    return any("." in part and DOTTED.fullmatch(part) is None for part in number.split())


def _possible(number: str, region: str | None) -> bool:
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number if region != "ZZ" else "+" + number[2:], region if region != "ZZ" else None)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(parsed)


def _valid(number: str, region: str) -> bool:
    """Whether it is a number of `region`, with the 0 before it where people there write one."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan and plan.national_prefix == "0" and GROUP.findall(number)[0][0] != "0":
        return False
    try:
        return phonenumbers.is_valid_number_for_region(phonenumbers.parse(number, region), region)
    except phonenumbers.NumberParseException:
        return False
