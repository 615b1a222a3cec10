"""Which promises are broken, kept in the database: a restart and every other worker know it too.

A monitor is of one contract under one policy: other thresholds, odds or models are another promise, which is watched
from its beginning.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab.errors import StorageError
from trimtab.route._monitor import Monitor, watch
from trimtab.settings import Contract, Settings
from trimtab.types import Request

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from trimtab.store.engine import Store

LOG = logging.getLogger("trimtab.contract")
FRESH = 2.0
"""Seconds for which what was read last is believed: so long another worker may go on after an alarm."""

SCORED = 2
"""The version of how audits are scored: what others showed is no proof for this one."""


def concerns(contract: Contract, request: Request) -> bool:
    """Whether a contract is about a request."""
    return not contract.principals or request.principal in contract.principals


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """One audit: how right both answers were, from 0 to 1, None where that could not be told; see `tables.shadows`."""

    trace_id: str
    contract: Contract
    answered: str
    how: str
    score: float | None = None
    small: float | None = None
    large: float | None = None
    tokens: Mapping[str, tuple[int, int]] = {}
    small_nano: int | None = None
    large_nano: int | None = None
    cost_nano: int | None = None

    @property
    def loss(self) -> float | None:
        """What the client lost by the small answer; None for an answer that was not small, or could not be graded."""
        if self.answered != self.contract.small or self.small is None or self.large is None:
            return None
        return self.large - self.small


def policy(settings: Settings, contract: Contract) -> str:
    """16 hexadecimal digits: the same for the same promise under the same router and verifiers."""
    promise = (contract.small, contract.large, contract.allowed, contract.risk, contract.judge)
    parts = (SCORED, promise, settings.route, settings.verifiers)
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()[:16]


class Watch:
    """The monitors of some contracts; `policies` by the contracts' names."""

    def __init__(
        self, store: "Callable[[], Store]", contracts: Sequence[Contract], policies: Mapping[str, str]
    ) -> None:
        self.contracts, self.policies = tuple(contracts), dict(policies)
        self._store, self._broken, self._read = store, dict[str, float](), 0.0
        self._proven = dict[str, float]()
        self._turn = asyncio.Lock()

    async def start(self) -> None:
        """Read what is known. Raises `StorageError`: who does not know whether a promise holds must not serve."""
        await self._load()

    async def broken(self) -> frozenset[str]:
        """The names of contracts in alarm; what was known last while the database cannot be read."""
        await self._fresh()
        return frozenset(self._broken)

    def moved(self, request: Request, model: str, _: float, threshold: float) -> float:
        """A `Move` of thresholds: to the one that audits have proven since, where there is one."""
        found = (one for one in self.contracts if one.small == model and concerns(one, request))
        contract = next(found, None)
        return self._proven.get(contract.name, threshold) if contract else threshold

    async def _fresh(self) -> None:
        if time.monotonic() - self._read > FRESH and not self._turn.locked():
            async with self._turn:
                try:
                    await self._load()
                except StorageError as error:
                    LOG.warning("the monitors cannot be read", exc_info=error)
                    self._read = time.monotonic()

    async def add(self, shadow: Shadow) -> Monitor | None:
        """Keep an audit and show it to its monitor, in one transaction; None where it tells the monitor nothing.

        Raises `StorageError`.
        """
        name, now = shadow.contract.name, time.time()
        found = await self._store().transact(lambda connection: _added(connection, shadow, self.policies[name], now))
        if found and found.alarm and name not in self._broken:
            self._broken[name] = now
            LOG.error("The promise of the contract %s is broken: %s is left out until it is calibrated anew.",
                      name, shadow.contract.small)  # fmt: skip
        if shadow.contract.keep is not None:
            await self._look(shadow.contract)
        return found

    async def _look(self, contract: Contract) -> None:
        """Move the threshold if it is time to look, and the audits show another one."""
        from trimtab.route import _recalibrate

        policy = self.policies[contract.name]
        made = await _recalibrate.look(self._store(), contract, policy, self._broken.get(contract.name))
        if made and made.threshold is not None:
            self._proven[contract.name] = made.threshold
            self._broken.pop(contract.name, None)

    async def _load(self) -> None:
        from sqlalchemy import select

        from trimtab.store.tables import monitors, thresholds

        query = select(monitors.c.contract, monitors.c.policy, monitors.c.alarm).where(monitors.c.alarm.is_not(None))
        rows = await asyncio.to_thread(self._store().rows, query)
        self._broken = {row.contract: row.alarm for row in rows if self.policies.get(row.contract) == row.policy}
        proven = select(thresholds).where(thresholds.c.threshold.is_not(None)).order_by(thresholds.c.look)
        rows = await asyncio.to_thread(self._store().rows, proven)
        self._proven = {row.contract: row.threshold for row in rows if self.policies.get(row.contract) == row.policy}
        self._read = time.monotonic()


def _added(connection: "Connection", shadow: Shadow, policy: str, now: float) -> Monitor | None:
    from sqlalchemy import select

    from trimtab.store.sqlite import upsert
    from trimtab.store.tables import monitors, shadows

    connection.execute(shadows.insert(), _row(shadow, policy, now))
    if shadow.loss is None:
        return None
    contract = shadow.contract
    where = (monitors.c.contract == contract.name) & (monitors.c.policy == policy)
    row = connection.execute(select(monitors.c.state, monitors.c.alarm).where(where)).first()
    before = (
        msgspec.json.decode(row.state, type=Monitor) if row else Monitor(allowed=contract.allowed, risk=contract.risk)
    )
    after = watch(before, shadow.loss)
    since = row.alarm if row and row.alarm is not None else now if after.alarm else None
    connection.execute(upsert(monitors), {
        "contract": contract.name, "policy": policy, "state": msgspec.json.encode(after).decode(), "changed": now,
        "alarm": since,
    })  # fmt: skip
    return after


def _row(shadow: Shadow, policy: str, now: float) -> dict[str, Any]:
    return {
        "trace_id": shadow.trace_id, "at": now, "contract": shadow.contract.name, "policy": policy,
        "answered": shadow.answered, "how": shadow.how, "share": shadow.contract.share, "score": shadow.score,
        "small": shadow.small, "large": shadow.large, "tokens": msgspec.json.encode(dict(shadow.tokens)).decode(),
        "small_nano": shadow.small_nano, "large_nano": shadow.large_nano, "cost_nano": shadow.cost_nano,
    }  # fmt: skip
