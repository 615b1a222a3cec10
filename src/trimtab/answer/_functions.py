"""The user's own functions as answers: `@exact("shipping to {country} for {weight:number} kg")` over a function.

A question is a function's where it is the pattern, word for word, and can be parted in one way only.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

from trimtab import load
from trimtab.answer._reading import Unclear, number, show
from trimtab.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
MARK = "trimtab_exact"
_FIELD = re.compile(r"\{([a-z_]\w*)(?::(\w+))?\}")


def _number(text: str) -> Fraction:
    """Raises `ValueError`."""
    try:
        sign = -1 if text[0] == "-" else 1
        return sign * number(text.lstrip("+-"))
    except Unclear:
        raise ValueError(text) from None


_KINDS: dict[str, tuple[str, str, Callable[[str], Any]]] = {
    "text": (r"\S(?:.*\S)?", r"\S(?:.*?\S)??", str),
    "word": (r"\S+", r"\S+?", str),
    "number": (r"[+-]?[0-9.,]+", r"[+-]?[0-9.,]+?", _number),
    "date": (r"[0-9]{4}-[0-9]{2}-[0-9]{2}", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", date.fromisoformat),
}
"""What a field takes, as much as it can and as little as it can, and how that is read."""


def exact(*patterns: str) -> Callable[[F], F]:
    """The function answers questions that are one of the patterns; `{name}` takes any text, `{name:number}` an exact
    number (a `Fraction`), `{name:date}` an ISO date, `{name:word}` one word. It returns a text, a number, or None where
    it does not know."""

    def mark(function: F) -> F:
        setattr(function, MARK, patterns)
        return function

    return mark


class Call(NamedTuple):
    """A function that a question is for, what it is given, and the parse."""

    function: Callable[..., Any]
    given: dict[str, Any]
    parse: str


class Pattern(NamedTuple):
    """A question's form, parted as far to the right as it can be and as far to the left: where the two differ there is
    more than one way. On RE2, whose time is linear in the question."""

    greedy: Any
    lazy: Any
    kinds: dict[str, str]


class Functions:
    """The functions of a file of the recipe. Raises `ConfigError` for a file or a pattern that is none."""

    def __init__(self, place: str, folder: Path) -> None:
        self._known: list[tuple[Callable[..., Any], list[Pattern]]] = []
        if not place:
            return
        for function in _marked(load.module(place, folder)):
            patterns = [_compiled(pattern, function) for pattern in getattr(function, MARK)]
            self._known.append((function, patterns))
        if not self._known:
            raise ConfigError(f"{place!r} has no function under @exact(...).", "Put the decorator over one.")

    def calls(self, asked: str) -> Iterator[Call]:
        """What the question calls. Raises `Unclear` where a pattern can be parted in two ways."""
        for function, patterns in self._known:
            for greedy, lazy, kinds in patterns:
                if not (match := greedy.fullmatch(asked)):
                    continue
                other = lazy.fullmatch(asked)
                if other is None or other.groupdict() != match.groupdict():
                    raise Unclear
                try:
                    given = {name: _KINDS[kind][2](match.group(name)) for name, kind in kinds.items()}
                except ValueError:
                    continue
                shown = ", ".join(f"{name}={match.group(name)}" for name in kinds)
                yield Call(function, given, f"{function.__name__}({shown})")


def told(value: Any) -> str | None:
    """What a function returned, as an answer. Raises `TypeError` for what is none."""
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | Fraction):
        raise TypeError(f"an exact function returned {type(value).__name__}, neither a text nor a number")
    return show(Fraction(str(value)))


def _marked(module: ModuleType) -> list[Callable[..., Any]]:
    return [found for found in vars(module).values() if callable(found) and getattr(found, MARK, None)]


def _compiled(pattern: str, function: Callable[..., Any]) -> Pattern:
    import re2

    kinds = {name: kind or "text" for name, kind in _FIELD.findall(pattern)}
    if unknown := set(kinds.values()) - set(_KINDS):
        raise ConfigError(
            f"{function.__name__}: {pattern!r} has {', '.join(sorted(unknown))}.", f"Kinds are: {', '.join(_KINDS)}."
        )
    if not _FIELD.sub("", pattern).strip():
        raise ConfigError(f"{function.__name__}: {pattern!r} takes every question.", "Give it words of its own.")
    forms = ["(?i)", "(?i)"]
    for text, name in zip_longest(_FIELD.split(pattern)[::3], kinds):
        for i in range(2):
            forms[i] += re2.escape(text) + (f"(?P<{name}>{_KINDS[kinds[name]][i]})" if name else "")
    return Pattern(re2.compile(forms[0]), re2.compile(forms[1]), kinds)
