"""A message as Anthropic's events: its blocks one after the other as they are written, or of a decided answer.

A block ends when the next one begins. Where guards hold the last words back, calls of tools wait for them (`late`).
After the first byte a failure is an `error` event and there is no `message_stop`: a cut message never looks finished.
"""

from typing import Any

import msgspec

from trimtab import texts
from trimtab.errors import UpstreamError
from trimtab.money import estimate
from trimtab.server import anthropic, faults, openai
from trimtab.server.limits import Send
from trimtab.server.sse import Stream, pieces
from trimtab.types import Answer, Delta, Json, Pending, Refused, Request, Trace, Usage

THOUGHTS = ("reasoning_content", "reasoning")
SHOWN = frozenset({*THOUGHTS, "thinking_blocks", "content_blocks", "tool_calls", "refusal", "order"})
"""Further fields of a chat's delta that have a block here; all others leave with the end."""
CALLED = anthropic.PROMISED["tool_use"]

_encode = msgspec.json.Encoder().encode


class Call(msgspec.Struct, kw_only=True):
    """A call of a tool on its way; `block` is its place once it has begun."""

    head: Json
    held: str = ""
    block: int = -1


class Blocks(Stream):
    """The stream of one message."""

    def __init__(self, send: Send, request: Request, late: bool) -> None:
        super().__init__(send, request)
        self._late = late
        self._at, self._kind = -1, ""
        self._thoughts = 0
        self._calls: dict[int, Call] = {}
        self._more: Json = {}

    async def emit(self, delta: Delta) -> None:
        """Tell what a model has just written; of several answers at once this format tells the first."""
        if delta.index:
            return
        if not self.begun:
            await self._start(self._request.wishes.model, openai.of_trace(self._request.id))
        extra, events = delta.extra, list[bytes]()
        for thought in [extra[key] for key in THOUGHTS if isinstance(extra.get(key), str) and extra[key]][:1]:
            events += self._thought(thought)
        for block in _objects(extra.get("thinking_blocks")):
            events += self._signed(block)
        for said in (delta.text, extra.get("refusal")):
            events += self._said(said) if isinstance(said, str) and said else []
        for mark in _objects(extra.get("content_blocks")):
            events += self._special(mark)
        for i, piece in enumerate(extra.get("tool_calls") or ()):
            events += self._called(piece.get("index", i), piece)
        self._more |= {key: value for key, value in extra.items() if key not in SHOWN and value is not None}
        if events:
            await self._write(b"".join(events))

    async def finish(self, outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> None:
        """Tell what is left of an outcome, why it ended, its usage and what Trimtab did."""
        events = list[bytes]()
        if not self.begun:
            await self._start(trace.answered_by or self._request.wishes.model, openai.headers(trace))
            for block in anthropic.blocks(outcome):
                events += self._whole(block)
        elif isinstance(outcome, Refused):
            events += self._said(openai.refusal(outcome))
        events += [event for call in self._calls.values() for event in self._rest(call)]
        events += self._stop()
        more = {"extra": self._more} if self._more else {}
        own = anthropic.of_server(outcome)
        known = {key: own[key] for key in ("container",) if own.get(key) is not None}
        events.append(_event({
            "type": "message_delta", "delta": {**anthropic.end(outcome), **known, **more},
            "usage": anthropic.counted(outcome, trace), "trimtab": openai.about(outcome, trace, recorded),
        }))  # fmt: skip
        await self._last_of_all(b"".join([*events, _event({"type": "message_stop"})]))

    async def wait(self, pending: Pending, trace: Trace) -> None:
        """End a stream whose answer a person must release after all."""
        await self._last_of_all(_event(anthropic.waiting(pending, trace)))

    async def fail(self, error: BaseException) -> None:
        """End a stream that has begun with an error event."""
        status = faults.response(error)[0]
        await self._last_of_all(_event(anthropic.failure(status, error, self._request.id)))

    async def _start(self, model: str, headers: list[tuple[bytes, bytes]]) -> None:
        await self._open(headers)
        prompt = sum(estimate(text.text) for text in texts.texts(self._request.messages))
        usage = {**anthropic.tokens(Usage(prompt=prompt)), "estimated": True}
        shell = anthropic.shell(self._request.id, model)
        message = {**anthropic.OPEN, **shell, "usage": usage}
        await self._write(_event({"type": "message_start", "message": message}))

    def _begin(self, block: Json) -> list[bytes]:
        """End the block before, and begin one."""
        events = self._stop()
        self._at, self._kind = self._at + 1, block["type"]
        return [*events, _event({"type": "content_block_start", "index": self._at, "content_block": block})]

    def _stop(self) -> list[bytes]:
        if not self._kind:
            return []
        self._kind = ""
        return [_event({"type": "content_block_stop", "index": self._at})]

    def _delta(self, kind: str, key: str, value: Any) -> bytes:
        delta = {"type": kind, key: value}
        return _event({"type": "content_block_delta", "index": self._at, "delta": delta})

    def _said(self, text: str) -> list[bytes]:
        begun = [] if self._kind == "text" else self._begin({"type": "text", "text": ""})
        return [*begun, self._delta("text_delta", "text", text)]

    def _thought(self, text: str) -> list[bytes]:
        """A further thought comes with the line end that parts it from the one before."""
        begun = list[bytes]()
        if self._kind != "thinking":
            text = text.removeprefix("\n") if self._thoughts else text
            self._thoughts += 1
            begun = self._begin({"type": "thinking", "thinking": "", "signature": ""})
        return [*begun, self._delta("thinking_delta", "thinking", text)] if text else begun

    def _signed(self, block: Json) -> list[bytes]:
        """The end of a thought, with its signature; or one that nobody may read."""
        if block.get("type") != "thinking":
            return [*self._begin(block), *self._stop()]
        begun = [] if self._kind == "thinking" else self._begin({"type": "thinking", "thinking": "", "signature": ""})
        return [*begun, self._delta("signature_delta", "signature", block.get("signature") or ""), *self._stop()]

    def _special(self, mark: Json) -> list[bytes]:
        """A block that a chat has no word for, or what the block of the text just told has besides its text."""
        block: Any = mark.get("block")
        if not isinstance(block, dict) or not ("end" in mark or isinstance(block.get("type"), str)):
            return []  # a server's own field of that name: it is none of ours
        if "end" not in mark:
            return [*self._begin(block), *self._stop()]
        begun = [] if self._kind == "text" else self._begin({"type": "text", "text": ""})
        told = [self._delta("citations_delta", "citation", one) for one in block.get("citations") or ()]
        return [*begun, *told, *self._stop()]

    def _called(self, index: int, piece: Json) -> list[bytes]:
        """A piece of a call: told at once while its block is the last one, else kept for the end."""
        function: Json = piece.get("function") or {}
        head = {k: v for k, v in piece.items() if k not in ("index", "function", "type") and v is not None}
        if not (call := self._calls.get(index)):
            call = self._calls[index] = Call(head={"id": f"toolu_{self._request.id}_{index}"})
        call.head |= {**head, **({"name": function["name"]} if function.get("name") else {})}
        call.held += function.get("arguments") or ""
        return [] if self._late or "name" not in call.head else self._rest(call)

    def _rest(self, call: Call) -> list[bytes]:
        """What is kept of a call; its block cannot go on once another has begun."""
        begun = list[bytes]()
        if call.block < 0:
            begun = self._begin({"type": "tool_use", "id": "", "name": "", **CALLED, **call.head, "input": {}})
            call.block = self._at
        if not call.held:
            return begun
        if call.block != self._at or self._kind != "tool_use":
            raise UpstreamError("The model went on with a call that had ended.", "Ask without a stream.")
        piece, call.held = call.held, ""
        return [*begun, self._delta("input_json_delta", "partial_json", piece)]

    def _whole(self, block: Json) -> list[bytes]:
        """The events of a block that is done."""
        match block["type"]:
            case "text":
                events = [event for piece in pieces(block["text"]) for event in self._said(piece)]
                return [*events, *self._special({"end": 0, "block": block})]
            case "thinking":
                events = [self._delta("thinking_delta", "thinking", piece) for piece in pieces(block["thinking"])]
                return [*self._begin({**block, "thinking": "", "signature": ""}), *events, *self._signed(block)]
            case "tool_use":
                begun = self._begin({**block, "input": {}})
                return [*begun, self._delta("input_json_delta", "partial_json", _encode(block["input"]).decode())]
            case _:
                return self._special({"block": block})

    def _ping(self) -> bytes:
        return _event({"type": "ping"})


def _objects(value: Any) -> list[Json]:
    """The objects of a list; servers may mean another thing by a field's name."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _event(data: Json) -> bytes:
    return b"event: " + data["type"].encode() + b"\ndata: " + _encode(data) + b"\n\n"
