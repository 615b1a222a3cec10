"""Which rung streams as it writes: any whose answer nobody checks, and the next one as long as nothing has left."""

import itertools

import pytest

from trimtab.errors import RequestError, UpstreamDownError, UpstreamError
from trimtab.flow import run
from trimtab.testing import Breaks, Finds, Judges, Keeps, Passes, Says, Takes, ask, desk, seat
from trimtab.types import Action, Impact, ModelSpec

FIRST = {
    "answers": lambda: Says("small has the word"),
    "passes": Passes,
    "down": lambda: Breaks(UpstreamDownError("No route to host.")),
    "wrong": lambda: Breaks(RequestError("No such field.")),
    "begins": lambda: Breaks(UpstreamError("Cut."), words=["small ", "has "]),
}
CHECKED = {"nobody": (), "small": ("small",), "large": ("large",), "both": ("small", "large")}


class Checks(Judges):
    """A verifier of the models it names, content with all they say."""

    def __init__(self, names):
        super().__init__(lambda _: True)
        self.names = names

    def applies(self, request, spec):
        return spec.name in self.names


def expected(first, checked, high):
    """What is heard live, and how it ends: by whom, or with which error."""
    live = {name: name not in CHECKED[checked] and not high for name in ("small", "large")}
    if first == "wrong":
        return "", RequestError
    if first == "answers":
        return "small has the word" if live["small"] else "", "small"
    if first == "begins" and live["small"]:
        return "small has", UpstreamError
    return "large has the word" if live["large"] else "", "large"


@pytest.mark.parametrize(("first", "checked", "high"), [*itertools.product(FIRST, CHECKED, (False, True))])
async def test_a_rung_streams_live_wherever_nothing_comes_after_it(first, checked, high):
    heard, ledger = [], Keeps()

    async def emit(delta):
        heard.append(delta.text)

    system = desk(
        {"small": FIRST[first](), "large": Says("large has the word")}, recorders=(ledger,),
        verifiers=(seat(Checks(CHECKED[checked])),), router=Takes(Impact.HIGH if high else Impact.LOW),
    )  # fmt: skip
    text, end = expected(first, checked, high)
    if isinstance(end, str):
        outcome, trace = await run(system, ask("Go"), emit)
        assert trace.answered_by == end
        assert outcome.text == f"{end} has the word"
    else:
        with pytest.raises(end):
            await run(system, ask("Go"), emit)
    assert "".join(heard).strip() == text
    assert len(ledger.traces) == 1
    assert next(step.by for step in ledger.traces[0].steps if step.stage == "answer") == "small"


async def test_what_a_window_holds_has_not_left_so_the_next_rung_may_answer():
    heard = []

    async def emit(delta):
        heard.append(delta.text)

    guards = (seat(Finds("absent"), action=Action.REDACT, on=frozenset({"answer"})),)
    first = Breaks(UpstreamError("Cut."), words=["a few words"])
    outcome, _ = await run(desk({"small": first, "large": Says("large says it all")}, guards=guards), ask("Go"), emit)
    assert "".join(heard).strip() == outcome.text == "large says it all"


async def test_a_rung_that_passes_after_it_has_begun_is_a_fault():
    class Turns(Passes):
        async def answer(self, request, evidence, sink):
            from trimtab.types import Delta

            await sink.emit(Delta(text="Well, "))
            return await super().answer(request, evidence, sink)

    async def emit(delta):
        pass

    ledger = Keeps()
    with pytest.raises(UpstreamError, match="passed after it had begun"):
        await run(desk({"small": Turns(), "large": Says("No.")}, recorders=(ledger,)), ask("Go"), emit)
    assert ledger.traces[0].outcome == "error"


async def test_a_rung_that_must_stay_inside_is_no_less_skipped():
    specs = {
        "far": ModelSpec(name="far", where="remote", abilities=frozenset({"chat"})),
        "near": ModelSpec(name="near", abilities=frozenset({"chat"})),
    }
    far, near = Says("far"), Says("near")
    guards = (seat(Finds("Go"), action=Action.LOCAL),)
    outcome, _ = await run(desk({"far": far, "near": near}, specs=specs, guards=guards), ask("Go"))
    assert (outcome.text, far.asked) == ("near", [])


async def test_steps_say_when_they_began():
    _, trace = await run(desk({"small": Passes(), "large": Says("Yes.")}, guards=(seat(Finds()),)), ask("Go"))
    assert [step.stage for step in trace.steps] == ["guard", "route", "answer", "answer"]
    times = [step.at for step in trace.steps]
    assert times == sorted(times)
    assert times[0] >= 0
    for step, after in itertools.pairwise(trace.steps):
        assert step.at + step.ms <= after.at + 0.01, "milliseconds; one step after the other"
    assert trace.steps[-1].at + trace.steps[-1].ms <= trace.ms
