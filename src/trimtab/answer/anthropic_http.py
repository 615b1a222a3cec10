"""A rung behind any server that speaks Anthropic's Messages protocol: chats go out as messages and come back as chats.

Calls, clocks, replicas and faults are those of `openai_http`; see there.
"""

import re
from typing import Any, Literal

import msgspec

from trimtab.answer import _message, _parameters, _turns, openai_http
from trimtab.answer._blocks import Untranslatable
from trimtab.answer._upstream import Upstream, built
from trimtab.egress import Egress
from trimtab.errors import RequestError
from trimtab.money import estimate
from trimtab.ports import Sink, Tools
from trimtab.types import Answer, Delta, Evidence, Json, ModelSpec, Request, Usage, Verdict

VERSION = "2023-06-01"
"""Of the protocol: platform.claude.com/docs/en/api/versioning."""
BETAS = "betas"
"""The parameter in which a client's `anthropic-beta` header comes here."""
COUNTED = ("messages", "model", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control")
"""What the server counts tokens of."""
NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
EMPTY = frozenset({"max_tokens", "refusal", "pause_turn", "stop_sequence", "model_context_window_exceeded"})
"""Reasons to stop before anything is said; without one of them an empty answer is a fault."""


class Options(openai_http.Options, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """As in `openai_http`; `max_tokens` where the client sets no limit, since this protocol asks for one.

    `auth` says how the key is shown: as `x-api-key`, or as a `bearer` token.
    """

    vision: bool = True
    max_tokens: int = 8192
    auth: Literal["x-api-key", "bearer"] = "x-api-key"


def spec(options: Options) -> ModelSpec:
    """As with `openai_http`; models of this protocol see, unless the settings say otherwise."""
    return openai_http.spec(options)


def build(options: Options, tools: Tools) -> "Rung":
    """Raises `ConfigError` for an address that is none, or a key that is not set. Nothing is sent yet."""
    gate = openai_http.egress(options, tools)

    def server(place: Options) -> Server:
        return Server(place, tools.name, openai_http.key(place, tools), gate)

    return Rung(upstream=built(options, tools, server))


class Rung(msgspec.Struct, frozen=True, kw_only=True):
    """The model at all its places, and a count of tokens by the first of them."""

    upstream: Upstream

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        return await self.upstream.answer(request, evidence, sink)

    async def count(self, request: Request) -> int:
        """Tokens of the prompt as the server counts them. Raises as `answer` does, and `Untranslatable`."""
        return await self.upstream.replicas[0].model.count(request)


class Server(openai_http.Server):
    """The rung. Its connections are opened by the calls that need one. Raises `ConfigError` for a wrong header."""

    def __init__(self, options: Options, name: str, key: str | None, egress: Egress, path: str = "messages") -> None:
        self._given, self._secret, self._egress = options, key, egress
        bearer = options.auth == "bearer"
        shown = {"x-api-key": key} if key and not bearer else {}
        super().__init__(
            options, name, key if bearer else None, egress, path, **{"anthropic-version": VERSION, **shown}
        )
        self._key = (key or "").encode()  # what its server's errors must not show, however it was sent

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        """Passes what the protocol has no word for; raises as `openai_http` does."""
        try:
            return await super().answer(request, evidence, sink)
        except Untranslatable as error:
            return Verdict(ok=False, by=self._name, code=error.code, why=error.why)

    async def count(self, request: Request) -> int:
        """Tokens of the prompt as the server counts them. Raises as `openai_http` does, and `Untranslatable`."""
        counting = Counting(self._given, self._name, self._secret, self._egress, "messages/count_tokens")
        try:
            return int((await openai_http.Server.answer(counting, request, Evidence(), Deaf())).text)  # type: ignore[union-attr]
        finally:
            await counting.close()

    def _said(self, request: Request, live: bool) -> openai_http.Said:
        body = self._messages(request)
        return openai_http.encoded(body | {"stream": True} if live else body), _betas(request) + openai_http.traced(
            request
        )

    def _messages(self, request: Request) -> Json:
        """The request in Anthropic's words. Raises `RequestError`, `Untranslatable`."""
        params = {key: value for key, value in request.params.items() if key != BETAS}
        try:
            found, more = _parameters.anthropic(params, self._given.max_tokens)
            system, messages = _turns.anthropic(request.messages)
        except openai_http.NOT_ONE as error:  # a further field is not of the shape that its name promises
            why = "This model's protocol has no word for a field of the request."
            raise Untranslatable("untranslatable", why) from error
        if more:
            system = [*([{"type": "text", "text": system}] if isinstance(system, str) else system or ()),
                      {"type": "text", "text": more}]  # fmt: skip
        return {**found, "model": self._given.model, "messages": messages, **({"system": system} if system else {})}

    def _assembly(self) -> _message.Assembly:
        return _message.Assembly()

    async def _emitted(self, events: list[bytes], assembly: Any, sink: Sink) -> bool:
        await super()._emitted(events, assembly, sink)
        return assembly.done

    def _read(self, found: Json, bill: openai_http.Tally) -> Answer:
        usage = _message.counted(found["usage"]) if found.get("usage") else None
        answer = _message.answer(found, self._name, usage or Usage())
        if usage is None:
            usage = bill.estimated(estimate(answer.text or ""))
        return msgspec.structs.replace(answer, usage=usage)

    def _full(self, answer: Answer) -> Answer:
        """Empty is fine where the server says why it stopped."""
        reason = answer.body["anthropic"].get("stop_reason")
        return answer if reason in EMPTY or "content_blocks" in answer.extra else super()._full(answer)


class Counting(Server):
    """The same server, asked for the number of a prompt's tokens."""

    def _said(self, request: Request, live: bool) -> openai_http.Said:
        body = {key: value for key, value in self._messages(request).items() if key in COUNTED}
        return openai_http.encoded(body), _betas(request) + openai_http.traced(request)

    def _read(self, found: Json, bill: openai_http.Tally) -> Answer:
        return Answer(text=str(int(found["input_tokens"])), model=self._name)

    def _full(self, answer: Answer) -> Answer:
        return answer


class Deaf:
    """A sink for a call that says nothing and costs nothing."""

    live = False

    async def emit(self, delta: Delta) -> None: ...

    def spent(self, usage: Usage) -> None: ...

    def lost(self, usage: Usage, ms: float) -> None: ...


def _betas(request: Request) -> bytes:
    """The header line of the betas that the client asked for. Raises `RequestError`."""
    given = request.params.get(BETAS)
    if given is None:
        return b""
    names: list[Any] = given if isinstance(given, list) else [given]
    if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
        raise RequestError("betas must be a list of names.", "Send them in the header anthropic-beta.", param=BETAS)
    return f"Anthropic-Beta: {','.join(names)}\r\n".encode() if names else b""
