"""`trimtab audit`: what people and administrators did, and whether anybody changed that record since."""

import asyncio
import time
from typing import TYPE_CHECKING

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.store.audit import Entry, Report

HELP = "What people and administrators did: list it, and check that nobody changed the record."
VERIFY = """Check the whole chain, and each head against it; exit code 0 where all is well, else 1.

Each row's hash is of the hash before it and the row; the last one, the head, is kept outside of the database. That
it was checked is entered too."""
ACCEPT = """Take the chain as it stands, and write its heads anew: after a backup was put back, or a head was named.

That you did is entered, with the heads that were there."""
RECIPE = _recipe.OPTION
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")
BROKEN = 1


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="audit", help=HELP)
    verb.command("list", help="List the latest rows, oldest first.")(listing)
    verb.command("verify", help=VERIFY)(verify)
    verb.command("accept", help=ACCEPT)(accept)
    app.add_typer(verb)


def listing(
    n: int = typer.Option(50, "-n", min=1, max=1_000_000, help="How many at most."),
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a row."),
) -> None:
    import msgspec

    for entry in asyncio.run(_list(recipe, n)):
        if json:
            _out.emit(msgspec.to_builtins(entry))
        else:
            print(_line(entry))


def verify(
    head: str = typer.Option("", "--head", help="The hash of a head that you kept elsewhere: a row must have it."),
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    import msgspec

    report = asyncio.run(_verify(recipe, head))
    if json:
        _out.emit({"audit": {"ok": not report.fault, **msgspec.to_builtins(report)}})
    else:
        _told(report)
    if report.fault:
        raise typer.Exit(BROKEN)


def accept(recipe: str = RECIPE, json: bool = JSON) -> None:
    import msgspec

    entry = asyncio.run(_accept(recipe))
    if json:
        _out.emit({"entry": msgspec.to_builtins(entry)})
    else:
        print(f"Accepted: the head is {entry.seq} {entry.hash}")


def _told(report: "Report") -> None:
    for note in report.notes:
        _out.say(f"note: {note}")
    if report.fault:
        fix = "Keep the database and the heads as they are: docs/how-to/audit.md says what to do."
        _out.fault(report.fault, fix, code="audit_broken", type="audit_error")
        return
    print(f"ok: {report.entries} rows; the head is {report.head.seq} {report.head.hash}")


async def _list(recipe: str, n: int) -> "tuple[Entry, ...]":
    from trimtab.cli import _ledger
    from trimtab.store import audit

    async with _ledger.opened(recipe) as store:
        return await audit.entries(store, n)


async def _verify(recipe: str, elsewhere: str) -> "Report":
    from trimtab.cli import _ledger
    from trimtab.server.acts import login
    from trimtab.store import audit

    async with _ledger.opened(recipe) as store:
        report = await audit.verify(store, elsewhere)
        action = "audit.failed" if report.fault else "audit.verified"
        append = audit.entering(store, login(), action, store.path.name, report)
        await (store.transact(append) if report.fault else audit.acted(store, append))
        return report


async def _accept(recipe: str) -> "Entry":
    from trimtab.cli import _ledger
    from trimtab.server.acts import login
    from trimtab.store import audit

    async with _ledger.opened(recipe) as store:
        return await audit.accept(store, login())


def _line(entry: "Entry") -> str:
    from trimtab.cli import _render

    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.at / 1e6))
    said = f"{entry.seq:>6}  {when}  {entry.action:<16}  {entry.actor} -> {entry.subject}  {entry.payload[:12]}"
    return _render.visible(said)
