"""`trimtab flow`: what a flow looks like, and how its runs stand."""

import asyncio
import time
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.workflow.journal import Run

HELP = "Flows: draw one, and see how runs stand."
FLOW = typer.Argument(help="A shipped flow, a folder, or a TOML or Python file.")
RUN = typer.Argument(help="The run's id, or the beginning of it.")
JSON = typer.Option(False, "--json", help="JSON on stdout.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="flow", help=HELP)
    verb.command("show", help="Draw a flow: its steps, and where each leads.")(show)
    verb.command("list", help="List the runs of a recipe's flows, the latest first.")(listing)
    verb.command("status", help="Show how the items of a run stand.")(status)
    verb.command("forget", help="Take a run that is over out of the database, with all its texts.")(forget)
    app.add_typer(verb)


def show(
    flow: str = FLOW,
    svg: bool = typer.Option(False, "--svg", help="An SVG picture on stdout."),
    mermaid: bool = typer.Option(False, "--mermaid", help="A flowchart in Mermaid's language on stdout."),
    json: bool = JSON,
) -> None:
    from trimtab.workflow import define, draw

    defined = define.load(flow)
    if json:
        import msgspec

        _out.emit({"flow": msgspec.to_builtins(defined.flow), "digest": defined.digest})
    elif svg or mermaid:
        print((draw.svg if svg else draw.mermaid)(defined.flow), end="")
    else:
        for line in draw.lines(defined.flow):
            print(line)


def listing(
    recipe: str = _recipe.OPTION,
    n: int = typer.Option(20, "-n", min=1, help="How many at most."),
    json: bool = JSON,
) -> None:
    for run, counts in asyncio.run(_list(recipe, n)):
        if json:
            _out.emit({"run": {**_shape(run), "items": counts}})
        else:
            print(_line(run, counts))


def status(run: str = RUN, recipe: str = _recipe.OPTION, json: bool = JSON) -> None:
    found, lines = asyncio.run(_status(recipe, run))
    if json:
        _out.emit({"run": {**_shape(found), "items": lines}})
        return
    print(f"{found.id}  {found.flow}  {found.input}  {'over' if found.ended else 'not over'}")
    for line in lines:
        fault = line.get("error") or line.get("waits") or {}
        said = f"  {fault.get('step')}: {fault.get('code')}: {fault.get('why')}" if fault else ""
        print(f"{line['line']:>6}  {line['state']:<8}{said}" + "".join(f"  {one}" for one in line.get("tickets", ())))


def forget(run: str = RUN, recipe: str = _recipe.OPTION, json: bool = JSON) -> None:
    found = asyncio.run(_forget(recipe, run))
    if json:
        _out.emit({"forgotten": found.id})
    else:
        print(f"{found.id} is forgotten.")


async def _list(recipe: str, n: int) -> "list[tuple[Run, dict[str, int]]]":
    from trimtab.cli import _ledger
    from trimtab.workflow import journal

    async with _ledger.opened(recipe) as store:
        return [(run, await journal.counts(store, run.id)) for run in await journal.runs(store, n)]


async def _status(recipe: str, id: str) -> "tuple[Run, list[dict[str, Any]]]":
    from trimtab.cli import _ledger
    from trimtab.workflow import journal
    from trimtab.workflow import run as runs

    async with _ledger.opened(recipe) as store:
        found = await journal.find(store, id)
        return found, await runs.told(store, found)


async def _forget(recipe: str, id: str) -> "Run":
    from trimtab.cli import _ledger
    from trimtab.workflow import journal
    from trimtab.workflow import run as runs

    async with _ledger.opened(recipe) as store:
        found = await journal.find(store, id)
        with runs.held(store.path.parent, found.id):
            await journal.forget(store, found.id)
        return found


def _shape(run: "Run") -> dict[str, Any]:
    import msgspec

    return msgspec.to_builtins(run)


def _line(run: "Run", counts: dict[str, int]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.created))
    states = ", ".join(f"{many} {state}" for state, many in sorted(counts.items()))
    return f"{run.id}  {when}  {run.flow:<16} {'over    ' if run.ended else 'not over'}  {states}"
