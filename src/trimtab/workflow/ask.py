"""A step's request on the path: its own ladder, schema, evidence and verifiers, on the recipe's desk."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from trimtab import errors, flow
from trimtab.errors import ConfigError, NoAnswerError, StorageError, TrimtabError
from trimtab.flow import Desk
from trimtab.judge import Seat
from trimtab.money import from_usd
from trimtab.ports import Approver, Router
from trimtab.types import (
    Action,
    Answer,
    Case,
    Decision,
    Evidence,
    Impact,
    Json,
    Limits,
    ModelSpec,
    Passage,
    Pending,
    Refused,
    Request,
    Trace,
    Wishes,
)
from trimtab.workflow import fits
from trimtab.workflow.person import Decided
from trimtab.workflow.result import Done, Fails, Result, Waits
from trimtab.workflow.steps import Ask
from trimtab.workflow.template import text

if TYPE_CHECKING:
    from trimtab.wiring import System

ALWAYS = frozenset({"large", "small"})
"""Models that a flow may name though the recipe has none: they come from the environment."""
PASSAGE = 1200
"""Characters of one passage of a step's own evidence."""


class Asker:
    """Asks on the desk; `seats` are each step's verifiers, by its name, `alias` says what `large` and `small` are."""

    def __init__(self, desk: Desk, seats: Mapping[str, tuple[Seat, ...]], alias: Mapping[str, str] = {}) -> None:
        self._desk, self._seats, self._alias = desk, seats, alias

    async def ask(self, step: Ask, context: Mapping[str, Any], key: str, *, last: bool) -> Result:
        """One try; `last`: where no rung answers, a person is asked.

        Raises `Missing`, `StorageError`, `ConfigError`.
        """
        gate, bill = Gate(self._desk.approver, step, last=last), Bill()
        desk = msgspec.structs.replace(
            self._desk,
            router=Within(self._desk.router, self._names(step)) if step.models else self._desk.router,
            retriever=Given(text(step.evidence, context)) if step.evidence else self._desk.retriever,
            verifiers=self._seats.get(step.name, self._desk.verifiers),
            approver=gate if self._desk.approver else None,
            recorders=(*self._desk.recorders, bill),
        )
        try:
            outcome, trace = await flow.run(desk, request(step, context, key))
        except (StorageError, ConfigError):
            raise
        except TrimtabError as error:
            return Fails(code=error.code, why=error.ours, retry=errors.row(error).retry, cost=bill.cost)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this item's
            return Fails(code="internal_error", why=f"{type(error).__name__} on the path.", cost=bill.cost)
        match outcome:
            case Pending():
                return Waits(ticket=outcome.ticket, why=outcome.why, cost=trace.cost)
            case Refused():
                return Fails(code=outcome.code, why=outcome.why, cost=trace.cost)
            case Answer():
                return told(step, outcome, trace.cost, {"trace": trace.request.id, "impact": gate.impact})

    def _names(self, step: Ask) -> list[str]:
        return [self._alias.get(name, name) for name in step.models]


class Bill:
    """A `Recorder` that notes what a request cost, also where the path raised."""

    def __init__(self) -> None:
        self.cost: int | None = 0

    async def record(self, trace: Trace) -> None:
        self.cost = trace.cost


class Within:
    """A `Router` that keeps to some of the models; what another one says of the rest stays."""

    def __init__(self, router: Router, models: Sequence[str]) -> None:
        self._router, self._models = router, frozenset(models)

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        decision = await self._router.route(request, models)
        left = {name: "not_in_step" for name in decision.ladder if name not in self._models}
        ladder = tuple(name for name in decision.ladder if name in self._models)
        return msgspec.structs.replace(decision, ladder=ladder, left_out={**decision.left_out, **left})


