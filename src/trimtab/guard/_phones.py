"""Telephone numbers: cheap candidates first, then how they are written, what stands beside them, and the plans.

Three things speak for a run of digits: a form in which nothing else is written, a word nearby, a numbering plan
(phonenumbers, loaded on first use). Against it speak a word of another sort nearer by, and the look of a range.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

SHAPE = re.compile(
    r"[+(0-9](?!(?<=\()[ .\-()/])[0-9]?(?:(?:[.\-()/][ .\-()/]?| (?:/ |[ .\-()/])?)?[0-9]){6,14}"
    r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
)
JOINED = re.compile(r"[ .\-()/]{0,2}| / ")
SMALL = re.compile(r"[0-9]{1,3}[.)] +|[0-9]{1,2} {1,2}(?=[+(]|[0-9]{3}|0[1-9] [0-9]{2} )")
"""A count, or the number of an item: no part of the number behind it."""
FREE, BESIDE, STUCK = range(3)
"""Whether a number stands alone, or with other digits or a sign beside it, or right in a word or an amount."""
MONEY = frozenset("$€£@")
CLOSE, PARTED = frozenset("_,.#/-"), ("", " ", "\n")
CLOSE_AFTER, STUCK_AFTER = re.compile(r"[_@]|,[0-9]"), re.compile(r"[A-Za-z0-9%€]|\.[0-9]")
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

BRACKETED = re.compile(
    r"[(1](?<![0-9].)(?:(?<=1)[-. ]?\(|(?<=\())[2-9][0-9]{2}\)[-.\s]{0,3}[2-9][0-9]{2}([-.\s])\n?[0-9]{4}(?![0-9])"
)
DASHED = re.compile(
    r"[1-9](?<![0-9].)(?:(?<=1)[-. ][2-9]|(?<=[2-9]))[0-9]{2}([-.])\n?[2-9][0-9]{2}\1\n?[0-9]{4}(?![0-9])"
)
"""North America's two ways: whatever stands beside it, it is one unless a word says what else it is."""
PLUS_ONE = re.compile(r"\+1([ .-]?)\(?[2-9][0-9]{2}\)?[ .-]?[2-9][0-9]{2}[ .-]?[0-9]{4}(?![0-9])")
EXTENSION = r"(?: ?(?:x|ext\.?) ?[0-9]{1,5})?"
EXTENDED = re.compile(r",? ?(?i:x|ext(?:ension|n)?\.?|durchwahl) ?[0-9]{1,5}(?![0-9])")
GROUPED = re.compile(r"[2-9][0-9]{2} [2-9][0-9]{2} [0-9]{4}(?![0-9])")
INSIDE = re.compile(r"[02-9](?<![0-9].)(?:(?<=0)[0-9]|[0-9]{2} [2-9][0-9]{2} [0-9]{4})")
ZERO = re.compile(r"0[0-9]+(?:(?:[ /-]| / )[0-9]+)*")
"""What may be one by its plan where something stands close to it."""
FRENCH = re.compile(r"0[1-9](?: [0-9]{2}){4}")
COUNTED = re.compile(r"(?<![0-9:.,])[0-9]{2} {1,2}\Z")
"""Before groups of two digits: one more of them."""
FORM = re.compile(
    r"(?:1[-. ])?(?:\([0-9]{3}\)[-. ]{0,2}[0-9]{3}[-. ]|[0-9]{3}([-.])[0-9]{3}\1)[0-9]{4}" + EXTENSION +
    r"|\(0?[0-9]{1,5}\)(?:[-/ ]{1,2}[0-9]{2,8}){1,4}"
    r"|0[1-9](?: [0-9]{2}){4}"
    r"|0[1-9][0-9]{0,3}(?:[-/ ]| / )(?=(?:[-/ ]?[0-9]){6,9}\Z)[0-9]{2,8}(?:[-/ ][0-9]{2,4}){0,4}"
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
TITLE = re.compile(rf"(?<![^\W_])(?:{'|'.join(WORDS)})\Z")
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
LAST_DIGIT = re.compile(r"[0-9](?=[^0-9]*\Z)")
SINGLE = frozenset("02345679")
SIGNS = str.maketrans("", "", " .-()/+")
LOOKUPS = 500
"""How many different numbers of one text are looked up in the plans (some 50 us each)."""


def plain(text: str, low: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the numbers in `text` that are written in North America's ways; `low` is it in lower case."""
    for shape in (BRACKETED, DASHED, PLUS_ONE):
        for match in shape.finditer(text):
            start, end = match.span()
            sure = shape is PLUS_ONE or (shape is BRACKETED and match[1] in "-.")
            if sure or _meant(low, start, end) is not False:
                yield start, _extended(text, end)


def phones(text: str, low: str, regions: Sequence[str], plans: "Plans") -> Iterator[tuple[int, int]]:
    """(start, end) of the other telephone numbers: international, of `regions`, of a plain form, or with a word.

    Every group of digits may be the first or the last of a number, whatever stands beside it. The closer that is, the
    less a number may look like anything else. `low` is the text in lower case.
    """
    numbers = Numbers(text, low, regions, plans)
    at, group = 0, -1  # where to go on; where a group of digits ends that the next may belong to
    while shape := SHAPE.search(text, at):
        start = shape.start()
        if end := numbers.end(start, numbers.closeness(start, group)):
            end = _extended(text, end)
            yield start + (text[start] == "(" and ")" not in text[start:end]), end
            at, group = end, -1
        elif text[start] == "(":
            at = start + 1
        elif over := DATE.match(text, start) or (None if group >= 0 else SMALL.match(text, start)):
            at, group = over.end(), -1
        else:
            at = group = _group_end(text, start)


class Numbers(NamedTuple):
    """Telephone numbers at places of a text."""

    text: str
    low: str
    regions: Sequence[str]
    plans: "Plans"

    def closeness(self, start: int, group: int) -> int:
        """How close to a number at `start` its neighbour before it is; a word for telephones is none.

        `group` is where a group of digits ends that it may belong to, -1 where there is none.
        """
        before = self.low[max(0, start - 2) : start]
        sign = before[-1:]
        if group >= 0 and self.text[start] != "+" and JOINED.fullmatch(self.text, group, start):
            return STUCK if sign == "." else BESIDE
        if sign.isascii() and sign.isalnum():
            return (
                BESIDE if sign.isdigit() else FREE if TITLE.search(self.low, max(0, start - BEFORE), start) else STUCK
            )
        if self.text[start] == "+":
            return BESIDE if sign == ")" else FREE
        if sign in MONEY or before == "&#":
            return STUCK
        if sign not in CLOSE or (sign != "_" and self._called(start)):
            return FREE
        if before[0].isdigit():
            return STUCK if sign == "." else BESIDE
        return FREE if sign == "," else BESIDE

    def end(self, start: int, how: int) -> int:
        """Where the telephone number that begins at `start` ends; 0 where none does.

        Where one that begins inside of it goes on behind it, its digits are taken too: no part of a number is left.
        """
        at, end = start + 1, self._first(start, how)
        while at < end and (inside := INSIDE.search(self.text, at, end + 12)) and inside.start() < end:
            at = inside.start() + 1
            end = max(end, self._first(inside.start(), BESIDE))
        return end

    def _first(self, start: int, how: int) -> int:
        return next((end for end in self._ends(start, how) if self._is_one(start, end, how)), 0)

    def _ends(self, start: int, how: int) -> Iterator[int]:
        """The ends of the groups of digits that a number at `start` may have, the last one first."""
        text = self.text
        if how != FREE and text[start] not in "+0":
            if how == BESIDE and (grouped := GROUPED.match(text, start)):
                yield grouped.end()
        elif shape := SHAPE.match(text, start):
            ends = [group.end() for group in GROUP.finditer(text, start, shape.end())]
            yield from reversed(ends[:-1] if GROUP.match(text, shape.end()) else ends)

    def _is_one(self, start: int, end: int, how: int) -> bool:
        number = self.text[start:end]
        if _digits(number) < FEWEST or DATE.match(number):
            return False
        close = FREE
        if self.text[end : end + 1] not in PARTED:
            close = (
                STUCK if STUCK_AFTER.match(self.text, end) else BESIDE if CLOSE_AFTER.match(self.text, end) else FREE
            )
        if "." in number and _is_decimal(number):
            return False
        if how == close == FREE:
            return self._is_alone(number, start, end)
        if _is_abroad(number) and (number[0] == "+" or how != STUCK):
            return self.plans.possible(number) if how == FREE else self.plans.valid(number, None)
        if how == STUCK or (close == STUCK and number.isdigit()) or _meant(self.low, start, start) is False:
            return False
        if FRENCH.fullmatch(number) and not COUNTED.search(self.low, max(0, start - 8), start):
            return True
        return bool(GROUPED.fullmatch(number) or ZERO.fullmatch(number)) and self._is_planned(number)

    def _is_alone(self, number: str, start: int, end: int) -> bool:
        """Whether it is one where nothing stands close to it."""
        if _is_abroad(number) and self.plans.possible(number):
            return True
        meant = _meant(self.low, start, end)
        if meant is not None:
            return meant and _written_like_one(number)
        if FORM.fullmatch(number) and not RANGE.match(number):
            return True
        beside = f"{self.low[max(0, start - 3) : start]}#{self.low[end : end + 3]}"
        if RANGE.match(number) or number.count("(") > 1 or RECKONED.search(beside):
            return False
        return _may_stand_alone(number) and (_set_apart(number, self.low, start, end) or self._is_planned(number))

    def _is_planned(self, number: str) -> bool:
        return any(self.plans.valid(number, region) for region in self.regions)

    def _called(self, start: int) -> bool:
        return _said(self.low[max(0, start - BEFORE) : start]) is True


def _extended(text: str, end: int) -> int:
    """Where a number that ends at `end` ends with its extension, if it has one."""
    extension = EXTENDED.match(text, end)
    return extension.end() if extension else end


def _group_end(text: str, start: int) -> int:
    group = GROUP.search(text, start)
    return group.end() if group else len(text)


class Plans:
    """The numbering plans, asked once for each number of a text, and for no more than `LOOKUPS` of them.

    What comes after those passes for a telephone number: a text of so many that look like one is a list of them.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Any, str, str | None], bool] = {}

    def possible(self, number: str) -> bool:
        return self._asked(_possible, number, None)

    def valid(self, number: str, region: str | None) -> bool:
        return self._asked(_valid, number, region)

    def _asked(self, ask: Callable[[str, Any], bool], number: str, region: str | None) -> bool:
        key = (ask, number if number[0] == "+" else number.translate(SIGNS), region)
        if (known := self._known.get(key)) is None:
            known = ask(number, region) if len(self._known) < LOOKUPS else _written_like_one(number)
            if len(self._known) < LOOKUPS:
                self._known[key] = known
        return known


def _meant(low: str, start: int, end: int) -> bool | None:
    """What the nearest word says of the number: that it is for a telephone, or something else, or nothing."""
    before = _said(low[max(0, start - BEFORE) : start])
    return before if before is not None else _said_after(low[end : end + AFTER])


@lru_cache(maxsize=64)
def _said(before: str) -> bool | None:
    """The same of what stands before it; a number is asked about several times, with more or less of its end."""
    word = max((match.end() for match in MEANT.finditer(before)), default=-1)
    other = max((match.end() for match in NOT.finditer(before, _from(before))), default=-1)
    return None if word < 0 and other < 0 else word >= other


def _from(before: str) -> int:
    """Where to look for what else the number may be: behind the last digit, for a word speaks of the first number."""
    digit = LAST_DIGIT.search(before)
    return max(0, len(before) - NOT_BEFORE, digit.end() if digit else 0)


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


def _is_abroad(number: str) -> bool:
    return number.startswith(("+", "00")) and number[1:2] != " "


def _parsed(number: str, region: str | None) -> Any:
    """As phonenumbers has it; None where it cannot be one."""
    import phonenumbers

    try:
        return phonenumbers.parse(f"+{number[2:]}" if region is None and number[0] == "0" else number, region)
    except phonenumbers.NumberParseException:
        return None


def _possible(number: str, _: None) -> bool:
    import phonenumbers

    return (parsed := _parsed(number, None)) is not None and phonenumbers.is_possible_number(parsed)


def _valid(number: str, region: str | None) -> bool:
    """Whether it is one of `region`, with the 0 before it where people there write one; where that is None, of any."""
    import phonenumbers

    plan = phonenumbers.PhoneMetadata.metadata_for_region(region) if region else None
    if plan and plan.national_prefix == "0" and GROUP.findall(number)[0][0] != "0":
        return False
    if (parsed := _parsed(number, region)) is None:
        return False
    if region is None:
        return phonenumbers.is_valid_number(parsed)
    return phonenumbers.is_valid_number_for_region(parsed, region)
