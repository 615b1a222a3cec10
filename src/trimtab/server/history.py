"""The items of a Responses conversation as chat messages. Pure.

What a model wrote in one turn is one assistant message in a chat, and several items here: its reasoning, its words and
its calls. Fields of an item that a chat message has no place for (`id`, `status`, `phase`, annotations and
log-probabilities of earlier answers, encrypted reasoning of another server) end here; unknown ones are kept.
"""

from collections.abc import Callable
from typing import Any, cast

from trimtab.errors import RequestError
from trimtab.server.items import OF_ITEM, OF_REASONING, SEALED, flat, joined, rest, string, unsealed, wrong
from trimtab.types import Json

ROLES = frozenset({"user", "assistant", "system", "developer"})
OF_CALL = ("type", "id", "status", "call_id", "name", "namespace", "arguments", "input", "caller")


def messages(given: Any, instructions: Any) -> list[Json]:
    """The chat messages of `input` and `instructions`. Raises `RequestError`s that name the item and the fix."""
    if instructions is not None and not isinstance(instructions, str):
        raise wrong("instructions", "a string")
    found: list[Json] = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*found, {"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise wrong("input", "a string or a list with at least one item")
    for i, item in enumerate(cast("list[Any]", given)):
        _read(item, f"input[{i}]", found)
    return _spoken(found)


def _read(item: Any, path: str, found: list[Json]) -> None:
    if not isinstance(item, dict):
        raise wrong(path, "an object")
    known = cast("Json", item)
    kind = known.get("type", "message" if "role" in known else None)
    if not isinstance(kind, str):
        raise wrong(f"{path}.type", f"one of {', '.join(READERS)}")
    if kind == "item_reference":
        raise RequestError(
            f"{path} refers to an item that this gateway did not store.", "Send the item itself.", param=path,
            code="nothing_stored",
        )  # fmt: skip
    if kind not in READERS:
        raise RequestError(
            f"{path} has the type {kind[:60]!r}, which no model here can read.",
            f"Leave it out; the types that can be read are {', '.join(READERS)}.", param=path, code="unsupported_item",
        )  # fmt: skip
    READERS[kind](known, path, found)


def _spoken(found: list[Json]) -> list[Json]:
    """The messages, each with a text or a call, as servers want it: reasoning that came after its words joins them."""
    kept: list[Json] = []
    for said in found:
        if said["role"] != "assistant" or said["content"] is not None or "tool_calls" in said:
            kept.append(said)
        elif kept and kept[-1]["role"] == "assistant" and not said.keys() & kept[-1].keys() - {"role", "content"}:
            kept[-1] |= rest(said, ("content",))
        else:
            kept.append({**said, "content": ""})
    return kept


def _takes_words(last: Json) -> bool:
    """Whether words go into the assistant's message before them: one with calls must stay before their results."""
    return last["role"] == "assistant" and (last["content"] is None or "tool_calls" in last) and "refusal" not in last


def _message(item: Json, path: str, found: list[Json]) -> None:
    role = item.get("role")
    if not isinstance(role, str) or role not in ROLES:
        raise wrong(f"{path}.role", f"one of {', '.join(sorted(ROLES))}")
    _check_calls(item, path)
    content, refusal = _content(item.get("content"), f"{path}.content")
    said: Json = {"role": role, "content": content, **rest(item, OF_ITEM)}
    if refusal:
        said["refusal"] = refusal
    last = found[-1] if found else None
    if role != "assistant" or last is None or not _takes_words(last):
        found.append(said)
        return
    before = last["content"]
    last |= {**said, "content": content if before is None else [*_listed(before), *_listed(content)]}


def _check_calls(item: Json, path: str) -> None:
    if item.get("tool_calls") is not None:
        raise wrong(f"{path}.tool_calls", "left out: a call is an item of its own")


def _reasoning(item: Json, path: str, found: list[Json]) -> None:
    _check_calls(item, path)
    pieces = [
        string(cast("Json", part), "text", f"{path}.{field}[{j}]") if isinstance(part, dict) else ""
        for field in ("content", "summary")
        for j, part in enumerate(cast("list[Any]", item.get(field)) if isinstance(item.get(field), list) else [])
    ]
    further = rest(item, OF_REASONING) | unsealed(item.get("encrypted_content"), f"{path}.encrypted_content")
    if not any(pieces) and not further:
        return
    last = found[-1] if found else {"role": ""}
    if not (last["role"] == "assistant" and (last["content"] is None or "tool_calls" in last)):
        found.append(last := {"role": "assistant", "content": None})
    pieces = [*([before] if isinstance(before := last.get("reasoning_content"), str) else []), *pieces]
    last |= joined({name: last[name] for name in SEALED if name in last}, further)
    if any(pieces):
        last["reasoning_content"] = "\n\n".join(piece for piece in pieces if piece)


def _call(item: Json, path: str, found: list[Json]) -> None:
    custom = item["type"] == "custom_tool_call"
    space = string(item, "namespace", path) if item.get("namespace") is not None else ""
    name = flat(space, string(item, "name", path))
    field = "input" if custom else "arguments"
    body = {"name": name, field: string(item, field, path)}
    asked: Json = {**rest(item, OF_CALL), "id": string(item, "call_id", path)}
    asked |= {"type": "custom", "custom": body} if custom else {"type": "function", "function": body}
    if not found or found[-1]["role"] != "assistant":
        found.append({"role": "assistant", "content": None})
    found[-1].setdefault("tool_calls", []).append(asked)


def _result(item: Json, path: str, found: list[Json]) -> None:
    content, _ = _content(item.get("output"), f"{path}.output")
    further = rest(item, ("type", "id", "status", "call_id", "output", "name", "namespace", "caller"))
    found.append({**further, "role": "tool", "tool_call_id": string(item, "call_id", path), "content": content})


READERS: dict[str, Callable[[Json, str, list[Json]], None]] = {
    "message": _message, "reasoning": _reasoning, "function_call": _call, "function_call_output": _result,
    "custom_tool_call": _call, "custom_tool_call_output": _result,
}  # fmt: skip


def _content(given: Any, path: str) -> tuple[Any, str]:
    """The chat's content and what was refused; a single plain text stays a string, as every server reads it."""
    if isinstance(given, str):
        return given, ""
    if not isinstance(given, list):
        raise wrong(path, "a string or a list of parts")
    parts: list[Json] = []
    refused: list[str] = []
    for j, part in enumerate(cast("list[Any]", given)):
        if not isinstance(part, dict) or not isinstance(kind := cast("Json", part).get("type"), str):
            raise wrong(f"{path}[{j}]", "an object with a type")
        if kind == "refusal":
            refused.append(string(cast("Json", part), "refusal", f"{path}[{j}]"))
        else:
            parts.append(_part(cast("Json", part), kind, f"{path}[{j}]"))
    plain = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return (parts[0]["text"] if plain else parts or None if refused else parts), "\n".join(refused)


def _part(part: Json, kind: str, path: str) -> Json:
    if kind in ("input_text", "output_text", "text"):
        return {**rest(part, ("annotations", "logprobs")), "type": "text", "text": string(part, "text", path)}
    if kind == "input_image":
        url = {"url": _sent(part, "image_url", path)}
        detail = {"detail": part["detail"]} if part.get("detail") else {}
        return {**rest(part, ("image_url", "detail", "file_id")), "type": "image_url", "image_url": {**url, **detail}}
    if kind == "input_file":
        _sent(part, "file_data", path)
        return {"type": "file", "file": rest(part, ("type", "file_url", "file_id"))}
    if kind == "input_audio":
        return part
    raise RequestError(
        f"{path} has the type {kind[:60]!r}, which no model here can read.",
        "Send input_text, input_image, input_file, input_audio, output_text or refusal.", param=path,
        code="unsupported_part",
    )  # fmt: skip


def _sent(part: Json, field: str, path: str) -> str:
    """The data themselves: this gateway keeps no files and fetches none."""
    if not isinstance(value := part.get(field), str) or not value:
        raise RequestError(
            f"{path} has no {field}: this gateway keeps no files and fetches none.", f"Send {field}.",
            param=f"{path}.{field}",
        )  # fmt: skip
    return value


def _listed(content: Any) -> list[Json]:
    if isinstance(content, list):
        return cast("list[Json]", content)
    return [{"type": "text", "text": content}] if content else []
