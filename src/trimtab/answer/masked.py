"""Wraps a model that is not local: personal data goes out as placeholders and comes back in the answer byte for byte.

Masked is everything in the messages, the parameters and the passages, file names, tool definitions, schemas, keys and
long numbers too (a number that is personal goes out as a string); not masked is what only the protocol means (see
`_leaving`): roles, types, ids, names of tools, pictures, recordings and files in base64. What is personal is for
`tools.personal` to say, and for `tools.names` of what people, tools and documents said. Restored are the text, the
extra fields, the further choices, the citations and the tool calls, escaped where they stand in JSON, also in a stream
cut anywhere; the label, token log-probabilities and the response's body stay as the model gave them.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgspec

from trimtab import texts
from trimtab.answer._leaving import Ways, message, params
from trimtab.answer._strings import Prose, Strings
from trimtab.answer._vault import Vault
from trimtab.errors import ConfigError
from trimtab.ports import Model, Sink, Tools
from trimtab.types import Answer, Citation, Delta, Evidence, Json, ModelSpec, Origin, Request, Span, Usage, Verdict

Names: TypeAlias = list[tuple[str, Sequence[Span]]]
CALLS = ("tool_calls", "function_call")
PLAIN = frozenset({"content", "text"})
"""Keys that say nothing about what they hold."""
LARGE = 8_000
"""Bytes of a request from which it is masked in a thread."""
DEADLINE = 30.0
"""Seconds after which masking in a thread has failed: some ten times what a body of the largest size allowed takes."""


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """None: what is masked is not a matter of taste."""


class Masked:
    """The wrapped model, which never sees what it needs not; its vault lives for one request."""

    def __init__(self, inner: Model, tools: Tools) -> None:
        self._inner, self._tools = inner, tools

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        try:
            async with asyncio.timeout(DEADLINE):
                names = await self._names(request, evidence)
                work = (names, request, evidence)
                small = _size(request, evidence) < LARGE
                vault, hidden, passages = self._hidden(*work) if small else await asyncio.to_thread(self._hidden, *work)
        except Exception as error:  # noqa: BLE001 - whatever fails here, nothing may be sent
            return self._failed(error)
        if not vault:
            return await self._inner.answer(request, evidence, sink)
        wants_json = _wants_json(request.params)
        unmasking = Unmasking(sink, vault, wants_json)
        said = await self._inner.answer(hidden, passages, unmasking)
        await unmasking.flush()
        return restored(said, vault, wants_json) if isinstance(said, Answer) else said

    async def _names(self, request: Request, evidence: Evidence) -> Names:
        """What the encoder calls a name in what users, tools and documents said, not in the operator's own words."""
        if not self._tools.names:
            return []
        heard = Vault(lambda _: ())
        for text in texts.texts(request.messages):
            if text.origin is not Origin.SYSTEM:
                heard.learn_json(text.text)
        for passage in evidence.passages:
            heard.learn(f"{passage.title}\n{passage.text}")
        said = [text for text in heard.texts if text.strip()]
        return list(zip(said, await self._tools.names(said), strict=True)) if said else []

    def _hidden(self, names: Names, request: Request, evidence: Evidence) -> tuple[Vault, Request, Evidence]:
        vault = Vault(self._tools.personal)
        learn(vault, request, evidence)
        for text, spans in names:
            vault.name(text, spans)
        vault.seal()
        return (vault, *hidden(vault, request, evidence)) if vault else (vault, request, evidence)

    def _failed(self, error: Exception) -> Verdict:
        """A pass: the next rung or a person gets the request. An error may quote it, so only its class is told."""
        why = f"Masking personal data failed ({type(error).__name__}), so nothing was sent."
        return Verdict(ok=False, by=self._tools.name, code="masking_failed", why=why)


def spec(_: Options) -> ModelSpec:
    """A model behind a mask is one that is not local; the rest is for the settings to say."""
    return ModelSpec(where="remote")


def build(_: Options, tools: Tools) -> Model:
    """The model in `tools.inner`, masked. Raises `ConfigError` where there is none."""
    if tools.inner is None:
        raise ConfigError(
            f"The model {tools.name!r} is a mask around nothing.", "Set mask = true on the model that is to be masked."
        )
    return Masked(tools.inner, tools)


def learn(vault: Vault, request: Request, evidence: Evidence) -> None:
    """Show `vault` every text that would leave."""

    def text(value: str, key: str) -> str:
        vault.learn(value, "" if key in PLAIN else key)
        return value

    def inside_json(value: str) -> str:
        vault.learn_json(value)
        return value

    def pattern(value: str) -> str:
        return text(value, "")

    _changed(request, evidence, Ways(text, inside_json, pattern))


def hidden(vault: Vault, request: Request, evidence: Evidence) -> tuple[Request, Evidence]:
    """The request and the passages as they may leave."""
    return _changed(request, evidence, Ways(lambda text, _: vault.hide(text), vault.hide_json, vault.hide_pattern))


