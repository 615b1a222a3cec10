"""Shadow audits as calibration reads them, and what they say of each contract; plain data for people and JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from trimtab import money
from trimtab.errors import ConfigError
from trimtab.grade import UNREAD, marks
from trimtab.route._contract import Rows
from trimtab.route._draw import fraction
from trimtab.route._monitor import Monitor
from trimtab.settings import Contract
from trimtab.types import Json

if TYPE_CHECKING:
    from trimtab.store.engine import Store


async def audits(store: "Store", contract: str, since: float = 0.0) -> Sequence[Any]:
    """The audits of a contract since then (epoch seconds), oldest first: rows of `tables.shadows`."""
    from sqlalchemy import select

    from trimtab.store.tables import shadows

    query = select(shadows).where(shadows.c.contract == contract, shadows.c.at >= since).order_by(shadows.c.seq)
    return await store.read(query)


def sample(found: Sequence[Any]) -> list[Any]:
    """The audits that have a score and count (see `grade.marks`), as a plain sample of the traffic that is audited.

    Where the share that was audited has changed, all are thinned to the smallest, by their ids: every request then
    had the same chance. Raises `ConfigError` where none is left.
    """
    graded = [one for one in found if one.score is not None and _marks(one)]
    least = min((one.share for one in graded), default=1.0)
    kept = [one for one in graded if fraction(f"thin:{one.trace_id}") < least / one.share]
    if not kept:
        raise ConfigError(
            f"Of {len(found)} shadow audits none has a score and marks.",
            "Have a verifier of the kind confidence score the small model (models = {...}), and wait for audits.",
        )
    return kept


def rows(found: Sequence[Any]) -> Rows:
    """What calibration sees of the `sample`; the small model's cost is without its verifiers. Raises `ConfigError`."""
    kept = sample(found)
    small, large = np.array([_marks(one) for one in kept], float).T
    return Rows(
        score=np.array([one.score for one in kept], float), small=small, large=large,
        small_cost=_usd([one.small_nano for one in kept]), large_cost=_usd([one.large_nano for one in kept]),
    )  # fmt: skip


async def looks(store: "Store", contract: str, policy: str) -> list[Any]:
    """All looks so far, the first one first."""
    from sqlalchemy import select

    from trimtab.store.tables import thresholds

    where = (thresholds.c.contract == contract) & (thresholds.c.policy == policy)
    return list(await store.read(select(thresholds).where(where).order_by(thresholds.c.look)))


async def standing(store: "Store", contract: Contract, policy: str) -> Json:
    """How a contract stands under a policy: its audits by how they were told, what they cost, and its monitor."""
    from sqlalchemy import select

    from trimtab.store.tables import monitors

    where = (monitors.c.contract == contract.name) & (monitors.c.policy == policy)
    found = [one for one in await audits(store, contract.name) if one.policy == policy]
    row = next(iter(await store.read(select(monitors).where(where))), None)
    hows, tried = [one.how for one in found], await looks(store, contract.name, policy)
    began = max((one.at for one in tried if one.threshold is not None), default=0.0)
    unread = sum(one.how == UNREAD and one.answered == contract.small and one.at >= began for one in found)
    monitor = (
        msgspec.json.decode(row.state, type=Monitor) if row else Monitor(allowed=contract.allowed, risk=contract.risk)
    )
    spent = money.total(one.cost_nano for one in found)
    return {
        "contract": contract.name, "policy": policy, "small": contract.small, "large": contract.large,
        "audits": len(found), "how": {how: hows.count(how) for how in sorted(set(hows))},
        "cost_nano": spent, "cost_usd": money.usd(spent), "watched": monitor.audits, "allowed": monitor.allowed,
        "mean_loss": monitor.losses / monitor.audits if monitor.audits else None, "unread": unread,
        "p_value": monitor.p_value, "broken": monitor.alarm, "since": row.alarm if row else None, "looks": len(tried),
        "threshold": next((one.threshold for one in reversed(tried) if one.threshold is not None), None),
    }  # fmt: skip


def _marks(one: Any) -> tuple[float, float] | None:
    return marks(one.how, one.small, one.large)


def _usd(nano: list[int | None]) -> np.ndarray:
    return np.array([np.nan if one is None else one / money.NANO for one in nano])
