"""Providers' prices as genai-prices has them, put into `catalog/prices.csv`; never at run time.

    python -m trimtab.plan.snapshot [--seen 2026-11-28] [--out FILE]      needs genai-prices: `runs/prices.sh`

genai-prices (github.com/pydantic/genai-prices, MIT) brings pydantic and an HTTP client, 15 MB in all, for a table of
0.3 MB: so its table is read once and shipped, each row with the release and the day. Rows from other sources stay for
models that it does not list. A tier for long prompts, and a batch at its price, are rows of their own.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

COLUMNS = (
    "provider", "model", "usd_per_mtok_in", "usd_per_mtok_out", "usd_per_mtok_in_cached", "usd_per_mtok_cache_write",
    "usd_per_mtok_cache_write_long", "above_tokens", "batch", "from_date", "snapshot", "source",
)  # fmt: skip
FIELDS = ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "cache_write_1h_mtok")
PROVIDERS = {
    "anthropic": "anthropic", "aws": "aws", "azure": "azure", "baseten": "baseten", "cerebras": "cerebras",
    "cloudflare": "cloudflare", "cohere": "cohere", "databricks": "databricks", "deepseek": "deepseek",
    "fireworks": "fireworks", "google": "google", "groq": "groq", "meta": "meta-ai", "minimax": "minimax",
    "mistral": "mistral", "moonshotai": "moonshot-ai", "novita": "novita", "openai": "openai",
    "openrouter": "openrouter", "ovhcloud": "ovhcloud", "perplexity": "perplexity", "together": "together",
    "x-ai": "xai", "zai": "zai",
}  # fmt: skip
"""Those that sell tokens to anybody, by the names that this package has for them."""
TIER = re.compile(r"-(\d+)k$")
"""How simonw/llm-prices names the tier of a model for prompts longer than so many thousand tokens."""


def rows(found: Any, seen: date, source: str) -> Iterator[dict[str, str]]:
    """The rows of genai-prices' providers as of the day `seen`; what is free or has no price of text is left out."""
    at = datetime.combine(seen, time(12), UTC)
    for provider in found:
        if provider.id not in PROVIDERS:
            continue
        for model in provider.models:
            listed = model.get_prices(at)
            also = {"provider": PROVIDERS[provider.id], "model": model.id, "snapshot": f"{seen}", "source": source}
            yield from (also | row for row in _tiers(listed))
            for variant in model.price_variants or ():
                if variant.when == {"processing": "batch"}:
                    merged = {name: getattr(variant.prices, name) or getattr(listed, name) for name in FIELDS}
                    yield from (also | row | {"batch": "1"} for row in _tiers(argparse.Namespace(**merged)))


def _tiers(listed: Any) -> Iterator[dict[str, str]]:
    """One row for the common price and one for each tier above it."""
    values = [getattr(listed, name) for name in FIELDS]
    if values[0] is None or values[1] is None or not (_at(values[0], 0) or _at(values[1], 0)):
        return
    starts = sorted({tier.start for value in values for tier in getattr(value, "tiers", ())})
    for start in (0, *starts):
        prices = ["" if (price := _at(value, start)) is None else f"{price.normalize():f}" for value in values]
        found = dict(zip(COLUMNS[2:7], prices, strict=True))
        yield found | ({"above_tokens": str(start)} if start else {})


def _at(value: Any, start: int) -> Any:
    """A price, or that of the tier which begins at `start` tokens or below it."""
    if not hasattr(value, "tiers"):
        return value
    return next((tier.price for tier in sorted(value.tiers, key=lambda t: -t.start) if tier.start <= start), value.base)


def others(path: Path, known: set[tuple[str, str]]) -> Iterator[dict[str, str]]:
    """Rows of the file that are from elsewhere and of models not in `known`; names of tiers become tiers."""
    with path.open(encoding="utf-8", newline="") as file:
        listed = [row for row in csv.DictReader(file) if not row["source"].startswith("genai-prices")]
    names = {(row["provider"], row["model"]) for row in listed}
    for row in listed:
        tier, plain = TIER.search(row["model"]), (row["provider"], TIER.sub("", row["model"]))
        if tier and plain in names:
            row |= {"model": plain[1], "above_tokens": f"{tier[1]}000"}
        if (row["provider"], row["model"]) not in known:
            yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seen", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "catalog" / "prices.csv")
    asked = parser.parse_args()
    from importlib.metadata import version

    from genai_prices.data import providers  # type: ignore[import-not-found]

    new = list(rows(providers, asked.seen, f"genai-prices {version('genai-prices')}"))
    old = list(others(asked.out, {(row["provider"], row["model"]) for row in new}))
    ordered = sorted(new + old, key=_order)
    with asked.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([row.get(name, "") for name in COLUMNS] for row in ordered)
    sys.stderr.write(f"{len(new)} rows of genai-prices, {len(old)} of others\n")


def _order(row: dict[str, str]) -> tuple[str, str, str, int, str]:
    above = int(row.get("above_tokens") or 0)
    return row["provider"], row["model"], row.get("from_date", ""), above, row.get("batch", "")


if __name__ == "__main__":
    main()
