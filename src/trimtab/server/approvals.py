"""/approvals: what waits for a person. A client polls its ticket; an operator on this machine lists and decides.

A ticket's id cannot be guessed and its client has it, so polling needs nothing else; it shows the state and, once
released, the answer, never the request. The list, a ticket's contents and the decision are the operator's.
"""

from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import AuthError, MalformedError, NotFoundError
from trimtab.server import admission, door, openai
from trimtab.server.place import body, json, place
from trimtab.types import Json, Trace
from trimtab.types import Request as Asked

if TYPE_CHECKING:
    from trimtab.approve._tickets import Ticket

ASK_AGAIN = 10
"""Seconds until a client should ask again."""
STATES = ("pending", "approved", "denied", "expired")


async def listing(request: Request) -> Response:
    """The oldest tickets in `?state=` (pending). Raises `AuthError` for anyone but an operator."""
    from trimtab.approve import _tickets

    _operator(request)
    state = request.query_params.get("state", "pending")
    if state not in STATES:
        raise _wrong("state", f"one of {', '.join(STATES)}")
    found = await _tickets.list(place(request).store(), state)
    return json({"object": "list", "data": [{**seen(ticket), **_contents(ticket)} for ticket in found]})


async def show(request: Request) -> Response:
    """A ticket's state and, once approved, the completion; `ETag` is the digest. Raises `NotFoundError`."""
    ticket = await _found(request)
    tag = f'"{ticket.state}-{ticket.final_digest or ticket.digest}"'
    headers = {"etag": tag, "cache-control": "no-store"}
    if ticket.state == "pending":
        headers["retry-after"] = str(ASK_AGAIN)
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    shown = await _released(request, ticket)
    return json(shown | (_contents(ticket) if _may_decide(request) else {}), headers=headers)


async def decide(request: Request) -> Response:
    """Approve the bytes with that digest, or an answer in their stead, or deny. Raises `AuthError`, `RequestError`s."""
    from trimtab.approve import _tickets

    by, given = _operator(request), await body(request)
    ticket = await _found(request)
    _check(given)
    store, caller = place(request).store(), admission.caller()
    actor = f"{caller.principal}/{by}" if caller.keyed else by
    if given["decision"] == "deny":
        decided = await _tickets.deny(store, ticket.id, by, given.get("why") or "", actor)
    else:
        decided = await _tickets.approve(store, ticket.id, by, given.get("digest"), given.get("answer"), actor)
    return json(await _released(request, decided))


def seen(ticket: "Ticket") -> Json:
    """What anyone with the ticket's id sees; `digest` is the SHA-256 of what waits or, once approved, of what left."""
    found: Json = {
        "object": "approval", "id": ticket.id, "state": ticket.state, "reason": ticket.code, "trace": ticket.trace,
        "created": ticket.created, "expires": ticket.expires, "digest": ticket.final_digest or ticket.digest,
    }  # fmt: skip
    if ticket.state == "denied":
        found["why"] = ticket.note
    return found


def _contents(ticket: "Ticket") -> Json:
    """What only the operator sees."""
    return {
        "why": ticket.note or ticket.why, "principal": ticket.principal, "messages": ticket.messages,
        "waits": ticket.answer, "decided_by": ticket.decided_by, "decided_at": ticket.decided_at,
    }  # fmt: skip


async def _released(request: Request, ticket: "Ticket") -> Json:
    """What the client sees, with the approved bytes themselves: encoded again, an answer may differ in its defaults."""
    if not ticket.final:
        return seen(ticket)
    from sqlalchemy import select

    from trimtab.store.tables import tickets

    rows = await place(request).store().read(select(tickets.c.final).where(tickets.c.id == ticket.id))
    return {**seen(ticket), "answer": msgspec.Raw(rows[0].final), "completion": _completion(ticket)}


def _completion(ticket: "Ticket") -> Json:
    """The chat.completion that the client would have got; its cost is in the trace."""
    assert ticket.final  # noqa: S101
    trace = Trace(
        request=Asked(id=ticket.trace, messages=()), at=ticket.decided_at or ticket.created, ms=0.0, outcome="answer",
        answered_by=ticket.final.model, confidence=ticket.final.confidence, usage=ticket.final.usage, cost=None,
    )  # fmt: skip
    return openai.completion(ticket.final, trace)


async def _found(request: Request) -> "Ticket":
    """The ticket by its whole id: a beginning of one can be guessed."""
    from trimtab.approve import _tickets

    name = request.path_params["id"]
    ticket = await _tickets.get(place(request).store(), name)
    if ticket.id != name or not admission.caller().sees(ticket.principal):
        raise NotFoundError(f"There is no ticket {name!r}.", "Use its whole id.", param="id")
    return ticket


def _check(given: Json) -> None:
    for name, value in given.items():
        if name not in ("decision", "digest", "answer", "why") or not (value is None or type(value) is str):
            raise _wrong(name, "one of the texts decision, digest, answer, why")
    if given.get("decision") not in ("approve", "deny"):
        raise _wrong("decision", "approve or deny")
    if given["decision"] == "approve" and given.get("digest") is None and given.get("answer") is None:
        raise _wrong("digest", "the digest of the answer that you read, or answer one of your own")


def _operator(request: Request) -> str:
    caller = admission.caller()
    if caller.keyed:
        caller.enter(request.url.path, "operator")
        return request.headers.get("x-trimtab-operator", "").strip()[:200] or caller.name
    client = request.client.host if request.client else None
    return door.operator(dict(request.scope["headers"]), client)


def _may_decide(request: Request) -> bool:
    try:
        return bool(_operator(request))
    except AuthError:
        return False


def _wrong(param: str, must: str) -> MalformedError:
    return MalformedError(f"{param} is missing or wrong.", f"It must be {must}.", param=param)
