"""Wraps a model that is not local: personal data goes out as placeholders and comes back in the answer byte for byte.

Masked are all texts of the messages, the strings (and long numbers) inside tool calls' arguments and JSON tool
results, retrieved passages, and the parameters `user`, `safety_identifier`, `metadata` and `prediction`. Not masked:
tool definitions and the other parameters (the operator's), URLs, images, audio and files. What is personal is for
`tools.personal` to say. Restored are the text, the extra fields, the further choices and the tool calls, also in a
stream cut anywhere; citations, the label, token log-probabilities and the response's body stay as the model gave them.
"""

from typing import Any, cast

import msgspec

from trimtab.answer._vault import Vault, mapped
from trimtab.errors import ConfigError
from trimtab.ports import Model, Sink, Tools
from trimtab.types import Answer, Delta, Evidence, Json, ModelSpec, Passage, Request, Usage, Verdict

PARAMS = ("user", "safety_identifier", "metadata", "prediction")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """None: what is masked is not a matter of taste."""


class Masked:
    """The wrapped model, which never sees what it needs not; its vault lives for one request."""

    def __init__(self, inner: Model, tools: Tools) -> None:
        self._inner, self._tools = inner, tools

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        try:
            vault, hidden, passages = self._hidden(request, evidence)
        except Exception as error:  # noqa: BLE001 - whatever fails here, nothing may be sent
            return self._failed(error)
        if not vault:
            return await self._inner.answer(request, evidence, sink)
        unmasking = Unmasking(sink, vault)
        said = await self._inner.answer(hidden, passages, unmasking)
        await unmasking.flush()
        return restored(said, vault) if isinstance(said, Answer) else said

    def _hidden(self, request: Request, evidence: Evidence) -> tuple[Vault, Request, Evidence]:
        vault = Vault(self._tools.personal)
        learn(vault, request, evidence)
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

    def plain(text: str) -> str:
        vault.learn(text)
        return text

    def inside_json(text: str) -> str:
        vault.learn_json(text)
        return text

    for message in request.messages:
        mapped(message, *_ways(message, plain, inside_json))
    for key in PARAMS:
        mapped(request.params.get(key), plain, inside_json, frozenset())
    for passage in evidence.passages:
        plain(passage.text)
        plain(passage.title)


def hidden(vault: Vault, request: Request, evidence: Evidence) -> tuple[Request, Evidence]:
    """The request and the passages as they may leave."""
    messages = tuple(mapped(message, *_ways(message, vault.hide, vault.hide_json)) for message in request.messages)
    params = {
        key: mapped(value, vault.hide, vault.hide_json, frozenset()) if key in PARAMS else value
        for key, value in request.params.items()
    }
    passages = tuple(_passage(passage, vault) for passage in evidence.passages)
    return msgspec.structs.replace(request, messages=messages, params=params), Evidence(passages=passages)


def restored(answer: Answer, vault: Vault) -> Answer:
    """The answer as the client reads it."""
    return msgspec.structs.replace(
        answer,
        text=answer.text and vault.restore(answer.text),
        tool_calls=tuple(_restored(call, vault) for call in answer.tool_calls),
        extra=_restored(answer.extra, vault),
        choices=tuple(_restored(choice, vault) for choice in answer.choices),
    )


class Unmasking:
    """A sink around the client's: gives out what is whole, and holds back what may be a placeholder's beginning."""

    def __init__(self, sink: Sink, vault: Vault) -> None:
        self._sink, self._vault, self.live = sink, vault, sink.live
        self._held: dict[tuple[int, str, int], str] = {}

    def spent(self, usage: Usage) -> None:
        self._sink.spent(usage)

    async def emit(self, delta: Delta) -> None:
        text = self._through((delta.index, "", 0), delta.text)
        extra = self._extra(delta.index, delta.extra)
        if text or extra or delta.logprobs is not None or not (delta.text or delta.extra):
            await self._sink.emit(msgspec.structs.replace(delta, text=text, extra=extra))

    async def flush(self) -> None:
        """Let out what was held and is no placeholder after all; called once the model has answered."""
        for (index, field, call), held in self._held.items():
            if held:
                await self._sink.emit(_rest(index, field, call, held))
        self._held.clear()

    def _through(self, key: tuple[int, str, int], piece: str) -> str:
        """What may leave of the text at `key` now that `piece` has come."""
        if not piece:
            return piece
        text = self._held.pop(key, "") + piece
        whole = len(text) - self._vault.unfinished(text)
        if text[whole:]:
            self._held[key] = text[whole:]
        restore = self._vault.restore_json if key[1] in {"tool_calls", "function_call"} else self._vault.restore
        return restore(text[:whole])

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


def _ways(message: Json, plain: Any, inside_json: Any) -> tuple[Any, Any]:
    """How the strings of a message are changed: a tool's result is JSON more often than prose."""
    if message.get("role") not in {"tool", "function"}:
        return plain, inside_json
    return (lambda text: (inside_json if text.lstrip()[:1] in ("{", "[") else plain)(text)), inside_json


def _restored(value: Any, vault: Vault) -> Any:
    return mapped(value, vault.restore, vault.restore_json)


def _passage(passage: Passage, vault: Vault) -> Passage:
    return msgspec.structs.replace(passage, text=vault.hide(passage.text), title=vault.hide(passage.title))


def _rest(index: int, field: str, call: int, held: str) -> Delta:
    if field == "tool_calls":
        return Delta(index=index, extra={field: [{"index": call, "function": {"arguments": held}}]})
    if field == "function_call":
        return Delta(index=index, extra={field: {"arguments": held}})
    return Delta(index=index, extra={field: held}) if field else Delta(index=index, text=held)
