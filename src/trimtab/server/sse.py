"""A completion as server-sent events: tokens as they are written, or a decided answer in a few chunks.

Nothing leaves before the first token or the outcome is known, so that an error still has its HTTP status. What a model
writes in one turn of the event loop leaves in one piece: a write costs more than an event. Beyond `HELD` bytes `emit`
awaits the connection, so a slow reader slows the model (back-pressure). After the first byte a failure is an error
event and there is no `[DONE]`: a cut answer never looks finished.
"""

import asyncio
import time
from collections.abc import Awaitable, Iterator
from typing import Any

import msgspec

from trimtab.server import openai
from trimtab.server.faults import error_object
from trimtab.server.limits import Send
from trimtab.server.turn import behind
from trimtab.types import Answer, Delta, Json, Pending, Refused, Request, Trace

PING = 10.0
"""Seconds of silence after which a comment tells proxies and clients that the stream lives."""
HELD = 1 << 14
"""Bytes that may wait for the connection."""
PIECES, PIECE = 6, 40
"""A decided answer leaves in at most so many chunks, each of at least so many characters."""
HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"),
           (b"x-accel-buffering", b"no")]  # fmt: skip

TEXT_ENDS = b'},"logprobs":null,"finish_reason":null}]}\n\n'
"""What follows the text in a chunk that says text alone; `Stream._texts` has what goes before it, for each choice."""

_encode = msgspec.json.Encoder().encode


