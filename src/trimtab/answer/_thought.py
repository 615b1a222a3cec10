"""Lets a model think before it answers, within a budget of its own, and keeps what it thought from the client.

A model does where the recipe says `think = 1024`. It is asked to write its thoughts between two tags first; what it
writes there, or what its server tells as reasoning, is taken out, also of a stream. A client that asks for it
(`trimtab.reasoning`) gets it as `reasoning_content`. Where the answer has a form (JSON, tools, several choices, stop
words, log-probabilities), the model is asked as ever: there is no place for thoughts before those.
"""

from typing import Any

import msgspec

from trimtab.money import estimate
from trimtab.ports import Model, Sink
from trimtab.types import Answer, Delta, Evidence, Json, Request, Usage, Verdict

OPEN, CLOSE = "<think>", "</think>"
ORDER = (
    "\n\nFirst think step by step between <think> and </think>, in no more than {words} words; it will not be shown. "
    "After </think> write the answer alone."
)
WORDS = 0.6
"""Words that a budget's tokens are certainly enough for: some three words to four tokens, and room to end."""
TOLD = ("reasoning_content", "reasoning", "reasoning_details")
"""Fields in which servers tell what a model thought."""
FORMED = ("tools", "functions", "stop", "logprobs", "top_logprobs", "audio", "prediction")


class Thinking:
    """A model that thinks first; `budget` in tokens, beside those that the client allows for the answer."""

    def __init__(self, inner: Model, name: str, budget: int) -> None:
        self._inner, self._name, self._budget = inner, name, budget

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        """Passes with `only_thought` where nothing but thoughts came; they are paid."""
        asked = self._asked(request)
        if asked is None:
            return await self._inner.answer(request, evidence, sink)
        hidden = Hidden(sink, shown=request.wishes.reasoning)
        said = await self._inner.answer(asked, evidence, hidden)
        if isinstance(said, Verdict):
            return said
        await hidden.close()
        return self._told(said, shown=request.wishes.reasoning)

    def _asked(self, request: Request) -> Request | None:
        """The request with the order to think; None where there is no place for it."""
        params, last = request.params, request.messages[-1] if request.messages else {}
        form: Any = params.get("response_format") or {}
        plain = not any(params.get(name) for name in FORMED) and params.get("n") in (None, 1)
        if not plain or form.get("type", "text") != "text" or last.get("role") != "user":
            return None
        message = {**last, "content": _after(last.get("content"), ORDER.format(words=int(self._budget * WORDS)))}
        more = {
            name: most + self._budget
            for name in ("max_tokens", "max_completion_tokens")
            if isinstance(most := params.get(name), int)
        }
        return msgspec.structs.replace(request, messages=(*request.messages[:-1], message), params={**params, **more})

    def _told(self, said: Answer, shown: bool) -> Answer | Verdict:
        thought, text = parted(said.text or "")
        told = [one for name in TOLD if isinstance(one := said.extra.get(name), str)]
        extra = {key: value for key, value in said.extra.items() if key not in TOLD}
        if shown and (thought or told):
            extra["reasoning_content"] = thought or told[0]
        if not text and (thought or told) and not (said.tool_calls or shown):  # what is shown may have left already
            why = f"{self._name} thought for all its tokens and gave no answer."
            return Verdict(ok=False, by=self._name, code="only_thought", why=why)
        usage = msgspec.structs.replace(said.usage, reasoning=max(said.usage.reasoning, estimate(thought)))
        return msgspec.structs.replace(said, text=text, extra=extra, usage=usage)


def parted(text: str) -> tuple[str, str]:
    """What was thought and what was answered. A thought that was not closed is all there is."""
    bare = text.lstrip()
    if not bare.startswith(OPEN):
        return "", text
    thought, _, answer = bare[len(OPEN) :].partition(CLOSE)
    return thought.strip(), answer.strip()


def _after(content: Any, order: str) -> Any:
    if isinstance(content, list):
        return [*content, {"type": "text", "text": order}]  # pyright: ignore[reportUnknownVariableType]
    return f"{content or ''}{order}"


class Hidden:
    """A sink that lets out what comes after the thoughts; the thoughts as reasoning, where they are `shown`."""

    def __init__(self, sink: Sink, shown: bool) -> None:
        self._sink, self._shown, self.live = sink, shown, sink.live
        self._held, self._state = "", "begins"

    async def emit(self, delta: Delta) -> None:
        extra: Json = {key: value for key, value in delta.extra.items() if self._shown or key not in TOLD}
        text = delta.text
        if delta.index == 0 and text and self._state != "answers":
            text, thought = self._after_thought(text)
            if thought and self._shown:
                extra["reasoning_content"] = thought
        if text or extra or delta.logprobs is not None:
            await self._sink.emit(msgspec.structs.replace(delta, text=text, extra=extra))

    def _after_thought(self, piece: str) -> tuple[str, str]:
        """What of the answer, and of the thought, may leave with this piece."""
        self._held += piece
        if self._state == "begins":
            bare = self._held.lstrip()
            if not bare.startswith(OPEN):
                if OPEN.startswith(bare):
                    return "", ""
                self._state = "answers"
                return self._held, ""
            self._state, self._held = "thinks", bare[len(OPEN) :]
        if self._state == "thinks":
            thought, closed, rest = self._held.partition(CLOSE)
            if not closed:
                keep = len(CLOSE) - 1  # its beginning may be the end of what has come
                thought, self._held = self._held[:-keep], self._held[-keep:]
                return "", thought
            self._state, self._held = "trims", rest
            text, _ = self._after_thought("")
            return text, thought
        text = self._held.lstrip()
        self._held = ""
        self._state = "answers" if text else "trims"
        return text, ""

    async def close(self) -> None:
        """The model has ended: what looked like the beginning of a thought was the answer."""
        if self._state == "begins" and self._held:
            await self._sink.emit(Delta(text=self._held))

    def spent(self, usage: Usage) -> None:
        self._sink.spent(usage)

    def lost(self, usage: Usage, ms: float) -> None:
        self._sink.lost(usage, ms)
