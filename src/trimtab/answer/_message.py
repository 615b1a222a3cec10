"""What an Anthropic server said, as an `Answer`: whole messages, and streams put together again. Pure."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec

from trimtab.answer import _turns
from trimtab.answer._assembly import count
from trimtab.money import estimate
from trimtab.types import Answer, Delta, Json, Usage

FINISHES = {
    "end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls", "max_tokens": "length",
    "model_context_window_exceeded": "length", "refusal": "content_filter", "pause_turn": "stop",
}  # fmt: skip
COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
PLAIN = frozenset({"type", "text"})
OF_THOUGHT = frozenset({"thinking", "redacted_thinking"})
REFUSAL = "The model refused to answer."


def counted(usage: Any) -> Usage:
    """Anthropic counts apart what was read from its cache and what was written to it; here both are part of the prompt.

    Raises `ValueError` where it is no count: below 0, or beyond `MOST`.
    """
    try:
        plain, read, written = (count(usage.get(name)) for name in COUNTS)
        completion, by_time = count(usage.get("output_tokens")), usage.get("cache_creation") or {}
        details = usage.get("output_tokens_details") or {}
        return Usage(
            prompt=plain + read + written, completion=completion, cached=read, cache_write=written,
            cache_write_long=min(written, count(by_time.get("ephemeral_1h_input_tokens"))),
            reasoning=min(completion, count(details.get("thinking_tokens"))),
        )  # fmt: skip
    except (AttributeError, TypeError, OverflowError) as error:
        raise ValueError("a usage that is not a count of tokens") from error


def answer(message: Json, name: str, usage: Usage) -> Answer:
    """The answer of a whole message. Raises `ValueError`, `TypeError` or `LookupError` for what is none."""
    blocks = _checked(message.get("content"))
    turn = _turns.assistant(blocks)
    reason = message.get("stop_reason")
    extra = {key: value for key, value in turn.items() if key in ("reasoning_content", "thinking_blocks", "order")}
    text = "".join(block["text"] for block in blocks if block["type"] == "text")
    if found := special(blocks):
        extra["content_blocks"] = found
    if reason == "refusal" and not text:
        extra["refusal"] = (message.get("stop_details") or {}).get("explanation") or REFUSAL
    return Answer(
        text=text or (None if "tool_calls" in turn else ""), model=name, usage=usage,
        finish=FINISHES.get(reason or "end_turn", reason or "stop"), tool_calls=tuple(turn.get("tool_calls", ())),
        extra=extra, body={"anthropic": {k: v for k, v in message.items() if k not in ("content", "role", "type")}},
    )  # fmt: skip


def special(blocks: Sequence[Json]) -> list[Json]:
    """Blocks that a chat has no word for, and what a text's block has besides it, at their characters of the text."""
    found: list[Json] = []
    at = 0
    for block in blocks:
        if block["type"] == "text":
            end = at + len(block["text"])
            if more := {key: value for key, value in block.items() if key not in PLAIN and value is not None}:
                found.append({"at": at, "end": end, "block": more})
            at = end
        elif block["type"] not in OF_THOUGHT and block["type"] != "tool_use":
            found.append({"at": at, "block": block})
    return found


def blocks(answer: Answer) -> list[Json]:
    """The blocks of an answer, of whatever model."""
    extra = answer.extra
    queues = {
        "thought": _turns.thoughts(extra, signed=False),
        "part": _written(answer.text or extra.get("refusal") or "", extra.get("content_blocks")),
        "call": [_used(call) for call in answer.tool_calls],
    }
    order = extra.get("order")
    turns = {name: iter(queue) for name, queue in queues.items()}
    names = cast("list[Any]", order) if isinstance(order, list) else []
    if {name: names.count(name) for name in queues} == {name: len(queue) for name, queue in queues.items()}:
        return [next(turns[name]) for name in names]
    return [block for queue in queues.values() for block in queue]


def _used(call: Json) -> Json:
    """A `tool_use` block of a call; of one of free text, which a server may make unasked, the text is the input."""
    if call.get("type") != "custom":
        return _turns.use(call)
    custom: Json = call.get("custom") or {}
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": custom.get("name"),
        "input": {"input": custom.get("input")},
    }


def _written(text: str, marks: Any) -> list[Json]:
    """The text in blocks, with the special ones where they stood."""
    found: list[Json] = []
    done = 0
    for mark in filter(_is_mark, cast("list[Any]", marks) if isinstance(marks, list) else ()):
        if mark["at"] > done:
            found.append({"type": "text", "text": text[done : mark["at"]]})
            done = mark["at"]
        if "end" in mark:
            found.append({"type": "text", "text": text[done : mark["end"]], **mark["block"]})
            done = mark["end"]
        else:
            found.append(mark["block"])
    if text[done:]:
        found.append({"type": "text", "text": text[done:]})
    return [block for block in found if block.get("text") != ""]


def _is_mark(mark: Any) -> bool:
    known = cast("Json", mark) if isinstance(mark, dict) else {}
    return isinstance(known.get("at"), int) and isinstance(known.get("block"), dict)


