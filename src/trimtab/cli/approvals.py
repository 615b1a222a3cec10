"""`trimtab approvals`: what waits for a person, and the person's decision."""

import asyncio
import getpass
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.approve._tickets import Ticket
    from trimtab.store.engine import Store

HELP = "What waits for a person: list it, look at it, release it or say no."
APPROVE = """Release what waits, exactly as it was shown, or your own --answer in its stead.

The approval is of exact bytes: give their --digest as `approvals show` prints it. On a terminal, without a digest, the
ticket is shown first and you are asked."""
STATES = ("pending", "approved", "denied", "expired", "all")
ID = typer.Argument(help="The ticket's id, or the beginning of it.")
RECIPE = _recipe.OPTION
BY = typer.Option("", "--by", help="Who decides; your login name unless given.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="approvals", help=HELP)
    verb.command("list", help="List the tickets, oldest first.")(listing)
    verb.command("show", help="Show one ticket: the request, what waits, and its digest.")(show)
    verb.command("approve", help=APPROVE)(approve)
    verb.command("deny", help="Say no, for good.")(deny)
    app.add_typer(verb)


def listing(
    state: str = typer.Option("pending", "--state", help=f"One of: {', '.join(STATES)}."),
    n: int = typer.Option(100, "-n", min=1, max=10_000, help="How many at most."),
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a ticket."),
) -> None:
    if state not in STATES:
        raise typer.BadParameter(f"{state!r} is no state; there are {', '.join(STATES)}.", param_hint="--state")
    found = asyncio.run(_list(recipe, state, n))
    for ticket in found:
        if json:
            _out.emit(_shape(ticket))
        else:
            print(_line(ticket))
    if not found:
        _out.say("Nothing waits." if state == "pending" else f"There is none that is {state}.")


def show(id: str = ID, recipe: str = RECIPE, json: bool = JSON) -> None:
    _told(asyncio.run(_get(recipe, id)), json)


def approve(
    id: str = ID,
    digest: str = typer.Option("", "--digest", help="The digest of what you saw."),
    answer: str = typer.Option("", "--answer", help="Your own answer, in place of what waits."),
    by: str = BY,
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    if not (digest or answer):
        digest = _confirmed(asyncio.run(_get(recipe, id)), recipe)
    _told(asyncio.run(_approve(recipe, id, by or getpass.getuser(), digest or None, answer or None)), json)


def deny(
    id: str = ID,
    why: str = typer.Option("", "--why", help="Why not; kept with the ticket."),
    by: str = BY,
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    _told(asyncio.run(_deny(recipe, id, by or getpass.getuser(), why)), json)


def _confirmed(ticket: "Ticket", recipe: str) -> str:
    """The digest of what the person has just seen and agreed to."""
    if not sys.stdin.isatty():
        shows = _recipe.hint(f"approvals show {ticket.id}", recipe)
        raise typer.BadParameter(f"Give the --digest that `{shows}` prints, or --answer.")
    _told(ticket, json=False)
    if ticket.state == "pending" and ticket.answer is not None:
        typer.confirm("Release exactly this?", abort=True, err=True)
    return ticket.digest


@asynccontextmanager
async def _opened(recipe: str) -> "AsyncIterator[Store]":
    """The recipe's store; a ticket that is not there is told with the command that lists those that are."""
    from trimtab.cli import _ledger
    from trimtab.errors import NotFoundError

    async with _ledger.opened(recipe) as store:
        try:
            yield store
        except NotFoundError as error:
            fix = f"See those that wait: {_recipe.hint('approvals list', recipe)}"
            raise NotFoundError(error.message, fix, param=error.param, code=error.code) from error


async def _list(recipe: str, state: str, n: int) -> "tuple[Ticket, ...]":
    from trimtab.approve import _tickets

    async with _opened(recipe) as store:
        return await _tickets.list(store, None if state == "all" else state, n)  # type: ignore[arg-type]


async def _get(recipe: str, id: str) -> "Ticket":
    from trimtab.approve import _tickets

    async with _opened(recipe) as store:
        return await _tickets.get(store, id)


async def _approve(recipe: str, id: str, by: str, digest: str | None, answer: str | None) -> "Ticket":
    from trimtab.approve import _tickets

    async with _opened(recipe) as store:
        return await _tickets.approve(store, id, by, digest, answer)


async def _deny(recipe: str, id: str, by: str, why: str) -> "Ticket":
    from trimtab.approve import _tickets

    async with _opened(recipe) as store:
        return await _tickets.deny(store, id, by, why)


def _shape(ticket: "Ticket") -> dict[str, Any]:
    import msgspec

    return {name: msgspec.to_builtins(getattr(ticket, name)) for name in ticket.__struct_fields__}


def _told(ticket: "Ticket", json: bool) -> None:
    if json:
        _out.emit({"ticket": _shape(ticket)})
        return
    for line in _lines(ticket):
        print(line)


def _line(ticket: "Ticket") -> str:
    from trimtab.cli import _render

    asked = _render.shortened(str(ticket.messages[-1].get("content") or ""), 50)
    return f"{ticket.id}  {_when(ticket.created)}  {ticket.state:<8}  {ticket.code:<15}  {asked}"


def _lines(ticket: "Ticket") -> list[str]:
    """What a person needs to decide: why it waits, who asked what, and exactly what would leave."""
    from trimtab.cli import _render

    decided = f" by {ticket.decided_by}" + (f": {ticket.note}" if ticket.note else "") if ticket.decided_by else ""
    lines = [
        f"ticket   {ticket.id}", f"state    {ticket.state}{decided}", f"reason   {ticket.code}: {ticket.why}",
        f"asked    {_when(ticket.created)} by {ticket.principal}; after {_when(ticket.expires)} it means no",
        f"trace    {ticket.trace}",
    ]  # fmt: skip
    lines += [f"{said.get('role', '?'):<8} {said.get('content') or ''}" for said in ticket.messages]
    lines += _waiting("waits", ticket.answer, ticket.digest)
    lines += _waiting("released", ticket.final, ticket.final_digest or "") if ticket.final else []
    return [_render.visible(line) for line in lines]


def _waiting(what: str, answer: Any, digest: str) -> list[str]:
    import msgspec

    if answer is None:
        return [f"{what:<8} nothing: no model answered; approve it with your own --answer"]
    said = answer.text if answer.text is not None else msgspec.json.encode(answer.tool_calls).decode()
    return [f"{what:<8} {said}", f"digest   {digest}"]


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
