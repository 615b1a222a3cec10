"""A response as server-sent events: created, its items as they grow, and completed, incomplete or failed.

As on chat, nothing leaves before the first token or the outcome is known. After the first byte a failure is
`response.failed` and an `error` event, at which the `openai` client raises: a cut answer never looks finished.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from trimtab.errors import LimitError, RequestError
from trimtab.server import items, openai
from trimtab.server.faults import error_object
from trimtab.server.growth import Event, Growth
from trimtab.server.items import Names
from trimtab.server.limits import Send
from trimtab.server.sse import Stream, pieces
from trimtab.types import Answer, Delta, Json, Pending, Refused, Request, Trace

Whole: TypeAlias = Callable[[Answer | Refused, Trace, bool], Json]
"""The finished response of an outcome."""

_encode = msgspec.json.Encoder().encode


class Lifecycle(Stream):
    """The stream of one response; `shell` is the response before it has an answer."""

    def __init__(self, send: Send, request: Request, shell: Json, names: Names, whole: Whole) -> None:
        super().__init__(send, request)
        self._shell, self._whole = shell, whole
        self._growth = Growth(request.id.removeprefix("tr_"), names)
        self._number = 0

    async def emit(self, delta: Delta) -> None:
        """Tell what a model has just written."""
        if not self.begun:
            await self._begin(openai.of_trace(self._request.id))
        if thought := _text(delta.extra, *items.THOUGHTS):
            await self._tell_all(self._growth.words("reasoning_text", thought))
        await self._tell_all(self._growth.sealed(delta.extra))
        tokens = (delta.logprobs or {}).get("content") or ()
        if delta.text or tokens:
            await self._tell_all(self._growth.words("output_text", delta.text, tokens))
        if refused := _text(delta.extra, "refusal"):
            await self._tell_all(self._growth.words("refusal", refused))
        for at, piece in enumerate(_calls(delta.extra)):
            await self._tell_all(self._growth.call(piece, piece.get("index", at)))

    async def finish(self, outcome: Answer | Refused, trace: Trace, recorded: bool = False) -> None:
        """Tell what is left of an outcome, and then the whole of it."""
        answer = outcome if isinstance(outcome, Answer) else None
        if not self.begun:
            await self._begin(openai.headers(trace))
            if answer:
                await self._render(answer)
        if isinstance(outcome, Refused):
            await self._tell_all(self._growth.words("refusal", openai.refusal(outcome)))
        found = self._whole(outcome, trace, recorded)
        extra = answer.extra if answer else {}
        await self._tell_all(self._growth.close(found["status"], items.kept(extra), items.annotations(extra)))
        await self._over_with((found["status"], {"response": {**found, "output": self._growth.items}}))

    async def wait(self, pending: Pending, trace: Trace) -> None:
        """End a stream whose answer a person must release after all."""
        await self._broken(openai.waiting(pending, trace), "server_error")

    async def fail(self, error: BaseException) -> None:
        """End a stream that has begun."""
        code = "invalid_prompt" if isinstance(error, RequestError) else "server_error"
        found = error_object(error, self._request.id)
        await self._broken(found, "rate_limit_exceeded" if isinstance(error, LimitError) else code)

    async def _begin(self, headers: list[tuple[bytes, bytes]]) -> None:
        await self._open(headers)
        await self._tell_all([("created", {"response": self._shell}), ("in_progress", {"response": self._shell})])

    async def _render(self, answer: Answer) -> None:
        """A decided answer, as if it were written now."""
        for item in items.output(answer, "", {}):
            for part in item.get("content", ()):
                logprobs = part.get("logprobs") or ()
                for piece in pieces(_text(part, "text", "refusal")):
                    await self._tell_all(self._growth.words(part["type"], piece, logprobs))
                    logprobs = ()
            if item["type"] == "reasoning":
                await self._tell_all(self._growth.sealed(answer.extra))
        for at, call in enumerate(items.calls(answer)):
            await self._tell_all(self._growth.call(call, at))

    async def _broken(self, error: Json, code: str) -> None:
        """The failed response, and an error event beside it for clients that look for that."""
        failed = {
            **self._shell, "status": "failed", "error": {"code": code, "message": error["message"]},
            "output": self._growth.left(),
        }  # fmt: skip
        await self._tell_all([("failed", {"response": failed})])
        told = {name: error.get(name) for name in ("code", "message", "param")}
        await self._last_of_all(self._line("error", {**told, "error": error}))

    async def _over_with(self, event: Event) -> None:
        await self._last_of_all(self._line(f"response.{event[0]}", event[1]))

    async def _tell_all(self, events: Iterable[Event]) -> None:
        for name, fields in events:
            await self._write(self._line(f"response.{name}", fields))

    def _line(self, name: str, fields: Json) -> bytes:
        number, self._number = self._number, self._number + 1
        event = {"type": name, "sequence_number": number, **fields}
        return b"event: " + name.encode() + b"\ndata: " + _encode(event) + b"\n\n"


def _text(fields: Json, *names: str) -> str:
    """The first text among the fields; servers that send a model's reasoning under two names send it twice."""
    found: Any = next((fields[name] for name in names if fields.get(name)), "")
    return found if isinstance(found, str) else ""


def _calls(extra: Json) -> list[Json]:
    """The pieces of calls in a delta, the deprecated one among them."""
    found: Any = extra.get("tool_calls")
    old: Any = extra.get("function_call")
    pieces: list[Any] = [*(found if isinstance(found, list) else ()), *([{"function": old}] if old else ())]
    return [piece for piece in pieces if isinstance(piece, dict)]
