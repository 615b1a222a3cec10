"""All strings and numbers of a request that would leave, each changed by what it is: text, JSON, a pattern, or a name.

By default everything is text. The exceptions are the protocol's: with these changed it would be another request.
"""

import json
import re
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from trimtab.types import Json

NAMES = frozenset({
    "role", "type", "id", "tool_call_id", "call_id", "name", "file_id", "detail", "format", "status", "object",
    "$schema", "$id", "$anchor",
})  # fmt: skip
"""Keys of the protocol whose values are names: they stay if they look like one, so that ids and tools match back."""
NAME = re.compile(r"[\w.:/#$-]{1,256}")
BINARY = frozenset({"url", "image_url", "data", "file_data", "signature", "thought_signature", "encrypted_content"})
ENCODED = re.compile(r"(?:data:[\w/+.;=-]{0,100};base64,|(?=.{64}))[A-Za-z0-9+/_-]*={0,2}\s*", re.DOTALL)
"""Base64, alone or as a data URL: a picture, a recording, a file."""
COUNTS = frozenset({
    "index", "start_index", "end_index", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains",
})  # fmt: skip
"""Keys of the protocol whose values are numbers of nobody."""
FREE = frozenset({"arguments", "input", "default", "const", "enum", "examples", "metadata"})
"""Keys of the protocol under which nothing is the protocol's."""
PROTOCOL = frozenset({"tools", "functions", "tool_choice", "function_call", "response_format"})
"""Parameters in the protocol's shape."""
KNOWN = frozenset({
    "temperature", "top_p", "top_k", "min_p", "n", "seed", "max_tokens", "max_completion_tokens", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "top_logprobs", "logit_bias", "best_of",
})  # fmt: skip
"""Parameters that are numbers of nobody."""


class Ways(NamedTuple):
    """How each thing is changed; `text` is given the key that it stands under."""

    text: Callable[[str, str], str]
    json: Callable[[str], str]
    pattern: Callable[[str], str]


def message(said: Json, ways: Ways) -> Json:
    """A message: a tool's result is JSON more often than prose, and the name of who speaks is no tool's."""
    by_tool = said.get("role") in {"tool", "function"}

    def text(part: str, key: str) -> str:
        return ways.json(part) if by_tool and part.lstrip()[:1] in ("{", "[") else ways.text(part, key)

    changed = _table(said, ways._replace(text=text), protocol=True)
    if not by_tool and isinstance(who := said.get("name"), str):
        changed["name"] = ways.text(who, "name")
    return changed


def params(given: Json, ways: Ways) -> Json:
    """The parameters of a request."""
    return {
        ways.text(key, ""): value if key in KNOWN else _any(value, ways, key, key in PROTOCOL)
        for key, value in given.items()
    }


def _any(value: Any, ways: Ways, key: str, protocol: bool) -> Any:
    if isinstance(value, str):
        return _string(value, ways, key, protocol)
    if isinstance(value, dict):
        return _table(cast("Json", value), ways, protocol, patterns=key == "patternProperties")
    if isinstance(value, list):
        return [_any(item, ways, key, protocol) for item in cast("list[Any]", value)]
    if isinstance(value, int | float) and not isinstance(value, bool) and not (protocol and key in COUNTS):
        return _number(value, ways, key)
    return value


def _table(table: Json, ways: Ways, protocol: bool, patterns: bool = False) -> Json:
    return {
        ways.pattern(key) if patterns else ways.text(key, ""): _any(value, ways, key, protocol and key not in FREE)
        for key, value in table.items()
    }


def _string(value: str, ways: Ways, key: str, protocol: bool) -> str:
    if protocol and key in NAMES and NAME.fullmatch(value):
        return value
    if protocol and key in BINARY and ENCODED.fullmatch(value):
        return value
    if key == "arguments":
        return ways.json(value)
    return ways.pattern(value) if protocol and key == "pattern" else ways.text(value, key)


def _number(value: float, ways: Ways, key: str) -> Any:
    """A number that is personal becomes a string: a placeholder is nothing else."""
    text = json.dumps(value)
    changed = ways.text(text, key)
    return value if changed == text else changed
