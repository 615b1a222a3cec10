"""The mock's Anthropic side: the same replies and faults as messages, and refusals of what the real server refuses.

A thought is signed with its hash, and one that comes back with another signature is turned away: whoever drops or
changes a thought on the way is found out. Pure, but for the asking `mock` that sends what is made here.
"""

import hashlib
from typing import Any

import msgspec

from trimtab.evaluate import _replies
from trimtab.evaluate._replies import Chat, Fault, Script
from trimtab.types import Json

FOREIGN = frozenset({
    "n", "seed", "stop", "max_completion_tokens", "presence_penalty", "frequency_penalty", "logprobs",
    "response_format", "functions", "function_call", "user", "stream_options", "parallel_tool_calls",
    "reasoning_effort", "betas",
})  # fmt: skip
"""Fields of OpenAI's that the real server does not permit."""
CHOICES = {"any": "required", "auto": "auto", "none": "none"}

_encode = msgspec.json.Encoder().encode


class Asked(msgspec.Struct):
    """The fields of a body that the mock reads."""

    max_tokens: int
    model: str
    messages: list[Json]
    system: Any = None
    stream: bool = False
    tools: list[Json] | None = None
    tool_choice: Json | None = None
    thinking: Json | None = None
    output_config: Json | None = None
    mock: Script | None = None


class UnwellError(ValueError):
    """The real server would refuse it."""


def check(raw: Json, headers: dict[bytes, bytes]) -> None:
    """Raises `UnwellError` for what the real server refuses."""
    if b"anthropic-version" not in headers:
        raise UnwellError("anthropic-version: header is required")
    if foreign := sorted(FOREIGN & raw.keys()):
        raise UnwellError(f"{foreign[0]}: Extra inputs are not permitted")
    called: set[str] = set()
    for i, turn in enumerate(raw.get("messages", ())):
        if turn.get("role") not in ("user", "assistant", "system") or turn.keys() - {"role", "content"}:
            raise UnwellError(f"messages.{i}: Extra inputs are not permitted")
        blocks = turn["content"] if isinstance(turn["content"], list) else [{"type": "text", "text": turn["content"]}]
        for j, block in enumerate(blocks):
            _check_block(block, f"messages.{i}.content.{j}", called)


