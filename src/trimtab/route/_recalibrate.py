"""Moves a threshold as audits arrive: only to one of which they show that it keeps the promise.

Looks at the data are planned before it is there, at `FIRST` audits, twice as many, and so on; the k-th may err with
1 / 2^k of the risk, so that all of them together err with no more (a union bound). After an alarm only what came since
is looked at: a threshold that is proven anew brings the small model back.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import ConfigError
from trimtab.route import _audited, _contract
from trimtab.route._monitor import Monitor
from trimtab.settings import Contract

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

LOG = logging.getLogger("trimtab.contract")
FIRST = 200
"""Audits with score and marks at the first look."""
ACTOR = "contract"


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The `number`-th look under a policy, from 1: what the audits `since` then showed; see `tables.thresholds`."""

    number: int
    since: float
    rows: int
    p_value: float
    threshold: float | None
    allowed: float | None


async def look(store: "Store", contract: Contract, policy: str, broken: float | None) -> Look | None:
    """The next look if it is due, kept and told; None where it is not due, or another process was first.

    `broken` is since when the promise is, None where it holds. Raises `StorageError`.
    """
    before = await _audited.looks(store, contract.name, policy)
    since = max([broken or 0.0, *(one.since for one in before)])
    found = [one for one in await _audited.audits(store, contract.name, since) if one.policy == policy]
    due = FIRST * 2 ** sum(one.since == since for one in before)
    try:
        rows = _audited.rows(found)
    except ConfigError:
        return None
    if contract.keep is None or len(rows.score) < due:
        return None
    number = len(before) + 1
    promise = _contract.Contract(keep=contract.keep, confidence=1 - (1 - contract.confidence) / 2**number)
    told = await asyncio.to_thread(_contract.calibrate, rows, promise)
    shown = told.status == "kept" and told.allowed is not None
    made = Look(
        number=number, since=since, rows=told.rows, p_value=told.p_value,
        threshold=told.threshold if shown else None, allowed=told.allowed if shown else None,
    )  # fmt: skip
    return made if await store.transact(lambda connection: _kept(connection, store, contract, policy, made)) else None


def _kept(connection: "Connection", store: "Store", contract: Contract, policy: str, made: Look) -> bool:
    """Keep a look, begin the monitor of its threshold, and enter the move into the audit chain."""
    from sqlalchemy import select

    from trimtab.store import audit
    from trimtab.store.sqlite import upsert
    from trimtab.store.tables import monitors, thresholds

    where = (thresholds.c.contract == contract.name) & (thresholds.c.policy == policy)
    if connection.execute(select(thresholds.c.look).where(where, thresholds.c.look == made.number)).first():
        return False
    row = {"contract": contract.name, "policy": policy, "look": made.number, "at": time.time(), **_columns(made)}
    connection.execute(thresholds.insert(), row)
    if made.threshold is None or made.allowed is None:
        return True
    fresh = Monitor(allowed=made.allowed, risk=contract.risk)
    state = msgspec.json.encode(fresh).decode()
    connection.execute(upsert(monitors), {
        "contract": contract.name, "policy": policy, "state": state, "changed": row["at"], "alarm": None,
    })  # fmt: skip
    audit.append(connection, ACTOR, "threshold.moved", contract.name, row, store.heads)
    LOG.warning("The threshold of %s is %.4f from now on: %d audits show that %.3g is kept (p = %.3g).",
                contract.small, made.threshold, made.rows, contract.keep or 0, made.p_value)  # fmt: skip
    return True


def _columns(made: Look) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(made).items() if name != "number"}
