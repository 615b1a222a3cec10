"""Calendar questions in the Gregorian calendar: spans, weekdays, days before and after, leap years, business days.

A date is read only where day, month and year cannot be confused: `03/04/2026` is left alone, `25/12/2026` is not.
Years before 1753 are left alone too, because countries changed calendars at different times.
"""

import re
from calendar import isleap, monthrange
from collections.abc import Callable
from datetime import date, timedelta

from trimtab.answer._reading import Reading, Unclear, number, whole

FIRST_YEAR = 1753
MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
          "december")  # fmt: skip
_NAMES = {name: i for i, name in enumerate(MONTHS, 1)} | {name[:3]: i for i, name in enumerate(MONTHS, 1)} | {"sept": 9}
_MONTH = r"([a-z]{3,9})\.?"
_DAY = r"([0-9]{1,2})(st|nd|rd|th)?"
_YEAR = r"([0-9]{4})"
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_DAY_FIRST = re.compile(rf"(?:the )?{_DAY}(?: of)? {_MONTH},? {_YEAR}")
_MONTH_FIRST = re.compile(rf"{_MONTH} (?:the )?{_DAY},? {_YEAR}")
_NUMERIC = re.compile(r"([0-9]{1,2})([/.])([0-9]{1,2})\2([0-9]{4})")
_WEEKDAY = re.compile(r"(?:mon|tues|wednes|thurs|fri|satur|sun)day,? (.+)")
_ORDINALS = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
_N = r"([0-9][0-9,]*|an?|[a-z]+(?:-[a-z]+)?)"
_UNIT = r"(day|week|month|year|business day|working day|weekday)s?"
_IS = r"(?: is| was| will)?"
_MOST = 4_000_000

Clock = Callable[[], tuple[date, str]]
"""Today's date and the name of the zone it holds in; raises `Unclear` where none is configured."""


def read(text: str, today: Clock) -> Reading:
    """The answer to a lowercase calendar question without courtesies. Raises `Unclear`.

    Where it rests on today's date the parse begins with `clock:`: such an answer must not be kept for another day.
    """
    looked: list[date] = []

    def watched() -> tuple[date, str]:
        now, zone = today()
        looked.append(now)
        return now, zone

    for pattern, make in _QUESTIONS:
        if match := pattern.fullmatch(text):
            reading = make(watched, *match.groups())
            return reading._replace(parse=f"clock: {reading.parse}") if looked else reading
    raise Unclear


def parse(text: str) -> date:
    """One unambiguous date with its year. Raises `Unclear`."""
    if match := _WEEKDAY.fullmatch(text):
        found = parse(match[1])
        if not text.startswith(f"{found:%A}".lower()):
            raise Unclear
        return found
    year, month, day = _fields(text)
    if year < FIRST_YEAR:
        raise Unclear
    try:
        return date(year, month, day)
    except ValueError as error:
        raise Unclear from error


def _fields(text: str) -> tuple[int, int, int]:
    if match := _ISO.fullmatch(text):
        return int(match[1]), int(match[2]), int(match[3])
    if match := _DAY_FIRST.fullmatch(text):
        return int(match[4]), _month(match[3]), _ordinal(match[1], match[2])
    if match := _MONTH_FIRST.fullmatch(text):
        return int(match[4]), _month(match[1]), _ordinal(match[2], match[3])
    if match := _NUMERIC.fullmatch(text):
        one, other, year = int(match[1]), int(match[3]), int(match[4])
        if one > 12 >= other:
            return year, other, one
        if (other > 12 >= one and match[2] == "/") or one == other:
            return year, one, other
    raise Unclear


def _month(name: str) -> int:
    if name not in _NAMES:
        raise Unclear
    return _NAMES[name]


def _ordinal(day: str, suffix: str | None) -> int:
    if suffix and suffix != _ORDINALS.get(int(day), "th"):
        raise Unclear
    return int(day)


def show(day: date) -> str:
    """`Friday, 1 January 2027`: no reader can take the day for the month."""
    return f"{day:%A}, {day.day} {day:%B} {day.year}"


