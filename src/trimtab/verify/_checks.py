"""Declarative checks of an answer: patterns, choices, ranges, dates, lengths, sums and one field against another. Pure.

Numbers are exact decimals, patterns run on a linear-time engine, and a value of another type than a check is about is a
fault of the answer, never one of the check.
"""

import operator
from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Context, Decimal
from typing import Any, Literal, TypeAlias, cast

import msgspec

from trimtab.verify._counted import regex
from trimtab.verify._paths import MISSING, Found, at, parsed

SHOWN = 60
"""Characters of a value that a fault quotes."""
EXACT = Context(prec=60)
Plain: TypeAlias = str | int | float | bool | None
ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
ABOUT = ("matches", "never", "one_of", "min", "max", "date_format", "shortest", "longest", "sum_of", "compare")
"""The fields of which a check has at least one, `unique` aside."""


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the value at `path` must be, all that is given; "" is the whole answer, whose patterns read its text.

    `matches` and `never` are patterns (RE2) that a text must, and must not, have in it. `one_of` lists the values that
    may be. `min` and `max` are numbers or dates. `date_format` is `iso` or a format of strptime; dates are ISO 8601
    where it is not given. `shortest` and `longest` are characters of a text, or items of a list. `sum_of` is a path
    whose numbers together must be the value, to within `tolerance`. `compare` (`==`, `<=`, ...) holds it against the
    value at the path `to`. `unique`: no value is there twice. `optional`: it may be missing or null. `when` lists paths
    and values: the check is made only where all are so. `tool`: the document is the arguments of that tool's calls.
    """

    path: str = ""
    name: str = ""
    matches: str | None = None
    never: str | None = None
    one_of: tuple[Plain, ...] | None = None
    min: int | float | date | None = None
    max: int | float | date | None = None
    date_format: str | None = None
    shortest: int | None = None
    longest: int | None = None
    sum_of: str | None = None
    tolerance: float = 0.0
    compare: Literal["==", "!=", "<", "<=", ">", ">="] | None = None
    to: str | None = None
    unique: bool = False
    optional: bool = False
    when: dict[str, Plain] = {}
    tool: str = ""

    @property
    def label(self) -> str:
        return self.name or self.path or "the answer"


class Document(msgspec.Struct, frozen=True):
    """What is checked: the text, and the JSON it is (`MISSING` where it is none)."""

    text: str
    value: Any


def sound(check: Check) -> None:
    """Raises `ValueError` for a check that checks nothing, or has a pattern or a path that is none."""
    if all(getattr(check, name) is None for name in ABOUT) and not check.unique:
        raise ValueError(f"it checks nothing; give it {', '.join(ABOUT)} or unique")
    for pattern in (check.matches, check.never):
        if pattern is not None:
            regex(pattern)
    for path in (check.path, check.sum_of, check.to, *check.when):
        parsed(path or "")
    if (check.compare is None) is not (check.to is None):
        raise ValueError("compare and to belong together")
    if check.date_format not in (None, "iso"):
        datetime.strptime(datetime(2026, 1, 31).strftime(check.date_format), check.date_format)  # noqa: DTZ001,DTZ007 - no instant: a form
    if isinstance(check.min, date) is not isinstance(check.max, date) and None not in (check.min, check.max):
        raise ValueError("min and max are both numbers or both dates")


def faults(check: Check, document: Document) -> Iterator[str]:
    """Why the document does not keep the check, most telling first."""
    if check.when and not all(_is(document.value, path, wanted) for path, wanted in check.when.items()):
        return
    if check.path and document.value is MISSING:
        yield "the answer is not JSON"
        return
    whole = document.text if document.value is MISSING else document.value
    found = [one for one in at(whole, parsed(check.path)) if not (check.optional and one.value in (None, MISSING))]
    for one in found:
        if one.value is MISSING:
            yield f"{one.place} is missing"
        else:
            yield from (f"{one.place} {why}" for why in _of_value(check, one, document))
    if check.unique:
        yield from _twice(found)


def _of_value(check: Check, found: Found, document: Document) -> Iterator[str]:
    text = found.value if check.path else document.text
    if check.matches is not None or check.never is not None:
        yield from _patterns(check, text)
    if check.shortest is not None or check.longest is not None:
        yield from _length(check, text)
    if check.one_of is not None and not any(_same(found.value, one) for one in check.one_of):
        yield f"is {_shown(found.value)}, which is none of {', '.join(map(_shown, check.one_of))[:200]}"
    if check.date_format is not None and _dated(found.value, check.date_format) is None:
        yield f"is {_shown(found.value)}, which is no date as {check.date_format}"
    if check.min is not None or check.max is not None:
        yield from _range(check, found.value)
    if check.sum_of is not None:
        yield from _sum(check, found.value, document.value)
    if check.compare is not None:
        yield from _against(check, found.value, document.value)


def _patterns(check: Check, text: Any) -> Iterator[str]:
    if not isinstance(text, str):
        yield f"is {_shown(text)}, which is no text"
        return
    safe = text.encode("utf-8", "replace").decode()  # RE2 reads no lone surrogates
    if check.matches is not None and not regex(check.matches).search(safe):
        yield f"is {_shown(text)}, which does not match {check.matches!r}"
    if check.never is not None and regex(check.never).search(safe):
        yield f"matches {check.never!r}, which it never may"


def _length(check: Check, value: Any) -> Iterator[str]:
    if not isinstance(value, str | list):
        yield f"is {_shown(value)}, which has no length"
        return
    size, what = len(cast("Any", value)), "characters" if isinstance(value, str) else "items"
    if check.shortest is not None and size < check.shortest:
        yield f"has {size} {what}, fewer than {check.shortest}"
    if check.longest is not None and size > check.longest:
        yield f"has {size} {what}, more than {check.longest}"


def _range(check: Check, value: Any) -> Iterator[str]:
    dates = isinstance(check.min if check.min is not None else check.max, date)
    known: Any = _dated(value, check.date_format or "iso") if dates else _number(value)
    if known is None:
        yield f"is {_shown(value)}, which is no {'date' if dates else 'number'}"
        return
    bounds: list[Any] = [bound if bound is None or dates else _number(bound) for bound in (check.min, check.max)]
    least, most = bounds
    if least is not None and known < least:
        yield f"is {_shown(value)}, below {check.min}"
    if most is not None and known > most:
        yield f"is {_shown(value)}, above {check.max}"


def _sum(check: Check, value: Any, document: Any) -> Iterator[str]:
    parts = [(one.place, _number(one.value)) for one in at(document, parsed(check.sum_of or ""))]
    total, said = Decimal(0), _number(value)
    for place, part in parts:
        if part is None:
            yield f"cannot be summed up: {place} is no number"
            return
        total = EXACT.add(total, part)
    if said is None:
        yield f"is {_shown(value)}, which is no number"
    elif EXACT.abs(EXACT.subtract(said, total)) > Decimal(repr(check.tolerance)):
        yield f"is {_shown(value)}, and {check.sum_of} come to {total}"


def _against(check: Check, value: Any, document: Any) -> Iterator[str]:
    """`==` and `!=` of anything; an order only of two numbers or two dates."""
    order = ORDERS[check.compare or "=="]
    for other in at(document, parsed(check.to or "")):
        pair = _pair(value, other.value, check.date_format or "iso")
        if other.value is MISSING:
            yield f"has nothing to be compared with: {other.place} is missing"
        elif pair is None and check.compare not in ("==", "!="):
            yield f"is {_shown(value)} and {other.place} is {_shown(other.value)}: no two numbers or dates"
        elif not order(*(pair or (_key(value), _key(other.value)))):
            yield f"is {_shown(value)}, not {check.compare} {other.place}, which is {_shown(other.value)}"


def _pair(one: Any, other: Any, form: str) -> tuple[Any, Any] | None:
    for read in (_number, lambda value: _dated(value, form)):
        first, second = read(one), read(other)
        if first is not None and second is not None:
            return first, second
    return None


def _twice(found: list[Found]) -> Iterator[str]:
    """Of one list its items, else the values found."""
    only = found[0] if len(found) == 1 and isinstance(found[0].value, list) else None
    rows = at(only.value, (None,), only.place) if only else found
    seen: dict[Any, str] = {}
    for one in rows:
        if (first := seen.setdefault(_key(one.value), one.place)) != one.place:
            yield f"{one.place} is {_shown(one.value)} as {first} is"


def _is(document: Any, path: str, wanted: Plain) -> bool:
    return all(_same(one.value, wanted) for one in at(document, parsed(path)))


def _same(value: Any, wanted: Plain) -> bool:
    """Equal as JSON has it: `1` and `1.0` are, `1` and `true` are not."""
    return _key(value) == _key(wanted)


def _key(value: Any) -> Any:
    number = _number(value)
    if number is not None:
        return (Decimal, str(EXACT.normalize(number)))
    return (type(value), value if isinstance(value, str) else msgspec.json.encode(value, order="sorted"))


def _number(value: Any) -> Decimal | None:
    """A JSON number, exact; a number in a text is a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    number = value if isinstance(value, Decimal) else Decimal(repr(value))
    return number if number.is_finite() else None


def _dated(value: Any, form: str) -> date | None:
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value) if form == "iso" else datetime.strptime(value, form)  # noqa: DTZ007 - a day
    except ValueError:
        return None
    return read.date()


def _shown(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
