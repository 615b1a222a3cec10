"""The texts inside chat messages: walk over them with their provenance, or rewrite each in place. Pure."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from trimtab.types import Answer, Json, Origin, Request, Span, Text

ORIGINS = {
    "system": Origin.SYSTEM,
    "developer": Origin.SYSTEM,
    "assistant": Origin.ASSISTANT,
    "tool": Origin.TOOL,
    "function": Origin.TOOL,
}


FIELDS = ("name", "refusal", "reasoning_content", "reasoning")
"""A message's further fields that hold text."""


def texts(messages: Sequence[Json]) -> tuple[Text, ...]:
    """Every text of the messages in order: contents, text parts, tool-call arguments and `FIELDS`."""
    return tuple(found for i, message in enumerate(messages) for found in _walk(message, f"messages[{i}]"))


def question(request: Request) -> str:
    """The text of the last user message, its parts joined by line ends; empty where there is none."""
    for message in reversed(request.messages):
        if message.get("role") == "user":
            return content(message)
    return ""


def content(message: Json) -> str:
    """The text of one message."""
    value = message.get("content")
    if isinstance(value, str):
        return value
    return "\n".join(part["text"] for part in _parts(value) if isinstance(part.get("text"), str))


def rewrite(messages: Sequence[Json], change: Callable[[Text], str]) -> tuple[Json, ...]:
    """The messages with each text replaced by `change(text)`; all else, and the originals, stay untouched."""
    return tuple(_rewritten(message, f"messages[{i}]", change) for i, message in enumerate(messages))


def cut(text: str, spans: Sequence[Span], mark: Callable[[Span], str] = lambda span: f"[{span.kind}]") -> str:
    """`text` with each span replaced by its mark; of spans that overlap, all is cut and the first one's mark stands."""
    pieces: list[str] = []
    end = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start >= end:
            pieces += (text[end : span.start], mark(span))
        end = max(end, span.end)
    return "".join((*pieces, text[end:]))


def of_answer(answer: Answer) -> tuple[Text, ...]:
    """The texts of an answer: what it says, and the arguments of its tool calls."""
    said = [Text(text=answer.text, origin=Origin.ANSWER, path="answer")] if answer.text else []
    calls = [
        Text(text=arguments, origin=Origin.ANSWER, path=f"tool_calls[{i}]")
        for i, call in enumerate(answer.tool_calls)
        if isinstance(arguments := call.get("function", {}).get("arguments"), str)
    ]
    return (*said, *calls)


def _parts(value: Any) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (cast("Json", part) for part in cast("list[Any]", value) if isinstance(part, dict))


def _walk(message: Json, path: str) -> Iterator[Text]:
    origin = ORIGINS.get(message.get("role", ""), Origin.USER)
    for where, text in _leaves(message, path):
        yield Text(text=text, origin=origin, path=where)


def _leaves(message: Json, path: str) -> Iterator[tuple[str, str]]:
    value = message.get("content")
    if isinstance(value, str):
        yield f"{path}.content", value
    else:
        for j, part in enumerate(_parts(value)):
            if isinstance(part.get("text"), str):
                yield f"{path}.content[{j}].text", part["text"]
    for field in FIELDS:
        if isinstance(message.get(field), str):
            yield f"{path}.{field}", message[field]
    for j, call in enumerate(_parts(message.get("tool_calls"))):
        arguments = call.get("function", {}).get("arguments")
        if isinstance(arguments, str):
            yield f"{path}.tool_calls[{j}].function.arguments", arguments


def _rewritten(message: Json, path: str, change: Callable[[Text], str]) -> Json:
    origin = ORIGINS.get(message.get("role", ""), Origin.USER)
    changed: Json = dict(message)

    def new(where: str, text: str) -> str:
        return change(Text(text=text, origin=origin, path=where))

    value = message.get("content")
    if isinstance(value, str):
        changed["content"] = new(f"{path}.content", value)
    elif isinstance(value, list):
        changed["content"] = [
            {**part, "text": new(f"{path}.content[{j}].text", part["text"])}
            if isinstance(part, dict) and isinstance(part.get("text"), str)  # pyright: ignore[reportUnknownMemberType]
            else part
            for j, part in enumerate(cast("list[Any]", value))
        ]
    for field in FIELDS:
        if isinstance(message.get(field), str):
            changed[field] = new(f"{path}.{field}", message[field])
    if isinstance(message.get("tool_calls"), list):
        changed["tool_calls"] = [
            _call(call, f"{path}.tool_calls[{j}]", new) for j, call in enumerate(message["tool_calls"])
        ]
    return changed


def _call(call: Any, path: str, new: Callable[[str, str], str]) -> Any:
    function = call.get("function") if isinstance(call, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):  # pyright: ignore[reportUnknownMemberType]
        return call
    arguments = new(f"{path}.function.arguments", cast("str", function["arguments"]))
    return {**call, "function": {**function, "arguments": arguments}}
