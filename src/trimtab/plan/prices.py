"""What providers charge for a token: a lookup in `catalog/prices.csv` (`snapshot`), each row with source and date."""

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
(platform.claude.com/docs/en/build-with-claude/prompt-caching), for rows that do not say it."""
ROUNDED = frozenset({"claude-3-haiku"})
"""Models whose prices are not those products."""
CATALOG = Path(__file__).parent / "catalog" / "prices.csv"


MAKERS = frozenset((
    "anthropic", "openai", "google", "mistral", "deepseek", "xai", "moonshot-ai", "zai", "minimax", "meta-ai", "cohere",
    "amazon", "qwen",
))  # fmt: skip
"""Who sells models of its own: a bare name means those."""


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A row: the price from `since` on (ISO date, empty: always), as `source` had it on the day `seen`.

    It is of requests whose prompt has more than `above` tokens; `batch`: of those that may wait for a day.
    """

    provider: str
    model: str
    price: Price
    since: str
    seen: str
    source: str
    above: int = 0
    batch: bool = False


def find(model: str, provider: str = "") -> Listed | None:
    """The common row of a model by its exact name, of the latest date; None where nobody lists it.

    `model` may carry its provider: `openai/gpt-5.4`. Without one, its maker is meant; of a name that none of the makers
    has and that several providers sell at different prices, nothing is found: which of them is meant cannot be known.
    """
    rows = [row for row in _named(model, provider) if not row.above and not row.batch]
    if made := [row for row in rows if row.provider in MAKERS]:
        rows = [row for row in made if row.provider == made[0].provider] if len(_sellers(made)) == 1 else made
    if len(_sellers(rows)) > 1 and len({row.price for row in rows}) > 1:
        return None
    return max(rows, key=lambda row: row.since, default=None)


def at(listed: Listed, prompt: float, *, batch: bool = False) -> Listed:
    """The row that a request of `prompt` tokens is charged by; where a provider sells no batches, the common one."""
    rows = [
        row for row in _named(listed.model, listed.provider)
        if (not row.above or row.above < prompt) and row.batch <= batch
        and row.source == listed.source and row.since <= listed.since
    ]  # fmt: skip
    return max(rows, key=lambda row: (row.batch, row.above, row.since), default=listed)


def names() -> list[str]:
    """Every model's name, once."""
    return list(dict.fromkeys(row["model"] for row in _rows()))


def _named(model: str, provider: str) -> list[Listed]:
    wanted = [(model, provider)]
    if "/" in model and not provider:
        wanted.append((model.split("/", 1)[1], model.split("/", 1)[0]))
    for name, seller in wanted:
        rows = (row for row in _rows() if row["model"] == name and seller in ("", row["provider"]))
        if found := [listed for row in rows if (listed := _listed(row))]:
            return found
    return []


def _sellers(rows: list[Listed]) -> set[str]:
    return {row.provider for row in rows}


@cache
def _rows() -> tuple[dict[str, str], ...]:
    """The file as it stands; a row becomes a price when it is asked for."""
    with CATALOG.open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def _listed(row: dict[str, str]) -> Listed | None:
    def number(name: str) -> Decimal | None:
        return Decimal(row[name]) if row[name] else None

    try:
        price = Price(
            input=Decimal(row["usd_per_mtok_in"]), output=Decimal(row["usd_per_mtok_out"]),
            cached=number("usd_per_mtok_in_cached"), cache_write=number("usd_per_mtok_cache_write"),
            cache_write_long=number("usd_per_mtok_cache_write_long"),
        )  # fmt: skip
    except InvalidOperation:
        return None
    if price.cache_write is None and row["provider"] in CACHING and row["model"] not in ROUNDED:
        read, written, long = (times * price.input for times in CACHING[row["provider"]])
        price = msgspec.structs.replace(price, cached=price.cached or read, cache_write=written, cache_write_long=long)
    return Listed(
        provider=row["provider"], model=row["model"], price=price, since=row["from_date"], seen=row["snapshot"],
        source=row["source"], above=int(row["above_tokens"] or 0), batch=row["batch"] == "1",
    )  # fmt: skip
