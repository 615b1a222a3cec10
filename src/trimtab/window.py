"""The window that a streamed answer passes: its guards see every token before the client does."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

import msgspec

from trimtab import texts
from trimtab.judge import Seat, ruling, settle, spans
from trimtab.resume import Fresh
from trimtab.types import Delta, Json, Origin, Request, Span, Text, Usage, Verdict

Emit: TypeAlias = Callable[[Delta], Awaitable[None]]

HOLD = 128
"""Characters held back while answer guards watch a stream: more than a finding with spaces in it has (a card)."""
BEFORE = 128
"""Characters that have left and are judged again with what follows: a finding may need the words before it."""
RUN = re.compile(r"[\w.+/=:@%~-]*\Z", re.ASCII)
"""The unfinished word at the end: no key, token or address in it has left before it is whole."""
LONGEST_RUN = 16_384
"""Characters after which an unfinished word is let go: more than the longest token that a guard knows."""


class Withheld(Exception):  # noqa: N818 - a decision that unwinds a model's stream, not an error
    """An answer guard stopped a stream; `verdict` says why."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.why)
        self.verdict = verdict


class Window:
    """The `Sink` of one rung. Not live without an `emit`; without `guards` what is emitted leaves at once.

    With guards, text leaves `HOLD` characters late and never from inside a finding or an unfinished word; what is
    redacted is cut before it leaves, and a refusal raises `Withheld`. All that is not text (tool calls, reasoning)
    leaves when the model has ended, and log-probabilities, which spell the text, do not leave at all.
    `begun` is called before the first delta leaves, `spent` with each usage, `lost` with what was spent in vain.
    `request` is what the rung is asked.
    """

    def __init__(
        self, emit: Emit | None, guards: Sequence[Seat], request: Request, begun: Callable[[], None],
        spent: Callable[[Usage], None], lost: Callable[[Usage, float], None],
    ) -> None:  # fmt: skip
        self._emit, self._guards, self.request = emit, guards, request
        self._begun, self._spent, self._lost = begun, spent, lost
        self._texts: dict[int, _Held] = {}
        self._rest: dict[int, Json] = {}
        self._left: list[str] = []
        self._plain = True
        self._fresh: Fresh | None = None
        self.live = emit is not None

    def follow(self, before: "Window", said: str) -> None:
        """Go on where the window of a rung that was cut stopped, with all that it held back; `said` is not repeated."""
        self._texts, self._left, self._fresh = before._texts, before._left, Fresh(said)  # noqa: SLF001 - another window

    def spent(self, usage: Usage) -> None:
        self._spent(usage)

    def lost(self, usage: Usage, ms: float) -> None:
        self._lost(usage, ms)

    async def written(self) -> tuple[str, str] | None:
        """All that was written: less what guards redact, and raw; None where it is not one plain text.

        Raises `Withheld`.
        """
        if not self._plain:
            return None
        left, held = "".join(self._left), self._texts.get(0)
        if not held:
            return left, left
        found = await self._in(held.raw)
        return left + held.cut(found, len(held.raw)), left + held.raw[held.out :]

    def emit(self, delta: Delta) -> Awaitable[None]:
        if self._guards or self._fresh or not self._emit:
            return self._held_back(delta)
        if delta.index or delta.logprobs is not None or delta.extra:  # every token of most streams passes here
            self._shaped(delta)
        self._begun()
        self._left.append(delta.text)
        return self._emit(delta)

    def _shaped(self, delta: Delta) -> None:
        """Note what is more than one plain text."""
        if delta.index or delta.logprobs is not None or any(delta.extra.values()):
            self._plain = False

    async def _held_back(self, delta: Delta) -> None:
        """Emit what guards watch, or what goes on with another rung's text."""
        if not self._emit:
            return
        if self._fresh and delta.text:
            delta = msgspec.structs.replace(delta, text=self._fresh.feed(delta.text))
            if not (delta.text or delta.extra):
                return
        self._shaped(delta)
        if not self._guards:
            await self._send(delta)
            return
        if delta.extra:
            self._rest[delta.index] = merged(self._rest.get(delta.index, {}), delta.extra)
        if delta.text:
            held = self._texts.setdefault(delta.index, _Held())
            held.raw += delta.text
            await self._let(delta.index, held, ended=False)

    async def close(self) -> None:
        """Let the rest out; called once the model has answered."""
        if self._fresh and (rest := self._fresh.close()):
            await self.emit(Delta(text=rest))
        for index, held in self._texts.items():
            await self._let(index, held, ended=True)
        for index, rest in self._rest.items():
            found = await self._found(tuple(texts.of_rest(rest)))
            cut = texts.mapped(rest, "rest", lambda path, text, found=found: texts.cut(text, found.get(path, ())))
            await self._send(Delta(index=index, extra=cut))
        self._texts.clear()
        self._rest.clear()

    async def _let(self, index: int, held: "_Held", *, ended: bool) -> None:
        """Send what can no longer become part of a finding."""
        if leaves := held.leaving(await self._in(held.raw), ended=ended):
            await self._send(Delta(text=leaves, index=index))

    async def _in(self, raw: str) -> list[Span]:
        return (await self._found((Text(text=raw, origin=Origin.ANSWER, path="answer"),))).get("answer", [])

    async def _found(self, said: tuple[Text, ...]) -> dict[str, list[Span]]:
        """What the guards redact, by path. Raises `Withheld`."""
        verdicts = await settle(self._guards, lambda guard: guard.check(said, self.request))
        if not (verdict := ruling(verdicts)).ok:
            raise Withheld(verdict)
        return spans(verdicts)

    async def _send(self, delta: Delta) -> None:
        if self._emit:
            self._begun()
            self._left.append(delta.text)
            await self._emit(delta)


