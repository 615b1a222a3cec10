"""A recorded question taken down the path again under another policy: its router, its checks, the recorded answers."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress

import msgspec

from trimtab import flow
from trimtab.asking import ASKED
from trimtab.errors import LimitError, NoAnswerError
from trimtab.flow import Desk
from trimtab.odds.outcomes import Outcome
from trimtab.ports import Sink
from trimtab.settings import Settings
from trimtab.types import Answer, Evidence, Request, Trace, Usage, Verdict, Wishes

CHECKS = ("confidence", "schema", "rules")
"""Verifiers that need nothing but the question and the answer; others would ask a model or read documents."""
TOGETHER = 16
"""Questions on the path at a time: the encoder reads theirs in one pass."""


class Walked(msgspec.Struct, frozen=True, kw_only=True):
    """Who would have answered (None: nobody) and who would have been asked, in that order.

    `blind` names models whose answer a check wanted to read and whose text was not recorded.
    """

    answered: str | None
    called: tuple[str, ...]
    blind: tuple[str, ...] = ()


def bare(settings: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The settings with router, models and what checks an answer alone, as they are written: no alarm, no threshold
    that has moved, no purse that runs short; and the names of what was left out."""
    kept = tuple(part for part in settings.verifiers if part.kind in CHECKS)
    lost = [part.name for part in settings.verifiers if part not in kept]
    changed = msgspec.structs.replace(
        settings,
        guards=(),
        retrieve=None,
        approve=None,
        recorders=(),
        verifiers=kept,
        limits=(),
        contracts=(),
        paces=(),
    )
    return changed, tuple(lost)


async def walk(desk: Desk, outcomes: Sequence[Outcome]) -> tuple[Walked, ...]:
    """What the desk's policy makes of each question, in order; no model is called."""
    by_id = {f"replay_{at}": outcome for at, outcome in enumerate(outcomes)}
    known = {name for outcome in outcomes for name in (*outcome.right, *outcome.answers)}
    models = {name: _Recorded(name, by_id, name in known) for name in desk.models}
    rehearsal = msgspec.structs.replace(desk, models=models)
    found: list[Walked] = []
    ids = list(by_id)
    for start in range(0, len(ids), TOGETHER):
        found += await asyncio.gather(*(_one(rehearsal, one, by_id[one]) for one in ids[start : start + TOGETHER]))
    return tuple(found)


class _Recorded:
    """A rung that says what was recorded of it for the request's question, the empty text where that is unknown.

    Asked once more for the same request it gives its second sample, which is recorded as `name#2`.
    """

    def __init__(self, name: str, outcomes: Mapping[str, Outcome], known: bool) -> None:
        self._name, self._outcomes, self._known = name, outcomes, known
        self._asked = Counter[str]()

    async def answer(self, request: Request, evidence: Evidence, sink: Sink) -> Answer | Verdict:
        del evidence, sink
        if not self._known:
            why = f"No row has an outcome of {self._name}."
            return Verdict(ok=False, by=self._name, code="not_recorded", why=why)
        outcome = self._outcomes[request.id]
        self._asked[request.id] += 1
        prompt, completion = outcome.tokens.get(self._name, (0, 0))
        usage = Usage(prompt=prompt, completion=completion)
        return Answer(
            text=outcome.answers.get(_sample(self._name, self._asked[request.id]), ""), model=self._name, usage=usage
        )


def _sample(name: str, number: int) -> str:
    return name if number == 1 else f"{name}#{number}"


class _Last:
    """Keeps the trace."""

    trace: Trace | None = None

    async def record(self, trace: Trace) -> None:
        self.trace = trace


async def _one(desk: Desk, id: str, outcome: Outcome) -> Walked:
    last = _Last()
    asked = Request(id=id, messages=({"role": "user", "content": outcome.question},), wishes=Wishes(cache=False))
    with suppress(NoAnswerError, LimitError):  # a policy under which nobody answers is a result
        await flow.run(msgspec.structs.replace(desk, recorders=(last,)), asked)
    assert last.trace  # noqa: S101 - the path always records
    return _walked(last.trace, outcome)


def _walked(trace: Trace, outcome: Outcome) -> Walked:
    called: list[str] = []  # the names of models, and in `read` and `blind` those of samples
    read: list[str] = []
    blind: list[str] = []
    for step in trace.steps:
        if step.stage == "answer" and (step.ok or step.code == ASKED):
            called += [step.by] if step.ok else []
            sample = _sample(step.by, max(1, called.count(step.by)))
            read = [*read, sample] if step.code == ASKED else [sample]
        elif step.stage == "verify":
            blind += [name for name in read if name not in (*outcome.answers, *blind)]
    return Walked(answered=trace.answered_by or None, called=tuple(called), blind=tuple(blind))