class _Days:
    """A date as asked: fixed, or relative to today, which the answer then states."""

    def __init__(self, text: str, today: Clock) -> None:
        self.stated = ""
        shift = {"today": 0, "now": 0, "tomorrow": 1, "yesterday": -1}.get(text)
        if shift is None:
            self.day = parse(text)
            return
        now, zone = today()
        self.day = now + timedelta(days=shift)
        self.stated = f" (today is {show(now)}, {zone})"


def _count(text: str) -> int:
    n = 1 if text in ("a", "an") else whole(number(text))
    if n > _MOST:
        raise Unclear
    return n


def _between(today: Clock, unit: str, first: str, last: str, inclusive: str | None = None) -> Reading:
    a, b = _Days(first, today), _Days(last, today)
    start, end = sorted((a.day, b.day))
    label = f"{start} to {end}{', both counted' if inclusive else ''}"
    if unit in ("business day", "working day", "weekday"):
        if not inclusive:
            raise Unclear
        count = sum((start + timedelta(days=i)).weekday() < 5 for i in range(_short_span(start, end) + 1))
        text = f"{_plural(count, unit)} (Monday to Friday, public holidays not considered)"
        return Reading(text, f"business days: {label}")
    text = _plural((end - start).days + 1, "day") if inclusive else _length(unit, start, end)
    if inclusive and unit != "day":
        raise Unclear
    return Reading(text + (a.stated or b.stated), f"days: {label}")


def _short_span(start: date, end: date) -> int:
    days = (end - start).days
    if days > 4_000:
        raise Unclear
    return days


