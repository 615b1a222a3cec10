"""Whether a value is a JSON Schema that can be used here: its keywords' types, its references, its patterns, its size.

One walk, linear in the schema; jsonschema's own check against the meta-schema takes some 100 steps a subschema.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias, cast
from urllib.parse import unquote

from trimtab.types import Json
from trimtab.verify._counted import regex

EXPANDED = 20_000
"""How many subschemas may apply to one value once references are written out: doubling references make 2^n of n."""
ONE = ("additionalProperties", "additionalItems", "unevaluatedItems", "unevaluatedProperties", "propertyNames",
       "contains", "not", "if", "then", "else", "contentSchema", "items")  # fmt: skip
ROWS = ("allOf", "anyOf", "oneOf", "prefixItems")
TABLES = ("properties", "patternProperties", "dependentSchemas", "$defs", "definitions")
REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
HERE = frozenset(
    {*REFERENCES, "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
"""Keywords whose subschemas apply to the value itself, not to its members."""
TYPES = frozenset({"null", "boolean", "object", "array", "number", "integer", "string"})
Check: TypeAlias = Callable[[Any], bool]


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 and value == int(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in cast("list[Any]", value))


def _is_type(value: Any) -> bool:
    named = cast("list[Any]", value) if isinstance(value, list) else [value]
    return bool(named) and all(isinstance(one, str) and one in TYPES for one in named)


MUST: dict[str, tuple[Check, str]] = {
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
                     "minContains", "maxContains"), (_is_count, "a whole number of 0 or more")),
    **dict.fromkeys(("minimum", "maximum"), (_is_number, "a number")),
    **dict.fromkeys(("exclusiveMinimum", "exclusiveMaximum"),
                    (lambda v: _is_number(v) or isinstance(v, bool), "a number")),
    **dict.fromkeys(("$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema", "$anchor", "$dynamicAnchor", "pattern",
                     "format", "title", "description"), (lambda v: isinstance(v, str), "a string")),
    **dict.fromkeys(ROWS, (lambda v: isinstance(v, list) and bool(v), "a list that is not empty")),  # pyright: ignore[reportUnknownArgumentType]
    **dict.fromkeys(TABLES, (lambda v: isinstance(v, dict), "an object")),
    "multipleOf": (lambda v: _is_number(v) and v > 0, "a number above 0"),
    "type": (_is_type, "one or more of " + ", ".join(sorted(TYPES))),
    "required": (_is_names, "a list of names"),
    "enum": (lambda v: isinstance(v, list), "a list"),
    "uniqueItems": (lambda v: isinstance(v, bool), "true or false"),
    "dependentRequired": (lambda v: isinstance(v, dict) and all(map(_is_names, v.values())), "lists of names"),  # pyright: ignore[reportUnknownArgumentType,reportUnknownMemberType]
}  # fmt: skip


def check(schema: Any) -> None:
    """Raises `ValueError`, with the path, for what cannot be used; `RecursionError` for one nested without end."""
    todo: list[tuple[Any, str]] = [(schema, "$")]
    seen, keywords = set[int](), set[str]()
    while todo:
        part, path = todo.pop()
        if not isinstance(part, dict | bool):
            raise ValueError(f"{path}: a schema is an object, true or false")  # noqa: TRY004 - all faults are one kind
        if isinstance(part, bool) or not part or id(part) in seen:  # pyright: ignore[reportUnknownArgumentType]
            continue
        seen.add(id(part))
        table = cast("Json", part)
        keywords.update(table)
        _check_keywords(table, path)
        todo += _below(schema, table, path)
    if keywords >= {"patternProperties", "unevaluatedProperties"}:
        raise ValueError("patternProperties and unevaluatedProperties together cannot be matched in linear time")
    if _expanded(schema, schema, {}) > EXPANDED:
        raise ValueError(f"with its references written out, more than {EXPANDED} subschemas apply to one value")


def _check_keywords(part: Json, path: str) -> None:
    for key in MUST.keys() & part.keys():
        fits, what = MUST[key]
        if not fits(part[key]):
            raise ValueError(f"{path}.{key}: it must be {what}, not {str(part[key])[:60]!r}")
    for text in (part.get("pattern"), *part.get("patternProperties", ())):
        if text is not None:
            regex(text)


def _below(root: Any, part: Json, path: str) -> Iterator[tuple[Any, str]]:
    """All subschemas of `part`, and what it refers to."""
    for key, value in part.items():
        if key in TABLES:
            yield from ((one, f"{path}.{key}.{name}") for name, one in value.items())
        elif key in ROWS or (key == "items" and isinstance(value, list)):
            yield from ((one, f"{path}.{key}[{i}]") for i, one in enumerate(cast("list[Any]", value)))
        elif key in ONE:
            yield value, f"{path}.{key}"
        elif key in REFERENCES:
            yield _target(root, value), f"{path}.{key}"
        elif key == "dependencies":
            yield from ((one, f"{path}.{key}") for one in _dependencies(part, path) if not isinstance(one, list))


def _dependencies(part: Json, path: str) -> list[Any]:
    """Draft 7's `dependencies`: schemas, and lists of names."""
    found = part.get("dependencies", {})
    if not isinstance(found, dict):
        raise ValueError(f"{path}.dependencies: it must be an object")  # noqa: TRY004 - all faults are one kind
    return list(cast("Json", found).values())


def _target(root: Any, to: str) -> Any:
    """What a reference leads to; True for an anchor, which is looked up when it is used."""
    if not to.startswith("#"):
        raise ValueError(f"the reference {to[:100]!r} leads to another document")
    at: Any = root
    if to != "#" and not to.startswith("#/"):
        return True
    for step in unquote(to[1:]).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        index: Any = int(step) if isinstance(at, list) and step.isdecimal() and len(step) < 7 else step
        try:
            at = at[index]
        except (KeyError, IndexError, TypeError):
            raise ValueError(f"the reference {to[:100]!r} leads nowhere") from None
    return at


def _expanded(root: Any, part: Any, known: dict[int, int]) -> int:
    """How many subschemas apply to the same value as `part`, itself counted; a circle counts once."""
    if not isinstance(part, dict):
        return 1
    if (count := known.get(id(part))) is not None:  # pyright: ignore[reportUnknownArgumentType]
        return count
    table = cast("Json", part)
    if HERE.isdisjoint(table):
        return 1
    known[id(table)] = 1
    here = [*(table[key] for key in ("not", "if", "then", "else") if key in table)]
    here += [one for key in ("allOf", "anyOf", "oneOf") for one in table.get(key, ())]
    here += [*table.get("dependentSchemas", {}).values(), *_dependencies(table, "")]
    here += [_target(root, table[key]) for key in REFERENCES if key in table]
    known[id(table)] = count = min(1 + sum(_expanded(root, one, known) for one in here), 2 * EXPANDED)
    return count
