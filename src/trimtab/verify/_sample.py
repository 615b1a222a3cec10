"""A request as another sample of it is asked: drawn apart from the first, whole, no longer than allowed. Pure."""

import msgspec

from trimtab.types import Request

ALONE = frozenset({"n", "stream", "stream_options", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens"})
"""Parameters that a sample is not asked with."""


def sample(request: Request, number: int, temperature: float | None, tokens: int) -> Request:
    """The `number`-th further sample, of at most `tokens`; `temperature` None leaves the client's own."""
    params = {key: value for key, value in request.params.items() if key not in ALONE}
    name = "max_completion_tokens" if "max_completion_tokens" in request.params else "max_tokens"
    given = request.params.get(name)
    params[name] = min(given, tokens) if isinstance(given, int) else tokens
    if temperature is not None:
        params["temperature"] = temperature
    if isinstance(seed := params.get("seed"), int):
        params["seed"] = seed + number  # the same seed would say the same
    return msgspec.structs.replace(request, params=params)
