"""Arithmetic that English says in set phrases: percentages, roots, shares, lists, primes, rounding."""

import re
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from math import factorial, gcd, isqrt, lcm

from trimtab.answer._expression import power
from trimtab.answer._reading import MAX_SHOWN, Reading, Unclear, about, bounded, number, root, show, whole

MAX_PRIME = 10**9
"""Trial division up to here takes about a millisecond."""
MAX_LIST = 50
_N = r"([0-9.][0-9.,]*|[a-z]+(?:-[a-z]+)?)"
_PERCENT = r" ?(?:%|percent|per cent)"
_SHARE = re.compile(_N + _PERCENT)
_SHARES = {
    "half": Fraction(1, 2), "a third": Fraction(1, 3), "one third": Fraction(1, 3), "a quarter": Fraction(1, 4),
    "one quarter": Fraction(1, 4), "twice": Fraction(2), "double": Fraction(2), "triple": Fraction(3),
}  # fmt: skip


def read(text: str) -> Reading:
    """The value of a lowercase phrase without its "what is". Raises `Unclear`."""
    for pattern, make in _PHRASES:
        if match := pattern.fullmatch(text):
            return make(*match.groups())
    return _percent_of(text)


def _value(text: str) -> Fraction:
    return number(text.rstrip("."))


def _exact(value: Fraction, label: str) -> Reading:
    return Reading(show(bounded(value)), f"arithmetic: {label}")


def _percent_of(text: str) -> Reading:
    """`15% of 240`, `10% of 20% of 500`."""
    *shares, of = text.split(" of ")
    if not shares:
        raise Unclear
    value, label = _value(of), of
    for share in reversed(shares):
        if not (match := _SHARE.fullmatch(share)):
            raise Unclear
        value, label = bounded(value * _value(match[1]) / 100), f"{match[1]} / 100 * {label}"
    return _exact(value, label)


def _what_percent(part: str, of: str) -> Reading:
    if not _value(of):
        raise Unclear
    reading = _exact(_value(part) / _value(of) * 100, f"{part} / {of} * 100")
    return reading._replace(text=f"{reading.text}%")


def _changed(value: str, percent: str, up: bool) -> Reading:
    share = _value(percent)
    if not up and share > 100:
        raise Unclear
    factor = 1 + share / 100 if up else 1 - share / 100
    return _exact(_value(value) * factor, f"{value} * (1 {'+' if up else '-'} {percent} / 100)")


def _change(before: str, after: str) -> Reading:
    old, new = _value(before), _value(after)
    if not old or old == new:
        raise Unclear
    reading = _exact(abs(new - old) / old * 100, f"({after} - {before}) / {before} * 100")
    return Reading(f"{reading.text}% {'more' if new > old else 'less'}", reading.parse)


def _root(kind: str, of: str) -> Reading:
    degree, value = {"square": 2, "cube": 3}[kind], _value(of)
    label = f"arithmetic: {kind} root of {of}"
    if (exact := root(value, degree)) is not None:
        return Reading(show(exact), label)
    return Reading(f"≈ {about(_irrational(value, degree))}", label)


def _irrational(value: Fraction, degree: int) -> Decimal:
    """Forty digits of a root: thirty more than are shown, so that rounding twice cannot show."""
    exact = Context(prec=60)
    quotient = exact.divide(Decimal(value.numerator), Decimal(value.denominator))
    if degree == 2:
        return Context(prec=40).plus(exact.sqrt(quotient))
    return Context(prec=40).plus(exact.exp(exact.divide(exact.ln(quotient), Decimal(3))))


def _items(text: str) -> list[Fraction]:
    """`3, 5 and 10` or `3 and 5`: a comma must be followed by a space, and numbers have none inside."""
    items = re.split(r", and |, | and ", text)
    if not 2 <= len(items) <= MAX_LIST or any("," in item for item in items):
        raise Unclear
    return [_value(item) for item in items]


def _sum(text: str) -> Reading:
    return _exact(sum(_items(text), Fraction()), f"sum of {text}")


def _product(text: str) -> Reading:
    return _exact(reduce(lambda a, b: bounded(a * b), _items(text)), f"product of {text}")


def _mean(text: str) -> Reading:
    items = _items(text)
    return _exact(sum(items, Fraction()) / len(items), f"mean of {text}")


def _difference(one: str, other: str) -> Reading:
    if _value(one) < _value(other):
        raise Unclear
    return _exact(_value(one) - _value(other), f"{one} - {other}")


def _divisors(find: Callable[..., int], name: str) -> Callable[[str], Reading]:
    def read(text: str) -> Reading:
        items = [whole(item) for item in _items(text)]
        if min(items) < 1:
            raise Unclear
        return _exact(Fraction(find(*items)), f"{name} of {text}")

    return read


def _share(word: str, of: str) -> Reading:
    return _exact(_SHARES[word] * _value(of), f"{_SHARES[word]} * {of}")