class Assembly:
    """Takes a stream's events; `tokens` estimates those of the completion as far as it has come."""

    def __init__(self) -> None:
        self.message: Json = {}
        self.blocks: dict[int, Json] = {}
        self.tokens = 0
        self.done = False
        self._inputs: dict[int, str] = {}
        self._text, self._thinking = 0, False
        self._calls: dict[int, int] = {}

    @property
    def usage(self) -> Usage | None:
        """The server's count, once it is there; of a stream that was cut it counts no more than the prompt."""
        if not self.message.get("usage"):
            return None
        found = counted(self.message["usage"])
        if self.finished:
            return found
        return msgspec.structs.replace(found, completion=max(found.completion, self.tokens), estimated=True)

    @property
    def finished(self) -> bool:
        """Whether the message has come to its end."""
        return self.done or bool(self.message.get("stop_reason"))

    def answer(self, name: str, usage: Usage) -> Answer:
        """All of it as one answer in the name of the rung `name`."""
        return answer({**self.message, "content": [self.blocks[i] for i in sorted(self.blocks)]}, name, usage)

    def take(self, event: Json) -> list[Delta]:
        """The deltas of one event. Raises `ValueError`, `TypeError` or `LookupError` for what is none."""
        match event.get("type"):
            case "message_start":
                self.message = dict(event["message"])
            case "content_block_start":
                return self._start(event["index"], dict(event["content_block"]))
            case "content_block_delta":
                return self._delta(event["index"], event["delta"])
            case "content_block_stop":
                return self._stop(event["index"])
            case "message_delta":
                self.message |= {k: v for k, v in event["delta"].items() if v is not None}
                counts = {k: v for k, v in (event.get("usage") or {}).items() if v is not None}
                self.message["usage"] = {**(self.message.get("usage") or {}), **counts}
            case "message_stop":
                self.done = True
            case _:
                pass
        return []

    def _start(self, index: int, block: Json) -> list[Delta]:
        self.blocks[index] = block
        match block["type"]:
            case "text":
                return self._said(block["text"])
            case "thinking":
                text, block["thinking"] = block["thinking"], ""
                return self._thought(block, text)
            case "tool_use":
                if not isinstance(block["name"], str):
                    raise TypeError("a tool_use block without its name")
                self._calls[index] = len(self._calls)
                empty = _turns.call({**block, "input": {}})
                empty["function"]["arguments"] = ""
                return [_extra(tool_calls=[{"index": self._calls[index], **empty}])]
            case _:
                return []

    def _delta(self, index: int, delta: Json) -> list[Delta]:
        block = self.blocks[index]
        match delta["type"]:
            case "text_delta":
                block["text"] += delta["text"]
                return self._said(delta["text"])
            case "thinking_delta":
                return self._thought(block, delta["thinking"])
            case "signature_delta":
                block["signature"] = delta["signature"]
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
            case "input_json_delta":
                return self._argued(index, delta["partial_json"])
            case _:
                pass
        return []

    def _said(self, text: str) -> list[Delta]:
        self._text += len(text)
        self.tokens += estimate(text)
        return [Delta(text=text)] if text else []

    def _thought(self, block: Json, piece: str) -> list[Delta]:
        """Thoughts stand on lines of their own."""
        if not piece:
            return []
        joint = "\n" if self._thinking and not block["thinking"] else ""
        self._thinking = True
        block["thinking"] += piece
        self.tokens += estimate(piece)
        return [_extra(reasoning_content=joint + piece)]

    def _argued(self, index: int, piece: str) -> list[Delta]:
        self._inputs[index] = self._inputs.get(index, "") + piece
        self.tokens += estimate(piece)
        if index not in self._calls or not piece:
            return []
        return [_extra(tool_calls=[{"index": self._calls[index], "function": {"arguments": piece}}])]

    def _stop(self, index: int) -> list[Delta]:
        block = self.blocks[index]
        given = self._inputs.get(index)
        if given:
            block["input"] = _turns.use({"function": {"arguments": given}})["input"]
        if block["type"] in OF_THOUGHT:
            return [_extra(thinking_blocks=[_turns.thought(block)])]
        if block["type"] == "tool_use":
            arguments = _turns.call(block)["function"]["arguments"]
            call = {"index": self._calls[index], "function": {"arguments": arguments}}
            return [] if given else [_extra(tool_calls=[call])]
        marks = special([block])
        at = self._text - len(block["text"]) if block["type"] == "text" else self._text
        moved = [{**mark, **{key: mark[key] + at for key in ("at", "end") if key in mark}} for mark in marks]
        return [_extra(content_blocks=moved)] if moved else []


def _extra(**extra: Any) -> Delta:
    return Delta(extra=extra)


def _checked(content: Any) -> list[Json]:
    """The blocks, each with what its type promises. Raises `ValueError` or `LookupError`."""
    if not isinstance(content, list):
        raise TypeError("no content")
    for block in cast("list[Json]", content):
        kind = block["type"]
        if kind in ("text", "thinking") and not isinstance(block[kind], str):
            raise TypeError(f"a {kind} block without its {kind}")
        if kind == "tool_use" and not (isinstance(block["name"], str) and isinstance(block["input"], dict)):
            raise TypeError("a tool_use block without its name and input")
    return content
