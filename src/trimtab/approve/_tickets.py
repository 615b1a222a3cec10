"""Tickets: what waits for a person, stored with the SHA-256 of its exact bytes, decided once, and no after its time.

The request's messages are stored with a ticket, in the clear and whatever the ledger keeps: the person needs them.
They lie in the system's database, which only its owner may read.
"""

import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import msgspec
from sqlalchemy import Connection, Row, and_, or_, select

from trimtab.errors import NotFoundError, RequestError
from trimtab.store import audit
from trimtab.store.tables import tickets
from trimtab.types import Answer, Case, Json, Pending

if TYPE_CHECKING:
    from trimtab.store.engine import Store

State: TypeAlias = Literal["pending", "approved", "denied", "expired"]
INSERT = tickets.insert()
AFTER = "\U0010ffff"
"""Above every character of an id."""


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket as it is at the moment of reading; times in epoch seconds.

    `answer` is what waits (None: no model answered), `digest` the SHA-256 of its stored bytes; `final` and
    `final_digest` are what was released.
    """

    id: str
    created: float
    expires: float
    trace: str
    principal: str
    code: str
    why: str
    messages: tuple[Json, ...]
    answer: Answer | None
    digest: str
    state: State
    decided_by: str | None = None
    decided_at: float | None = None
    note: str | None = None
    final: Answer | None = None
    final_digest: str | None = None


def canonical(answer: Answer) -> bytes:
    """The bytes that a digest is of: the answer's JSON with its keys in order."""
    return _encoded(answer)