class _Held:
    """The raw text of one choice: the first `out` characters of it have left and are only judged again."""

    __slots__ = ("out", "raw")

    def __init__(self) -> None:
        self.raw, self.out = "", 0

    def leaving(self, found: Sequence[Span], *, ended: bool) -> str:
        """What may leave now, less what was found."""
        safe = len(self.raw) if ended else max(self.out, self._safe(found))
        leaves = self.cut(found, safe)
        drop = max(0, safe - BEFORE)
        self.raw, self.out = self.raw[drop:], safe - drop
        return leaves

    def cut(self, found: Sequence[Span], safe: int) -> str:
        """What has not left up to `safe`, less what was found."""
        inside = [
            Span(kind=span.kind, start=max(span.start, self.out) - self.out, end=min(span.end, safe) - self.out)
            for span in found
            if span.end > self.out and span.start < safe
        ]
        return texts.cut(self.raw[self.out : safe], inside)

    def _safe(self, found: Sequence[Span]) -> int:
        """Up to where nothing that follows can change a finding."""
        edge = len(self.raw) - HOLD
        run = RUN.search(self.raw, max(0, len(self.raw) - LONGEST_RUN))
        if run and run.start() > len(self.raw) - LONGEST_RUN:
            edge = min(edge, run.start())
        for span in sorted(found, key=lambda span: -span.end):
            if span.end > edge:
                edge = min(edge, span.start)
        return edge


def merged(before: Json, more: Json) -> Json:
    """Two deltas' further fields as one: strings joined, tool calls by their index, of all else the later."""
    found = dict(before)
    for key, value in more.items():
        old = found.get(key)
        if isinstance(old, str) and isinstance(value, str) and key not in texts.PROTOCOL | {"name"}:
            found[key] = old + value
        elif isinstance(old, dict) and isinstance(value, dict):
            found[key] = merged(old, value)  # pyright: ignore[reportUnknownArgumentType]
        elif key == "tool_calls" and isinstance(old, list) and isinstance(value, list):
            found[key] = _calls(old, value)  # pyright: ignore[reportUnknownArgumentType]
        else:
            found[key] = value if value is not None else old
    return found


def _calls(before: list[Any], more: list[Any]) -> list[Any]:
    calls: dict[Any, Any] = {call.get("index", i): call for i, call in enumerate(before)}
    for i, call in enumerate(more):
        index = call.get("index", i)
        calls[index] = merged(calls[index], call) if index in calls else call
    return list(calls.values())
