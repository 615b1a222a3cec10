"""JSON bodies, strictly: one object, every key once, no NaN, no lone surrogate, and not deeper than anyone means.

`msgspec` parses and rejects what is not JSON. It keeps the last of two equal keys and recurses as deep as it is led,
so depth is bounded before it and keys are counted after it: a body has as many colons outside of its strings as its
parsed objects have keys, or a key was written twice. Most bodies are cleared by counting bytes; strings are cut out
only where a text holds colons or brackets enough to hide something.
"""

import json
import re
from collections import Counter
from typing import Any, cast

import msgspec

from trimtab.errors import MalformedError, RequestError
from trimtab.types import Json

STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
"""A JSON string, also one that never ends: possessive, so linear in the body."""
SPACED = (b" :", b"\t:", b"\n:", b"\r:")
ONE_KIND = bytes.maketrans(b"{}", b"[]")
NO_BRACKET = bytes(byte for byte in range(256) if byte not in b"[]{}")
FIX = "Send one JSON object in UTF-8."

_decode = msgspec.json.Decoder(Any).decode


def decode(body: bytes, depth: int = 64) -> Json:
    """The object in `body`. Raises `MalformedError` that says what is wrong and at which byte or key."""
    if body.count(b"[") + body.count(b"{") > depth:
        _check_depth(body, depth)
    value = _parsed(body)
    if not isinstance(value, dict):
        raise MalformedError("The body is JSON but not an object.", FIX)
    keys = _keys(value)
    if body.count(b":") != keys and not _plainly(body, keys) and STRING.sub(b"", body).count(b":") != keys:
        name = _twice(body)
        raise MalformedError(f"The key {name!r} is there twice in one object.", "Send each key once.", param=name)
    return cast("Json", value)


def _parsed(body: bytes) -> Any:
    try:
        return _decode(body)
    except UnicodeDecodeError as error:
        raise MalformedError("The body has bytes that are not UTF-8.", FIX) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise MalformedError(f"The body is not JSON: {_reason(body, str(error))}.", FIX) from error


def _reason(body: bytes, said: str) -> str:
    """The parser's words, but for the two cases where they mislead."""
    if not body.strip():
        return "it is empty"
    if "truncated" in said or "surrogate" in said:
        return "it ends too early, or a \\u escape is half of a surrogate pair"
    return said.removeprefix("JSON is malformed: ")


def _check_depth(body: bytes, depth: int) -> None:
    """Take the innermost pairs out, round by round: what is left after `depth` rounds was deeper (or never closed)."""
    brackets = STRING.sub(b"", body).translate(ONE_KIND, NO_BRACKET)
    if b"[" * (depth + 1) not in brackets:
        for _ in range(depth):
            brackets = brackets.replace(b"[]", b"")
        if b"[" not in brackets or b"]" not in brackets:
            return
    raise MalformedError(
        f"The body is nested deeper than {depth} levels.", "Flatten it, or raise server.max_depth.", code="too_deep"
    )


def _keys(value: Any) -> int:
    count, todo = 0, [value]
    while todo:
        item = todo.pop()
        if type(item) is dict:
            count += len(item)
            item = item.values()
        todo += [child for child in item if type(child) is dict or type(child) is list]
    return count


def _plainly(body: bytes, keys: int) -> bool:
    """Whether quote-colon pairs account for the keys; sound only where no colon of the body has a space before it."""
    return body.count(b'":') == keys and not any(space in body for space in SPACED)


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
