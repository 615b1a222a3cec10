"""An answer of the wrong form put right: mended as it is, or the request that asks its model once more. Pure."""

import msgspec

from trimtab import texts
from trimtab.money import estimate
from trimtab.types import Answer, Json, Request, Wishes
from trimtab.verify._mend import mended as mended_text

LONGEST = 200_000
"""Characters of the largest text that is mended."""
LEAST = 64
"""Tokens below which no second answer is worth asking for."""
MORE = frozenset({"n", "stream", "stream_options", "max_tokens", "max_completion_tokens"})
"""Parameters that are not the second request's."""


def mended(answer: Answer) -> Answer | None:
    """The answer with its text and the arguments of its calls mended; None where it has more choices, was cut, is a
    refusal, or has nothing that can be mended."""
    if answer.choices or answer.finish in ("length", "content_filter") or answer.extra.get("refusal"):
        return None
    text = _mended(answer.text) if answer.text and not answer.tool_calls else None
    calls = tuple(_call(call) for call in answer.tool_calls)
    if text is None and calls == answer.tool_calls:
        return None
    body = {key: value for key, value in answer.body.items() if key != "logprobs"}  # they spell what it was
    return msgspec.structs.replace(answer, text=answer.text if text is None else text, tool_calls=calls, body=body)


def _mended(text: str) -> str | None:
    return mended_text(text) if len(text) <= LONGEST else None


def _call(call: Json) -> Json:
    body = call.get("function")
    arguments = body.get("arguments") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not isinstance(arguments, str) or (whole := _mended(arguments)) is None:
        return call
    return {**call, "function": {**body, "arguments": whole}}


def asked(request: Request, answer: Answer, why: str, budget: int) -> Request | None:
    """The request with what was wrong; None where prompt and answer would not fit the budget of tokens, and where a
    second answer would be no better: of a model that refused, of one that was cut, of several choices."""
    if answer.extra.get("refusal") or answer.finish in ("content_filter", "length") or answer.choices:
        return None
    said: tuple[Json, ...] = ({"role": "assistant", "content": answer.text},) if answer.text else ()
    order = f"That is not what was asked for: {why} Answer again, with nothing but what was asked for, corrected."
    messages = (*request.messages, *said, {"role": "user", "content": order})
    params = {key: value for key, value in request.params.items() if key not in MORE}
    prompt = [*texts.texts(messages), *texts.of_params(params)]
    left = budget - sum(estimate(text.text) for text in prompt)
    given = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    if left < LEAST:
        return None
    name = "max_completion_tokens" if "max_completion_tokens" in request.params else "max_tokens"
    params[name] = min(left, given) if isinstance(given, int) else left
    return msgspec.structs.replace(request, messages=messages, params=params, wishes=Wishes(model=answer.model))
