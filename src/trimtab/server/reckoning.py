"""What to reserve for a request before it goes down the path, and what its trace says was used. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import ceil

import msgspec

from trimtab import texts
from trimtab.errors import LimitError
from trimtab.money import total
from trimtab.server.quota import Bound
from trimtab.types import ModelSpec, Price, Request, Trace, Usage

COMPLETION = 1024
"""Tokens reserved for an answer whose length the client did not limit."""
IMAGE = 1500
"""Tokens reserved for a picture: what large models count for a big one, about."""
DENSITY = 3
"""Bytes of UTF-8 a token, for reservations: English has four, so that this is more than what will be counted."""
FRAME = 8
"""Tokens reserved for what stands around a message."""
PRICES = 1000
RATES: dict[int, tuple[Price, int, int]] = {}
"""Prices in picodollars a token; by identity, since to hash a decimal takes longer than what is saved."""


def reckoned(request: Request, specs: Mapping[str, ModelSpec], bounds: Sequence[Bound], usage: Usage) -> dict[str, int]:
    """What to reserve: one request, its prompt and longest answer in tokens (the `expected` usage), and what every rung
    it may climb costs."""
    amounts = {"requests": 1, "tokens": usage.prompt + usage.completion, "nano": 0}
    if any(bound.what == "nano" for bound in bounds):
        name = request.wishes.model
        asked = [specs[name]] if name in specs else specs.values()
        amounts["nano"] = sum(_most(usage, spec.price) for spec in asked)
        if request.limits.cost is not None:
            amounts["nano"] = min(amounts["nano"], request.limits.cost)
    return amounts


def expected(request: Request) -> Usage:
    """The most tokens that a request is likely to need: its texts, tools and pictures, and the longest answer."""
    params, size, pictures = request.params, 0, 0
    for said in request.messages:
        content = said.get("content")
        if type(content) is str and len(said) == 2:  # a role and a text: most messages by far
            size += _bytes(content)
            continue
        size += sum(_bytes(text.text) for text in texts.texts((said,)))
        parts = content if isinstance(content, list) else ()
        pictures += sum(isinstance(part, dict) and part.get("type") not in (None, "text") for part in parts)
    size += sum(len(msgspec.json.encode(params[name])) for name in ("tools", "response_format") if params.get(name))
    asked = params.get("max_completion_tokens") or params.get("max_tokens") or COMPLETION
    prompt = -(-size // DENSITY) + FRAME * len(request.messages) + IMAGE * pictures
    return Usage(prompt=prompt, completion=asked * (params.get("n") or 1), estimated=True)


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _most(usage: Usage, price: Price | None) -> int:
    """Nanodollars of a usage, rounded up; 0 where the price is unknown. Decimals are reckoned once for each price."""
    if price is None:
        return 0
    if (rates := RATES.get(id(price))) is None or rates[0] is not price:
        if len(RATES) >= PRICES:
            RATES.clear()
        dearest = max(price.input, price.cache_write or 0, price.cache_write_long or 0)  # all of it may be written
        # a token at 1 USD for a million of them is 1,000,000 picodollars
        rates = RATES[id(price)] = (price, ceil(dearest * 1_000_000), ceil(price.output * 1_000_000))
    return -(-(usage.prompt * rates[1] + usage.completion * rates[2]) // 1000)


def used(trace: Trace) -> Callable[[Bound], int | None]:
    """What a trace says was used of a bound; None is unknown, and stays as it was reserved."""
    usages = [trace.usage] if trace.outcome == "answer" else [step.usage for step in trace.steps if step.usage]
    found: dict[str, int | None] = {"requests": 1, "tokens": _tokens(usages), "nano": trace.cost}
    return lambda bound: _by_model(trace, bound) if bound.model else found[bound.what]


def _by_model(trace: Trace, bound: Bound) -> int | None:
    steps = [step for step in trace.steps if step.stage == "answer" and step.by == bound.model]
    if bound.what == "nano":
        return total(step.cost for step in steps)
    return min(1, len(steps)) if bound.what == "requests" else _tokens([step.usage for step in steps if step.usage])


def _tokens(usages: Iterable[Usage]) -> int:
    return sum(usage.prompt + usage.completion for usage in usages)


def unknown(_: Bound) -> None:
    """Nothing is known of what was used: the reservation stays."""


def check_price(name: str, spec: ModelSpec, bounds: Iterable[Bound]) -> None:
    """A budget in USD cannot be kept with a model of unknown price."""
    if spec.price is None and any(bound.what == "nano" for bound in bounds):
        raise LimitError(
            f"The model {name!r} has no price, and there is a budget in USD.", "Set its price in the recipe.",
            code="price_unknown",
        )  # fmt: skip
