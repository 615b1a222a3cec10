"""What one request leaves behind on the path: its steps, what its judges oblige it to, and its trace."""

import logging
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from trimtab import resume, texts
from trimtab.errors import RequestError, StorageError, TrimtabError, UpstreamError, row
from trimtab.escalate import affordable, kept_from, next_rung
from trimtab.judge import Seat, actions, blotted, ruling, settle
from trimtab.money import cost, estimate, total
from trimtab.ports import Recorder
from trimtab.types import (
    FREE,
    Action,
    Answer,
    Decision,
    Evidence,
    Impact,
    ModelSpec,
    Origin,
    Outcome,
    Passage,
    Pending,
    Price,
    Refused,
    Request,
    Step,
    Text,
    Trace,
    Usage,
    Verdict,
)  # fmt: skip
from trimtab.window import Emit, Window, Withheld

T = TypeVar("T")
LOG = logging.getLogger("trimtab.path")

EXPECTED_COMPLETION = 256
"""Tokens reckoned for an answer whose length the client did not limit, when a cost limit must be kept."""


class Note:
    """One step while it happens; as a context manager it times itself and joins the trail, crashed or not."""

    __slots__ = (
        "_began",
        "_price",
        "_trail",
        "begun",
        "by",
        "code",
        "cost",
        "down",
        "ok",
        "score",
        "stage",
        "usage",
        "why",
    )

    def __init__(self, trail: "Trail", stage: str, by: str, price: Price | None) -> None:
        self._trail, self.stage, self.by, self._price = trail, stage, by, price
        self.ok, self.code, self.why = True, "", ""
        self.score: float | None = None
        self.cost: int | None = 0
        self.usage: Usage | None = None
        self.begun = self.down = False
        self._began = time.perf_counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if error is not None:
            self.ok, self.code = False, _code(error)
            self.why = "" if isinstance(error, CancelledError) else _told(error, self.by or self.stage)
            self._unknown()
        if self.usage is not None:
            self.cost = cost(self.usage, self._price)
        self._trail.add(self)

    def step(self) -> Step:
        return Step(
            stage=self.stage, by=self.by, ms=(time.perf_counter() - self._began) * 1e3, ok=self.ok, code=self.code,
            why=self.why, score=self.score, cost=self.cost, usage=self.usage, at=self._trail.since(self._began),
        )  # fmt: skip

    def window(self, emit: Emit | None, guards: Sequence[Seat], request: Request) -> Window:
        """What this rung writes to, and is asked: the request, or to go on with what a rung before it has begun."""
        before = self._trail.begun
        asked = resume.asked(request, before) if before else request
        window = Window(emit, guards, asked, begun=self._begins, spent=self._spends, lost=self._loses)
        if before and self._trail.window:
            window.follow(self._trail.window, before.text)
        return window

    def quiet(self, request: Request) -> Window:
        """What a model writes to that a judge asks: nobody reads along."""
        return Window(None, (), request, begun=self._begins, spent=self._spends, lost=self._loses)

    def _begins(self) -> None:
        self.begun = True

    def _spends(self, usage: Usage) -> None:
        self.usage = usage

    def _loses(self, usage: Usage, ms: float) -> None:
        """A call beside the one that answers was given up; it is paid."""
        began = time.perf_counter() - ms / 1e3
        self._trail.lost(Step(
            stage="answer", by=self.by, ms=ms, code="hedge_lost", why="Another call on this model answered first.",
            cost=cost(usage, self._price), usage=usage, at=self._trail.since(began),
        ))  # fmt: skip

    def _unknown(self) -> None:
        """A call that failed before it said what it used may have been billed."""
        if self.stage == "answer" and self.usage is None and self._price != FREE:
            self.cost = None

    def passed(self, verdict: Verdict) -> None:
        """The rung did not take the request. Raises `UpstreamError` where it had begun to answer it."""
        if self.begun and not self.down:
            raise UpstreamError(f"The model {self.by} passed after it had begun to answer.", "Mend that kind.")
        self.ok, self.code, self.why, self.score = False, verdict.code, verdict.why, verdict.score
        self.cost = verdict.cost
        if self.down:
            self._unknown()

    def answered(self, answer: Answer) -> Answer:
        """The answer, with what rungs that were cut had written of it."""
        self.score, self.usage, self.why = answer.confidence, answer.usage, answer.label or ""
        if not (before := self._trail.begun):
            return answer
        self.why = f"Went on with what {', '.join(before.by)} began."
        return resume.whole(before, answer)

    def crashed(self, error: Exception, instead: T) -> T:
        """The stage failed and the path goes on with `instead`; traced."""
        LOG.warning("%s crashed", self.stage, exc_info=error)
        self.ok, self.code, self.why = False, row(error).code, _told(error, self.stage)
        return instead

    async def fault(self, error: Exception, window: Window) -> Verdict:
        """The rung that writes to `window` is down: a fall to the next one, traced; the error is kept for the case that
        none is left.

        Raises it where the client is wrong, or has read the beginning of what no other rung may go on with.
        """
        theirs = isinstance(error, RequestError) and not self._trail.begun
        if theirs or (self.begun and not await self._trail.leaves(window, self.by, self.usage)):
            raise error
        self._trail.fault = error
        return self.lost(error)

    def lost(self, error: Exception) -> Verdict:
        """What is said of a model that is down."""
        self.down = True
        LOG.warning("%s", _told(error, self.by), exc_info=None if isinstance(error, TrimtabError) else error)
        code = _code(error) if isinstance(error, TrimtabError) else "rung_crashed"
        return Verdict(ok=False, by=self.by, code=code, why=_told(error, self.by))


