"""Claims on disk: which process is answering a request with an Idempotency-Key; one transaction each.

A claim has an owner and a lease. Who answers renews it; where that process dies, the lease runs out, and one that waits
takes the claim over. Clocks that differ between machines by as much as a lease make it worth nothing.
"""

from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, bindparam, or_, select
from sqlalchemy.exc import IntegrityError

from trimtab.store.tables import claims, idempotency

if TYPE_CHECKING:
    from trimtab.store.engine import Store

LONGEST = 60.0
"""Seconds that no claim holds for: one that says so is of a clock that was ahead, and would block its key as long."""
RELEASED = claims.delete().where(claims.c.key == bindparam("held"), claims.c.owner == bindparam("by"))


def take(connection: Connection, key: bytes, owner: str, now: float, until: float) -> Any:
    """The row of the reply where one is kept, else whether the claim is the owner's now (a bool)."""
    if kept := _kept(connection, key, now):
        return kept
    c = claims.c
    over = claims.update().where(c.key == key, or_(c.owner == owner, _over(now))).values(owner=owner, until=until)
    if not connection.execute(over).rowcount and not _made(connection, key, owner, until):
        return False
    if not (kept := _kept(connection, key, now)):  # PostgreSQL: it may have come between the two looks
        return True
    connection.execute(RELEASED, {"held": key, "by": owner})
    return kept


def renew(connection: Connection, owner: str, until: float) -> None:
    """All that the owner holds."""
    connection.execute(claims.update().where(claims.c.owner == owner).values(until=until))


def sweep(connection: Connection, now: float) -> None:
    """Delete the replies and the claims whose time is over."""
    connection.execute(idempotency.delete().where(idempotency.c.expires < now))
    connection.execute(claims.delete().where(claims.c.until < now))


async def free(store: "Store", key: bytes, now: float) -> bool:
    """Whether nobody holds the claim. Raises `StorageError`."""
    return not await store.read(select(claims.c.key).where(claims.c.key == key, ~_over(now)))


def _over(now: float) -> ColumnElement[bool]:
    """Whether a claim holds no more."""
    return or_(claims.c.until < now, claims.c.until > now + LONGEST)


def _made(connection: Connection, key: bytes, owner: str, until: float) -> bool:
    """Make the claim, if there is none."""
    try:
        with connection.begin_nested():
            connection.execute(claims.insert().values(key=key, owner=owner, until=until))
    except IntegrityError:
        return False
    return True


def _kept(connection: Connection, key: bytes, now: float) -> Any:
    table = idempotency.c
    return connection.execute(select(idempotency).where(table.key == key, table.expires > now)).first()
