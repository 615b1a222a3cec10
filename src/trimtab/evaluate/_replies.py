"""What the mock says: replies, tool calls and JSON made from the request alone, the same each time. Pure."""

import re
from typing import Any, Literal, TypeAlias

import msgspec

from trimtab.types import Json

Fault: TypeAlias = Literal[
    "", "reset", "stall", "stall_stream", "cut", "garbage", "rate_limit", "error", "error_body", "drip", "empty",
    "bad_json", "no_done", "redirect",
]  # fmt: skip
PIECE = re.compile(r"\S+\s*|\s+")

_encode = msgspec.json.Encoder().encode


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one call asks for in `mock`; None is the server's own setting.

    `times` limits the fault to the first so many calls with the same `key`; `status` and `message` dress an `error`;
    `arguments` are those of the tool call; `extra` are further fields of the message, `usage` of its count of tokens.
    """

    reply: str | None = None
    latency: float | None = None
    rate: float | None = None
    fault: Fault | None = None
    status: int = 500
    message: str = "The mock was asked to fail."
    retry_after: float = 2
    times: int | None = None
    key: str = ""
    tool: str | None = None
    arguments: str | None = None
    extra: Json = {}
    usage: Json = {}


class Chat(msgspec.Struct):
    """The fields of a chat body that the peer reads."""

    messages: list[Json] = []
    model: str = ""
    stream: bool = False
    stream_options: Json | None = None
    n: int | None = None
    tools: list[Json] | None = None
    tool_choice: Any = None
    response_format: Json | None = None
    mock: Script | None = None
    user: str = ""


class Bill(msgspec.Struct, kw_only=True):
    """The chats of one `user`: how many were heard, and the prompt's and the answer's tokens of each that was told."""

    calls: int = 0
    told: list[tuple[int, int]] = []

    def tell(self, chat: Chat, fault: Fault, usage: Json) -> None:
        """A reply has gone out to its end; a stream tells its tokens only where it was asked to."""
        if (chat.stream_options or {}).get("include_usage") if chat.stream else fault != "garbage":
            self.told.append((usage["prompt_tokens"], usage["completion_tokens"]))


def choice(chat: Chat, script: Script, fault: Fault, index: int) -> Json:
    """One whole choice of a completion."""
    message: Json = {"role": "assistant", "content": "", **script.extra}
    name = None if fault == "empty" else _tool(chat, script)
    if name:
        arguments = script.arguments or _encode(_instance(_parameters(chat, name))).decode()
        call = {"id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
        message |= {"content": None, "tool_calls": [call]}
    elif fault != "empty":
        message["content"] = _said(chat, script, fault)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": "tool_calls" if name else "stop"}


def _said(chat: Chat, script: Script, fault: Fault) -> str:
    if fault == "bad_json":
        return '{"answer": '
    if script.reply is not None:
        return script.reply
    wanted = (chat.response_format or {}).get("type")
    if wanted == "json_schema" and chat.response_format:
        return _encode(_instance(chat.response_format.get("json_schema", {}).get("schema", {}))).decode()
    said = _last(chat.messages) or "Hello."
    return _encode({"said": said}).decode() if wanted == "json_object" else said


def _last(messages: list[Json]) -> str:
    """The last user text; its parts joined."""
    for message in reversed(messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, list):
                return "\n".join(part["text"] for part in content if isinstance(part.get("text"), str))
            return content if isinstance(content, str) else ""
    return ""


def _tool(chat: Chat, script: Script) -> str | None:
    """The tool to call: the script's, the one the client insists on, or one that the text names."""
    if script.tool or not chat.tools or chat.tool_choice == "none":
        return script.tool
    names = [name for tool in chat.tools if (name := tool.get("function", {}).get("name"))]
    if isinstance(chat.tool_choice, dict):
        return chat.tool_choice.get("function", {}).get("name")
    said = _last(chat.messages)
    named = next((name for name in names if name in said), None)
    return named or (names[0] if chat.tool_choice == "required" and names else None)


def _parameters(chat: Chat, name: str) -> Json:
    tools = (tool.get("function", {}) for tool in chat.tools or ())
    return next((tool.get("parameters") or {} for tool in tools if tool.get("name") == name), {})


def _instance(schema: Json) -> Any:
    """The least value that a plain JSON schema allows: required properties, first of an enum, empty texts, zeroes."""
    if "const" in schema or schema.get("enum"):
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        properties = schema.get("properties", {})
        return {key: _instance(properties.get(key, {})) for key in schema.get("required", properties)}
    if kind == "array":
        return [_instance(schema.get("items", {}))] * schema.get("minItems", 0)
    plain: Json = {"string": "text", "integer": 0, "number": 0.0, "boolean": True, "null": None}
    return schema.get("minimum", plain[kind]) if kind in ("integer", "number") else plain.get(kind)


def deltas(message: Json) -> list[Json]:
    """A message as the deltas of a stream: a word each, the arguments of a tool call in two halves."""
    further = {key: value for key, value in message.items() if key not in ("role", "content", "tool_calls")}
    first = {"role": "assistant", "content": None if message.get("tool_calls") else "", **further}
    deltas: list[Json] = [first, *({"content": piece} for piece in PIECE.findall(message["content"] or ""))]
    for index, call in enumerate(message.get("tool_calls", ())):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        half = len(arguments) // 2
        deltas.append({"tool_calls": [{"index": index, **call, "function": {"name": name, "arguments": ""}}]})
        deltas += [
            {"tool_calls": [{"index": index, "function": {"arguments": part}}]}
            for part in (arguments[:half], arguments[half:])
        ]
    return deltas


def usage(chat: Chat, choices: list[Json]) -> Json:
    """A token is a word, as the stream has them; the same request always costs the same."""
    prompt = sum(len(PIECE.findall(said)) for m in chat.messages if isinstance(said := m.get("content"), str)) or 1
    completion = sum(len(PIECE.findall(choice["message"]["content"] or "{}")) for choice in choices)
    return {
        "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0},
    }  # fmt: skip
