"""The database of a recipe, for the commands that read it beside a running gateway."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from trimtab import settings
from trimtab.cli import _out, _recipe
from trimtab.errors import ConfigError, NotFoundError

if TYPE_CHECKING:
    from trimtab.settings import Contract
    from trimtab.store.engine import Store

FILE = "trimtab.db"


@asynccontextmanager
async def opened(recipe: str) -> AsyncIterator["Store"]:
    """The store of a recipe that has run before. Raises `NotFoundError` where nothing was recorded yet."""
    loaded = settings.load(recipe)
    path = loaded.home / FILE
    if not path.exists():
        fix = f"Ask something first: {_recipe.hint('ask ...', recipe)}"
        raise NotFoundError(f"Nothing was recorded yet: there is no {path}.", fix)
    from trimtab.store.engine import Store

    store = Store.open(path, _out.say, loaded.audit.head)
    try:
        yield store
    finally:
        await store.close()


async def audits(recipe: str, contract: str, days: float) -> "tuple[Contract, Sequence[Any]]":
    """A recipe's contract and its shadow audits of the last days (0: all). Raises `ConfigError`, `NotFoundError`."""
    from trimtab.route import _audited

    contracts = {one.name: one for one in settings.load(recipe).contracts}
    if contract not in contracts:
        known = f"It has: {', '.join(contracts)}." if contracts else "Write a [[contract]] into it."
        raise ConfigError(f"The recipe {recipe!r} has no contract {contract!r}.", known)
    async with opened(recipe) as store:
        return contracts[contract], await _audited.audits(store, contract, time.time() - days * 86400 if days else 0.0)
