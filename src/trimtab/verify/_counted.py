"""JSON Schema validation whose work is counted, so that no schema and no answer can make it endless.

The keywords are jsonschema's; ours are only those whose work there is more than linear, or whose patterns would run on
a backtracking engine. A step is the making of one subschema's validator or one keyword's look at one value: some 3 us.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache
from typing import Any, cast

from trimtab.types import Json

CHARS = 200
"""Characters of a value that count as one step: a fault's message quotes the value it is about."""
LONG = 100
"""Characters from which a string's weight is kept."""
PATTERN_MEMORY = 1 << 20
"""Bytes a pattern may take once compiled: beyond it RE2 refuses the pattern."""


class TooMuchWorkError(Exception):
    """The steps that were given are used up."""


class Work:
    """The steps left, and the weights in characters of the values that are judged."""

    def __init__(self, steps: int) -> None:
        self.left, self.weights = steps, dict[int, int]()

    def spend(self, steps: int) -> None:
        """Raises `TooMuchWorkError` once there is nothing left."""
        self.left -= steps
        if self.left < 0:
            raise TooMuchWorkError

    def weight(self, value: Any) -> int:
        return self.weights.get(id(value), 0)


WORK: ContextVar[Work] = ContextVar("work")


@contextmanager
def allowed(steps: int) -> Iterator[None]:
    """All validation inside may take `steps` together."""
    token = WORK.set(Work(steps))
    try:
        yield
    finally:
        WORK.reset(token)


