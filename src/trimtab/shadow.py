"""Shadow audits: a share of the requests that two models may both have is asked of the other one too, after the reply.

An audit is a request on the path, in the name of `audit`: guarded, masked, kept where its client's limits keep it, and
recorded with its cost; verifiers only watch, and nobody is asked to release it. Which requests are audited follows from
the trace's id alone, so the audits are a fair sample, with a chance that is known.
"""

import asyncio
import logging
from collections.abc import Sequence

import msgspec

from trimtab import asking, flow, texts
from trimtab.asking import ASKED
from trimtab.errors import StorageError
from trimtab.flow import Desk
from trimtab.grade import UNREAD, grade, parsed, same
from trimtab.money import total
from trimtab.ports import Recorder
from trimtab.route._draw import fraction
from trimtab.route._promised import BROKEN
from trimtab.route._watch import Shadow, Watch, concerns
from trimtab.settings import Contract
from trimtab.types import Answer, Json, Limits, Request, Step, Trace, Wishes

LOG = logging.getLogger("trimtab.contract")
PRINCIPAL = "audit"
PATIENCE = 120.0
"""Seconds that one call of an audit may take."""
LAST = 2.0
"""Seconds at the end for audits that still run; then they are given up."""
BY_ODDS = ("unlikely_right", "not_worth_trying", BROKEN)
"""Reasons for which a small model that could have had the request was left out."""


class Shadows:
    """A `Recorder` that audits; it hands the trace back at once, whatever it does with it later."""

    def __init__(self, desk: Desk, watch: Watch) -> None:
        watching = tuple(msgspec.structs.replace(seat, shadow=True) for seat in desk.verifiers)
        kept: Sequence[Recorder] = [one for one in desk.recorders if one not in desk.models.values()]
        self._desk = msgspec.structs.replace(desk, verifiers=watching, approver=None, recorders=tuple(kept))
        self._watch, self._tasks = watch, set[asyncio.Task[None]]()
        self.missed = 0
        """Audits that were left out because too many were running."""

    async def record(self, trace: Trace) -> None:
        """Begin the audit of a trace that is drawn."""
        contract = next((one for one in self._watch.contracts if concerns(one, trace.request)), None)
        if contract is None or not eligible(trace, contract) or not drawn(trace.request.id, contract):
            return
        if len(self._tasks) >= contract.running:
            self.missed += 1
            LOG.warning("%s audits were left out: so many run already (running = %s)", self.missed, contract.running)
            return
        task = asyncio.create_task(self._audited(trace, contract))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give audits that still run a while, then give them up."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LAST)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def idle(self) -> None:
        """Return once no audit runs."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _audited(self, trace: Trace, contract: Contract) -> None:
        try:
            await self._watch.add(await self._shadow(trace, contract))
        except StorageError as error:
            LOG.warning("the audit of %s was not kept", trace.request.id, exc_info=error)
        except Exception:
            LOG.exception("the audit of %s failed", trace.request.id)

    async def _shadow(self, trace: Trace, contract: Contract) -> Shadow:
        other = contract.large if trace.answered_by == contract.small else contract.small
        again = await self._asked(trace.request, other, ladder(trace, contract))
        sides = {trace.answered_by: trace, other: again}
        small, large = sides[contract.small], sides[contract.large]
        marks, how, judged = await self._graded(trace.request, small, large, contract)
        return Shadow(
            trace_id=trace.request.id, contract=contract, answered=trace.answered_by, how=how,
            score=score(small, contract.small), small=marks and marks[0], large=marks and marks[1],
            tokens={name: (side.usage.prompt, side.usage.completion) for name, side in sides.items()},
            small_nano=spent(small, contract.small), large_nano=spent(large, contract.large),
            cost_nano=total([again.cost, *([judged.cost] if judged else [])]),
        )  # fmt: skip

    async def _graded(
        self, request: Request, small: Trace, large: Trace, contract: Contract
    ) -> tuple[tuple[float, float] | None, str, Trace | None]:
        """(right, right) of small and large, how that was told, and the judge's trace where one was asked."""
        question, one, two = texts.question(request), text(small), text(large)
        if one is None or two is None:  # down, refused, or passed
            return None, "unanswered", None
        if same(question, one, two):
            return (1.0, 1.0), "same", None
        if not contract.judge:
            return (0.0, 1.0), "reference", None
        swap = fraction(f"order:{request.id}") < 0.5  # a judge likes the first answer: each is first half of the time
        messages = grade(texts.texts(request.messages), *((two, one) if swap else (one, two)))
        judged = await self._asked(_question(request, messages), contract.judge)
        marks = parsed(text(judged) or "")
        if marks is None:
            return None, UNREAD, judged
        return (marks[1], marks[0]) if swap else marks, "judged", judged

    async def _asked(self, request: Request, model: str, ladder: tuple[str, ...] = ()) -> Trace:
        """The trace of a request that only `model` may answer; one that fails has no answer in it.

        It is judged as a rung of `ladder`, so that its score is of the kind that answers to clients get.
        """
        limits = Limits(latency=PATIENCE, where=request.limits.where, regions=request.limits.regions)
        asked = msgspec.structs.replace(
            request, id=f"audit_{model}_{request.id}", principal=PRINCIPAL, limits=limits, traceparent="",
            wishes=Wishes(model=model, cache=False, priority=-1),
        )  # fmt: skip
        last = _Last()
        desk = msgspec.structs.replace(self._desk, recorders=(last, *self._desk.recorders))
        try:
            with asking.laddered(ladder):
                await flow.run(desk, asked)
        except Exception as error:  # noqa: BLE001 - down or crashed: its trace says so, and there is nothing to grade
            LOG.info("%s gave no answer to an audit (%s)", model, type(error).__name__)
        assert last.trace  # noqa: S101 - the path always records
        return last.trace


