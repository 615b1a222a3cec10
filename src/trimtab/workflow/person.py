"""Tickets of a flow: opened once for each step, however often its process is killed, and read when they are decided."""

from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy import select

from trimtab.approve import _tickets
from trimtab.store.tables import tickets
from trimtab.types import OK, Answer, Case, Decision, Request
from trimtab.workflow.encoding import encoded
from trimtab.workflow.journal import AFTER

if TYPE_CHECKING:
    from trimtab.store.engine import Store


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """How a ticket stands: `answer` is what was released, `why` what the person said."""

    state: Literal["pending", "approved", "denied", "expired"]
    by: str = ""
    why: str = ""
    answer: Answer | None = None


async def opened(
    store: "Store", key: str, say: str, answer: Any, *, code: str, why: str, expires: float
) -> str:  # fmt: skip
    """The ticket of the step with this key: the one that is there, else a new one. `expires` in seconds.

    `answer` is what a person may release as it is; None where they must write it. Raises `StorageError`.
    """
    if ticket := await of(store, key):
        return ticket
    request = Request(id=f"{key}.", messages=({"role": "user", "content": say},))
    waits = None if answer is None else answer if isinstance(answer, str) else encoded(answer)
    case = Case(
        request=request, decision=Decision(ladder=()), verdict=OK,
        answer=None if waits is None else Answer(text=waits, model="flow"),
    )  # fmt: skip
    return (await _tickets.create(store, case, code=code, why=why, expires=expires)).ticket


async def of(store: "Store", key: str) -> str:
    """The last ticket that was opened for a step, "" where there is none."""
    t = tickets.c
    begins = f"{key}."
    query = select(t.id).where(t.trace_id >= begins, t.trace_id < begins + AFTER).order_by(t.id.desc()).limit(1)
    rows = await store.read(query)
    return rows[0].id if rows else ""


async def decided(store: "Store", ticket: str) -> Decided:
    """How it stands. Raises `NotFoundError`, `StorageError`."""
    found = await _tickets.get(store, ticket)
    return Decided(state=found.state, by=found.decided_by or "", why=found.note or found.why, answer=found.final)
