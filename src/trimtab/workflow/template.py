"""Texts with named places: `{input.text}`, `{a.text|b.text}` for the first that is there, `{a.text?}` where it may be
missing, `{{` for a brace. Pure.

What fills a place is data: it is never read as a template, a format or code.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.workflow.encoding import encoded

PATH = re.compile(r"[a-z][a-z0-9_]*(?:\.[A-Za-z0-9_-]+)*")
LONGEST = 1_000_000
"""Characters of the longest text that is made: a loop must not double a text until the memory is full."""


class Missing(Exception):  # noqa: N818 - read as "the field is ..."
    """A place has nothing to fill it; `path` names it."""

    def __init__(self, path: str, why: str = "is not there") -> None:
        super().__init__(f"{{{path}}} {why}.")
        self.path = path


class _Nothing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Any = _Nothing()
"""What `look` finds where nothing is; null is something."""


class Place(msgspec.Struct, frozen=True):
    """Paths, of which the first that is there and not null fills it, and whether all may be missing."""

    paths: tuple[str, ...]
    optional: bool


def look(path: str, context: Mapping[str, Any]) -> Any:
    """What stands at a path: members of objects by name, of lists by number."""
    at: Any = context
    for part in path.split("."):
        if isinstance(at, Mapping) and part in at:
            at = at[part]
        elif isinstance(at, list) and part.isdecimal() and len(part) < 7 and int(part) < len(at):
            at = at[int(part)]
        else:
            return MISSING
    return at


def parse(text: str) -> list[str | Place]:
    """The pieces of a template. Raises `ConfigError` that quotes what is wrong."""
    pieces: list[str | Place] = []
    held, rest = "", text
    while rest:
        before, brace, rest = _cut(rest)
        held += before
        if not brace:
            break
        if rest.startswith(brace):
            held, rest = held + brace, rest[1:]
            continue
        inside, closed, rest = rest.partition("}")
        paths = tuple(inside.removesuffix("?").split("|"))
        if brace == "}" or not closed or not all(PATH.fullmatch(path) for path in paths):
            raise ConfigError(
                f"{text[:80]!r} is no template at {(brace + inside)[:40]!r}.",
                "Write {step.field}, {one.field|other.field}, {step.field?} where it may be missing, {{ for a brace.",
            )
        pieces += [held, Place(paths, inside.endswith("?"))]
        held = ""
    return [piece for piece in (*pieces, held) if piece != ""]


def places(value: Any) -> Iterator[Place]:
    """All places in a value of templates. Raises `ConfigError`."""
    if isinstance(value, str):
        yield from (piece for piece in parse(value) if isinstance(piece, Place))
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from places(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from places(one)


def fill(value: Any, context: Mapping[str, Any]) -> Any:
    """The value with its places filled: a text that is one place alone becomes what stands there, whatever its type.

    Raises `Missing`.
    """
    if isinstance(value, str):
        pieces = parse(value)
        if len(pieces) == 1 and isinstance(place := pieces[0], Place):
            return _found(place, context)
        return text(value, context)
    if isinstance(value, Mapping):
        return {key: fill(one, context) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [fill(one, context) for one in value]
    return value


def text(template: str, context: Mapping[str, Any]) -> str:
    """The template as a text: objects and lists become JSON. Raises `Missing`."""
    made = "".join(_text(_found(piece, context)) if isinstance(piece, Place) else piece for piece in parse(template))
    if len(made) > LONGEST:
        raise Missing(template[:40], f"makes a text of {len(made)} characters, more than {LONGEST}")
    return made


def _cut(text: str) -> tuple[str, str, str]:
    """What stands before the first brace, the brace, and what stands behind."""
    found = min((at for at in (text.find("{"), text.find("}")) if at >= 0), default=-1)
    return (text, "", "") if found < 0 else (text[:found], text[found], text[found + 1 :])


def _found(place: Place, context: Mapping[str, Any]) -> Any:
    found = [one for path in place.paths if (one := look(path, context)) is not MISSING]
    if not found and not place.optional:
        raise Missing("|".join(place.paths))
    return next((one for one in found if one is not None), None)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else encoded(value)
