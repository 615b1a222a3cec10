"""What providers charge for a token: a lookup in `catalog/prices.csv`, each row with its source and date."""

import csv
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path

import msgspec

from trimtab.types import Price

CACHING: dict[str, tuple[Decimal, Decimal, Decimal]] = {
    "anthropic": (Decimal("0.1"), Decimal("1.25"), Decimal(2)),
}
"""What reading from a provider's cache, writing to it and writing to it for longer cost, each times the input's price
(platform.claude.com/docs/en/build-with-claude/prompt-caching): the list has no columns for it."""
ROUNDED = frozenset({"claude-3-haiku"})
"""Models whose prices are not those products."""
CATALOG = Path(__file__).parent / "catalog" / "prices.csv"


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A row: the price from `since` on (ISO date, empty: always), as `source` had it on the day `seen`."""

    provider: str
    model: str
    price: Price
    since: str
    seen: str
    source: str


def find(model: str, provider: str = "") -> Listed | None:
    """The row of a model by its exact name, of the latest date; None where nobody lists it.

    `model` may carry its provider: `openai/gpt-5.4`. Without one, a name that several providers sell at different
    prices is not found: which of them is meant cannot be known.
    """
    if "/" in model and not provider:
        provider, model = model.split("/", 1)
    rows = [row for row in catalog() if row.model == model and provider in ("", row.provider)]
    if len({row.provider for row in rows}) > 1 and len({row.price for row in rows}) > 1:
        return None
    return max(rows, key=lambda row: row.since, default=None)


@cache
def catalog() -> tuple[Listed, ...]:
    """All rows whose price is whole, as they stand in the file."""
    with CATALOG.open(encoding="utf-8", newline="") as file:
        return tuple(found for row in csv.DictReader(file) if (found := _listed(row)))


def _listed(row: dict[str, str]) -> Listed | None:
    try:
        price = Price(
            input=Decimal(row["usd_per_mtok_in"]),
            output=Decimal(row["usd_per_mtok_out"]),
            cached=Decimal(row["usd_per_mtok_in_cached"]) if row["usd_per_mtok_in_cached"] else None,
        )
        if row["provider"] in CACHING and row["model"] not in ROUNDED:
            read, written, long = (times * price.input for times in CACHING[row["provider"]])
            price = Price(
                input=price.input, output=price.output, cached=price.cached or read, cache_write=written,
                cache_write_long=long,
            )  # fmt: skip
    except InvalidOperation:
        return None
    return Listed(
        provider=row["provider"], model=row["model"], price=price, since=row["from_date"], seen=row["snapshot"],
        source=row["source"],
    )  # fmt: skip
