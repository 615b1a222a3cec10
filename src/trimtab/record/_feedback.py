"""What people say of an answer: durable before the reply, and only of a trace that exists."""

import math
import time
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from trimtab.errors import NotFoundError, RequestError, TooLargeError
from trimtab.store.tables import feedback, traces
from trimtab.types import Json

if TYPE_CHECKING:
    from trimtab.store.engine import Store

SCORES = {"good": 1.0, "bad": 0.0}
LONGEST = 4000
"""Characters of a comment."""


async def give(
    store: "Store",
    trace_id: str,
    *,
    score: float | None = None,
    label: str | None = None,
    comment: str = "",
    principal: str = "local",
) -> Json:
    """Keep a score from 0 to 1, or a label (good, bad) that gives one; returns the row as it was stored.

    Raises `NotFoundError` for an unknown trace, `RequestError` for a score or label that is none, `TooLargeError` for
    a long comment, `StorageError`.
    """
    row: Json = {
        "trace_id": trace_id, "at": time.time(), "principal": principal, "score": _score(score, label), "label": label,
        "comment": _comment(comment),
    }  # fmt: skip

    def kept(connection: Connection) -> Json:
        if connection.execute(select(traces.c.seq).where(traces.c.id == trace_id)).first() is None:
            raise NotFoundError(f"There is no trace {trace_id!r}.", "Use the trace's id of the reply.", param="trace")
        connection.execute(feedback.insert(), row)
        return row

    return await store.transact(kept)


def _score(score: float | None, label: str | None) -> float:
    if label is not None and label not in SCORES:
        raise RequestError(f"{label!r} is no label.", f"Use one of: {', '.join(SCORES)}.", param="label")
    if score is None:
        if label is None:
            raise RequestError("Feedback needs a score or a label.", 'Give "score": 0..1 or "label": "good".')
        return SCORES[label]
    if not (math.isfinite(score) and 0 <= score <= 1):
        raise RequestError(f"The score {score} is not from 0 to 1.", "Give 0 for bad, 1 for good.", param="score")
    return float(score)


def _comment(comment: str) -> str:
    if len(comment) > LONGEST:
        raise TooLargeError(f"The comment has {len(comment)} characters.", f"Send at most {LONGEST}.", param="comment")
    return comment.encode("utf-8", "replace").decode()
