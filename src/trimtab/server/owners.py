"""Whose a file or a batch on a model's server is: kept durably, since that server knows only the gateway's own key."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from trimtab.errors import NotFoundError
from trimtab.server.callers import Caller

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

Kind: TypeAlias = Literal["file", "batch", "message_batch"]


def sees_all(caller: Caller) -> bool:
    """Whether it is an admin, or where no key is asked for anyone on this machine."""
    return not caller.keyed or caller.may("admin")


class Owners(msgspec.Struct, frozen=True):
    """The owners of what lies on one model's server. All methods raise `StorageError`."""

    store: "Store"
    model: str

    async def check(self, caller: Caller, kind: Kind, id: str, param: str | None = None) -> None:
        """Raises `NotFoundError`, the same for another's and for one that there is not."""
        if not sees_all(caller) and await self.of(kind, id) != caller.principal:
            raise NotFoundError(f"There is no {kind.replace('_', ' ')} {id!r}.", "A key sees its own.", param=param)

    async def of(self, kind: Kind, id: str) -> str | None:
        """The principal, None where nobody is known to own it."""
        from sqlalchemy import select

        from trimtab.store.tables import owned as t

        rows = await self.store.read(
            select(t.c.principal).where(t.c.model == self.model, t.c.kind == kind, t.c.id == id)
        )
        return rows[0].principal if rows else None

    async def all_of(self, kind: Kind, principal: str) -> set[str]:
        """The ids of a principal's."""
        from sqlalchemy import select

        from trimtab.store.tables import owned as t

        found = select(t.c.id).where(t.c.model == self.model, t.c.kind == kind, t.c.principal == principal)
        return {row.id for row in await self.store.read(found)}

    async def keep(self, kind: Kind, id: str, principal: str) -> None:
        """On disk once this returns; a server that gives an id again gives it to the new owner."""
        from trimtab.store import sqlite
        from trimtab.store.tables import owned

        row = {"model": self.model, "kind": kind, "id": id, "principal": principal}
        await self.store.write(sqlite.upsert(owned), row, durable=True)

    async def keep_made(self, kind: Kind, ids: Iterable[str], principal: str) -> None:
        """What the server itself made for a principal; what has an owner keeps it."""
        from sqlalchemy import select

        from trimtab.store.tables import owned as t

        rows = [{"model": self.model, "kind": kind, "id": name, "principal": principal} for name in ids]

        def made(connection: "Connection") -> None:
            for row in rows:
                same = (t.c.model == row["model"], t.c.kind == row["kind"], t.c.id == row["id"])
                if not connection.execute(select(t.c.id).where(*same)).first():
                    connection.execute(t.insert().values(**row))

        if rows:
            await self.store.transact(made)

    async def forget(self, kind: Kind, id: str) -> None:
        """It was deleted on its server."""
        from trimtab.store.tables import owned as t

        gone = t.delete().where(t.c.model == self.model, t.c.kind == kind, t.c.id == id)
        await self.store.transact(lambda connection: connection.execute(gone) and None)
