"""Conditions of a flow: a field, an operator and a value; data, never code."""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.workflow.template import MISSING, look

Op: TypeAlias = Literal[
    "exists", "missing", "==", "!=", "<", "<=", ">", ">=", "in", "not_in", "contains", "matches", "sums",
]  # fmt: skip


class Condition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """`field` is a path like `input.total`; it is held against `value`, or against the field that `value_of` names.

    `exists` and `missing` take no value (null and "" are missing). `matches` is a regular expression (RE2) that finds
    something in the field; `sums` compares with the sum of the fields in `value`. `any` holds where one of its
    conditions does, in place of all else.
    """

    field: str = ""
    op: Op = "exists"
    value: Any = None
    value_of: str = ""
    any: tuple["Condition", ...] = ()


def holds(conditions: tuple[Condition, ...], context: Mapping[str, Any]) -> bool:
    """Whether all of them hold; a field that is not there fails every comparison but `missing`, `!=` and `not_in`."""
    return all(_one(condition, context) for condition in conditions)


def said(condition: Condition) -> str:
    """The condition as a person reads it."""
    if condition.any:
        return " or ".join(f"({said(one)})" for one in condition.any)
    if condition.op in ("exists", "missing"):
        return f"{condition.field} {'is there' if condition.op == 'exists' else 'is missing'}"
    if condition.op == "sums":
        return f"{condition.field} is the sum of {' + '.join(map(str, condition.value))}"
    against = condition.value_of or msgspec.json.encode(condition.value).decode()
    return f"{condition.field} {condition.op} {against}"


def fields(condition: Condition) -> tuple[str, ...]:
    """The paths that it reads."""
    own = [path for path in (condition.field, condition.value_of) if path]
    if condition.op == "sums" and isinstance(condition.value, list):
        own += map(str, condition.value)
    return (*own, *(path for one in condition.any for path in fields(one)))


def wrong(condition: Condition) -> str:
    """What no type says of a condition; "" where nothing is wrong."""
    if condition.any:
        return next((why for one in condition.any if (why := wrong(one))), "")
    if not condition.field:
        return "a condition needs a field"
    if condition.op in ("in", "not_in") and not (condition.value_of or isinstance(condition.value, list)):
        return f"{condition.op!r} needs a list as its value"
    if condition.op == "sums" and not (isinstance(condition.value, list) and condition.value):
        return "'sums' needs a list of fields as its value"
    if condition.op in ("<", "<=", ">", ">=") and not condition.value_of and _number(condition.value) is None:
        return f"{condition.op!r} needs a number as its value"
    if condition.op == "matches":
        return _unreadable(condition.value)
    return ""


def _one(condition: Condition, context: Mapping[str, Any]) -> bool:
    if condition.any:
        return any(_one(one, context) for one in condition.any)
    found = look(condition.field, context)
    there = found is not MISSING and found is not None and found != ""
    if condition.op in ("exists", "missing"):
        return there == (condition.op == "exists")
    value = look(condition.value_of, context) if condition.value_of else condition.value
    if condition.op in ("!=", "not_in"):
        return not (there and value is not MISSING and OPS[condition.op](found, value, context))
    return there and value is not MISSING and OPS[condition.op](found, value, context)


def _same(found: Any, value: Any, _: Any) -> bool:
    numbers = (_number(found), _number(value))
    if isinstance(found, bool) or isinstance(value, bool) or None in numbers:
        return found == value and isinstance(found, bool) == isinstance(value, bool)
    return numbers[0] == numbers[1]


def _in(found: Any, value: Any, _: Any) -> bool:
    if isinstance(value, str):
        return isinstance(found, str) and found in value
    return isinstance(value, list) and any(_same(one, found, None) for one in value)


def _contains(found: Any, value: Any, _: Any) -> bool:
    return _in(value, found, None)


def _matches(found: Any, value: Any, _: Any) -> bool:
    import re2

    return isinstance(found, str) and re2.search(str(value), found) is not None


def _sums(found: Any, value: Any, context: Mapping[str, Any]) -> bool:
    parts = [_number(look(path, context)) for path in value]
    whole = _number(found)
    return whole is not None and None not in parts and whole == sum(part for part in parts if part is not None)


def _ordered(test: Callable[[Decimal, Decimal], bool]) -> Callable[[Any, Any, Any], bool]:
    def compared(found: Any, value: Any, _: Any) -> bool:
        left, right = _number(found), _number(value)
        return left is not None and right is not None and test(left, right)

    return compared


OPS: dict[str, Callable[[Any, Any, Mapping[str, Any]], bool]] = {
    "==": _same, "!=": _same, "in": _in, "not_in": _in, "contains": _contains, "matches": _matches, "sums": _sums,
    "<": _ordered(Decimal.__lt__), "<=": _ordered(Decimal.__le__),
    ">": _ordered(Decimal.__gt__), ">=": _ordered(Decimal.__ge__),
}  # fmt: skip


def _number(value: Any) -> Decimal | None:
    """A number, or a text that is one: amounts are kept as texts, so that no cent is lost."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and not re.fullmatch(r"[+-]?\d{1,40}(\.\d{1,40})?", value):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _unreadable(pattern: Any) -> str:
    import re2

    try:
        re2.compile(str(pattern))
    except re2.error as error:
        return f"{str(pattern)[:60]!r} is no regular expression of RE2: {error}"
    return ""
