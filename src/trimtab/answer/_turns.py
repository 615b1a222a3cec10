"""Anthropic's turns as chat messages, and back: system, thinking, tool calls and their results. Pure.

In an assistant's message the thinking is `reasoning_content`, each thought on lines of its own; `thinking_blocks` says
how many lines each has, and keeps its signature. `order` is there where the blocks did not stand in their usual order.
"""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec

from trimtab.answer import _blocks
from trimtab.answer._blocks import Untranslatable
from trimtab.types import Json

SYSTEM = frozenset({"system", "developer"})
MINE = frozenset({"role", "content", "reasoning_content", "reasoning", "thinking_blocks", "order", "tool_calls"})
DIRECT: Json = {"type": "direct"}
"""The `caller` of a tool that the model called itself: what a call without one means, so a chat is spared it."""
PLACED = "placed"
"""Marks a system message that stands among the turns, and is to stay there."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


def chat(system: Any, messages: Sequence[Json]) -> list[Json]:
    """Chat messages of a checked Anthropic request's `system` and `messages`."""
    found = [] if system in (None, "", []) else [{"role": "system", "content": _blocks.content(system)}]
    for i, message in enumerate(messages):
        found += _chat(message, first=i == 0)
    return found


def anthropic(messages: Sequence[Json]) -> tuple[str | list[Json] | None, list[Json]]:
    """`system` and `messages` of an Anthropic request. Raises `RequestError`, `Untranslatable`."""
    said: list[Any] = []
    turns: list[Json] = []
    for i, message in enumerate(messages):
        path = f"messages[{i}].content"
        if message.get("role") in SYSTEM and not message.get(PLACED):
            said.append(message.get("content"))
        elif turn := _turn(message, path):
            _add(turns, turn)
    return _system(said), turns


def assistant(blocks: Sequence[Json]) -> Json:
    """An assistant's chat message of its blocks."""
    parts: list[Json] = []
    thoughts: list[str] = []
    signed: list[Json] = []
    calls: list[Json] = []
    order: list[str] = []
    for block in blocks:
        kind = block.get("type")
        if kind in ("thinking", "redacted_thinking"):
            thoughts += [block["thinking"]] if block.get("thinking") else []
            signed.append(thought(block))
        elif kind == "tool_use":
            calls.append(call(block))
        else:
            found = _blocks.parts([block])
            parts += found
            order += ["part"] * (len(found) - 1)
        order.append(
            {"thinking": "thought", "redacted_thinking": "thought", "tool_use": "call"}.get(kind or "", "part")
        )
    message: Json = {"role": "assistant", "content": _blocks.plain(parts) if parts else None}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if signed:
        message["thinking_blocks"] = signed
    if calls:
        message["tool_calls"] = calls
    if order != usual(order):
        message["order"] = order
    return message


def usual(order: Sequence[str]) -> list[str]:
    """Thoughts first, calls last."""
    return sorted(order, key=("thought", "part", "call").index)


def thought(block: Json) -> Json:
    """A thinking block without its text, but with the number of its lines."""
    if "thinking" not in block:
        return dict(block)
    rest = {key: value for key, value in block.items() if key != "thinking"}
    return {**rest, "lines": block["thinking"].count("\n") + 1 if block["thinking"] else 0}


def thoughts(message: Json, signed: bool) -> list[Json]:
    """The thinking blocks of a chat message; with `signed` only those that Anthropic would take back."""
    text = message.get("reasoning_content") or message.get("reasoning") or ""
    lines = text.split("\n") if isinstance(text, str) and text else []
    found: list[Json] = []
    given: list[Json] = [block for block in message.get("thinking_blocks") or () if isinstance(block, dict)]
    last = max((i for i, block in enumerate(given) if block.get("type") == "thinking"), default=-1)
    for i, block in enumerate(given):
        if block.get("type") != "thinking":
            found.append(dict(block))
            continue
        count = len(lines) if i == last else _lines(block)
        rest = {key: value for key, value in block.items() if key not in ("lines", "thinking")}
        found.append({**rest, "thinking": "\n".join(lines[:count]), "signature": block.get("signature") or ""})
        lines = lines[count:]
    if lines and last < 0:
        found.insert(0, {"type": "thinking", "thinking": "\n".join(lines), "signature": ""})
    return [block for block in found if block.get("signature") or block.get("type") != "thinking" or not signed]


def call(block: Json) -> Json:
    """A tool call of a `tool_use` block."""
    rest = {key: value for key, value in block.items() if key not in ("type", "id", "name", "input")}
    if rest.get("caller") == DIRECT:
        del rest["caller"]
    arguments = _encode(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function, **rest}


def use(call: Json) -> Json:
    """A `tool_use` block of a tool call; arguments that are no JSON object are kept under that name."""
    if call.get("type") == "custom":
        raise Untranslatable("unsupported_tool", "This model has no tools of free text.")
    function: Json = call.get("function") or {}
    rest = {key: value for key, value in call.items() if key not in ("id", "type", "function", "index")}
    name, given = function.get("name"), function.get("arguments") or "{}"
    return {"type": "tool_use", "id": call.get("id"), "name": name, "input": _input(given), **rest}


def _input(arguments: str) -> Json:
    try:
        found = _decode(arguments)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"arguments": arguments}


