"""Money: costs are int nanodollars (1e-9 USD), prices Decimal USD per million tokens; unknown is None, never 0. Pure.

A token at the cheapest listed prices costs less than a microdollar, so microdollars would round real bills to 0.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from trimtab.types import Price, Usage

NANO = 1_000_000_000


def cost(usage: Usage | None, price: Price | None) -> int | None:
    """Nanodollars of one call; None where the price or the usage is unknown.

    `usage.prompt` includes the cached tokens, as OpenAI counts them, and those written to the cache. Without a price of
    their own cached ones cost the full one, which is never too little; written ones cost more than that with some
    providers, so that without theirs the cost is unknown. Reasoning is part of the completion.
    """
    if usage is None or price is None:
        return None
    cached = price.input if price.cached is None else price.cached
    plain = usage.prompt - usage.cached - usage.cache_write
    usd_per_million = plain * price.input + usage.cached * cached + usage.completion * price.output
    if usage.cache_write:
        if (written := _written(usage, price)) is None:
            return None
        usd_per_million += written
    return int((usd_per_million * 1000).to_integral_value(ROUND_HALF_EVEN))


def _written(usage: Usage, price: Price) -> Decimal | None:
    """What writing to the cache costs, in USD of a million calls."""
    amount = Decimal(0)
    long = usage.cache_write_long
    for tokens, rate in ((usage.cache_write - long, price.cache_write), (long, price.cache_write_long)):
        if tokens and rate is None:
            return None
        amount += tokens * (rate or 0)
    return amount


def total(costs: Iterable[int | None]) -> int | None:
    """The sum; None as soon as one part is unknown."""
    amount = 0
    for part in costs:
        if part is None:
            return None
        amount += part
    return amount


def together(usages: Iterable[Usage]) -> Usage:
    """The tokens of several calls; estimated where those of one are."""
    found = tuple(usages)
    return Usage(
        prompt=sum(one.prompt for one in found), completion=sum(one.completion for one in found),
        cached=sum(one.cached for one in found), estimated=any(one.estimated for one in found),
        reasoning=sum(one.reasoning for one in found), cache_write=sum(one.cache_write for one in found),
        cache_write_long=sum(one.cache_write_long for one in found),
    )  # fmt: skip


def from_usd(usd: Decimal | float | int | str) -> int:
    """Nanodollars of an amount in USD; raises `ArithmeticError` for one that is not a number."""
    return int((Decimal(str(usd)) * NANO).to_integral_value(ROUND_HALF_EVEN))


def usd(nano: int | None) -> str | None:
    """An exact decimal string of USD, as the API shows it; None stays None."""
    return None if nano is None else f"{Decimal(nano).scaleb(-9):f}"


def show(nano: int | None) -> str:
    """What a person reads: `$0.0012`, `0` or `unknown`."""
    if nano is None:
        return "unknown"
    amount = Decimal(nano).scaleb(-9)
    if not nano:
        return "0"
    return f"${amount:.2f}" if amount >= 1 else f"${amount.normalize().quantize(Decimal('0.0000001')).normalize():f}"


def estimate(text: str) -> int:
    """Tokens of a text that no tokenizer counted: four bytes of UTF-8 a token, the field's rule of thumb."""
    return (len(text.encode("utf-8", "replace")) + 3) // 4
