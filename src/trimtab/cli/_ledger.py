"""The database of a recipe, for the commands that read it beside a running gateway."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from trimtab import settings
from trimtab.cli import _out, _recipe
from trimtab.errors import NotFoundError

if TYPE_CHECKING:
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