class Trail:
    """Collects the steps of one request and makes its `Trace`."""

    def __init__(self, request: Request, baseline: Price | None) -> None:
        self._request, self._baseline = request, baseline
        self._at, self._began = time.time(), time.perf_counter()
        self._steps: list[Step] = []
        self.decision: Decision | None = None
        self.result: Outcome | None = None
        self.error: BaseException | None = None
        self.fault: Exception | None = None
        self.begun: resume.Begun | None = None
        self.window: Window | None = None
        self.actions: frozenset[Action] = frozenset()
        self.documents: str | None = None

    def step(self, stage: str, by: str = "", price: Price | None = None) -> Note:
        return Note(self, stage, by, price)

    def add(self, note: Note) -> None:
        self._steps.append(note.step())

    def lost(self, step: Step) -> None:
        self._steps.append(step)

    def since(self, clock: float) -> float:
        """Milliseconds from the request's beginning to a time of `perf_counter`."""
        return (clock - self._began) * 1e3

    async def leaves(self, window: Window, by: str, usage: Usage | None) -> bool:
        """Whether what a rung that was cut has written may be left to another one, and is. Raises `Withheld`."""
        if not resume.allowed(self._request) or (written := await window.written()) is None:
            return False
        self.begun, self.window = resume.further(self.begun, *written, by, usage), window
        return True

    async def judged(
        self, stage: str, seats: Sequence[Seat], ask: Callable[[Any], Awaitable[Verdict]]
    ) -> tuple[Verdict, ...]:
        """The verdicts of `settle`, each a step; what they oblige to is kept in `actions`."""
        if not seats:
            return ()
        clock = time.perf_counter()

        def seen(verdict: Verdict) -> None:
            nonlocal clock
            now = time.perf_counter()
            self._steps.append(_judgement(stage, verdict, (now - clock) * 1e3, self.since(clock)))
            clock = now

        verdicts = await settle(seats, ask, seen)
        if obliged := actions(verdicts):
            self.actions |= obliged
        return verdicts

    async def sift(self, evidence: Evidence, seats: Sequence[Seat], request: Request) -> Evidence:
        """The passages that every guard let pass as untrusted text, redactions blotted out; others are dropped."""
        if not seats:
            return evidence
        kept: list[Passage] = []
        for passage in evidence.passages:
            titled = f"{passage.source} title"
            parts = ((passage.text, passage.source), (passage.title, titled))
            found = tuple(Text(text=text, origin=Origin.RETRIEVED, path=path) for text, path in parts if text)
            verdicts = await self.judged("guard", seats, lambda guard, found=found: guard.check(found, request))
            if ruling(verdicts).ok:
                text = blotted(passage.text, passage.source, verdicts)
                title = blotted(passage.title, titled, verdicts)
                same = (text, title) == (passage.text, passage.title)
                kept.append(passage if same else msgspec.structs.replace(passage, text=text, title=title))
        return Evidence(passages=tuple(kept), state=evidence.state)

    def skips(self, spec: ModelSpec, live: Emit | None) -> bool:
        """Whether a rung is of no use: it may not have the text, by the request's limits whatever the router said, or
        because a guard has said on the way that it stays local; or an answer has begun and it may not go on with it,
        or not as a stream."""
        if self.begun and not (live and resume.able(spec)):
            return True
        if Action.LOCAL in self.actions and spec.where != "local":
            return True
        return bool(kept_from(spec, self._request.limits))

    async def recorded(self, recorders: Sequence[Recorder]) -> Trace:
        """The trace, given to every recorder, whatever another one does.

        Raises `StorageError` where a record that was promised (durable, or a ticket) could not be kept.
        """
        trace, lost = self.trace(), None
        for recorder in recorders:
            try:
                await recorder.record(trace)
            except Exception as error:
                LOG.exception("%s was not recorded", trace.request.id)
                lost = error if isinstance(error, StorageError) else lost
        promised = self.error is None and (self._request.wishes.durable or isinstance(self.result, Pending))
        self.error = self.fault = self.window = None  # these refer to this trail: a cycle would wait for the collector
        if lost and promised:
            raise lost
        return trace

    def affords(self, spec: ModelSpec, request: Request) -> bool:
        """Whether the limit of this trail's request leaves enough for `request`, which a judge would ask."""
        limits = self._request.limits
        spent = total(step.cost for step in self._steps)
        return limits.cost is None or affordable(spec, limits, spent, expected(request))

    def next(self, ladder: Sequence[str], position: int, specs: Mapping[str, ModelSpec]) -> int | None:
        """The next rung under this request's limits and what it has cost so far.

        Raises `LimitError`, and the fault that cut an answer short where nobody is left to go on with it.
        """
        limits = self._request.limits
        usage = Usage() if limits.cost is None else expected(self._request)
        spent = total(step.cost for step in self._steps)
        found = next_rung(ladder, position, specs=specs, limits=limits, spent=spent, expected=usage)
        if found is None and self.begun and self.fault:
            raise self.fault
        return found

    def trace(self) -> Trace:
        outcome, code, why = self._outcome()
        answer = self.result if isinstance(self.result, Answer) else None
        usage = answer.usage if answer else Usage()
        return Trace(
            request=self._request, at=self._at, ms=(time.perf_counter() - self._began) * 1e3, outcome=outcome,
            steps=tuple(self._steps), decision=self.decision, answered_by=answer.model if answer else "",
            confidence=answer.confidence if answer else None, usage=usage,
            cost=total(step.cost for step in self._steps), baseline=cost(usage, self._baseline) if answer else None,
            code=code, why=why, result=self.result, documents=self.documents,
        )  # fmt: skip

    def _outcome(self) -> tuple[str, str, str]:
        match self.result:
            case Answer():
                return "answer", "", ""
            case Refused(code=code, why=why):
                return "refused", code, why
            case Pending(code=code, why=why):
                return "pending", code, why
            case None if isinstance(self.error, CancelledError):
                return "cancelled", "cancelled", "The client went away."
            case None:
                code = _code(self.error) if self.error else "internal_error"
                return "error", code, _told(self.error, "path") if self.error else ""