class _Last:
    """Keeps the trace."""

    trace: Trace | None = None

    async def record(self, trace: Trace) -> None:
        self.trace = trace


def eligible(trace: Trace, contract: Contract) -> bool:
    """Whether one of the two models answered a request that the other one might have had too, in words."""
    decision, request = trace.decision, trace.request
    if decision is None or trace.outcome != "answer" or request.wishes.model != "auto" or text(trace) is None:
        return False
    if trace.answered_by == contract.small:
        return contract.large in decision.ladder
    tried = contract.small in decision.ladder or decision.left_out.get(contract.small) in BY_ODDS
    return trace.answered_by == contract.large and tried


def ladder(trace: Trace, contract: Contract) -> tuple[str, ...]:
    """The ladder on which the small model stood, or would have stood had its odds not left it out."""
    found = trace.decision.ladder if trace.decision else ()
    return found if contract.small in found else (contract.small, contract.large)


def drawn(id: str, contract: Contract) -> bool:
    """Whether a trace is one of the share that is audited."""
    return fraction(f"{contract.name}:{id}") < contract.share


def text(trace: Trace) -> str | None:
    """What was answered, None for nothing or a tool call."""
    result = trace.result
    return result.text if isinstance(result, Answer) and not result.tool_calls else None


def score(trace: Trace, model: str) -> float | None:
    """P(right) of a model's answer, as a verifier gave it, else as the router did before it."""
    judged = [step.score for step in _after(trace, model) if step.stage == "verify" and step.score is not None]
    if judged:
        return judged[-1]
    signals = trace.decision.signals if trace.decision else ()
    return next((float(one.value) for one in signals if one.name == f"p_stays:{model}"), None)


def spent(trace: Trace, model: str) -> int | None:
    """Nanodollars of a model's answer in a trace, with what its verifiers asked others."""
    own = [step for step in trace.steps if step.stage == "answer" and step.code != ASKED and step.by == model]
    asked = [step for step in _after(trace, model) if step.code == ASKED]
    return total(step.cost for step in (*own, *asked))


def _after(trace: Trace, model: str) -> list[Step]:
    """The steps after a model answered, up to the next model."""
    found: list[Step] = []
    inside = False
    for step in trace.steps:
        if step.stage == "answer" and step.code != ASKED:
            inside = step.by == model
        elif inside:
            found.append(step)
    return found


def _question(request: Request, messages: tuple[Json, ...]) -> Request:
    return msgspec.structs.replace(request, id=f"judge_{request.id}", messages=messages, params={"temperature": 0})
