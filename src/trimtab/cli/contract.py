"""`trimtab contract`: how the promises on quality stand, by the shadow audits in the database."""

import asyncio
import time
from typing import Any

import typer

from trimtab.cli import _out, _recipe

HELP = "How the promises on quality stand."
SHOW = """Show each contract's shadow audits, what they cost, and whether its promise is broken.

It is the promise under the recipe's present router and verifiers: other thresholds begin anew."""


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="contract", help=HELP)
    verb.command("show", help=SHOW)(show)
    app.add_typer(verb)

    @verb.callback()
    def group() -> None:  # pyright: ignore[reportUnusedFunction] - with one command, typer would leave its name out
        pass


def show(
    recipe: str = _recipe.OPTION,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a contract."),
) -> None:
    found = asyncio.run(_standing(recipe))
    if not found:
        _out.say(f"The recipe {recipe!r} has no [[contract]].")
    for row in found:
        if json:
            _out.emit(row)
        else:
            _show(row)


async def _standing(recipe: str) -> list[dict[str, Any]]:
    from trimtab import settings
    from trimtab.cli import _ledger
    from trimtab.route import _audited, _watch

    loaded = settings.load(recipe)
    if not loaded.contracts:
        return []
    async with _ledger.opened(recipe) as store:
        return [await _audited.standing(store, one, _watch.policy(loaded, one)) for one in loaded.contracts]


def _show(row: dict[str, Any]) -> None:
    from trimtab.cli import _render

    how = ", ".join(f"{count} {name}" for name, count in row["how"].items())
    print(f"contract  {row['contract']}: {row['small']} beside {row['large']}")
    print(f"audits    {row['audits']}{f' ({how})' if how else ''}, cost {_render.usd(row['cost_usd'])}")
    if row["mean_loss"] is None:
        print(f"loss      no small answer was audited yet; {row['allowed']:.4f} is allowed")
    else:
        print(f"loss      {row['mean_loss']:.4f} over {row['watched']} small answers; {row['allowed']:.4f} is allowed")
    if row["unread"]:
        most = (row["mean_loss"] or 0) * row["watched"] + row["unread"]
        print(f"unread    {row['unread']} more differ, and no marks could be read: at worst the loss is "
              f"{most / (row['watched'] + row['unread']):.4f}")  # fmt: skip
    if row["looks"]:
        found = "none was proven" if row["threshold"] is None else f"{row['threshold']:.4f} is proven and holds"
        print(f"threshold {found}, after {row['looks']} looks at the audits")
    if row["broken"]:
        when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["since"]))
        print(f"promise   BROKEN since {when} (p = {row['p_value']:.3g}): {row['small']} is left out")
    else:
        print(f"promise   not known to be broken (p = {row['p_value']:.3g})")