def fault(validator: Any, value: Any) -> Any:
    """The validator's first error on `value`, None where it fits.

    Raises `TooMuchWorkError` beyond what is `allowed`, `RecursionError`, and what a keyword cannot compute.
    """
    work = WORK.get()
    work.weights = {}
    work.spend(_weigh(value, work.weights) // CHARS)
    return next(validator.iter_errors(value), None)


def told(error: Any) -> tuple[str, str]:
    """Where a fault is, as `.name[0]`, and what it says."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
    return path, error.message[:300]


@cache
def counted(draft: Any) -> Any:
    """The validator class of `draft`, with every keyword counted."""
    from attrs import fields
    from jsonschema.validators import extend

    own = {name: keyword for name, keyword in OWN.items() if name in draft.VALIDATORS}
    keywords = {name: _counting(name, own.get(name, keyword)) for name, keyword in draft.VALIDATORS.items()}
    made = extend(draft, keywords)
    names = tuple((field.name, field.alias) for field in fields(made) if field.init)

    def evolve(self: Any, **changes: Any) -> Any:
        """jsonschema's own takes another class where a subschema says `$schema`: then nothing would be counted."""
        schema = changes.setdefault("schema", self.schema)
        WORK.get().spend(1 + len(schema) // 4 if isinstance(schema, dict) else 1)  # pyright: ignore[reportUnknownArgumentType]
        for name, alias in names:
            if alias not in changes:
                changes[alias] = getattr(self, name)
        return made(**changes)

    made.evolve = evolve
    return made


def _counting(name: str, keyword: Any) -> Any:
    price = PRICES.get(name, _length)

    def count(validator: Any, value: Any, instance: Any, schema: Any) -> Any:
        work = WORK.get()
        work.spend(1 + work.weight(instance) // CHARS + price(value, instance, schema))
        return keyword(validator, value, instance, schema)

    return count


def _length(value: Any, _: Any, __: Any) -> int:
    """Most keywords look at each of their own members once, which is cheap beside a step."""
    return len(cast("Any", value)) // 8 if isinstance(value, dict | list) else 0


def _quoted(value: Any, _: Any, __: Any) -> int:
    """These compare with, or quote, the whole of their value."""
    return _size(value) // CHARS


def _times(value: Any, instance: Any, _: Any) -> int:
    return len(value) * len(instance) // 4 if isinstance(instance, dict) else 0  # pyright: ignore[reportUnknownArgumentType]


def _extras(_: Any, instance: Any, schema: Any) -> int:
    patterns = len(schema.get("patternProperties", ()))
    return (1 + patterns) * len(instance) // 4 if isinstance(instance, dict) else 0  # pyright: ignore[reportUnknownArgumentType]


def _unevaluated(_: Any, instance: Any, schema: Any) -> int:
    """jsonschema walks over all subschemas for all members, and looks each member up in a list."""
    members = len(cast("Any", instance)) if isinstance(instance, dict | list) else 0
    return (1 + _size(schema) // 20) * (1 + members) // 4 + members * members // 50


def _unique(_: Any, instance: Any, __: Any) -> int:
    return WORK.get().weight(instance) // 20


def _matching(value: Any, instance: Any, _: Any) -> int:
    return len(instance) // 1000 * (1 + len(value) // 20) if isinstance(instance, str) else 0


PRICES: dict[str, Any] = {
    **dict.fromkeys(("enum", "const", "not", "oneOf"), _quoted),
    **dict.fromkeys(("unevaluatedProperties", "unevaluatedItems"), _unevaluated),
    "patternProperties": _times,
    "additionalProperties": _extras,
    "uniqueItems": _unique,
    "pattern": _matching,
}


def _weigh(value: Any, weights: dict[int, int]) -> int:
    if isinstance(value, str):
        if len(value) >= LONG:
            weights[id(value)] = len(value)
        return len(value) + 2
    if isinstance(value, dict):
        table = cast("Json", value)
        weights[id(table)] = size = 2 + sum(len(key) + 2 + _weigh(item, weights) for key, item in table.items())
        return size
    if isinstance(value, list):
        row = cast("list[Any]", value)
        weights[id(row)] = size = 2 + sum(_weigh(item, weights) for item in row)
        return size
    return 8


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 2 + sum(len(key) + _size(item) for key, item in cast("Json", value).items())
    if isinstance(value, list):
        return 2 + sum(map(_size, cast("list[Any]", value)))
    return len(value) if isinstance(value, str) else 8


@lru_cache(maxsize=256)
def regex(text: str) -> Any:
    """A pattern on RE2, which matches in linear time. Raises `ValueError` for one that it does not read."""
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY
    try:
        return re2.compile(text, options)
    except re2.error as error:
        raise ValueError(f"the pattern {text[:100]!r} is not one that RE2 reads ({error})") from error


def _pattern(_: Any, text: str, value: Any, __: Json) -> Iterator[Any]:
    from jsonschema import ValidationError

    if isinstance(value, str) and not regex(text).search(value):
        yield ValidationError(f"{value[:200]!r} does not match {text!r}")


def _pattern_properties(validator: Any, patterns: Json, value: Any, _: Json) -> Iterator[Any]:
    if isinstance(value, dict):
        for text, schema in patterns.items():
            for key, item in cast("Json", value).items():
                if regex(text).search(key):
                    yield from validator.descend(item, schema, path=key, schema_path=text)


def _additional_properties(validator: Any, rest: Any, value: Any, schema: Json) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not isinstance(value, dict):
        return
    patterns = [regex(text) for text in schema.get("patternProperties", {})]
    known = schema.get("properties", {})
    for key, item in cast("Json", value).items():
        if key in known or any(pattern.search(key) for pattern in patterns):
            continue
        if rest is False:
            yield ValidationError(f"{key!r} is not a property that the schema has")
        else:
            yield from validator.descend(item, rest, path=key)


def _unique_items(_: Any, wanted: Any, value: Any, __: Json) -> Iterator[Any]:
    from jsonschema import ValidationError

    if not wanted or not isinstance(value, list):
        return
    seen = set[Any]()
    for at, item in enumerate(cast("list[Any]", value)):
        key = _key(item)
        if key in seen:
            yield ValidationError(f"item {at} is there twice")
            return
        seen.add(key)


def _key(value: Any) -> Any:
    """Equal for values that JSON Schema calls equal; numbers as text, whose hash nobody can make collide."""
    if isinstance(value, dict):
        return frozenset((name, _key(item)) for name, item in cast("Json", value).items())
    if isinstance(value, list):
        return tuple(map(_key, cast("list[Any]", value)))
    if isinstance(value, str) or value is None:
        return value
    if isinstance(value, bool):
        return (bool, value)
    return (int, str(int(value)) if value == int(value) else repr(value))


OWN: dict[str, Any] = {
    "pattern": _pattern,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional_properties,
    "uniqueItems": _unique_items,
}
