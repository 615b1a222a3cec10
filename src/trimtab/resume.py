"""Going on with an answer whose stream was cut: whether one may, what the next rung is asked, both halves as one. Pure.

Only one plain text can be gone on with: the halves of a tool call, of JSON or of log-probabilities need not fit.
"""

from typing import Any

import msgspec

from trimtab.types import Answer, Json, ModelSpec, Request, Usage

ABILITIES = frozenset({"chat", "stream", "resume"})
"""What a rung needs to be asked: `resume` is the recipe's to give."""
GO_ON = (
    "Your answer above was cut off by a technical fault. Go on from exactly where it ends: write only what comes next, "
    "nothing of it again, and no word about the fault. Begin with a space where a new word begins."
)
SHORTEST = 16
"""Characters of a beginning that is taken out where the next rung repeats it: a shorter one may be meant."""
SINGLE = ("logprobs", "top_logprobs", "tools", "functions", "audio")
"""Parameters whose answers are not one plain text."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """What the client has of an answer: `text` as the next rung may read it, `raw` as it was written, by whom."""

    text: str
    raw: str
    by: tuple[str, ...]
    usage: Usage


def allowed(request: Request) -> bool:
    """Whether its answer is one plain text, and none that the client has begun itself."""
    params = request.params
    form: Any = params.get("response_format") or {}
    return (
        params.get("n") in (None, 1)
        and not any(params.get(name) for name in SINGLE)
        and form.get("type", "text") == "text"
        and request.messages[-1].get("role") != "assistant"
    )


def able(spec: ModelSpec) -> bool:
    """Whether the recipe lets this rung go on with what another one began."""
    return spec.abilities >= ABILITIES


def asked(request: Request, begun: Begun) -> Request:
    """What the next rung is asked: the same, with what is written of the answer, and to go on."""
    if not begun.text.strip():
        return request
    said: tuple[Json, ...] = ({"role": "assistant", "content": begun.text}, {"role": "user", "content": GO_ON})
    params = dict(request.params)
    for name in ("max_tokens", "max_completion_tokens"):
        if isinstance(most := params.get(name), int):
            params[name] = max(1, most - begun.usage.completion)
    return msgspec.structs.replace(request, messages=(*request.messages, *said), params=params)


def further(before: Begun | None, text: str, raw: str, by: str, usage: Usage | None) -> Begun:
    """What is written once `by` was cut too."""
    return Begun(text=text, raw=raw, by=(*(before.by if before else ()), by), usage=_added(before, usage or Usage()))


def whole(begun: Begun, answer: Answer) -> Answer:
    """Both halves as one answer in the name of the last rung; its tokens are the request's and all the text's."""
    fresh = Fresh(begun.text)
    body = {key: value for key, value in answer.body.items() if key != "anthropic"}
    own = {key: value for key, value in (answer.body.get("anthropic") or {}).items() if key != "usage"}
    return msgspec.structs.replace(
        answer, text=begun.raw + fresh.feed(answer.text or "") + fresh.close(), usage=_added(begun, answer.usage),
        body={**body, "anthropic": own} if own else body, resumed=begun.by,
    )  # fmt: skip


class Fresh:
    """The next rung's text in pieces, less the beginning where it says that all over again."""

    __slots__ = ("_before", "_held")

    def __init__(self, before: str) -> None:
        self._before, self._held = before if len(before) >= SHORTEST else "", ""

    def feed(self, piece: str) -> str:
        """What may leave now: nothing as long as it may be the beginning again."""
        if not self._before:
            return piece
        self._held += piece
        if self._before.startswith(self._held) and self._held != self._before:
            return ""
        return self.close()

    def close(self) -> str:
        """What is left at the end."""
        held, before = self._held, self._before
        self._held = self._before = ""
        return held.removeprefix(before)


def _added(begun: Begun | None, usage: Usage) -> Usage:
    """The tokens of one answer in two halves: the second prompt is paid, but no part of what the client asked."""
    if not begun:
        return usage
    first = begun.usage
    return Usage(
        prompt=first.prompt, completion=first.completion + usage.completion, cached=first.cached, estimated=True
    )
