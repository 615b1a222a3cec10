"""`trimtab keys`: virtual keys for the gateway: who may come in, what they may take, and for how long."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from trimtab.cli import _out, _recipe

if TYPE_CHECKING:
    from trimtab.server.keys import Key
    from trimtab.settings import Limit
    from trimtab.store.engine import Store

HELP = "Virtual keys for the gateway: make, list, rotate and revoke them."
CREATE = """Make a key and show it, once: only a digest of it is kept.

From the first key on, every request to the gateway of this recipe needs one. A gateway that runs minds changes within
a second."""
LIMIT = (
    "What it may take: requests, tokens or usd as requests=60/minute (hour, day, month), or concurrency=4. Repeat it."
)
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
RECIPE = _recipe.OPTION
ID = typer.Argument(help="The key's id, or its name.")
JSON = typer.Option(False, "--json", help="One JSON object on stdout.")


def attach(app: typer.Typer) -> None:
    verb = typer.Typer(name="keys", help=HELP)
    verb.command("create", help=CREATE)(create)
    verb.command("list", help="List the keys, oldest first.")(listing)
    verb.command("show", help="Show one key, and what was taken of its limits.")(show)
    verb.command("rotate", help="Give a key a new secret; the old one stays good for --overlap.")(rotate)
    verb.command("revoke", help="End a key, for good.")(revoke)
    app.add_typer(verb)


def create(
    name: str = typer.Argument(help="Whose or what for it is."),
    role: str = typer.Option("client", "--role", help="client, operator (sees all, decides tickets) or admin."),
    team: str = typer.Option("", "--team", help="The team whose limits in the recipe hold for it too."),
    model: list[str] = typer.Option([], "--model", "-m", help="A model it may use; all unless given. Repeat it."),  # noqa: B008
    route: list[str] = typer.Option([], "--route", help="A path it may use; all unless given. Repeat it."),  # noqa: B008
    limit: list[str] = typer.Option([], "--limit", "-l", help=LIMIT),  # noqa: B008
    priority: str = typer.Option("normal", "--priority", help="The highest it may claim: low, normal or high."),
    expires: str = typer.Option("", "--expires", help="For how long it is good: 12h, 90d. For ever unless given."),
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    from trimtab.server.keys import PRIORITIES, RANK, Draft

    if role not in RANK:
        raise typer.BadParameter(f"{role!r} is no role; there are {', '.join(RANK)}.", param_hint="--role")
    if priority not in PRIORITIES:
        raise typer.BadParameter(
            f"{priority!r} is no priority; there are {', '.join(PRIORITIES)}.", param_hint="--priority"
        )
    until = time.time() + _seconds(expires, "--expires") if expires else None
    draft = Draft(
        name=name, role=role, team=team, models=tuple(model), routes=tuple(route),  # type: ignore[arg-type]
        limits=tuple(_limit(text) for text in limit), priority=priority, expires=until,  # type: ignore[arg-type]
    )  # fmt: skip
    _given(*asyncio.run(_create(recipe, draft)), json=json)


def listing(
    recipe: str = RECIPE,
    json: bool = typer.Option(False, "--json", help="JSON lines on stdout, one a key."),
) -> None:
    found = asyncio.run(_list(recipe))
    for key in found:
        if json:
            _out.emit(_shape(key))
        else:
            print(_line(key))
    if not found:
        _out.say(f"There is no key. Make one: {_recipe.hint('keys create NAME', recipe)}")


def show(id: str = ID, recipe: str = RECIPE, json: bool = JSON) -> None:
    key, used = asyncio.run(_get(recipe, id))
    if json:
        _out.emit({"key": _shape(key), "taken": used})
        return
    print("\n".join(_lines(key)))
    for row in used:
        amount = _usd(row["taken"]) if row["what"] == "nano" else f"{row['taken']} {row['what']}"
        print(f"taken    {amount} this {row['per']}{' of ' + row['model'] if row['model'] else ''}")


def rotate(
    id: str = ID,
    overlap: str = typer.Option("24h", "--overlap", help="How long the old secret stays good: 0s, 10m, 24h, 7d."),
    recipe: str = RECIPE,
    json: bool = JSON,
) -> None:
    _given(*asyncio.run(_rotate(recipe, id, _seconds(overlap, "--overlap"))), json=json)


def revoke(id: str = ID, recipe: str = RECIPE, json: bool = JSON) -> None:
    key = asyncio.run(_revoke(recipe, id))
    if json:
        _out.emit({"key": _shape(key)})
    else:
        print(f"{key.id} ({key.name}) is revoked.")


async def _create(recipe: str, draft: Any) -> "tuple[Key, str]":
    from trimtab.server import keys
    from trimtab.server.acts import login

    async with _opened(recipe) as (store, home):
        return await keys.create(store, home, draft, login())


async def _list(recipe: str) -> "tuple[Key, ...]":
    from trimtab.server import keys

    async with _opened(recipe) as (store, _):
        return await keys.list(store)


async def _get(recipe: str, id: str) -> "tuple[Key, tuple[dict[str, Any], ...]]":
    from trimtab.server import keys

    async with _opened(recipe) as (store, _):
        key = await keys.get(store, id)
        return key, await keys.used(store, key.id, time.time())


async def _rotate(recipe: str, id: str, overlap: float) -> "tuple[Key, str]":
    from trimtab.server import keys
    from trimtab.server.acts import login

    async with _opened(recipe) as (store, home):
        return await keys.rotate(store, home, id, overlap, login())


async def _revoke(recipe: str, id: str) -> "Key":
    from trimtab.server import keys
    from trimtab.server.acts import login

    async with _opened(recipe) as (store, _):
        return await keys.revoke(store, id, login())


@asynccontextmanager
async def _opened(recipe: str) -> "AsyncIterator[tuple[Store, Path]]":
    """The recipe's store, made where there is none yet: a key may be wanted before the first request."""
    from trimtab import settings
    from trimtab.cli._ledger import FILE
    from trimtab.errors import NotFoundError
    from trimtab.store.engine import Store

    loaded = settings.load(recipe)
    store = Store.open(loaded.home / FILE, _out.say, loaded.audit.head)
    try:
        yield store, loaded.home
    except NotFoundError as error:
        fix = f"See those there are: {_recipe.hint('keys list', recipe)}"
        raise NotFoundError(error.message, fix, param=error.param, code=error.code) from error
    finally:
        await store.close()


