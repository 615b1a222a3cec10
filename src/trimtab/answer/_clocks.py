"""Times of day across time zones: read only where zone, half of the day and daylight saving leave one answer."""

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from trimtab.answer._dates import parse, show
from trimtab.answer._reading import Reading, Unclear

ZONES = {
    "utc": "UTC", "gmt": "UTC", "london": "Europe/London", "berlin": "Europe/Berlin", "paris": "Europe/Paris",
    "madrid": "Europe/Madrid", "rome": "Europe/Rome", "vienna": "Europe/Vienna", "zurich": "Europe/Zurich",
    "amsterdam": "Europe/Amsterdam", "brussels": "Europe/Brussels", "stockholm": "Europe/Stockholm",
    "oslo": "Europe/Oslo", "helsinki": "Europe/Helsinki", "warsaw": "Europe/Warsaw", "prague": "Europe/Prague",
    "lisbon": "Europe/Lisbon", "dubai": "Asia/Dubai", "mumbai": "Asia/Kolkata", "new delhi": "Asia/Kolkata",
    "bangalore": "Asia/Kolkata", "singapore": "Asia/Singapore", "hong kong": "Asia/Hong_Kong",
    "shanghai": "Asia/Shanghai", "beijing": "Asia/Shanghai", "tokyo": "Asia/Tokyo", "seoul": "Asia/Seoul",
    "sydney": "Australia/Sydney", "new york": "America/New_York", "new york city": "America/New_York",
    "chicago": "America/Chicago", "denver": "America/Denver", "los angeles": "America/Los_Angeles",
    "san francisco": "America/Los_Angeles", "seattle": "America/Los_Angeles", "toronto": "America/Toronto",
}  # fmt: skip
"""Places that people mean by the bare name. Abbreviations such as EST, CST and IST have several meanings: none."""

_TIME = r"([0-9]{1,2}(?::[0-9]{2})? ?(?:am|pm|a\.m\.|p\.m\.)|[0-9]{1,2}:[0-9]{2}|noon|midday)"
_PLACE = r"([a-z_/]+(?: [a-z]+){0,2}?)(?: time)?"
_CLOCK = re.compile(r"([0-9]{1,2})(?::([0-9]{2}))? ?(am|pm|a\.m\.|p\.m\.)?")
_DATE = r"(?: on (?:the )?([a-z0-9][a-z0-9 ,./-]{5,30}))?"

Now = Callable[[], datetime]
"""The current instant, aware."""


def read(text: str, now: Now) -> Reading:
    """The answer to a lowercase question about clocks without courtesies. Raises `Unclear`."""
    for pattern, make in _QUESTIONS:
        if match := pattern.fullmatch(text):
            return make(now, *match.groups())
    raise Unclear


def zone(name: str) -> ZoneInfo:
    """A zone by place or by its IANA name. Raises `Unclear`, also where the machine has no zone data."""
    key = ZONES.get(name)
    if key is None and re.fullmatch(r"[a-z]+/[a-z_]+", name):
        area, place = name.split("/")
        key = f"{area.title()}/{place.title()}"
    try:
        if key is not None:
            return ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Unclear from error
    raise Unclear


def clock(text: str) -> time:
    """`15:00`, `3 pm`, `09:30`, `noon`; `9:30` and `12 pm` have two readings. Raises `Unclear`."""
    if text in ("noon", "midday"):
        return time(12)
    if not (match := _CLOCK.fullmatch(text)):
        raise Unclear
    hour, minute, half = int(match[1]), int(match[2] or 0), (match[3] or "").replace(".", "")
    if half and not (1 <= hour <= 11):
        raise Unclear
    if not half and not (hour > 12 or match[1].startswith("0")):
        raise Unclear
    if hour > 23 or minute > 59:
        raise Unclear
    return time(hour + 12 * (half == "pm"), minute)


def _convert(now: Now, at: str, source: str, target: str, day: str | None = None) -> Reading:
    here, there, moment = zone(source), zone(target), clock(at)
    if here.key == there.key:
        raise Unclear
    if day:
        start = _local(_near(parse(day), now), moment, here)
        return _told(start, start.astimezone(there), True)
    return _told(*_any_day(now().date(), moment, here, there), False)


def _any_day(today: date, moment: time, here: ZoneInfo, there: ZoneInfo) -> tuple[datetime, datetime]:
    """Without a date the answer must be the same on every day of the coming year."""
    pairs = [(start := _local(today + timedelta(days=i), moment, here), start.astimezone(there)) for i in range(367)]
    if len({(end.time(), end.date() - start.date()) for start, end in pairs}) > 1:
        raise Unclear
    return pairs[0]


def _near(day: date, now: Now) -> date:
    """Zones change their rules: dates far ahead, and from before computers kept zones, are not read."""
    if not 1970 <= day.year <= now().year + 1:
        raise Unclear
    return day


def _local(day: date, moment: time, here: ZoneInfo) -> datetime:
    """The instant, unless the clocks skip or repeat it that day."""
    early, late = (datetime.combine(day, moment, here).replace(fold=fold) for fold in (0, 1))
    if early.utcoffset() != late.utcoffset():
        raise Unclear
    return early


def _told(start: datetime, end: datetime, dated: bool) -> Reading:
    days = (end.date() - start.date()).days
    suffix = {0: "", 1: " the next day", -1: " the day before"}.get(days)
    if suffix is None:
        raise Unclear
    if dated:
        suffix = f" on {show(end.date())}"
    label = f"time zones: {start:%H:%M} {_key(start)} in {_key(end)}{f' on {start.date()}' if dated else ''}"
    return Reading(f"{end:%H:%M}{suffix}", label)


def _key(moment: datetime) -> str:
    return str(moment.tzinfo)


def _now_in(now: Now, place: str) -> Reading:
    here = now().astimezone(zone(place))
    return Reading(f"{here:%H:%M} on {show(here.date())} ({_key(here)})", f"clock: {_key(here)}")


_FORMS: tuple[tuple[str, Callable[..., Reading]], ...] = (
    (rf"(?:what is |what time is |convert )?{_TIME} (?:in )?{_PLACE} (?:in|to) {_PLACE}{_DATE}", _convert),
    (rf"(?:when|if) it is {_TIME} in {_PLACE}{_DATE},? what time is it in {_PLACE}",
     lambda now, at, source, day, target: _convert(now, at, source, target, day)),
    (rf"what time is it in {_PLACE} (?:when|if) it is {_TIME} in {_PLACE}{_DATE}",
     lambda now, target, at, source, day: _convert(now, at, source, target, day)),
    (rf"what time is it(?: now| right now)? in {_PLACE}(?: now| right now)?", _now_in),
    (rf"what is the (?:current )?time in {_PLACE}(?: now| right now)?", _now_in),
)  # fmt: skip
_QUESTIONS = tuple((re.compile(pattern), make) for pattern, make in _FORMS)
