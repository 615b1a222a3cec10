"""`trimtab models`: the models a recipe has, and which were looked for and found or not."""

import asyncio
from typing import Any

import typer

from trimtab.cli import _out, _recipe


def attach(app: typer.Typer) -> None:
    app.command("models", help="List the models: those of the recipe, and what was found or not found.")(models)


def models(
    word: str = _recipe.WORD,
    recipe: str = _recipe.NAMED,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    rows, found = asyncio.run(_models(_recipe.chosen(word, recipe)))
    if json:
        _out.emit({"models": rows, "found": found})
        return
    _table(rows)
    for line in found:
        _out.say(line)


async def _models(recipe: str) -> tuple[list[dict[str, Any]], list[str]]:
    from trimtab import settings
    from trimtab.cli import _preview
    from trimtab.wiring import open_system

    async with open_system(_preview.dry(settings.load(recipe)), _out.say) as system:
        kinds = {part.name: part.kind for part in system.settings.models}
        return [_row(name, kinds.get(name, ""), spec) for name, spec in system.desk.specs.items()], list(system.found)


def _row(name: str, kind: str, spec: Any) -> dict[str, Any]:
    price = spec.price and {"input": str(spec.price.input), "output": str(spec.price.output)}
    return {
        "name": name, "kind": kind, "where": spec.where, "region": spec.region, "price": price, "context": spec.context,
        "abilities": sorted(spec.abilities), "recorded": spec.recorded,
    }  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table(title="Models, in the order they are tried", title_justify="left")
    for column in ("model", "kind", "where", "USD per million tokens (in / out)", "can"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["name"], row["kind"], row["where"], _price(row["price"]), ", ".join(row["abilities"]))
    _out.console().print(table)


def _price(price: dict[str, str] | None) -> str:
    if price is None:
        return "unknown"
    return "free" if price["input"] == price["output"] == "0" else f"{price['input']} / {price['output']}"
