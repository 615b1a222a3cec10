"""`trimtab logs`: what the ledger keeps of the requests: the latest, one in full, and the sums."""

import asyncio
import time
from typing import Any

import typer

from trimtab.cli import _out, _recipe

HELP = "What happened to the requests: the latest ones, one in full, and the sums."
POLL = 0.5
"""Seconds between two looks of `tail --follow`."""
RECIPE = _recipe.OPTION


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="logs", help=HELP)
    verb.command("tail", help="Show the latest requests, oldest first; --follow waits for more.")(tail)
    verb.command("show", help="Show the path of one request as a tree; the id, or the beginning of it.")(show)
    verb.command("totals", help="Show who answered how many requests, what they cost, and what was saved.")(totals)
    app.add_typer(verb)


def tail(
    n: int = typer.Option(20, "-n", min=1, max=10_000, help="How many."),
    follow: bool = typer.Option(False, "--follow", "-f", help="Go on until Ctrl-C."),
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a request."),
) -> None:
    asyncio.run(_tail(recipe, n, follow, json))


def show(
    id: str = typer.Argument(help="The trace's id, or the beginning of it."),
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    found = asyncio.run(_one(recipe, id))
    if json:
        _out.emit({"trace": found})
        return
    from trimtab.cli import _render

    _out.console().print(_render.tree(found))


def totals(
    days: float = typer.Option(0.0, "--days", min=0.0, help="Of the last days only; 0 is all."),
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="One JSON object on stdout."),
) -> None:
    sums = asyncio.run(_totals(recipe, time.time() - days * 86400 if days else 0.0))
    if json:
        _out.emit({"totals": sums})
    else:
        _show_totals(sums)


async def _tail(recipe: str, n: int, follow: bool, json: bool) -> None:
    from trimtab.cli import _ledger
    from trimtab.record import _read

    async with _ledger.opened(recipe) as store:
        rows, last = await _read.tail(store, n), None
        while True:
            for row in rows:
                last = row["id"]
                _out.emit(row) if json else print(_line(row), flush=True)
            if not follow:
                return
            await asyncio.sleep(0 if len(rows) == n else POLL)
            rows = await _read.tail(store, n, last)


async def _one(recipe: str, id: str) -> dict[str, Any]:
    from trimtab.cli import _ledger
    from trimtab.errors import NotFoundError
    from trimtab.record import _read

    async with _ledger.opened(recipe) as store:
        found = await _read.trace(store, id)
    if found is None:
        fix = f"See the latest: {_recipe.hint('logs tail', recipe)}"
        raise NotFoundError(f"There is no trace {id!r}.", fix, param="id", code="trace_not_found")
    return found


async def _totals(recipe: str, since: float) -> dict[str, Any]:
    from trimtab.cli import _ledger
    from trimtab.record import _read

    async with _ledger.opened(recipe) as store:
        return await _read.totals(store, since)


def _line(row: dict[str, Any]) -> str:
    from trimtab.cli import _render

    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["at"]))
    who = row["answered_by"] if row["outcome"] == "answer" else f"{row['outcome']} {row['code']}"
    cost = _render.usd(row["cost_usd"])
    return f"{when}  {row['id']}  {who:<28} {row['ms']:8.1f} ms  cost {cost}"


def _show_totals(sums: dict[str, Any]) -> None:
    from trimtab.cli import _render

    print(f"{sums['requests']} requests")
    for outcome, count in sorted(sums["by_outcome"].items()):
        print(f"  {outcome:<12}{count:>8}")
    for name, row in sorted(sums["answered_by"].items(), key=lambda item: -item[1]["requests"]):
        print(f"    by {name:<12}{row['requests']:>5}  cost {_render.usd(row['cost_usd'])}")
    unknown = f" (and {sums['unknown_cost']} of unknown cost)" if sums["unknown_cost"] else ""
    print(f"cost      {_render.usd(sums['cost_usd'])}{unknown}")
    print(f"at large  {_render.usd(sums['baseline_usd'])}")
    print(f"saved     {_render.usd(sums['saved_usd'])} over {sums['compared']} answers")
