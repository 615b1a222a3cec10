"""Reading the ledger: one trace, the latest ones, and what they cost together, as plain data for people and JSON."""

from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import Row, Select, and_, case, func, select

from trimtab import money
from trimtab.errors import RequestError
from trimtab.store.tables import feedback, traces
from trimtab.types import Decision, Json, Step

if TYPE_CHECKING:
    from trimtab.store.engine import Store

AFTER = "\U0010ffff"
"""Above every character of an id."""


async def trace(store: "Store", id: str) -> Json | None:
    """The trace with this id, or the only one whose id begins with it, with its feedback; None where there is none.

    Costs are `*_nano` (nanodollars) and `*_usd` (an exact decimal string), both None where unknown. Raises
    `RequestError` (code `ambiguous_id`) for a beginning that several have.
    """
    found = await store.read(select(traces).where(traces.c.id == id))
    if not found and id:
        found = await store.read(select(traces).where(and_(traces.c.id >= id, traces.c.id < id + AFTER)).limit(2))
    if len(found) > 1:
        raise RequestError(
            f"Several traces begin with {id!r}.", "Give more of the id.", param="id", code="ambiguous_id"
        )
    if not found:
        return None
    said = await store.read(select(feedback).where(feedback.c.trace_id == found[0].id).order_by(feedback.c.seq))
    return {**_trace(found[0]), "feedback": [_feedback(row) for row in said]}


async def tail(store: "Store", n: int = 20, since_id: str | None = None) -> list[Json]:
    """The last `n` traces, oldest first; with `since_id` the first `n` after that one (none once it was swept).

    `steps` and `decision` are left out.
    """
    query = select(*[column for column in traces.c if column.name not in ("steps", "decision")])
    if since_id is None:
        rows = await store.read(query.order_by(traces.c.seq.desc()).limit(n))
        return [_head(row) for row in reversed(rows)]
    after = select(traces.c.seq).where(traces.c.id == since_id).scalar_subquery()
    return [_head(row) for row in await store.read(query.where(traces.c.seq > after).order_by(traces.c.seq).limit(n))]


async def totals(store: "Store", since: float = 0.0) -> Json:
    """Sums over the requests since then (epoch seconds).

    `cost_nano` sums what is known, `unknown_cost` counts the requests whose cost is not. `saved_nano` is baseline less
    cost over the `compared` answers that have both, `unknown_baseline` counts the answers without a baseline.
    """
    rows = await store.read(_sums(since))
    outcomes: dict[str, int] = {}
    by: dict[str, Json] = {}
    for row in rows:
        outcomes[row.outcome] = outcomes.get(row.outcome, 0) + row.requests
        if row.outcome == "answer":
            by[row.answered_by] = {"requests": row.requests, **_sides(row.cost, "cost")}
    return {
        "since": since, "requests": sum(outcomes.values()), "by_outcome": outcomes, "answered_by": by,
        **_sides(_sum(rows, "cost"), "cost"), "unknown_cost": _sum(rows, "unknown_cost"),
        **_sides(_sum(rows, "baseline"), "baseline"), "unknown_baseline": _sum(rows, "unknown_baseline"),
        **_sides(_sum(rows, "saved"), "saved"), "compared": _sum(rows, "compared"),
    }  # fmt: skip


def _sums(since: float) -> Select[*tuple[Any, ...]]:
    """One row for each outcome and answering model."""
    t = traces.c
    answered = t.outcome == "answer"
    both = and_(answered, t.cost_nano.is_not(None), t.baseline_nano.is_not(None))
    return (
        select(
            t.outcome, t.answered_by, func.count().label("requests"),
            func.coalesce(func.sum(t.cost_nano), 0).label("cost"),
            func.sum(case((t.cost_nano.is_(None), 1), else_=0)).label("unknown_cost"),
            func.coalesce(func.sum(t.baseline_nano), 0).label("baseline"),
            func.sum(case((and_(answered, t.baseline_nano.is_(None)), 1), else_=0)).label("unknown_baseline"),
            func.sum(case((both, t.baseline_nano - t.cost_nano), else_=0)).label("saved"),
            func.sum(case((both, 1), else_=0)).label("compared"),
        ).where(t.at >= since).group_by(t.outcome, t.answered_by)
    )  # fmt: skip


def _sum(rows: Any, name: str) -> int:
    return sum(int(getattr(row, name)) for row in rows)


def _sides(nano: int | None, name: str) -> Json:
    nano = None if nano is None else int(nano)
    return {f"{name}_nano": nano, f"{name}_usd": money.usd(nano)}


def _head(row: Row[Any]) -> Json:
    """What one line of a list needs."""
    cost, baseline = row.cost_nano, row.baseline_nano
    saved = None if cost is None or baseline is None else baseline - cost
    return {
        "id": row.id, "at": row.at, "principal": row.principal, "outcome": row.outcome, "answered_by": row.answered_by,
        "model": row.model, "stream": row.stream, "code": row.code, "why": row.why, "confidence": row.confidence,
        **_sides(cost, "cost"), **_sides(baseline, "baseline"), **_sides(saved, "saved"),
        "usage": {
            "prompt": row.prompt_tokens, "completion": row.completion_tokens, "cached": row.cached_tokens,
            "estimated": row.estimated, "reasoning": row.reasoning_tokens, "cache_write": row.cache_write_tokens,
            "cache_write_long": row.cache_write_long_tokens,
        },
        "ms": row.ms, "question": row.question, "answer": row.answer,
    }  # fmt: skip


def _trace(row: Row[Any]) -> Json:
    decision = msgspec.json.decode(row.decision, type=Decision) if row.decision else None
    steps = msgspec.json.decode(row.steps, type=list[Step])
    return {**_head(row), "decision": decision and _plain(decision), "steps": [_step(step) for step in steps]}


def _step(step: Step) -> Json:
    return {**_plain(step), **_sides(step.cost, "cost"), "usage": step.usage and _plain(step.usage)}


def _plain(struct: msgspec.Struct) -> Json:
    """All fields, the defaults too: a reader need not know that an absent cost is 0 and a null one unknown."""
    fields = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return msgspec.json.decode(msgspec.json.encode(fields))


def _feedback(row: Row[Any]) -> Json:
    return {"at": row.at, "principal": row.principal, "score": row.score, "label": row.label, "comment": row.comment}