def _lines(block: Json) -> int:
    """The lines of a thought: as we noted them, or of its text where another gateway left it in."""
    if isinstance(block.get("lines"), int):
        return block["lines"]
    text = block.get("thinking")
    return text.count("\n") + 1 if isinstance(text, str) and text else 0


def _chat(message: Json, first: bool) -> Iterator[Json]:
    role, given = message["role"], message.get("content")
    rest = {key: value for key, value in message.items() if key not in ("role", "content")}
    if role == "system":
        yield {"role": "system", "content": _blocks.content(given), **({} if first else {PLACED: True}), **rest}
    elif role == "assistant":
        yield {**(assistant(given) if isinstance(given, list) else {"role": role, "content": given}), **rest}
    elif isinstance(given, str):
        yield {"role": role, "content": given, **rest}
    else:
        blocks = cast("list[Json]", given)
        results = [block for block in blocks if block.get("type") == "tool_result"]
        said = [block for block in blocks if block.get("type") != "tool_result"]
        yield from map(_result, results)
        if said or not results:
            yield {"role": role, "content": _blocks.content(said), **rest}


def _result(block: Json) -> Json:
    rest = {key: value for key, value in block.items() if key not in ("type", "tool_use_id", "content")}
    found = _blocks.content(block.get("content"))
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": "" if found is None else found, **rest}


def _turn(message: Json, path: str) -> Json | None:
    """One turn; None for an assistant who said nothing."""
    role, given = message.get("role"), message.get("content")
    if role in SYSTEM:
        return {"role": "system", "content": _said(given, path)}
    if role in ("tool", "function"):
        return {"role": "user", "content": [_tool_result(message, path)]}
    if role == "assistant":
        found = _assistant(message, path)
        if len(found) == 1 and found[0].keys() == {"type", "text"}:
            return {"role": role, "content": found[0]["text"]}
        return {"role": role, "content": found} if found else None
    return {"role": "user", "content": _said(given, path)}


def _assistant(message: Json, path: str) -> list[Json]:
    said = _blocks.blocks(message.get("content") or message.get("refusal"), path)
    calls: list[Json] = list(message.get("tool_calls") or ())
    if old := message.get("function_call"):
        calls.append({"id": f"call_{old.get('name')}", "function": old})
    whole = thoughts(message, signed=False)
    queues = {"thought": whole, "part": said, "call": [use(call) for call in calls]}
    sent = _ordered(message.get("order"), queues, message.get("content"))
    return [block for block in sent if block.get("type") != "thinking" or block.get("signature")]


def _ordered(order: Any, queues: dict[str, list[Json]], content: Any) -> list[Json]:
    """The blocks in the order that was noted, if it still is of as many thoughts, parts and calls."""
    usually = [*queues["thought"], *queues["part"], *queues["call"]]
    if not isinstance(order, list):
        return usually
    parts = len(content) if isinstance(content, list) else int(bool(content))
    counts = {"thought": len(queues["thought"]), "part": parts, "call": len(queues["call"])}
    names = cast("list[Any]", order)
    if {name: names.count(name) for name in counts} != counts or len(names) != sum(counts.values()):
        return usually
    owners = _owners(content, queues["part"]) if isinstance(content, list) else [True] * parts
    turns, found, at = {name: iter(queue) for name, queue in queues.items()}, list[Json](), 0
    for name in names:
        if name == "part":
            at += 1
            if not owners[at - 1]:
                continue
        found += [block for block in (next(turns[name], None),) if block is not None]
    return found


def _owners(content: list[Json], said: list[Json]) -> list[bool]:
    """Which parts begin a block: further texts of a block do not, nor do empty ones."""
    begins = [not ("at" in part and "block" not in part) and part.get("text") != "" for part in content]
    return begins if sum(begins) == len(said) else [True] * len(content)


def _tool_result(message: Json, path: str) -> Json:
    given = message.get("content")
    name = message.get("name") or ""
    rest = {key: value for key, value in message.items() if key not in ("role", "tool_call_id", "content", "name")}
    call = message.get("tool_call_id") or f"call_{name}"
    found = given if isinstance(given, str) else _blocks.blocks(given, path)
    return {"type": "tool_result", "tool_use_id": call, "content": found, **rest}


def _said(given: Any, path: str) -> str | list[Json]:
    return given if isinstance(given, str) else _blocks.blocks(given, path)


def _add(turns: list[Json], turn: Json) -> None:
    """Results of tools stand together at the beginning of one user turn, as Anthropic wants them."""
    last = turns[-1] if turns else None
    if last and turn["role"] == last["role"] == "user" and _has_results(last["content"]):
        last["content"] = (
            [
                *last["content"],
                *_blocks.blocks(turn["content"]),
            ]
            if isinstance(turn["content"], str)
            else [*last["content"], *turn["content"]]
        )
        return
    turns.append(turn)


def _has_results(content: Any) -> bool:
    """Whether a turn is of results alone, so far."""
    return isinstance(content, list) and all(
        block.get("type") == "tool_result" for block in cast("list[Json]", content)
    )


def _system(said: list[Any]) -> str | list[Json] | None:
    if not said:
        return None
    if len(said) == 1 and isinstance(said[0], str):
        return said[0] or None
    return [block for given in said for block in _blocks.blocks(given, "system")] or None
