"""What a gateway enters in the audit chain of itself: that it started and stopped, and by which settings it serves."""

import getpass
import logging
import os
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab import __version__
from trimtab.errors import StorageError
from trimtab.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

LOG = logging.getLogger("trimtab.audit")


async def started(store: "Store", settings: Settings) -> None:
    """Enter the start and the settings. Raises `StorageError`: a gateway that cannot say so does not start."""
    from trimtab.store import audit

    def act(connection: "Connection") -> None:
        about = {"version": __version__, "pid": os.getpid()}
        audit.append(connection, login(), "gateway.started", _where(settings), about, store.heads)
        _enter(connection, store, settings, "config.loaded")

    await audit.acted(store, act)


async def reloaded(store: "Store", settings: Settings) -> None:
    """Enter the settings that a gateway that runs serves by from now on. Raises `StorageError`."""
    from trimtab.store import audit

    await audit.acted(store, lambda connection: _enter(connection, store, settings, "config.reloaded"))


async def stopped(store: "Store", settings: Settings) -> None:
    """Enter the end. It comes all the same where that cannot be written."""
    from trimtab.store import audit

    entry = audit.entering(store, login(), "gateway.stopped", _where(settings), {"pid": os.getpid()})
    try:
        await audit.acted(store, entry)
    except StorageError as error:
        LOG.warning("the end was not entered in the audit chain", exc_info=error)


def shape(settings: Settings) -> dict[str, Any]:
    """The settings as JSON, of the secrets the names alone."""
    bare = msgspec.structs.replace(settings, secrets=dict.fromkeys(sorted(settings.secrets), ""))
    return msgspec.to_builtins(bare, enc_hook=str)


def login() -> str:
    """Who runs this process, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "local"


def _enter(connection: "Connection", store: "Store", settings: Settings, action: str) -> None:
    """The settings' hash, and that of the limits where it is another than the last time."""
    from sqlalchemy import select

    from trimtab.store import audit
    from trimtab.store.tables import audit as table

    made = shape(settings)
    audit.append(connection, login(), action, settings.name, made, store.heads)
    query = select(table.c.payload).where(table.c.action == "limits.changed", table.c.subject == settings.name)
    last = connection.execute(query.order_by(table.c.seq.desc()).limit(1)).scalar()
    if (last or audit.digest([])) != audit.digest(made["limits"]):
        audit.append(connection, login(), "limits.changed", settings.name, made["limits"], store.heads)


def _where(settings: Settings) -> str:
    return f"{settings.server.host}:{settings.server.port}"