class Stream:
    """One response's stream; `begun` says whether a byte has left."""

    def __init__(self, send: Send, request: Request) -> None:
        self._send, self._request = send, request
        self._head: Json = {
            "id": openai.chat_id(request.id), "object": "chat.completion.chunk", "created": int(time.time()),
            "model": request.wishes.model,
        }  # fmt: skip
        self._prefix = b"data: " + _encode(self._head)[:-1] + b',"choices":['
        self._texts: dict[int, bytes] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._held: list[bytes] = []
        self._size = 0
        self._turn = behind(send)
        self._pinging: asyncio.Future[None] | None = None
        self._last = 0.0
        self.begun = False

    def emit(self, delta: Delta) -> Awaitable[None]:
        """Send what a model has just written."""
        text = delta.text
        if text and (before := self._texts.get(delta.index)) and not delta.extra and delta.logprobs is None:
            return self._write(before + _encode(text) + TEXT_ENDS)
        said = {"content": text, **delta.extra} if text else delta.extra
        return self._say(said or {"content": ""}, delta.index, logprobs=delta.logprobs)

    async def finish(self, outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> None:
        """Send what is left of an outcome, its usage if asked for, what Trimtab did, and the end."""
        if not self.begun:
            self._head["model"] = trace.answered_by or self._head["model"]
            await self._open(openai.headers(trace))
            if isinstance(outcome, Answer):
                await self._render(outcome)
        if isinstance(outcome, Refused):
            await self._say({"refusal": openai.refusal(outcome)})
        await self._end(outcome, trace, recorded)

    async def wait(self, pending: Pending, trace: Trace) -> None:
        """End a stream whose answer a person must release after all."""
        await self._over({"error": openai.waiting(pending, trace)})

    async def fail(self, error: BaseException) -> None:
        """End a stream that has begun with an error event."""
        await self._over({"error": error_object(error, self._request.id)})

    def close(self) -> None:
        """Stop the pings; called whatever happened."""
        if self._timer:
            self._timer.cancel()

    async def _over(self, event: Json) -> None:
        await self._last_of_all(b"data: " + _encode(event) + b"\n\n")

    async def _open(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.begun = True
        self._prefix = b"data: " + _encode(self._head)[:-1] + b',"choices":['
        await self._send({"type": "http.response.start", "status": 200, "headers": [*HEADERS, *headers]})
        self._last = time.monotonic()
        self._arm(PING)

    async def _say(self, delta: Json, index: int = 0, finish: str | None = None, logprobs: Any = None) -> None:
        """One chunk; the first of each choice names the role."""
        if not self.begun:
            await self._open(openai.of_trace(self._request.id))
        if index not in self._texts:
            self._texts[index] = self._prefix + b'{"index":%d,"delta":{"content":' % index
            delta = {"role": "assistant", **delta}
        await self._write(self._prefix + _choice(delta, index, finish, logprobs) + b"]}\n\n")

    async def _render(self, answer: Answer) -> None:
        """The chunks of a decided answer and of its further choices."""
        said = {**openai.message(answer), "logprobs": answer.body.get("logprobs")}
        for index, found in ((0, said), *((c.get("index", i + 1), _said(c)) for i, c in enumerate(answer.choices))):
            for delta in deltas(found):
                await self._say(delta, index, logprobs=found.get("logprobs") if "role" in delta else None)

    async def _end(self, outcome: Answer | Refused, trace: Trace, recorded: bool) -> None:
        """The finish reason of each choice; the last chunk carries `trimtab`."""
        answer = outcome if isinstance(outcome, Answer) else None
        finishes = dict.fromkeys((0, *self._texts), "stop") | {0: answer.finish if answer else "content_filter"}
        if answer:
            finishes |= {c.get("index", i + 1): c.get("finish_reason") for i, c in enumerate(answer.choices)}
        last = {"usage": openai.counted(trace.usage)} if _wants_usage(self._request) else {}
        tail: Json = {**last, "trimtab": openai.about(outcome, trace, recorded)}
        ends = [_choice({}, index, finish, None) for index, finish in sorted(finishes.items())]
        lines = [self._prefix + end + b"]}\n\n" for end in (ends if last else ends[:-1])]
        closing = b"" if last else ends[-1]
        lines += [self._prefix + closing + b"]," + _encode(tail)[1:] + b"\n\n", b"data: [DONE]\n\n"]
        await self._last_of_all(b"".join(lines))

    async def _write(self, body: bytes) -> None:
        """One event. To our own connection it leaves at the end of this turn of the loop, with all others of it."""
        turn = self._turn
        if turn is None:
            await self._send({"type": "http.response.body", "body": body, "more_body": True})
            self._last = time.monotonic()
            return
        if not self._held:
            turn.loop.call_soon(self._leave)
        self._held.append(body)
        self._size += len(body)
        if self._size > HELD or turn.full:
            self._leave()
            await turn.drained()

    def _leave(self) -> None:
        if self._held and self._turn:
            self._turn.write(self._taken())
            self._last = time.monotonic()

    async def _last_of_all(self, body: bytes) -> None:
        """What is held and then `body`, after which there is nothing."""
        if self._timer:
            self._timer.cancel()
        self._held.append(body)
        await self._send({"type": "http.response.body", "body": self._taken(), "more_body": False})

    def _taken(self) -> bytes:
        body = b"".join(self._held)
        self._held, self._size = [], 0
        return body

    def _arm(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._tick)

    def _tick(self) -> None:
        """A ping where it was silent for so long; else to be looked at again when it will have been."""
        silent = time.monotonic() - self._last
        if silent < PING * 0.99:
            self._arm(PING - silent)
            return
        if not self._pinging or self._pinging.done():  # else the client reads too slowly to need another
            self._pinging = asyncio.ensure_future(self._write(self._ping()))
        self._arm(PING)

    def _ping(self) -> bytes:
        return b": ping\n\n"


def deltas(said: Json) -> Iterator[Json]:
    """The deltas of a finished message: its role and further fields, its text in pieces, its tool calls."""
    extra = {
        key: value
        for key, value in said.items()
        if key not in ("role", "content", "tool_calls", "logprobs") and value not in (None, [])
    }
    text = said.get("content") or ""
    yield {"role": "assistant", "content": "" if text or not said.get("tool_calls") else None, **extra}
    for piece in pieces(text):
        yield {"content": piece}
    for index, call in enumerate(said.get("tool_calls") or ()):
        yield {"tool_calls": [{"index": index, **call}]}


def pieces(text: str) -> Iterator[str]:
    """`text` in at most `PIECES` pieces that join to it again."""
    size = max(PIECE, -(-len(text) // PIECES))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def _choice(delta: Json, index: int, finish: str | None, logprobs: Any) -> bytes:
    return _encode({"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish})


def _said(choice: Json) -> Json:
    return {**choice.get("message", {}), "logprobs": choice.get("logprobs")}


def _wants_usage(request: Request) -> bool:
    return bool((request.params.get("stream_options") or {}).get("include_usage"))