class Given:
    """A `Retriever` of one text, which came with the item: its passages in order, each as good as the other."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def retrieve(self, request: Request) -> Evidence:
        del request  # the text is what there is, whatever is asked
        return Evidence(passages=tuple(_passages(self._text)))


class Gate:
    """An `Approver` before the recipe's own: what the step lets go on, or takes elsewhere, needs no person here.

    Where no rung answered, or an answer is doubted, and the step says where to go `otherwise`, that is where it goes;
    the recipe's is asked in all other cases, but not for the high impact of an internal answer, which is remembered.
    """

    def __init__(self, approver: Approver | None, step: Ask, *, last: bool) -> None:
        self._approver, self._step, self._last = approver, step, last
        self.impact = ""

    async def approve(self, case: Case) -> Pending | None:
        if case.answer is None and (self._step.otherwise or not self._last):
            return None  # the path says why in its own error
        if case.answer is not None and not case.verdict.ok and self._step.otherwise:
            raise NoAnswerError(f"The answer is doubted: {case.verdict.why}", code=case.verdict.code)
        high = Impact.HIGH in (case.decision.impact, case.answer and case.answer.impact)
        if self._step.internal and case.answer is not None and case.verdict.ok:
            self.impact = "high" if high or Action.PERSON in case.actions else ""
            return None
        return await self._approver.approve(case) if self._approver else None


def request(step: Ask, context: Mapping[str, Any], key: str) -> Request:
    """What a step asks; its id begins with the step's key, so that its ticket and its traces are found by it."""
    system = ({"role": "system", "content": text(step.system, context)},) if step.system else ()
    params = dict(step.params)
    if step.schema is not None:
        form = {"name": step.name, "schema": step.schema}
        params["response_format"] = {"type": "json_schema", "json_schema": form}
    cost = None if step.cost is None else from_usd(step.cost)
    return Request(
        id=f"{key}.{secrets.token_hex(4)}",
        messages=(*system, {"role": "user", "content": text(step.ask, context)}),
        params=params,
        wishes=Wishes(cache=step.cache),
        limits=Limits(cost=cost, latency=step.latency, where=step.where),
    )


def told(step: Ask, answer: Answer, cost: int | None, more: Json) -> Done | Fails:
    """What a step gives of an answer; one that is not the JSON it must be is none."""
    output: Json = {
        "text": answer.text, "by": answer.model, "label": answer.label, "confidence": answer.confidence,
        "citations": msgspec.to_builtins(answer.citations), **more,
    }  # fmt: skip
    if step.schema is None:
        return Done(output=output, cost=cost)
    value, why = fits.read(answer.text, step.schema)
    if why:
        why = f"What {answer.model} wrote does not fit the step's schema: {why}."
        return Fails(code="bad_json", why=why, cost=cost)
    return Done(output={**output, "json": value}, cost=cost)


def released(step: Ask, by: Decided) -> Done | Fails:
    """What a step gives once a person released its answer, or wrote it."""
    if by.answer is None:
        return Fails(code="denied", why=by.why)
    return told(step, by.answer, 0, {"decided": "approved", "decided_by": by.by, "impact": ""})


async def asker(system: "System", steps: Iterable[Ask]) -> Asker:
    """The asker of a flow's steps. Raises `ConfigError` for a model or a verifier that is not there."""
    from trimtab import wiring

    known = ALWAYS | system.desk.specs.keys()
    has = {seat.name for seat in system.desk.verifiers}
    seats: dict[str, tuple[Seat, ...]] = {}
    for step in steps:
        if unknown := sorted(set(step.models) - known):
            raise ConfigError(
                f"The step {step.name!r} names models that the recipe has not: {', '.join(unknown)}.",
                f"It has: {', '.join(system.desk.specs)}.",
            )
        schema = ({"kind": "schema"},) if step.schema is not None and "schema" not in has else ()
        if given := (*step.verify, *schema):
            seats[step.name] = await wiring.seats(system, given)
    options = system.settings.route.options
    alias = {name: str(options[name]) for name in ALWAYS - system.desk.specs.keys() if options.get(name)}
    return Asker(system.desk, seats, alias)


def _passages(whole: str) -> Iterable[Passage]:
    """Paragraphs together up to `PASSAGE` characters, longer ones cut at a space."""
    start = 0
    while start < len(whole):
        end = min(start + PASSAGE, len(whole))
        if end < len(whole):
            cuts = (whole.rfind(mark, start + PASSAGE // 2, end) for mark in ("\n\n", "\n", " "))
            end = next((cut for cut in cuts if cut > 0), end)
        if piece := whole[start:end].strip():
            at = whole.index(piece, start)
            yield Passage(text=piece, source="input", start=at, end=at + len(piece))
        start = end