def digest(body: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(body).hexdigest()


async def create(store: "Store", case: Case, *, code: str, why: str, expires: float) -> Pending:
    """A ticket for the case, on disk before this returns; `expires` seconds from now. Raises `StorageError`."""
    now = time.time()
    body = canonical(case.answer) if case.answer else None
    row = {
        "id": _id(now), "created": now, "expires": now + expires, "trace_id": case.request.id,
        "principal": case.request.principal, "code": code, "why": why.encode("utf-8", "replace").decode(),
        "messages": _encoded(case.request.messages).decode(), "answer": body,
        "digest": digest(body) if body else "", "state": "pending",
    }  # fmt: skip
    await store.write(INSERT, row, durable=True)
    return Pending(ticket=row["id"], code=code, why=why, digest=row["digest"], expires=row["expires"])


async def get(store: "Store", id: str) -> Ticket:
    """The ticket with this id, or the only one whose id begins with it. Raises `NotFoundError`, `RequestError`."""
    return _ticket(_one(id, await store.read(_find(id))))


async def list(store: "Store", state: State | None = "pending", n: int = 100) -> tuple[Ticket, ...]:  # noqa: A001
    """The oldest `n` tickets in that state (None: in any), oldest first."""
    now, t = time.time(), tickets.c
    query = select(tickets).order_by(t.id).limit(n)
    if state == "pending":
        query = query.where(t.state == "pending", t.expires > now)
    elif state == "expired":
        query = query.where(or_(t.state == "expired", and_(t.state == "pending", t.expires <= now)))
    elif state:
        query = query.where(t.state == state)
    return tuple(_ticket(row) for row in await store.read(query))


async def approve(
    store: "Store", id: str, by: str, digest: str | None = None, answer: str | Answer | None = None, actor: str = ""
) -> Ticket:
    """Release what waits, or `answer` in its stead (an edit, or the person's own where no model answered).

    With `digest` only if that is the digest of what waits: a person approves the bytes they saw. Of several decisions
    exactly one wins. `actor` is who the audit chain says did it, `by` unless given. Raises `NotFoundError`;
    `RequestError` with code `already_decided`, `ticket_expired`, `digest_mismatch` or `answer_needed`; `StorageError`.
    """

    def approved(connection: Connection) -> Ticket:
        return _entered(connection, store, actor or by, _approve(connection, id, by, digest, answer))

    await expire(store)
    return await audit.acted(store, approved)


async def deny(store: "Store", id: str, by: str, why: str = "", actor: str = "") -> Ticket:
    """Say no, for good. Raises as `approve` does."""

    def denied(connection: Connection) -> Ticket:
        row = _undecided(connection, id)
        ticket = _decide(connection, row, {"state": "denied", "decided_by": by, "note": why})
        return _entered(connection, store, actor or by, ticket)

    await expire(store)
    return await audit.acted(store, denied)


async def expire(store: "Store") -> None:
    """Enter in the audit chain the tickets whose time ran out since the last look. Raises `StorageError`."""
    late = and_(tickets.c.state == "pending", tickets.c.expires <= time.time())
    if not await store.read(select(tickets.c.id).where(late).limit(1)):
        return

    def expired(connection: Connection) -> None:
        for row in connection.execute(select(tickets).where(late).order_by(tickets.c.id)).all():
            connection.execute(tickets.update().where(tickets.c.id == row.id).values(state="expired"))
            _entered(connection, store, "time", _ticket(row))

    await audit.acted(store, expired)


def _entered(connection: Connection, store: "Store", actor: str, ticket: Ticket) -> Ticket:
    """Enter a ticket's decision in the audit chain: its digests, never its texts."""
    told = {
        "by": ticket.decided_by, "at": ticket.decided_at, "digest": ticket.digest, "released": ticket.final_digest,
        "expires": ticket.expires,
    }  # fmt: skip
    audit.append(connection, actor, f"ticket.{ticket.state}", ticket.id, told, store.heads)
    return ticket


def _approve(connection: Connection, id: str, by: str, seen: str | None, answer: str | Answer | None) -> Ticket:
    row = _undecided(connection, id)
    if seen is not None and not secrets.compare_digest(seen.lower().encode(), row.digest.encode()):
        raise RequestError(
            f"The digest is not that of what waits ({row.digest or 'nothing: no model answered'}).",
            "Read the ticket again and approve what it shows.",
            param="digest",
            code="digest_mismatch",
        )
    body = _released(row, by, answer)
    changes = {"state": "approved", "decided_by": by, "final": body, "final_digest": digest(body)}
    return _decide(connection, row, changes)


def _released(row: Row[Any], by: str, answer: str | Answer | None) -> bytes:
    """The bytes that leave: the stored ones untouched unless the person wrote something else."""
    if isinstance(answer, Answer):
        return canonical(answer)
    if answer is not None:
        stored = msgspec.json.decode(row.answer, type=Answer) if row.answer else None
        return canonical(_edited(stored, by, answer))
    if row.answer is None:
        raise RequestError(
            "No model answered this request, so there is nothing to approve.",
            "Give your own answer with the approval, or deny it.",
            param="answer",
            code="answer_needed",
        )
    return row.answer


def _edited(stored: Answer | None, by: str, text: str) -> Answer:
    """The person's text in the answer's place: what the model knew of its own text no longer holds."""
    if not text.strip():
        raise RequestError("The answer is empty.", "Write one, or deny the ticket.", param="answer")
    label = f"edited by {by}" if stored else f"answered by {by}"
    if stored is None:
        return Answer(text=text, model="person", label=label)
    return Answer(text=text, model=stored.model, label=label, usage=stored.usage)


def _undecided(connection: Connection, id: str) -> Row[Any]:
    """The ticket's row while it may be decided. Runs in the one writing transaction, so that one decision wins."""
    row = _one(id, connection.execute(_find(id)).all())
    state = _state(row)
    if state == "expired":
        raise RequestError("The ticket expired, which means no.", "Ask again.", param="id", code="ticket_expired")
    if state != "pending":
        raise RequestError(
            f"The ticket was {state} by {row.decided_by}.", "It is decided once.", param="id", code="already_decided"
        )
    return row


def _decide(connection: Connection, row: Row[Any], changes: dict[str, Any]) -> Ticket:
    where = and_(tickets.c.id == row.id, tickets.c.state == "pending")
    connection.execute(tickets.update().where(where).values(decided_at=time.time(), **changes))
    return _ticket(connection.execute(select(tickets).where(tickets.c.id == row.id)).one())


def _find(id: str) -> Any:
    """The ticket itself, or up to two whose ids begin so; nothing for an empty id."""
    t = tickets.c
    return select(tickets).where(t.id >= (id or AFTER), t.id < id + AFTER).order_by(t.id).limit(2)


def _one(id: str, rows: Any) -> Row[Any]:
    exact = [row for row in rows if row.id == id]
    if len(exact or rows) == 1:
        return (exact or rows)[0]
    if rows:
        raise RequestError(f"Several tickets begin with {id!r}.", "Give more of it.", param="id", code="ambiguous_id")
    raise NotFoundError(f"There is no ticket {id!r}.", "See those that wait with `trimtab approvals list`.", param="id")


def _ticket(row: Row[Any]) -> Ticket:
    return Ticket(
        id=row.id, created=row.created, expires=row.expires, trace=row.trace_id, principal=row.principal, code=row.code,
        why=row.why, messages=msgspec.json.decode(row.messages, type=tuple[Json, ...]), answer=_answer(row.answer),
        digest=row.digest, state=_state(row), decided_by=row.decided_by, decided_at=row.decided_at, note=row.note,
        final=_answer(row.final), final_digest=row.final_digest,
    )  # fmt: skip


def _answer(body: bytes | None) -> Answer | None:
    return None if body is None else msgspec.json.decode(body, type=Answer)


def _state(row: Row[Any]) -> State:
    """As stored, but that a ticket whose time is over waits no more: nobody need be awake for a timeout to mean no."""
    return "expired" if row.state == "pending" and time.time() >= row.expires else cast("State", row.state)


def _encoded(value: Any) -> bytes:
    """JSON with its keys in order; lone surrogates, which UTF-8 does not have, become question marks."""
    try:
        return msgspec.json.encode(value, order="deterministic")
    except UnicodeEncodeError:
        plain = json.dumps(msgspec.to_builtins(value), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return plain.encode("utf-8", "replace")


def _id(now: float) -> str:
    """Sorts by time and cannot be guessed: 48 bits of milliseconds, then 80 random bits, as in a UUID of version 7."""
    return f"tk_{int(now * 1000):012x}{secrets.token_hex(10)}"