def _limit(text: str) -> "Limit":
    """`usd=5/day`, `requests=60/minute`, `concurrency=4`; with `@model` for one model alone."""
    import msgspec

    from trimtab.settings import Limit

    given, _, model = text.partition("@")
    what, _, rest = given.partition("=")
    amount, _, per = rest.partition("/")
    table = {what.strip(): amount.strip(), "per": per.strip() or "minute", "model": model.strip()}
    try:
        found = msgspec.convert(table, Limit, strict=False)
        if what not in ("requests", "tokens", "usd", "concurrency") or (found.usd or Decimal(0)) < 0:
            raise ValueError(what)
    except (ValueError, InvalidOperation) as error:
        raise typer.BadParameter(
            f"{text!r} is no limit. Write requests=60/minute, tokens=100000/hour, usd=5/day or concurrency=4.",
            param_hint="--limit",
        ) from error
    return found


def _seconds(text: str, option: str) -> float:
    number, unit = text[:-1], UNITS.get(text[-1:], 0)
    if not (number.isascii() and number.isdigit() and unit and len(number) < 8):
        raise typer.BadParameter(f"{text!r} is no time. Write 90s, 10m, 12h or 30d.", param_hint=option)
    return float(number) * unit


def _given(key: "Key", token: str, *, json: bool) -> None:
    """The only time that the secret is shown."""
    if json:
        _out.emit({"token": token, "key": _shape(key)})
        return
    for line in _lines(key):
        _out.say(line)
    _out.say("The key itself, which is not shown again:")
    print(token)


def _shape(key: "Key") -> dict[str, Any]:
    import msgspec

    return {**msgspec.to_builtins(key), "state": key.state(time.time())}


def _line(key: "Key") -> str:
    from trimtab.cli import _render

    return f"{key.id}  {key.state(time.time()):<8}  {key.role:<8}  {_render.visible(key.name)}"


def _lines(key: "Key") -> list[str]:
    from trimtab.cli import _render

    lines = [
        f"id       {key.id}", f"name     {key.name}", f"state    {key.state(time.time())}", f"role     {key.role}",
        *([f"team     {key.team}"] if key.team else []),
        *([f"priority {key.priority}"] if key.priority != "normal" else []),
        f"models   {', '.join(key.models) or 'all'}", f"routes   {', '.join(key.routes) or 'all'}",
        *(f"limit    {_said(limit)}" for limit in key.limits),
        f"created  {_when(key.created)}", f"expires  {_when(key.expires)}",
        *([f"old      the secret before this one is good until {_when(key.old_until)}"] if key.old_until else []),
    ]  # fmt: skip
    return [_render.visible(line) for line in lines]


def _said(limit: "Limit") -> str:
    given = {"requests": limit.requests, "tokens": limit.tokens, "usd": limit.usd}
    said = [f"{what}={amount}/{limit.per}" for what, amount in given.items() if amount is not None]
    said += [f"concurrency={limit.concurrency}"] if limit.concurrency is not None else []
    return " ".join(said) + (f" of {limit.model}" if limit.model else "")


def _usd(nano: int) -> str:
    from trimtab.money import show

    return show(nano)


def _when(at: float | None) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)) if at is not None else "never"