def _check_block(block: Json, path: str, called: set[str]) -> None:
    kind = block.get("type")
    if kind == "text" and not block.get("text"):
        raise UnwellError(f"{path}: text content blocks must be non-empty")
    if kind == "thinking" and block.get("signature") != signature(block.get("thinking", "")):
        raise UnwellError(f"{path}: Invalid `signature` in `thinking` block")
    if kind == "tool_use":
        called.add(block["id"])
    if kind == "tool_result" and block.get("tool_use_id") not in called:
        raise UnwellError(f"{path}: unexpected `tool_use_id` found in `tool_result` blocks")
    if kind in ("image_url", "file", "input_audio", "refusal"):
        raise UnwellError(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags")


def signature(thought: str) -> str:
    """What the mock signs a thought with."""
    return "sig_" + hashlib.sha256(thought.encode("utf-8", "replace")).hexdigest()[:24]


def chat(asked: Asked) -> Chat:
    """The same as a chat, which the replies are made from."""
    tools = [{"type": "function", "function": {**tool, "parameters": tool.get("input_schema", {})}}
             for tool in asked.tools or ()]  # fmt: skip
    choice: Any = asked.tool_choice or {"type": "auto"}
    named = {"type": "function", "function": {"name": choice.get("name")}}
    wanted = (asked.output_config or {}).get("format")
    return Chat(
        messages=asked.messages, model=asked.model, tools=tools or None,
        tool_choice=named if choice["type"] == "tool" else CHOICES.get(choice["type"]),
        response_format={"type": "json_schema", "json_schema": wanted} if wanted else None,
    )  # fmt: skip


def reply(asked: Asked, script: Script, fault: Fault) -> Json:
    """The whole message."""
    said = _replies.choice(chat(asked), script, fault, 0)["message"]
    content: list[Json] = []
    thought = script.extra.get("reasoning_content") or ("Let me think." if _thinks(asked) else None)
    if thought:
        content.append({"type": "thinking", "thinking": thought, "signature": signature(thought)})
    content += script.extra.get("blocks", [])
    if said.get("content"):
        content.append({"type": "text", "text": said["content"]})
    for call in said.get("tool_calls", ()):
        given = msgspec.json.decode(call["function"]["arguments"])
        content.append(
            {"type": "tool_use", "id": f"toolu_{call['id']}", "name": call["function"]["name"], "input": given}
        )
    reason = "tool_use" if said.get("tool_calls") else "end_turn"
    return {
        "id": "msg_mock", "type": "message", "role": "assistant", "model": asked.model, "content": content,
        "stop_reason": reason, "stop_sequence": None, "usage": usage(asked, said) | script.usage,
        **{key: value for key, value in script.extra.items() if key in ("stop_reason", "stop_sequence", "container")},
    }  # fmt: skip


def usage(asked: Asked, said: Json) -> Json:
    """A token is a word; a block marked for the cache is read from it, and half as many are written to it."""
    texts = [asked.system, *(turn["content"] for turn in asked.messages)]
    blocks = [b for t in texts for b in (t if isinstance(t, list) else [{"text": t or ""}])]
    counts = [(len(_replies.PIECE.findall(str(block.get("text", "")))), "cache_control" in block) for block in blocks]
    read = sum(count for count, cached in counts if cached)
    return {
        "input_tokens": sum(count for count, cached in counts if not cached) or 1, "cache_read_input_tokens": read,
        "cache_creation_input_tokens": read // 2,
        "output_tokens": len(_replies.PIECE.findall(said.get("content") or "{}")), "service_tier": "standard",
    }  # fmt: skip


def events(message: Json) -> list[bytes]:
    """The message as a stream's events: a word each, the arguments of a call in two halves."""
    first = {**message["usage"], "output_tokens": 1}
    found = [_event({"type": "message_start", "message": {
        **message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": first,
    }}), _event({"type": "ping"})]  # fmt: skip
    for index, block in enumerate(message["content"]):
        empty, deltas = _deltas(block)
        found.append(_event({"type": "content_block_start", "index": index, "content_block": empty}))
        found += [_event({"type": "content_block_delta", "index": index, "delta": delta}) for delta in deltas]
        found.append(_event({"type": "content_block_stop", "index": index}))
    delta = {key: message[key] for key in ("stop_reason", "stop_sequence", "container") if key in message}
    counts = {"output_tokens": message["usage"]["output_tokens"]}
    return [
        *found,
        _event({"type": "message_delta", "delta": delta, "usage": counts}),
        _event({"type": "message_stop"}),
    ]


def error(message: str, kind: str) -> Json:
    """Anthropic's error object."""
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_mock"}


def _thinks(asked: Asked) -> bool:
    return (asked.thinking or {}).get("type") in ("enabled", "adaptive")


def _deltas(block: Json) -> tuple[Json, list[Json]]:
    """A block as it begins, and what comes after."""
    match block["type"]:
        case "text":
            words = [{"type": "text_delta", "text": piece} for piece in _replies.PIECE.findall(block["text"])]
            told = [{"type": "citations_delta", "citation": one} for one in block.get("citations", ())]
            return {**block, "text": "", **({"citations": []} if told else {})}, [*words, *told]
        case "thinking":
            words = [{"type": "thinking_delta", "thinking": word} for word in _replies.PIECE.findall(block["thinking"])]
            signed = {"type": "signature_delta", "signature": block["signature"]}
            return {**block, "thinking": "", "signature": ""}, [*words, signed]
        case "tool_use":
            raw = _encode(block["input"]).decode()
            halves = (raw[: len(raw) // 2], raw[len(raw) // 2 :])
            parts = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *halves)]
            return {**block, "input": {}}, parts if block["input"] else parts[:1]
        case _:
            return block, []


def _event(data: Json) -> bytes:
    return b"event: " + data["type"].encode() + b"\ndata: " + _encode(data) + b"\n\n"
