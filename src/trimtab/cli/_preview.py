"""What the policy makes of a request, with no model called: the real path, walked with rungs that all pass."""

import secrets
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from trimtab import flow
from trimtab.errors import LimitError, NoAnswerError
from trimtab.flow import Desk
from trimtab.ports import Sink
from trimtab.settings import Settings
from trimtab.types import Answer, Evidence, Json, Request, Trace, Verdict, Wishes


class Passing:
    """A rung that takes nothing: what the path does around it is what is to be seen."""

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        del request, evidence, sink
        return Verdict(ok=False, by="preview", code="preview", why="No model is called in a preview.")


class Keeper:
    """Keeps the last trace in memory; nothing reaches the ledger."""

    trace: Trace | None = None

    async def record(self, trace: Trace) -> None:
        self.trace = trace


def dry(settings: Settings) -> Settings:
    """The settings without documents: what only looks at guards, route and models need not read them."""
    return msgspec.structs.replace(settings, retrieve=None)


def request(ask: str, *, model: str = "auto", params: Json | None = None) -> Request:
    """A request of one user message, as a client would send it."""
    return Request(
        id=f"preview_{secrets.token_hex(4)}", messages=({"role": "user", "content": ask},), params=params or {},
        wishes=Wishes(model=model),
    )  # fmt: skip


async def preview(desk: Desk, asked: Request) -> Trace:
    """The trace of guards and route. Raises `NotFoundError` for a model that nobody has."""
    keeper = Keeper()
    rehearsal = msgspec.structs.replace(
        desk, models={name: Passing() for name in desk.models}, approver=None, recorders=(keeper,)
    )
    with suppress(NoAnswerError, LimitError):  # every rung passed: that is how a preview ends
        await flow.run(rehearsal, asked)
    assert keeper.trace is not None  # noqa: S101 - the path always records
    return keeper.trace


def possible(trace: Trace, expected: Sequence[str], *, person: bool) -> bool:
    """Whether the policy leaves one of the expected deciders possible; `person` says whether there is an inbox."""
    if trace.outcome == "refused":
        return "refused" in expected
    ladder = trace.decision.ladder if trace.decision else ()
    return any(by in ladder or (by == "person" and person) for by in expected)
