"""JSON as a text that every database and every file takes."""

import json
from typing import Any

import msgspec


def encoded(value: Any) -> str:
    """The value as JSON; halves of surrogate pairs, which UTF-8 does not have, stay written as escapes.

    Raises `TypeError` for what is no JSON.
    """
    try:
        return msgspec.json.encode(value).decode()
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(msgspec.to_builtins(value), separators=(",", ":"))


def decoded(text: str) -> Any:
    """What `encoded` made."""
    return json.loads(text)
