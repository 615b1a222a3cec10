"""The path's truth table: guard x route x verify x impact x stream, against an oracle written as plain rules."""

import itertools

import pytest

from trimtab.errors import NoAnswerError, UpstreamDownError
from trimtab.flow import run
from trimtab.testing import Breaks, Finds, Inbox, Judges, Keeps, Says, Takes, ask, desk, seat
from trimtab.types import Action, Answer, Delta, Impact, Pending, Refused, Wishes

GUARDS = {
    "none": (),
    "quiet": (seat(Finds("absent")),),
    "refuse": (seat(Finds("needle")),),
    "shadow": (seat(Finds("needle"), shadow=True),),
    "redact": (seat(Finds("needle"), action=Action.REDACT),),
    "person": (seat(Finds("needle"), action=Action.PERSON),),
    "crash": (seat(Breaks(RuntimeError("boom"))),),
    "crash_open": (seat(Breaks(RuntimeError("boom")), fail_open=True),),
    "answer": (seat(Finds("small's"), on=frozenset({"answer"})),),
}
ROUTES = ("auto", "small", "large")
VERIFY = {
    "none": None,
    "trusts": lambda _: True,
    "doubts_small": lambda a: a.model != "small",
    "doubts": lambda _: False,
}


def expected(guard, route, verify, impact):
    """What must come out: (outcome, answered by)."""
    if guard in ("refuse", "crash"):
        return "refused", ""
    ladder = ("small", "large") if route == "auto" else (route,)
    doubted = {"none": (), "trusts": (), "doubts_small": ("small",), "doubts": ("small", "large")}[verify]
    by = next((name for name in ladder if name not in doubted), ladder[-1])
    if guard == "answer" and by == "small":
        return "refused", ""
    if impact is Impact.HIGH or guard == "person" or by in doubted:
        return "pending", ""
    return "answer", by


CASES = list(itertools.product(GUARDS, ROUTES, VERIFY, Impact, (False, True)))


@pytest.mark.parametrize(("guard", "route", "verify", "impact", "stream"), CASES)
async def test_the_path(guard, route, verify, impact, stream):
    ledger, heard = Keeps(), []
    small, large = Says("This is small's answer."), Says("This is large's own answer.")
    system = desk(
        {"small": small, "large": large}, guards=GUARDS[guard], router=Takes(impact), approver=Inbox(),
        recorders=(ledger,), verifiers=(seat(Judges(VERIFY[verify])),) if VERIFY[verify] else (),
    )  # fmt: skip

    async def emit(delta: Delta) -> None:
        heard.append(delta.text)

    request = ask("Is there a needle here?", wishes=Wishes(model=route, stream=stream))
    outcome, trace = await run(system, request, emit if stream else None)

    kind, by = expected(guard, route, verify, impact)
    assert trace.outcome == kind
    assert isinstance(outcome, {"answer": Answer, "refused": Refused, "pending": Pending}[kind])
    assert trace.answered_by == by
    assert ledger.traces == [trace], "recorded once, whatever happened"
    withheld = guard == "answer" and stream and route != "large" and verify == "none" and impact is Impact.LOW
    assert withheld or trace.cost == 20_000 * (len(small.asked) + len(large.asked)), "failed rungs cost too"
    assert not withheld or trace.cost == 10_000, "a stream that is stopped costs what was spent until then"
    if kind != "answer":
        assert "answer" not in "".join(heard) or kind == "refused", "nothing that waits for a person was streamed"
        assert "small's" not in "".join(heard), "nothing refused was streamed"
    if kind == "answer" and heard:
        assert "".join(heard).strip() == outcome.text
    for asked in small.asked + large.asked:
        assert ("needle" in asked.messages[0]["content"]) == (guard != "redact")


async def test_a_stream_is_live_only_where_nothing_comes_after_it():
    async def heard_of(**parts):
        heard = []

        async def emit(delta):
            heard.append(delta.text)

        await run(desk({"large": Says("One two three.")}, **parts), ask("Go"), emit)
        return heard

    assert len(await heard_of()) == 3
    assert await heard_of(verifiers=(seat(Judges(lambda _: True)),)) == []
    assert await heard_of(router=Takes(Impact.HIGH), approver=Inbox()) == []
    assert await heard_of(guards=(seat(Finds("x"), action=Action.PERSON, on=frozenset({"answer"})),)) == []


async def test_a_window_holds_back_what_an_answer_guard_must_see_whole():
    heard = []

    async def emit(delta):
        heard.append(delta.text)

    secret = "sk-" + "a" * 30
    guards = (seat(Finds(secret), action=Action.REDACT, on=frozenset({"answer"})),)
    outcome, _ = await run(
        desk({"large": Says(f"The key is {secret} and " + "more " * 30)}, guards=guards), ask("Go"), emit
    )
    assert secret not in "".join(heard)
    assert "[FOUND]" in "".join(heard)
    assert secret not in outcome.text


async def test_a_rung_that_is_down_or_crashes_falls_to_the_next_and_is_traced():
    for error in (UpstreamDownError("No route to host."), ZeroDivisionError("bug")):
        outcome, trace = await run(desk({"small": Breaks(error), "large": Says("Here.")}), ask("Go"))
        assert outcome.text == "Here."
        step = next(step for step in trace.steps if step.by == "small")
        assert not step.ok
        assert (str(error) in step.why) == isinstance(error, UpstreamDownError), "foreign errors may quote anything"


async def test_no_rung_left_is_a_person_if_there_is_an_inbox_else_the_error():
    down = UpstreamDownError("No route to host.")
    with pytest.raises(UpstreamDownError):
        await run(desk({"large": Breaks(down)}), ask("Go"))
    outcome, _ = await run(desk({"large": Breaks(down)}, approver=Inbox()), ask("Go"))
    assert outcome.code == "unanswered"
    with pytest.raises(NoAnswerError):
        await run(desk({}), ask("Go"))


async def test_a_stream_that_has_begun_never_falls_to_another_rung():
    heard, ledger = [], Keeps()

    async def emit(delta):
        heard.append(delta.text)

    system = desk(
        {"large": Breaks(UpstreamDownError("Cut."), words=["Once ", "upon "])}, approver=Inbox(), recorders=(ledger,)
    )
    with pytest.raises(UpstreamDownError):
        await run(system, ask("Go"), emit)
    assert heard == ["Once ", "upon "]
    assert ledger.traces[0].outcome == "error"


async def test_doubted_without_an_inbox_does_not_leave_silently():
    with pytest.raises(NoAnswerError) as caught:
        await run(desk({"small": Says()}, verifiers=(seat(Judges(lambda _: False)),)), ask("Go"))
    assert caught.value.code == "doubted"
