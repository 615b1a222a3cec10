"""The deterministic rung over generated questions: exact where it answers, silent where it cannot be, never a crash."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from trimtab.answer import _dates, _units, code
from trimtab.answer._reading import MAX_SHOWN, PLACES
from trimtab.ports import Tools


def rung() -> code.Code:
    def none(*_: Any) -> Any:
        return None

    tools = Tools(
        name="code", recipe=Path(), home=Path(), encoder=none, store=none, personal=lambda _: (), secret=none,
        starting=none, closing=none, say=none,
    )  # fmt: skip
    return code.build(code.Options(now="2026-11-20T12:00:00+00:00"), tools)


RUNG = rung()
NUMBERS = st.one_of(
    st.integers(0, 10**6).map(str),
    st.decimals(0, 1000, allow_nan=False, allow_infinity=False, places=2).map(str),
)
DAYS = st.dates(date(1753, 1, 1), date(2200, 1, 1))


def _join(parts: tuple[Any, str, Any]) -> tuple[str, Fraction | None]:
    (left, a), sign, (right, b) = parts
    if a is None or b is None or (sign == "/" and not b):
        return f"({left} {sign} {right})", None
    value = {"+": a + b, "-": a - b, "*": a * b, "/": a / b if b else None}[sign]
    return f"({left} {sign} {right})", value


TREES = st.recursive(
    NUMBERS.map(lambda text: (text, Fraction(text))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map(_join),
    max_leaves=8,
)


def said(text: str) -> Fraction:
    return Fraction(Decimal(text.removeprefix("≈ ")))


@given(TREES)
def test_an_expression_in_brackets_has_its_exact_value(tree: tuple[str, Fraction | None]) -> None:
    text, value = tree
    reading = RUNG.read(f"what is {text}?")
    if value is None or "(" not in text:  # a division by nothing, or a number alone
        assert reading is None
        return
    if reading is None:
        assert value.denominator != 1 or len(str(value)) > MAX_SHOWN
        return
    error = abs(said(reading.text) - value)
    assert error == 0 if not reading.text.startswith("≈") else error <= abs(value) * Fraction(1, 10 ** (PLACES - 1))


@given(st.lists(st.tuples(st.sampled_from(["+", "-", "*"]), st.integers(0, 999)), min_size=1, max_size=6))
def test_precedence_is_the_one_of_mathematics(rest: list[tuple[str, int]]) -> None:
    text = "7" + "".join(f" {sign} {n}" for sign, n in rest)
    total, product = 0, 7
    for sign, n in rest:  # an own evaluation: sums of products
        if sign == "*":
            product *= n
        else:
            total, product = total + product, n if sign == "+" else -n
    reading = RUNG.read(text)
    assert reading is not None
    assert reading.text == str(total + product)


@given(st.text(max_size=320))
def test_no_text_makes_it_fail(text: str) -> None:
    RUNG.read(text)


@given(st.text("0123456789.,+-*/^%()x= ?einmf", max_size=60))
def test_no_jumble_of_signs_makes_it_fail(text: str) -> None:
    reading = RUNG.read(text)
    assert reading is None or len(reading.text) < 200


@given(DAYS, DAYS)
def test_days_between_two_dates(one: date, other: date) -> None:
    days = abs((one - other).days)
    reading = RUNG.read(f"how many days between {one.isoformat()} and {other.day} {other:%B} {other.year}")
    assert reading is not None
    assert reading.text == f"{days} day{'' if days == 1 else 's'}"


@given(DAYS, st.integers(1, 9999))
def test_before_undoes_after(day: date, n: int) -> None:
    after = RUNG.read(f"what date is {n} days after {day.isoformat()}")
    assert after is not None
    found = day + timedelta(days=n)
    assert after.text == f"{found:%A}, {found.day} {found:%B} {found.year}"
    before = RUNG.read(f"what date is {n} days before {found.isoformat()}")
    assert before is not None
    assert before.text == f"{day:%A}, {day.day} {day:%B} {day.year}"


@given(DAYS, st.integers(1, 300))
def test_business_days_skip_weekends_and_nothing_else(day: date, n: int) -> None:
    found = _dates._business(day, n)
    between = [day + timedelta(days=i) for i in range(1, (found - day).days + 1)]
    assert found.weekday() < 5
    assert sum(one.weekday() < 5 for one in between) == n


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1753, 2999))
def test_a_date_in_figures_is_read_only_where_day_and_month_cannot_change_places(d: int, m: int, year: int) -> None:
    assume(d != m)
    assert RUNG.read(f"what day of the week is {d:02d}/{m:02d}/{year}") is None


PAIRS = [
    (dimension, one, other)
    for dimension, units in _units.TABLE.items()
    for one in units
    for other in units
    if one != other and dimension != "temperature"
]


@given(st.sampled_from(PAIRS), st.integers(1, 10**6))
def test_there_and_back_is_the_same_amount(pair: tuple[str, str, str], n: int) -> None:
    dimension, one, other = pair
    reading = RUNG.read(f"convert {n} {one} to {other}")
    exact = n * _units.TABLE[dimension][one][0] / _units.TABLE[dimension][other][0]
    if reading is None:
        assert not 10**-6 <= exact < 10**14
        return
    number = reading.text.removeprefix("≈ ").split(" ")[0]
    assert abs(said(number) - exact) <= exact * Fraction(1, 10 ** (PLACES - 1))
    assert reading.text.startswith("≈") or said(number) == exact


@pytest.mark.parametrize("unit", sorted({"ton", "gallon", "ounce", "oz", "cup", "pint", "MB", "GB", "KB", "kilobyte"}))
@given(st.sampled_from(["kg", "litres", "bytes", "g", "ml", "MiB"]), st.integers(1, 1000))
def test_a_unit_with_several_meanings_is_never_read(unit: str, target: str, n: int) -> None:
    assert RUNG.read(f"convert {n} {unit} to {target}") is None
    assert RUNG.read(f"how many {target} in {n} {unit}s") is None
