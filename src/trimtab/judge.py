"""Ask judges in order: the first no settles it, and a judge that crashes has said no (unless its seat fails open)."""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

import msgspec

from trimtab import texts
from trimtab.types import OK, Action, Answer, Json, Request, Span, Verdict

LOG = logging.getLogger("trimtab.judge")
BLOT = "█"


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A judge at its place: what follows from its finding, what a crash means, and whether it only watches.

    `on` names the texts a guard judges: request, evidence, answer.
    """

    name: str
    judge: Any
    action: Action = Action.REFUSE
    fail_open: bool = False
    shadow: bool = False
    on: frozenset[str] = frozenset({"request"})


Ask: TypeAlias = Callable[[Any], Awaitable[Verdict]]


async def settle(seats: Iterable[Seat], ask: Ask, seen: Callable[[Verdict], None] | None = None) -> tuple[Verdict, ...]:
    """The verdicts in order, up to and with the first that is not ok; `ask` puts the question to one judge."""
    verdicts: list[Verdict] = []
    for seat in seats:
        verdict = await _verdict(seat, ask)
        verdicts.append(verdict)
        if seen:
            seen(verdict)
        if not verdict.ok:
            break
    return tuple(verdicts)


def ruling(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that settled it: the first no, or ok."""
    return next((verdict for verdict in verdicts if not verdict.ok), OK)


def actions(verdicts: Iterable[Verdict]) -> frozenset[Action]:
    """What the verdicts oblige the path to."""
    return frozenset(verdict.action for verdict in verdicts if verdict.action is not Action.ALLOW)


def bound(request: Request, verdicts: Iterable[Verdict]) -> Request:
    """The request as the verdicts leave it: redacted, and kept local where one of them says so."""
    verdicts = tuple(verdicts)
    redactions, limits = spans(verdicts), request.limits
    if Action.LOCAL in actions(verdicts):
        limits = msgspec.structs.replace(limits, where="local")
    if not redactions and limits is request.limits:
        return request
    messages = texts.rewrite(request.messages, lambda text: texts.cut(text.text, redactions.get(text.path, ())))
    params = texts.mapped(request.params, "params", lambda path, text: texts.cut(text, redactions.get(path, ())))
    return msgspec.structs.replace(request, messages=messages, params=params, limits=limits)


def cut(text: str, path: str, verdicts: Iterable[Verdict]) -> str:
    """`text` less what the verdicts redact at `path`."""
    return texts.cut(text, spans(verdicts).get(path, ()))


def blotted(text: str, path: str, verdicts: Iterable[Verdict]) -> str:
    """`text` with each character that the verdicts redact at `path` blotted out: offsets into it stay right."""
    return texts.cut(text, spans(verdicts).get(path, ()), lambda span: BLOT * (span.end - span.start))


def cut_answer(answer: Answer, verdicts: Iterable[Verdict]) -> Answer:
    """The answer less what the verdicts redact in any of its texts; then without log-probabilities, which spell it."""
    redactions = spans(verdicts)
    if not redactions:
        return answer

    def less(path: str, text: str) -> str:
        return texts.cut(text, redactions.get(path, ()))

    choices: list[Json] = texts.mapped(list(answer.choices), "choices", less)
    return msgspec.structs.replace(
        answer,
        text=answer.text and less("answer", answer.text),
        tool_calls=tuple(texts.mapped(list(answer.tool_calls), "tool_calls", less)),
        extra=texts.mapped(answer.extra, "extra", less),
        choices=tuple({key: value for key, value in choice.items() if key != "logprobs"} for choice in choices),
        body={key: value for key, value in answer.body.items() if key != "logprobs"},
    )


def spans(verdicts: Iterable[Verdict]) -> dict[str, list[Span]]:
    """The spans to redact, by path."""
    found: dict[str, list[Span]] = {}
    for verdict in verdicts:
        if verdict.action is Action.REDACT:
            for span in verdict.spans:
                found.setdefault(span.path, []).append(span)
    return found


async def _verdict(seat: Seat, ask: Ask) -> Verdict:
    try:
        said = await ask(seat.judge)
    except Exception as error:
        LOG.warning("%s crashed", seat.name, exc_info=error)
        said = Verdict(ok=False, code="judge_crashed", why=f"{seat.name} failed ({type(error).__name__}).")
        return _acted(seat, said, Action.ALLOW if seat.fail_open else Action.REFUSE)
    if said is OK:
        return _fine(seat.name)
    return msgspec.structs.replace(said, by=seat.name) if said.ok else _acted(seat, said, seat.action)


@cache
def _fine(name: str) -> Verdict:
    """A judge's plain ok: most verdicts by far."""
    return Verdict(ok=True, by=name)


def _acted(seat: Seat, said: Verdict, action: Action) -> Verdict:
    """The finding as the seat's policy has it: only a refusal is a no, all other actions let the request go on."""
    refused = action is Action.REFUSE and not seat.shadow
    return msgspec.structs.replace(
        said, by=seat.name, ok=not refused, action=Action.ALLOW if seat.shadow else action, shadow=seat.shadow
    )
