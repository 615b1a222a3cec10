"""An answer as items of the Responses API: its reasoning, its words and its calls. Pure.

What a model's server signed of its reasoning travels in `encrypted_content`, which clients send back unread.
"""

import base64
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, cast

import msgspec

from trimtab.errors import MalformedError
from trimtab.types import Answer, Json

NAME = 64
"""Characters of a function's name that OpenAI's chat format allows."""
OF_ITEM = ("type", "id", "status", "role", "content", "phase")
OF_REASONING = (*OF_ITEM, "summary", "encrypted_content")
OF_CHAT_CALL = ("id", "type", "index", "function", "custom")
THOUGHTS = ("reasoning_content", "reasoning")
"""Fields of a chat message that hold a model's reasoning; servers differ, and some send both."""
SEALED = ("thinking_blocks", "reasoning_details")
"""Fields of a chat message with what belongs to the reasoning and must come back untouched; lists, as a rule."""
MARK = "trimtab.1."
"""What `encrypted_content` of our own begins with."""
SPOKEN = frozenset({"refusal", "annotations", "function_call", *THOUGHTS, *SEALED})
"""Fields of a chat message that items have a place for; all others stay on the message item as they came."""

Names = Mapping[str, tuple[str, str]]
"""The namespace and name behind each function name of the chat."""


def output(answer: Answer, key: str, names: Names) -> list[Json]:
    """The items of an answer: its reasoning, its words, its calls. Their ids are made of `key`."""
    extra = answer.extra
    thought = next((extra[field] for field in THOUGHTS if isinstance(extra.get(field), str)), "")
    asked = calls(answer)
    parts, further = _parts_of(answer), kept(extra)
    bare = bool(asked) and not parts
    items = []
    if thought or any(extra.get(field) for field in SEALED) or (bare and further):
        items = [{**(further if bare else {}), **reasoning(f"rs_{key}", thought, extra)}]
    if not bare:
        items.append(message(f"msg_{key}", parts or [text_part("")], further))
    return [*items, *(call(found, f"{key}_{i}", names) for i, found in enumerate(asked))]


def kept(extra: Json) -> Json:
    """The further fields of an answer's message that no item has a place for."""
    return {name: value for name, value in extra.items() if name not in SPOKEN and name not in OF_REASONING}


def message(id: str, parts: list[Json], extra: Json | None = None, status: str = "completed") -> Json:
    return {**(extra or {}), "id": id, "type": "message", "status": status, "role": "assistant", "content": parts}


def reasoning(id: str, text: str, extra: Json | None = None) -> Json:
    """Where a model's reasoning has no text, the item only carries what belongs to it."""
    sealed = {"encrypted_content": held} if (held := seal(extra or {})) else {}
    return {"id": id, "type": "reasoning", "summary": [], "content": [reasoning_part(text)] if text else [], **sealed}


def seal(extra: Json) -> str:
    """`SEALED` of an answer's fields as one string; empty where there is none of them."""
    found = {field: extra[field] for field in SEALED if extra.get(field)}
    return MARK + base64.b64encode(msgspec.json.encode(found)).decode() if found else ""


def joined(before: Json, more: Json) -> Json:
    """Both objects as one: lists go on where they stopped, of all else the later stands."""
    both = {name: [*before[name], *value] for name, value in more.items()
            if isinstance(value, list) and isinstance(before.get(name), list)}  # fmt: skip
    return {**before, **more, **both}


def unsealed(given: Any, path: str) -> Json:
    """What `seal` held; nothing for another server's string. Raises `MalformedError` for a damaged one."""
    if not isinstance(given, str) or not given.startswith(MARK):
        return {}
    try:
        found = msgspec.json.decode(base64.b64decode(given.removeprefix(MARK), validate=True), type=dict[str, Any])
    except (ValueError, RecursionError) as error:
        raise wrong(path, "as this gateway gave it") from error
    return {field: found[field] for field in SEALED if field in found}


def text_part(text: str, logprobs: Any = (), annotations: Any = ()) -> Json:
    return {"type": "output_text", "text": text, "annotations": list(annotations), "logprobs": list(logprobs)}


def refusal_part(text: str) -> Json:
    return {"type": "refusal", "refusal": text}


def reasoning_part(text: str) -> Json:
    return {"type": "reasoning_text", "text": text}


def calls(answer: Answer) -> list[Json]:
    """The tool calls of an answer, the deprecated `function_call` among them."""
    old = answer.extra.get("function_call")
    return [*answer.tool_calls, *([{"function": old}] if isinstance(old, dict) else ())]


def call(found: Json, key: str, names: Names, status: str = "completed") -> Json:
    """The item of a chat's tool call; a call that came without an id gets one."""
    custom = found.get("type") == "custom"
    body = found.get("custom" if custom else "function") or {}
    space, name = names.get(body.get("name", ""), ("", body.get("name", "")))
    item: Json = {field: value for field, value in found.items() if field not in OF_CHAT_CALL}
    item |= {"id": f"{'ctc' if custom else 'fc'}_{key}", "call_id": found.get("id") or f"call_{key}", "name": name}
    if space:
        item["namespace"] = space
    if custom:
        return item | {"type": "custom_tool_call", "status": status, "input": body.get("input") or ""}
    return item | {"type": "function_call", "status": status, "arguments": body.get("arguments") or ""}


def annotations(extra: Json) -> list[Json]:
    """The annotations of an answer's message, without the level that the chat format puts around them."""
    given: Any = extra.get("annotations")
    found = cast("list[Json]", [one for one in given if isinstance(one, dict)]) if isinstance(given, list) else []
    return [
        {"type": kind, **inner} if isinstance(inner := one.get(kind := one.get("type", "")), dict) else one
        for one in found
    ]


def flat(space: str, name: str) -> str:
    """The chat's name of a function in a namespace; one that is too long ends in a hash of itself."""
    joined = f"{space.removesuffix('__')}__{name}" if space else name
    if not space or len(joined) <= NAME:
        return joined
    return f"{joined[: NAME - 9]}_{sha256(joined.encode()).hexdigest()[:8]}"


def wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)


def string(item: Json, field: str, path: str) -> str:
    """Raises `MalformedError` for a field that is no string."""
    if not isinstance(value := item.get(field), str):
        raise wrong(f"{path}.{field}", "a string")
    return value


def rest(item: Json, known: tuple[str, ...]) -> Json:
    return {name: value for name, value in item.items() if name not in known}


def _parts_of(answer: Answer) -> list[Json]:
    logprobs = (answer.body.get("logprobs") or {}).get("content") or ()
    parts = [text_part(answer.text, logprobs, annotations(answer.extra))] if answer.text else []
    refused = answer.extra.get("refusal")
    return [*parts, refusal_part(refused)] if isinstance(refused, str) and refused else parts
