"""A stream that is cut goes on with another rung where the recipe lets it, as one answer that nothing is missing in."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import resume
from trimtab.errors import LimitError, RequestError, UpstreamError
from trimtab.flow import run
from trimtab.testing import PRICE, Finds, Inbox, Judges, Keeps, Says, ask, desk, seat
from trimtab.types import Action, Answer, Delta, Limits, ModelSpec, Price, Refused, Usage

ABILITIES = frozenset({"chat", "tools", "json", "stream"})
ANSWER = frozenset({"answer"})


class Cut:
    """A rung that writes `words` and is cut; what it was asked is kept."""

    def __init__(self, *words, error=None, extra=None, more=None):
        self.words, self.error, self.extra, self.more = (
            words,
            error or UpstreamError("Cut.", code="upstream_cut"),
            extra,
            more,
        )
        self.asked = []

    async def answer(self, request, evidence, sink):
        self.asked.append(request)
        sink.spent(Usage(prompt=7, completion=len(self.words), estimated=True))
        for word in self.words:
            await sink.emit(Delta(text=word, **(self.more or {})))
        if self.extra:
            await sink.emit(Delta(extra=self.extra))
        raise self.error


class Exactly(Says):
    """A rung that says what it says to the letter."""

    async def answer(self, request, evidence, sink):
        self.asked.append(request)
        for piece in (self.text[:3], self.text[3:]):
            await sink.emit(Delta(text=piece))
        return Answer(text=self.text, model=self.name, usage=self.usage)


def system(models, may=("large",), **parts):
    specs = {
        name: ModelSpec(name=name, price=PRICE, abilities=ABILITIES | ({"resume"} if name in may else set()))
        for name in models
    }
    for name, model in models.items():
        model.name = name
    return desk(models, **{"specs": specs, **parts})


async def streamed(desk, request=None):
    heard = []

    async def emit(delta):
        heard.append(delta)

    outcome, trace = await run(desk, request or ask("Tell me."), emit)
    return outcome, trace, "".join(delta.text for delta in heard)


async def test_the_next_rung_goes_on_and_nothing_is_said_twice():
    small, large = Cut("Once upon ", "a ti"), Exactly("me there was.", usage=Usage(prompt=30, completion=4))
    ledger = Keeps()
    outcome, trace, said = await streamed(system({"small": small, "large": large}, recorders=(ledger,)))
    assert said == outcome.text == "Once upon a time there was."
    assert (outcome.model, outcome.resumed, trace.answered_by) == ("large", ("small",), "large")
    (asked,) = large.asked
    assert asked.messages[:-2] == small.asked[0].messages
    assert asked.messages[-2] == {"role": "assistant", "content": "Once upon a ti"}
    assert asked.messages[-1] == {"role": "user", "content": resume.GO_ON}
    cut, went_on = [step for step in trace.steps if step.stage == "answer"]
    assert (cut.by, cut.ok, cut.code, cut.cost) == ("small", False, "upstream_cut", 7 * 1000 + 2 * 2000)
    assert (went_on.by, went_on.ok, went_on.why) == ("large", True, "Went on with what small began.")
    assert trace.cost == cut.cost + went_on.cost == cut.cost + 30 * 1000 + 4 * 2000
    assert outcome.usage == Usage(prompt=7, completion=6, estimated=True), "of what was asked and of all that was said"
    assert ledger.traces[0].outcome == "answer"


@pytest.mark.parametrize("may", [(), ("small",)])
async def test_without_the_recipes_word_the_stream_ends_with_the_fault(may):
    ledger, large = Keeps(), Exactly("More.")
    with pytest.raises(UpstreamError, match=r"Cut\."):
        await streamed(system({"small": Cut("Once "), "large": large}, may=may, recorders=(ledger,), approver=Inbox()))
    assert (ledger.traces[0].outcome, large.asked) == ("error", [])


NOT_PLAIN = {
    "choices": ask("Go", params={"n": 2}),
    "logprobs": ask("Go", params={"logprobs": True}),
    "schema": ask("Go", params={"response_format": {"type": "json_schema"}}),
    "object": ask("Go", params={"response_format": {"type": "json_object"}}),
    "tools": ask("Go", params={"tools": [{"type": "function", "function": {"name": "f"}}]}),
    "prefill": ask(messages=({"role": "user", "content": "Go"}, {"role": "assistant", "content": "I"})),
}


@pytest.mark.parametrize("request_", NOT_PLAIN.values(), ids=NOT_PLAIN)
async def test_only_one_plain_text_is_gone_on_with(request_):
    large = Exactly("More.")
    with pytest.raises(UpstreamError):
        await streamed(system({"small": Cut("Once "), "large": large}), request_)
    assert large.asked == []
    plain = ask("Go", params={"n": 1, "logprobs": False, "response_format": {"type": "text"}, "tools": []})
    assert resume.allowed(plain)


@pytest.mark.parametrize(
    "small",
    [
        Cut("Once ", extra={"tool_calls": [{"index": 0}]}),
        Cut("Once ", extra={"reasoning_content": "Hm"}),
        Cut("Once ", more={"index": 1}),
        Cut("Once ", more={"logprobs": {"content": []}}),
    ],
)
async def test_what_has_left_must_be_plain_too(small):
    large = Exactly("More.")
    with pytest.raises(UpstreamError):
        await streamed(system({"small": small, "large": large}))
    assert large.asked == []


async def test_a_rung_that_cannot_stream_or_must_be_checked_is_passed_over():
    specs = {
        "small": ModelSpec(name="small", price=PRICE, abilities=ABILITIES),
        "mute": ModelSpec(name="mute", price=PRICE, abilities=frozenset({"chat", "resume"})),
        "checked": ModelSpec(name="checked", price=PRICE, abilities=ABILITIES | {"resume"}),
        "large": ModelSpec(name="large", price=PRICE, abilities=ABILITIES | {"resume"}),
    }
    models = {"small": Cut("One "), "mute": Exactly("no"), "checked": Exactly("no"), "large": Exactly("two.")}

    class OfChecked(Judges):
        def applies(self, request, spec):
            return spec.name == "checked"

    found = desk(models, specs=specs, verifiers=(seat(OfChecked(lambda _: True)),))
    outcome, _, said = await streamed(found)
    assert said == outcome.text == "One two."
    assert models["mute"].asked == models["checked"].asked == []


async def test_a_second_cut_is_gone_on_with_too_and_a_refusing_server_is_passed_over():
    models = {
        "small": Cut("One, "), "wrong": Cut(error=RequestError("No such field.")), "middle": Cut("two, "),
        "large": Exactly("three."),
    }  # fmt: skip
    outcome, trace, said = await streamed(system(models, may=("wrong", "middle", "large")))
    assert said == outcome.text == "One, two, three."
    assert outcome.resumed == ("small", "middle")
    assert models["large"].asked[0].messages[-2]["content"] == "One, two, "
    assert [step.by for step in trace.steps if step.stage == "answer"] == ["small", "wrong", "middle", "large"]


async def test_when_the_last_one_fails_too_the_stream_ends_with_a_fault():
    ledger = Keeps()
    models = {"small": Cut("One, "), "large": Cut("two")}
    with pytest.raises(UpstreamError):
        await streamed(system(models, recorders=(ledger,)))
    assert ledger.traces[0].outcome == "error"
    assert ledger.traces[0].cost == (7 + 2) * 1000 + (7 + 2) * 1000


async def test_the_cost_limit_holds_over_the_seam():
    dear = Price(input=PRICE.input * 10**6, output=PRICE.output)
    specs = {
        "small": ModelSpec(name="small", price=PRICE, abilities=ABILITIES),
        "large": ModelSpec(name="large", price=dear, abilities=ABILITIES | {"resume"}),
    }
    large = Exactly("two")
    with pytest.raises(LimitError):
        await streamed(desk({"small": Cut("One "), "large": large}, specs=specs), ask("Go", limits=Limits(cost=10**6)))
    assert large.asked == []


async def test_what_is_left_of_a_length_limit_is_asked_for():
    large = Exactly("x")
    for name, most, left in (("max_tokens", 10, 8), ("max_completion_tokens", 2, 1)):
        await streamed(system({"small": Cut("a ", "b "), "large": large}), ask("Go", params={name: most, "seed": 1}))
        assert large.asked[-1].params == {name: left, "seed": 1}


async def test_a_model_that_begins_again_is_not_heard_twice():
    begun = "It was a dark and stormy night"
    outcome, _, said = await streamed(system({"small": Cut(begun), "large": Exactly(f"{begun} at sea.")}))
    assert said == outcome.text == f"{begun} at sea."
    short = "No, no"
    outcome, _, said = await streamed(system({"small": Cut(short), "large": Exactly(f"{short}.")}))
    assert said == outcome.text == "No, noNo, no.", "a short beginning may be meant"


@pytest.mark.parametrize("at", range(1, 12))
async def test_a_finding_across_the_seam_is_cut(at):
    secret = "TOPSECRETXYZ"
    head, tail = "The word is ", " and no other. " + "More words follow. " * 20
    text = head + secret + tail
    cut = len(head) + at
    guards = (seat(Finds(secret), action=Action.REDACT, on=ANSWER),)
    padding = "Some words come first. " * 20  # so that something has left before the cut
    small, large = Cut(padding, text[:cut]), Exactly(text[cut:])
    outcome, _, said = await streamed(system({"small": small, "large": large}, guards=guards))
    assert said == outcome.text == padding + head + "[FOUND]" + tail
    refusing = (seat(Finds(secret), on=ANSWER),)
    outcome, _, said = await streamed(system({"small": small, "large": large}, guards=refusing))
    assert isinstance(outcome, Refused)
    assert "TOP" not in said


async def test_what_was_found_before_the_cut_is_not_sent_on():
    padding = "Some words come first. " * 20
    large = Exactly(" and so on.")
    guards = (seat(Finds("hunter2"), action=Action.REDACT, on=ANSWER),)
    outcome, _, said = await streamed(system({"small": Cut(padding, "It is hunter2"), "large": large}, guards=guards))
    assert large.asked[0].messages[-2]["content"] == f"{padding}It is [FOUND]"
    assert said == outcome.text == f"{padding}It is [FOUND] and so on."


async def test_a_finding_in_what_is_held_stops_the_stream_at_the_cut():
    padding = "Some words come first. " * 20

    class Late(Finds):
        """Finds the needle only once: when the cut is looked at."""

        async def check(self, texts, request):
            self.needle = "" if self.looks else "hunter2"
            self.looks -= 1
            return await super().check(texts, request)

    guard, large = Late(), Exactly("more")
    guard.looks = 2
    guards = (seat(guard, on=ANSWER),)
    outcome, _, said = await streamed(system({"small": Cut(padding, "It is hunter2"), "large": large}, guards=guards))
    assert isinstance(outcome, Refused)
    assert large.asked == []
    assert "hunter2" not in said


async def test_a_whole_answer_that_fails_is_asked_for_anew():
    large = Exactly("All of it.")
    outcome, _ = await run(system({"small": Cut(), "large": large}), ask("Go"))
    assert (outcome.text, outcome.resumed) == ("All of it.", ())
    assert len(large.asked[0].messages) == 1


@given(before=st.text("ab ", max_size=40), pieces=st.lists(st.text("ab ", max_size=30), max_size=6))
def test_less_the_beginning_is_the_same_however_it_is_cut(before, pieces):
    text, fresh = "".join(pieces), resume.Fresh(before)
    said = "".join(fresh.feed(piece) for piece in pieces) + fresh.close()
    assert said == (text.removeprefix(before) if len(before) >= resume.SHORTEST else text)


def test_a_resumed_stream_is_one_text_for_any_cut():
    text = "It was the best of times, it was the worst of times. " * 12
    for at in range(0, len(text), 37):
        models = {"small": Cut(text[:at] or " "), "large": Exactly(text[at:])}
        guards = (seat(Finds("absent"), action=Action.REDACT, on=ANSWER),)
        outcome, _, said = asyncio.run(streamed(system(models, guards=guards)))
        assert said == outcome.text