def _told(error: BaseException, where: str) -> str:
    """What a trace says of a fault: our own errors' words; of others only the class, since they may quote anything."""
    if isinstance(error, TrimtabError):
        return error.ours
    if isinstance(error, Withheld):
        return error.verdict.why
    return f"{where} crashed ({type(error).__name__}); the log says more."


def gated(impact: Impact, obliged: frozenset[Action], guards: Sequence[Seat]) -> bool:
    """Whether a person may have to see the finished answer first, so that none of it may be streamed before."""
    return (
        impact is Impact.HIGH
        or Action.PERSON in obliged
        or any(seat.action is Action.PERSON for seat in guards if "answer" in seat.on)
    )


def _code(error: BaseException) -> str:
    if isinstance(error, Withheld):
        return error.verdict.code
    foreign = isinstance(error, RequestError) and error.said  # its code is the server's own
    if isinstance(error, TrimtabError) and not foreign:
        return error.code
    return "cancelled" if isinstance(error, CancelledError) else row(error).code


def _judgement(stage: str, verdict: Verdict, ms: float, at: float) -> Step:
    code = verdict.code if verdict.action is Action.ALLOW and not verdict.shadow else f"{verdict.code}:{verdict.action}"
    why = f"shadow: {verdict.why}" if verdict.shadow else verdict.why
    return Step(
        stage=stage, by=verdict.by, ms=ms, ok=verdict.ok, code=code, why=why, score=verdict.score, cost=verdict.cost,
        at=at,
    )  # fmt: skip


def expected(request: Request) -> Usage:
    """The usage to reckon with: the client's own limit of the answer, or what is usual."""
    prompt = sum(estimate(text.text) for text in texts.texts(request.messages))
    asked = request.params.get("max_completion_tokens") or request.params.get("max_tokens")
    return Usage(prompt=prompt, completion=asked if isinstance(asked, int) else EXPECTED_COMPLETION, estimated=True)
