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


PROTOCOL = frozenset({
    "role", "type", "id", "tool_call_id", "call_id", "index", "detail", "format", "data", "file_data", "file_id",
    "finish_reason", "logprobs", "cache_control", "encrypted_content", "signature",
})  # fmt: skip
"""Fields whose strings are the protocol's own words, or bytes: no texts."""
NAMED = frozenset({"function", "function_call", "custom"})
"""Objects whose `name` is an identifier."""


def texts(messages: Sequence[Json]) -> tuple[Text, ...]:
    """Every text of the messages in order: all their strings but those of `PROTOCOL`."""
    found: list[Text] = []
    for i, message in enumerate(messages):
        origin, said = ORIGINS.get(message.get("role", ""), Origin.USER), message.get("content")
        if type(said) is str and len(message) == 2:  # a role and a text: most messages by far
            if not said.startswith("data:"):
                found.append(Text(text=said, origin=origin, path=f"messages[{i}].content"))
            continue
        found += (Text(text=text, origin=origin, path=path) for path, text in _leaves(message, f"messages[{i}]"))
    return tuple(found)


def of_params(params: Json) -> tuple[Text, ...]:
    """Every text of a request's other fields (tool descriptions, schemas, a prediction): the developer's words."""
    if not any(type(value) in (str, dict, list) for value in params.values()):
        return ()
    return tuple(Text(text=text, origin=Origin.SYSTEM, path=path) for path, text in _leaves(params, "params"))


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

    def changed(i: int, message: Json) -> Json:
        origin = ORIGINS.get(message.get("role", ""), Origin.USER)
        return mapped(message, f"messages[{i}]", lambda path, text: change(Text(text=text, origin=origin, path=path)))

    return tuple(changed(i, message) for i, message in enumerate(messages))


def mapped(value: Any, path: str, change: Callable[[str, str], str], parent: str = "") -> Any:
    """A copy of JSON with each text at its path replaced by `change(path, text)`; what has none is not copied."""
    if isinstance(value, str):
        return value if value.startswith("data:") else change(path, value)
    if isinstance(value, dict):
        given = cast("Json", value)
        return {
            key: item if _skips(key, parent) else mapped(item, f"{path}.{key}", change, key)
            for key, item in given.items()
        }
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [mapped(item, f"{path}[{i}]", change, parent) for i, item in enumerate(items)]
    return value


def cut(text: str, spans: Sequence[Span], mark: Callable[[Span], str] = lambda span: f"[{span.kind}]") -> str:
    """`text` with each span replaced by its mark; of spans that overlap, all is cut and the first one's mark stands."""
    pieces: list[str] = []
    end = 0
    for span in sorted(spans, key=lambda s: (s.start, -s.end)):
        if span.start >= end:
            pieces += (text[end : span.start], mark(span))
        end = max(end, span.end)
    return "".join((*pieces, text[end:]))


def of_rest(rest: Json) -> tuple[Text, ...]:
    """Every text of a streamed answer's further fields, at paths under `rest`."""
    return tuple(Text(text=text, origin=Origin.ANSWER, path=path) for path, text in _leaves(rest, "rest"))


def of_answer(answer: Answer) -> tuple[Text, ...]:
    """The texts of an answer: what it says, its tool calls, its further fields and its further choices."""
    said = [("answer", answer.text)] if answer.text else []
    rest = (("tool_calls", list(answer.tool_calls)), ("extra", answer.extra), ("choices", list(answer.choices)))
    found = [leaf for name, value in rest if value for leaf in _leaves(value, name)]
    return tuple(Text(text=text, origin=Origin.ANSWER, path=path) for path, text in (*said, *found))


def _leaves(value: Any, path: str, parent: str = "") -> Iterator[tuple[str, str]]:
    """Path and string of every text in JSON."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield path, value
    elif isinstance(value, dict):
        for key, item in cast("Json", value).items():
            if not _skips(key, parent):
                yield from _leaves(item, f"{path}.{key}", key)
    elif isinstance(value, list):
        for i, item in enumerate(cast("list[Any]", value)):
            yield from _leaves(item, f"{path}[{i}]", parent)


def _skips(key: str, parent: str) -> bool:
    return key in PROTOCOL or (key == "name" and parent in NAMED)


def _parts(value: Any) -> Iterator[Json]:
    if isinstance(value, list):
        yield from (cast("Json", part) for part in cast("list[Any]", value) if isinstance(part, dict))