def _length(unit: str, start: date, end: date) -> str:
    days = (end - start).days
    if unit == "day":
        return _plural(days, "day")
    if unit == "week":
        weeks, rest = divmod(days, 7)
        return _plural(weeks, "week") + (f" and {_plural(rest, 'day')}" if rest else "")
    months = (end.year - start.year) * 12 + end.month - start.month
    if start.day != end.day:
        raise Unclear
    if unit == "month":
        return _plural(months, "month")
    if months % 12:
        raise Unclear
    return _plural(months // 12, "year")


def _plural(n: int, unit: str) -> str:
    return f"{n} {unit}{'' if n == 1 else 's'}"


def _from_to(today: Clock, unit: str, first: str, last: str) -> Reading:
    """From names an order: a span that runs backwards is not read."""
    if _Days(first, today).day > _Days(last, today).day:
        raise Unclear
    return _between(today, unit, first, last)


def _until(today: Clock, unit: str, last: str) -> Reading:
    return _from_to(today, unit, "today", last)


def _since(today: Clock, unit: str, first: str) -> Reading:
    return _from_to(today, unit, first, "today")


def _shifted(today: Clock, n: str, unit: str, way: str, start: str) -> Reading:
    """Before and after a date; from is after."""
    asked, count = _Days(start, today), _count(n)
    back = way == "before"
    day = _step(asked.day, -count if back else count, unit)
    note = " (counting Monday to Friday, public holidays not considered)" if unit in _BUSINESS else ""
    return Reading(show(day) + note + asked.stated, f"date: {asked.day} {'-' if back else '+'} {count} {unit}s")


_BUSINESS = ("business day", "working day", "weekday")


def _step(day: date, count: int, unit: str) -> date:
    try:
        if unit in ("day", "week"):
            return day + timedelta(days=count * (7 if unit == "week" else 1))
        if unit in _BUSINESS:
            return _business(day, count)
        month = day.year * 12 + day.month - 1 + count * (12 if unit == "year" else 1)
        return date(month // 12, month % 12 + 1, day.day)
    except (OverflowError, ValueError) as error:
        raise Unclear from error


def _business(day: date, count: int) -> date:
    if not 1 <= abs(count) <= 5000:
        raise Unclear
    left, one = abs(count), timedelta(days=1 if count > 0 else -1)
    while left:
        day += one
        left -= day.weekday() < 5
    return day


def _ahead(today: Clock, n: str, unit: str) -> Reading:
    return _shifted(today, n, unit, "after", "today")


def _ago(today: Clock, n: str, unit: str) -> Reading:
    return _shifted(today, n, unit, "before", "today")


def _weekday(today: Clock, text: str) -> Reading:
    asked = _Days(text, today)
    return Reading(f"{asked.day:%A}{asked.stated}", f"weekday: {asked.day}")


def _today(today: Clock) -> Reading:
    now, zone = today()
    return Reading(f"{show(now)} ({zone})", f"today: {now} {zone}")


def _year(text: str) -> int:
    if int(text) < FIRST_YEAR:
        raise Unclear
    return int(text)


def _leap(_: Clock, text: str) -> Reading:
    return Reading("Yes" if isleap(_year(text)) else "No", f"leap year: {text}")


def _in_month(_: Clock, name: str, text: str) -> Reading:
    month = _month(name)
    return Reading(_plural(monthrange(_year(text), month)[1], "day"), f"days of: {text}-{month:02d}")


def _in_year(_: Clock, text: str) -> Reading:
    return Reading("366 days" if isleap(_year(text)) else "365 days", f"days of: {text}")


def _iso_week(today: Clock, text: str) -> Reading:
    asked = _Days(text, today)
    year, week, _ = asked.day.isocalendar()
    return Reading(f"Week {week} of {year} (ISO 8601){asked.stated}", f"ISO week: {asked.day}")


_DATE = r"([a-z0-9][a-z0-9 ,./-]{0,40}?)"
_FORMS: tuple[tuple[str, Callable[..., Reading]], ...] = (
    (rf"(?:how many|number of) {_UNIT}(?: are| is)?(?: there)? between {_DATE} and {_DATE}(,? inclusive)?", _between),
    (rf"(?:how many|number of) {_UNIT}(?: are| is)?(?: there| it)? from {_DATE} (?:to|until) {_DATE}", _from_to),
    (rf"(?:how many|number of) {_UNIT}(?: are| is)?(?: there| it| left)? (?:until|till|to) {_DATE}", _until),
    (rf"(?:how many|number of) {_UNIT}(?: have passed| has it been| is it)? since {_DATE}", _since),
    (rf"(?:what|which) (?:date|day){_IS}(?: be)? {_N} {_UNIT} (before|after|from) {_DATE}(?: be)?", _shifted),
    (rf"(?:what (?:is|was) )?(?:the )?date {_N} {_UNIT} (before|after|from) {_DATE}", _shifted),
    (rf"(?:what is )?{_N} {_UNIT} (before|after|from) {_DATE}", _shifted),
    (rf"(?:what|which|what is the) (?:date|day){_IS}(?: it)?(?: be)? in {_N} {_UNIT}(?: from (?:now|today))?", _ahead),
    (rf"(?:what|which|what was the) (?:date|day){_IS}(?: it)? {_N} {_UNIT} ago", _ago),
    (rf"(?:what|which) (?:weekday|day(?: of the week)?){_IS}(?: it)? (?:on )?{_DATE}(?: be| on)?", _weekday),
    (rf"(?:what|which) (?:weekday|day(?: of the week)?) (?:does|did) {_DATE} fall on", _weekday),
    (rf"(?:the )?(?:day of the week|weekday) (?:on|of|for) {_DATE}", _weekday),
    (rf"what is the (?:day of the week|weekday) (?:on|of|for) {_DATE}", _weekday),
    (r"what (?:is )?(?:the )?(?:current date|today's date|date today|date is it(?: today)?|date is today)", _today),
    (r"what is the date|what day is it(?: today)?|what day is today|what is today's date", _today),
    (r"(?:is|was|will) (?:the year )?([0-9]{4})(?: be)? a leap year", _leap),
    (r"how many days(?: are| were| will be)?(?: there)? (?:in|does|did) ([a-z]{3,9}) ([0-9]{4})(?: have)?", _in_month),
    (r"how many days(?: are| were| will be)?(?: there)? (?:in|does|did) (?:the year )?([0-9]{4})(?: have)?", _in_year),
    (rf"what (?:is the )?iso week(?: number)?(?: is| of| was| for)? {_DATE}", _iso_week),
)  # fmt: skip
_QUESTIONS = tuple((re.compile(pattern), make) for pattern, make in _FORMS)
