"""Values that stand in a text, by regular expressions of linear time: exact, or none. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from trimtab.types import Span
from trimtab.workflow.result import Done, Fails
from trimtab.workflow.steps import Extract, Pattern

AMOUNTS = (
    (re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,2})?"), ",", "."),
    (re.compile(r"-?[0-9]{1,18},[0-9]{1,2}"), ".", ","),
    (re.compile(r"-?[0-9]{1,3}(?:(?:,[0-9]{3}){1,5}\.[0-9]{1,2}|(?:,[0-9]{3}){2,5})"), ",", "."),
    (re.compile(r"-?[0-9]{1,3}(?:(?:\.[0-9]{3}){1,5},[0-9]{1,2}|(?:\.[0-9]{3}){2,5})"), ".", ","),
)
"""How an amount may be written, and which separator is of thousands, which of decimals."""


def extract(step: Extract, text: str, personal: Callable[[str], Sequence[Span]]) -> Done | Fails:
    """The fields' values by name, and the personal data of the kinds asked for by kind."""
    found: dict[str, Any] = {name: value(field, text) for name, field in step.fields.items()}
    if lacking := [name for name, field in step.fields.items() if field.needed and found[name] in (None, [])]:
        return Fails(code="not_in_text", why=f"The text does not say one clear {', '.join(lacking)}.")
    if step.personal:
        spans = personal(text)
        found["personal"] = {
            kind: list(dict.fromkeys(text[span.start : span.end] for span in spans if span.kind == kind))
            for kind in step.personal
        }
    return Done(output=found)


def value(field: Pattern, text: str) -> Any:
    """All values where `all` are wanted, whether there is one for a flag, else the only one or None."""
    pattern = _compiled(field.pattern)
    said = [match[1] if pattern.groups else match[0] for match in pattern.finditer(text)]
    if field.form == "flag":
        return bool(said)
    read = [FORMS[field.form](one) for one in said if one is not None]
    values = list(dict.fromkeys(one for one in read if one is not None))
    if field.all:
        return values
    return values[0] if len(values) == 1 and None not in read else None


def amount(said: str) -> str | None:
    """A sum as a plain decimal text, None where its separators have two readings: `1.234` is one thousand, or one."""
    plain = "".join(said.split()).replace("'", "").replace("’", "")
    for pattern, thousands, point in AMOUNTS:
        if pattern.fullmatch(plain):
            return f"{Decimal(plain.replace(thousands, '').replace(point, '.')):f}"
    return None


def _integer(said: str) -> int | None:
    plain = "".join(said.split())
    return int(plain) if plain.lstrip("+-").isascii() and plain.lstrip("+-").isdecimal() and len(plain) < 19 else None


def _date(said: str) -> str | None:
    from trimtab.answer._dates import parse
    from trimtab.answer._reading import Unclear

    try:
        return parse(" ".join(said.split()).lower().rstrip(".,;")).isoformat()
    except (Unclear, ValueError):
        return None


def _iban(said: str) -> str | None:
    from stdnum import iban
    from stdnum.exceptions import ValidationError

    try:
        return iban.validate(said)
    except ValidationError:
        return None


def _text(said: str) -> str | None:
    return " ".join(said.split()) or None


FORMS: Mapping[str, Callable[[str], Any]] = {
    "text": _text, "integer": _integer, "amount": amount, "date": _date, "iban": _iban,
}  # fmt: skip


@lru_cache(256)
def _compiled(pattern: str) -> Any:
    import re2

    return re2.compile(pattern)
