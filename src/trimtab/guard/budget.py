"""Finds requests that are larger or dearer than they may be: characters, tokens, messages, tokens asked for, USD.

What a principal may spend over time is `[[limit]]`'s to say; this is of one request, before any model is asked.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from trimtab.errors import ConfigError
from trimtab.money import NANO, cost, estimate
from trimtab.ports import Guard, Tools
from trimtab.types import OK, Price, Request, Span, Text, Usage, Verdict

ASKED = ("max_completion_tokens", "max_tokens")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The most that one request may have; what is not given is not limited.

    `tokens` of all its texts (estimated, as they are before a server has counted them), `completion` tokens that it
    asks for, each of `choices` answers. `usd` is reckoned at `price`, that of the dearest model that may be asked;
    where a request does not say how long its answer may be, `completion` is reckoned, or nothing.
    """

    characters: int | None = None
    tokens: int | None = None
    messages: int | None = None
    completion: int | None = None
    choices: int | None = None
    usd: Decimal | None = None
    price: Price | None = None


class Budget:
    """A finding is a request over one of the limits; its score is how many times over."""

    def __init__(self, options: Options) -> None:
        self._options = options

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        for what, used, most in self._used(texts, request):
            if most is not None and used > most:
                largest = max(texts, key=lambda text: len(text.text), default=None)
                spans = (_all(largest),) if largest and largest.text and what in ("characters", "tokens") else ()
                why = f"It has {used} {what}, and {most} is the most that one request may have."
                return Verdict(ok=False, code="request_over_budget", why=why, score=_times(used, most), spans=spans)
        return OK

    def _used(
        self, texts: Sequence[Text], request: Request
    ) -> Iterator[tuple[str, Decimal | int, Decimal | int | None]]:
        """(what, how much the request has of it, how much it may have), the cheapest to reckon first."""
        limits = self._options
        choices, asked = _number(request, "n") or 1, max(_number(request, name) for name in ASKED)
        yield "messages", len(request.messages), limits.messages
        yield "choices", choices, limits.choices
        yield "tokens of an answer", asked, limits.completion
        yield "characters", sum(len(text.text) for text in texts), limits.characters
        if limits.tokens is None and limits.usd is None:
            return
        tokens = sum(estimate(text.text) for text in texts)
        yield "tokens", tokens, limits.tokens
        completion = choices * (asked or limits.completion or 0)
        price = cost(Usage(prompt=tokens, completion=completion), limits.price)
        yield "USD to pay", Decimal(price or 0) / NANO, limits.usd


def build(options: Options, tools: Tools) -> Guard:
    """Raises `ConfigError` for `usd` without a price, and for a limit below 0."""
    if (options.usd is None) != (options.price is None):
        raise ConfigError(
            f"{tools.name}: usd and price go together.", 'Write price = { input = "2.50", output = "15" }.'
        )
    given = (options.characters, options.tokens, options.messages, options.completion, options.choices, options.usd)
    if any(limit is not None and not (limit == limit and limit >= 0) for limit in given):
        raise ConfigError(f"{tools.name}: a limit is below 0.", "Give 0 or more, or leave it out.")
    return Budget(options)


def _number(request: Request, name: str) -> int:
    value = request.params.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _times(used: Decimal | int, most: Decimal | int) -> float | None:
    return round(float(used / most), 3) if most else None


def _all(text: Text) -> Span:
    return Span(kind="LARGEST", start=0, end=len(text.text), path=text.path)
