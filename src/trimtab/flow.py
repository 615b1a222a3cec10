"""THE path: guard -> route -> retrieve -> answer -> verify -> escalate -> approve -> record.

Nothing else calls a stage.
"""

import asyncio
from collections.abc import Mapping

import msgspec

from trimtab import asking, texts
from trimtab.errors import DeadlineError, NoAnswerError
from trimtab.escalate import within
from trimtab.judge import Seat, bound, cut_answer, ruling
from trimtab.ports import Approver, Model, Recorder, Retriever, Router, Verifier
from trimtab.trail import Trail, gated
from trimtab.types import (
    OK,
    Answer,
    Case,
    Decision,
    Evidence,
    Impact,
    ModelSpec,
    Outcome,
    Price,
    Refused,
    Request,
    Trace,
    Verdict,
)  # fmt: skip
from trimtab.window import Emit, Withheld

NOBODY = Verdict(ok=False, by="ladder", code="no_rung", why="No model may take this request.")


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """One of everything the path needs, built by `wiring`."""

    guards: tuple[Seat, ...]
    router: Router
    retriever: Retriever | None
    models: Mapping[str, Model]
    specs: Mapping[str, ModelSpec]
    verifiers: tuple[Seat, ...]
    approver: Approver | None
    recorders: tuple[Recorder, ...]
    baseline: Price | None = None
    regions: tuple[str, ...] | None = None


async def run(desk: Desk, request: Request, emit: Emit | None = None) -> tuple[Outcome, Trace]:
    """Take one request down the path; always recorded, whatever happens. Raises the errors of `errors`.

    With `emit`, an answer that needs no check after it is streamed as it is written; the caller renders all others.
    """
    request = within(request, desk.regions)
    trail, deadline = Trail(request, desk.baseline), asyncio.timeout(request.limits.latency)
    try:
        async with deadline:
            trail.result = await _decide(desk, request, trail, emit)
    except BaseException as error:
        trail.error = error
        if isinstance(error, TimeoutError) and deadline.expired():
            trail.error = DeadlineError(f"No answer within {request.limits.latency} s.", "Raise limits.latency_s.")
            raise trail.error from error
        raise
    finally:
        trace = await trail.recorded(desk.recorders)  # record
    return trail.result, trace


async def _decide(desk: Desk, request: Request, trail: Trail, emit: Emit | None) -> Outcome:
    request, no = await _guard(desk, request, trail)  # guard
    if no:
        return _refused(no)
    with trail.step("route") as step:  # route
        trail.decision = decision = await desk.router.route(request, desk.specs)
        step.why = " > ".join(decision.ladder) or "nobody"
        step.code = ",".join(decision.reasons)
    try:
        answer, verdict = await _climb(desk, request, decision, trail, emit)
    except Withheld as held:
        return _refused(held.verdict)
    if answer:
        answer, no = await _guard_answer(desk, request, answer, trail)  # guard, the answer
        if no:
            return _refused(no)
    if desk.approver:  # approve
        with trail.step("approve") as step:
            case = Case(request=request, decision=decision, answer=answer, verdict=verdict, actions=trail.actions)
            if pending := await desk.approver.approve(case):
                step.code, step.why, step.ok = pending.code, pending.why, False
                return pending
    if answer and (verdict.ok or desk.approver):
        return answer
    raise trail.fault or NoAnswerError(
        f"No answer may be given: {verdict.why}", "Configure a large model or a person's inbox.", code=verdict.code
    )


async def _climb(
    desk: Desk, request: Request, decision: Decision, trail: Trail, emit: Emit | None
) -> tuple[Answer | None, Verdict]:
    """Retrieve, answer, verify, escalate: one loop over the ladder; the last answer written and the verdict on it."""
    answer, verdict, evidence, position, impact = None, NOBODY, None, -1, decision.impact
    while (position := trail.next(decision.ladder, position, desk.specs)) is not None:  # escalate
        name = decision.ladder[position]
        spec = desk.specs[name]
        if evidence is None and "evidence" in spec.abilities and desk.retriever:
            evidence = await _retrieve(desk, request, trail)  # retrieve
        checks = tuple(seat for seat in desk.verifiers if seat.judge.applies(request, spec))
        live = emit if not checks and not gated(impact, trail.actions, desk.guards) else None
        if trail.skips(spec, live):
            continue
        with trail.step("answer", name, spec.price) as step:  # answer
            sink = step.window(live, _on(desk.guards, "answer"), request)
            try:
                said = await desk.models[name].answer(sink.request, evidence or Evidence(), sink)
                await sink.close()
            except Withheld:
                raise
            except Exception as error:  # noqa: BLE001 - down or crashed: the next one answers, or goes on with it
                said = await step.fault(error, sink)
            if isinstance(said, Verdict):
                step.passed(said)
                verdict = verdict if answer else said
                continue
            said = step.answered(said)
        impact = Impact.HIGH if said.impact is Impact.HIGH else impact  # what a lower rung saw is not forgotten
        answer = msgspec.structs.replace(said, impact=impact)
        answer, verdict = await _verify(desk, checks, request, evidence or Evidence(), answer, trail)  # verify
        if verdict.ok:
            break
    return answer, verdict


async def _guard(desk: Desk, request: Request, trail: Trail) -> tuple[Request, Verdict | None]:
    found = (*texts.texts(request.messages), *texts.of_params(request.params))
    verdicts = await trail.judged("guard", _on(desk.guards, "request"), lambda guard: guard.check(found, request))
    return bound(request, verdicts), _no(verdicts)


async def _retrieve(desk: Desk, request: Request, trail: Trail) -> Evidence:
    """Passages that passed the guards as untrusted text; those that did not are dropped and traced."""
    assert desk.retriever
    with trail.step("retrieve") as step:
        try:
            evidence = await desk.retriever.retrieve(request)
            step.why = f"{len(evidence.passages)} passages"
        except Exception as error:  # noqa: BLE001 - no evidence, traced: a rung that needs none may still answer
            evidence = step.crashed(error, Evidence())
    trail.documents = evidence.state
    return await trail.sift(evidence, _on(desk.guards, "evidence"), request)


async def _verify(
    desk: Desk, seats: tuple[Seat, ...], request: Request, evidence: Evidence, answer: Answer, trail: Trail
) -> tuple[Answer, Verdict]:
    """The ruling, and the answer as the verifiers leave it: each sees what the one before has mended."""

    async def ask(judge: Verifier) -> Verdict:
        nonlocal answer
        verdict = await judge.verify(request, evidence, answer)
        if verdict.ok and verdict.answer:
            answer = msgspec.structs.replace(verdict.answer, impact=answer.impact)
        return verdict

    with asking.opened(desk.models, desk.specs, trail):
        verdicts = await trail.judged("verify", seats, ask)
    return answer, ruling(verdicts)


async def _guard_answer(desk: Desk, request: Request, answer: Answer, trail: Trail) -> tuple[Answer, Verdict | None]:
    found = texts.of_answer(answer)
    verdicts = await trail.judged("guard", _on(desk.guards, "answer"), lambda guard: guard.check(found, request))
    return cut_answer(answer, verdicts), _no(verdicts)


def _on(seats: tuple[Seat, ...], what: str) -> tuple[Seat, ...]:
    return tuple(seat for seat in seats if what in seat.on)


def _no(verdicts: tuple[Verdict, ...]) -> Verdict | None:
    verdict = ruling(verdicts)
    return None if verdict is OK else verdict


def _refused(no: Verdict) -> Refused:
    return Refused(by=no.by, code=no.code, why=no.why, score=no.score, spans=no.spans)
