"""JSON bodies, strictly: one object, every key once, no NaN, no lone surrogate, and not deeper than anyone means.

`msgspec` parses and rejects what is not JSON, and keeps the last of two equal keys. So the parsed object is written
again and colons are counted: what was written has every pair that was kept, with all its text, and a key that was there
twice had a colon that is gone. That costs less than to read the body's strings one by one, and misses nothing.
"""

import json
import re
from collections import Counter
from typing import Any, cast

import msgspec

from trimtab.errors import MalformedError, RequestError
from trimtab.types import Json

COLON = re.compile(rb"(?<!\\)(?:\\\\)*\\u003[aA]")
"""A colon as an escape, which is written again as itself; linear, since a run of backslashes is tried at its start."""
FIX = "Send one JSON object in UTF-8."

_decode = msgspec.json.Decoder(Any).decode
_encode = msgspec.json.Encoder().encode


def decode(body: bytes, depth: int = 64) -> Json:
    """The object in `body`. Raises `MalformedError` that says what is wrong and at which byte or key."""
    try:
        value = _parsed(body)
    except RecursionError:
        raise _too_deep(depth) from None
    if not isinstance(value, dict):
        raise MalformedError("The body is JSON but not an object.", FIX)
    if body.count(b"[") + body.count(b"{") > depth and _deeper(value, depth):
        raise _too_deep(depth)
    if body.count(b":") + _escaped(body) != _encode(value).count(b":"):
        name = _twice(body)
        raise MalformedError(f"The key {name!r} is there twice in one object.", "Send each key once.", param=name)
    return cast("Json", value)


def _parsed(body: bytes) -> Any:
    try:
        return _decode(body)
    except UnicodeDecodeError as error:
        raise MalformedError("The body has bytes that are not UTF-8.", FIX) from error
    except msgspec.MsgspecError as error:
        raise MalformedError(f"The body is not JSON: {_reason(body, str(error))}.", FIX) from error


def _reason(body: bytes, said: str) -> str:
    """The parser's words, but for the two cases where they mislead."""
    if not body.strip():
        return "it is empty"
    if "truncated" in said or "surrogate" in said:
        return "it ends too early, or a \\u escape is half of a surrogate pair"
    return said.removeprefix("JSON is malformed: ")


def _deeper(value: Any, depth: int) -> bool:
    """Whether there is a list or an object below `depth` others."""
    level = [value]
    for _ in range(depth):
        if not level:
            return False
        inside = [item.values() if type(item) is dict else item for item in level]
        level = [child for items in inside for child in items if type(child) is dict or type(child) is list]
    return bool(level)


def _too_deep(depth: int) -> MalformedError:
    return MalformedError(
        f"The body is nested deeper than {depth} levels.", "Flatten it, or raise server.max_depth.", code="too_deep"
    )


def _escaped(body: bytes) -> int:
    """Colons that are written as escapes."""
    return len(COLON.findall(body)) if b"\\u003" in body else 0


def _twice(body: bytes) -> str:
    """The name of a key that is there twice."""

    def pairs(found: list[tuple[str, Any]]) -> None:
        name, times = Counter(name for name, _ in found).most_common(1)[0] if found else ("", 0)
        if times > 1:
            raise _FoundError(name)

    try:
        json.loads(body, object_pairs_hook=pairs)
    except _FoundError as found:
        return found.message
    return "?"


class _FoundError(RequestError): ...
