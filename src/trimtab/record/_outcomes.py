"""The ledger as a file of outcomes: what people said, and what shadow audits found, where texts were kept."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import func, select

from trimtab import money
from trimtab.grade import marks
from trimtab.odds.outcomes import Outcome
from trimtab.settings import Contract
from trimtab.store.tables import feedback, shadows, traces

if TYPE_CHECKING:
    from trimtab.store.engine import Store


async def outcomes(store: "Store", contracts: Mapping[str, Contract], since: float = 0.0) -> list[Outcome]:
    """Outcomes since then (epoch seconds), oldest first.

    An audited request has both models'; any other that people spoke of has that of the model which answered, the mean
    of their scores. Requests whose text was not kept are left out. People choose what they speak of: their rows train
    odds, but promise nothing.
    """
    said = (
        select(feedback.c.trace_id, func.avg(feedback.c.score).label("score")).group_by(feedback.c.trace_id).subquery()
    )
    found = select(traces, said.c.score).outerjoin(said, said.c.trace_id == traces.c.id)
    kept = traces.c.question.is_not(None) & (traces.c.outcome == "answer") & (traces.c.principal != "audit")
    rows = await store.read(found.where(kept, traces.c.at >= since).order_by(traces.c.seq))
    audits = {row.trace_id: row for row in await store.read(select(shadows)) if _marks(row)}
    texts = await _audit_texts(store)
    return list(_outcomes(rows, audits, texts, contracts))


async def _audit_texts(store: "Store") -> dict[str, str]:
    """What models said in audits, by the id of the audit's own trace."""
    query = select(traces.c.id, traces.c.answer).where(traces.c.principal == "audit", traces.c.answer.is_not(None))
    return {row.id: row.answer for row in await store.read(query)}


def _outcomes(
    rows: Any, audits: Mapping[str, Any], texts: Mapping[str, str], contracts: Mapping[str, Contract]
) -> Iterator[Outcome]:
    for row in rows:
        audit = audits.get(row.id)
        contract = contracts.get(audit.contract) if audit else None
        if audit and contract and row.question:
            yield _audited(row, audit, contract, texts)
        elif row.score is not None and row.question:
            yield Outcome(
                question=row.question, right={row.answered_by: row.score}, answers=_texts({row.answered_by: row.answer})
            )


def _audited(row: Any, audit: Any, contract: Contract, texts: Mapping[str, str]) -> Outcome:
    names = {"small": contract.small, "large": contract.large}
    right = dict(zip(names.values(), _marks(audit) or (), strict=True))
    answers = {name: texts.get(f"audit_{name}_{row.id}") for name in names.values()} | {row.answered_by: row.answer}
    nano = {names["small"]: audit.small_nano, names["large"]: audit.large_nano}
    return Outcome(
        question=row.question, right=right,
        answers=_texts(answers), cost={name: one / money.NANO for name, one in nano.items() if one is not None},
        tokens={name: (pair[0], pair[1]) for name, pair in msgspec.json.decode(audit.tokens).items()},
    )  # fmt: skip


def _marks(audit: Any) -> tuple[float, float] | None:
    return marks(audit.how, audit.small, audit.large)


def _texts(answers: Mapping[str, str | None]) -> dict[str, str]:
    return {name: text for name, text in answers.items() if text is not None}