def _remainder(of: str, by: str) -> Reading:
    top, bottom = whole(_value(of)), whole(_value(by))
    if not bottom:
        raise Unclear
    return _exact(Fraction(top % bottom), f"{of} mod {by}")


def _factorial(text: str) -> Reading:
    n = whole(_value(text))
    if n > MAX_SHOWN:
        raise Unclear
    return _exact(Fraction(factorial(n)), f"{n}!")


def _nth_power(base: str, exponent: str) -> Reading:
    return _exact(power(_value(base), _value(exponent)), f"{base} ^ {exponent}")


def _prime(text: str) -> Reading:
    n = whole(_value(text))
    if n > MAX_PRIME:
        raise Unclear
    yes = n == 2 or (n > 2 and n % 2 == 1 and all(n % d for d in range(3, isqrt(n) + 1, 2)))
    return Reading("Yes" if yes else "No", f"arithmetic: {n} is prime")


def _parity(text: str, kind: str) -> Reading:
    odd = whole(_value(text)) % 2 == 1
    return Reading("Yes" if odd == (kind == "odd") else "No", f"arithmetic: {text} is {kind}")


def _divisible(text: str, by: str) -> Reading:
    n, d = whole(_value(text)), whole(_value(by))
    if not d:
        raise Unclear
    return Reading("No" if n % d else "Yes", f"arithmetic: {n} mod {d} = 0")


def _round(text: str, places: str) -> Reading:
    """Ties are not read: schools and machines round them differently."""
    n = whole(_value(places)) if places else 0
    scaled = _value(text) * 10**n
    if n > 10 or ((scaled * 2).denominator == 1 and scaled.denominator != 1):
        raise Unclear
    digits = f"{round(scaled):d}".zfill(n + 1)
    shown = f"{digits[:-n]}.{digits[-n:]}" if n else digits
    return Reading(shown, f"arithmetic: round {text} to {n} decimals")


_FORMS: tuple[tuple[str, Callable[..., Reading]], ...] = (
    (rf"{_N} is what percent(?:age)? of {_N}", _what_percent),
    (rf"(?:what )?percent(?:age)? of {_N} is {_N}", lambda of, part: _what_percent(part, of)),
    (rf"(?:what )?percent(?:age)? is {_N} of {_N}", _what_percent),
    (rf"increase {_N} by {_N}{_PERCENT}", lambda value, percent: _changed(value, percent, True)),
    (rf"{_N} increased by {_N}{_PERCENT}", lambda value, percent: _changed(value, percent, True)),
    (rf"(?:decrease|reduce) {_N} by {_N}{_PERCENT}", lambda value, percent: _changed(value, percent, False)),
    (rf"{_N} (?:decreased|reduced) by {_N}{_PERCENT}", lambda value, percent: _changed(value, percent, False)),
    (rf"{_N}{_PERCENT} (?:more|higher) than {_N}", lambda percent, value: _changed(value, percent, True)),
    (rf"{_N}{_PERCENT} (?:less|lower) than {_N}", lambda percent, value: _changed(value, percent, False)),
    (rf"{_N}{_PERCENT} off(?: of)? {_N}", lambda percent, value: _changed(value, percent, False)),
    (rf"(?:the )?percent(?:age)? change from {_N} to {_N}", _change),
    (rf"(?:the )?(square|cube) root of {_N}", _root),
    (rf"(?:sqrt ?|√ ?){_N}", lambda of: _root("square", of)),
    (rf"sqrt\({_N}\)", lambda of: _root("square", of)),
    (r"(?:the )?sum of (.+)", _sum),
    (r"(?:the )?product of (.+)", _product),
    (r"(?:the )?(?:average|mean|arithmetic mean) of (.+)", _mean),
    (rf"(?:the )?difference between {_N} and {_N}", _difference),
    (r"(?:the )?(?:gcd|greatest common divisor|greatest common factor) of (.+)", _divisors(gcd, "gcd")),
    (r"(?:the )?(?:lcm|least common multiple|lowest common multiple) of (.+)", _divisors(lcm, "lcm")),
    (rf"(half|a third|one third|a quarter|one quarter) of {_N}", _share),
    (rf"(twice|double|triple) {_N}", _share),
    (rf"(?:the )?remainder (?:when|of|if) {_N} (?:is )?divided by {_N}", _remainder),
    (rf"(?:the )?factorial of {_N}", _factorial),
    (rf"{_N} factorial", _factorial),
    (rf"{_N} (?:raised )?to the ([0-9]+)(?:th|st|nd|rd)(?: power)?", _nth_power),
    (rf"is {_N} (?:a )?prime(?: number)?", _prime),
    (rf"is {_N} (?:an )?(even|odd)(?: number)?", _parity),
    (rf"is {_N} divisible by {_N}", _divisible),
    (rf"round {_N} to ([0-9]) decimals?(?: places?)?", _round),
    (rf"{_N} rounded to ([0-9]) decimals?(?: places?)?", _round),
    (rf"round {_N} to the nearest (?:integer|whole number)()", _round),
)
_PHRASES = tuple((re.compile(pattern), make) for pattern, make in _FORMS)
