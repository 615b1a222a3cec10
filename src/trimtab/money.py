"""Money: costs are int nanodollars (1e-9 USD), prices Decimal USD per million tokens; unknown is None, never 0. Pure.

A token at the cheapest listed prices costs less than a microdollar, so microdollars would round real bills to 0.
"""

from collections.abc import Iterable
from decimal import ROUND_HALF_EVEN, Decimal

from trimtab.types import Price, Usage

NANO = 1_000_000_000


def cost(usage: Usage | None, price: Price | None) -> int | None:
    """Nanodollars of one call; None where the price or the usage is unknown.

    `usage.prompt` includes the cached tokens, as OpenAI counts them; without a cached price they cost the full one.
    """
    if usage is None or price is None:
        return None
    cached = price.input if price.cached is None else price.cached
    usd_per_million = (
        (usage.prompt - usage.cached) * price.input + usage.cached * cached + usage.completion * price.output
    )
    return int((usd_per_million * 1000).to_integral_value(ROUND_HALF_EVEN))


def total(costs: Iterable[int | None]) -> int | None:
    """The sum; None as soon as one part is unknown."""
    amount = 0
    for part in costs:
        if part is None:
            return None
        amount += part
    return amount


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