def restored(answer: Answer, vault: Vault, wants_json: bool = False) -> Answer:
    """The answer as the client reads it; `wants_json` where the request has its text as JSON."""
    json_keys = frozenset({"arguments", "content"} if wants_json else {"arguments"})
    text = answer.text and (vault.restore_json if wants_json else vault.restore)(answer.text)
    return msgspec.structs.replace(
        answer,
        text=text,
        tool_calls=tuple(_restored(call, vault) for call in answer.tool_calls),
        extra=_restored(answer.extra, vault),
        choices=tuple(_restored(choice, vault, json_keys) for choice in answer.choices),
        citations=tuple(_cited(citation, vault) for citation in answer.citations),
    )


class Unmasking:
    """A sink around the client's: gives out what is whole, and holds back what may be a placeholder's beginning."""

    def __init__(self, sink: Sink, vault: Vault, wants_json: bool = False) -> None:
        self._sink, self._vault, self.live = sink, vault, sink.live
        self._json = frozenset({*CALLS, ""} if wants_json else CALLS)
        self._parts: dict[tuple[int, str, int], Strings | Prose] = {}

    def spent(self, usage: Usage) -> None:
        self._sink.spent(usage)

    def lost(self, usage: Usage, ms: float) -> None:
        self._sink.lost(usage, ms)

    async def emit(self, delta: Delta) -> None:
        text = self._through((delta.index, "", 0), delta.text)
        extra = self._extra(delta.index, delta.extra)
        if text or extra or delta.logprobs is not None or not (delta.text or delta.extra):
            await self._sink.emit(msgspec.structs.replace(delta, text=text, extra=extra))

    async def flush(self) -> None:
        """Let out what was held and is no placeholder after all; called once the model has answered."""
        for (index, field, call), part in self._parts.items():
            if held := part.close():
                await self._sink.emit(_rest(index, field, call, held))
        self._parts.clear()

    def _through(self, key: tuple[int, str, int], piece: str) -> str:
        """What may leave of the text at `key` now that `piece` has come."""
        if not piece:
            return piece
        if key not in self._parts:
            self._parts[key] = self._vault.strings() if key[1] in self._json else self._vault.prose()
        return self._parts[key].feed(piece)

    def _extra(self, index: int, extra: Json) -> Json:
        changed: Json = {}
        for field, value in extra.items():
            if field == "tool_calls" and isinstance(value, list):
                calls = enumerate(cast("list[Any]", value))
                changed[field] = [self._call(index, field, call, at) for at, call in calls]
            elif field == "function_call":
                changed[field] = self._arguments(index, field, 0, value)
            elif isinstance(value, str):
                if (text := self._through((index, field, 0), value)) or not value:
                    changed[field] = text
            else:
                changed[field] = _restored(value, self._vault)
        return changed

    def _call(self, index: int, field: str, call: Any, at: int) -> Any:
        if not isinstance(call, dict):
            return call
        piece = cast("Json", call)
        position = piece.get("index", at)
        function = self._arguments(index, field, position if isinstance(position, int) else at, piece.get("function"))
        return {**piece, "function": function} if "function" in piece else piece

    def _arguments(self, index: int, field: str, call: int, function: Any) -> Any:
        if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):  # pyright: ignore[reportUnknownMemberType]
            return function
        piece = cast("Json", function)
        return {**piece, "arguments": self._through((index, field, call), piece["arguments"])}


def _changed(request: Request, evidence: Evidence, ways: Ways) -> tuple[Request, Evidence]:
    """Both changed, in the order in which a conversation grows: what is in all its turns first, what is new last.

    So a value keeps its placeholder from turn to turn, and a provider's cache of what came before stays of use.
    """
    given = params(request.params, ways)
    messages = tuple(message(said, ways) for said in request.messages)
    passages = tuple(
        msgspec.structs.replace(
            one, text=ways.text(one.text, ""), title=ways.text(one.title, ""), source=ways.text(one.source, "")
        )
        for one in evidence.passages
    )
    changed = msgspec.structs.replace(request, messages=messages, params=given)
    return changed, Evidence(passages=passages)


def _restored(value: Any, vault: Vault, json_keys: frozenset[str] = frozenset({"arguments"}), key: str = "") -> Any:
    if isinstance(value, str):
        return (vault.restore_json if key in json_keys else vault.restore)(value)
    if isinstance(value, dict):
        return {k: _restored(v, vault, json_keys, k) for k, v in cast("Json", value).items()}
    if isinstance(value, list):
        return [_restored(item, vault, json_keys, key) for item in cast("list[Any]", value)]
    return value


def _cited(citation: Citation, vault: Vault) -> Citation:
    return msgspec.structs.replace(citation, source=vault.restore(citation.source), quote=vault.restore(citation.quote))


def _wants_json(params: Json) -> bool:
    wanted = params.get("response_format")
    return isinstance(wanted, dict) and cast("Json", wanted).get("type") in {"json_object", "json_schema"}


def _size(request: Request, evidence: Evidence) -> int:
    sent = len(msgspec.json.encode((request.messages, request.params)))
    return sent + sum(len(passage.text) for passage in evidence.passages)


def _rest(index: int, field: str, call: int, held: str) -> Delta:
    if field == "tool_calls":
        return Delta(index=index, extra={field: [{"index": call, "function": {"arguments": held}}]})
    if field == "function_call":
        return Delta(index=index, extra={field: {"arguments": held}})
    return Delta(index=index, extra={field: held}) if field else Delta(index=index, text=held)
