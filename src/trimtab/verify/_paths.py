"""The values at a path of a JSON document: `total`, `lines[0].price`, `lines[*].price`; "" is all of it. Pure."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias, cast

from trimtab.types import Json

_STEP = re.compile(r"(?:^|\.)([^.\[\]*]+)|\[(\d{1,6}|\*)\]")
Step: TypeAlias = str | int | None
"""A member's name, an item's index, or None for all items."""


MISSING = object()
"""The value where a document has no such place."""


class Found(NamedTuple):
    """A value and where it stands."""

    place: str
    value: Any


def parsed(path: str) -> tuple[Step, ...]:
    """The steps of a path. Raises `ValueError` for one that is none."""
    steps: list[Step] = []
    end = 0
    for match in _STEP.finditer(path):
        if match.start() != end:
            break
        end = match.end()
        name, index = match.groups()
        steps.append(name or (None if index == "*" else int(index)))
    if end != len(path):
        raise ValueError(f"{path!r} is no path; write total, lines[0].price or lines[*].price")
    return tuple(steps)


def at(value: Any, steps: tuple[Step, ...], place: str = "") -> Iterator[Found]:
    """What stands there, `MISSING` for each place that is not there; nothing only for `[*]` of an empty list."""
    if not steps:
        yield Found(place or "the answer", value)
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        inside = f"{place}.{step}" if place else step
        known = isinstance(value, dict) and step in value
        yield from at(cast("Json", value)[step], rest, inside) if known else _none(inside)
        return
    items = cast("list[Any]", value) if isinstance(value, list) else None
    if items is None or (step is not None and step >= len(items)):
        yield from _none(f"{place}[{'*' if step is None else step}]")
        return
    for i in range(len(items)) if step is None else (step,):
        yield from at(items[i], rest, f"{place}[{i}]")


def _none(place: str) -> Iterator[Found]:
    yield Found(place, MISSING)
