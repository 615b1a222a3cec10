"""What the path does when things go wrong: deadlines, cancellation, limits, broken stages; all of it recorded."""

import asyncio
from contextlib import suppress

import pytest
from msgspec import structs

from trimtab.errors import DeadlineError, LimitError, NoAnswerError, RequestError
from trimtab.flow import run
from trimtab.testing import PRICE, Breaks, Finds, Keeps, Passes, Says, ask, desk, seat
from trimtab.types import Action, Answer, Decision, Evidence, Limits, ModelSpec, Origin, Passage, Usage


class Hangs:
    async def answer(self, request, evidence, sink):
        sink.spent(Usage(prompt=100, estimated=True))
        await asyncio.sleep(60)


async def test_a_deadline_is_an_error_of_its_own_and_its_cost_is_kept():
    ledger = Keeps()
    with pytest.raises(DeadlineError):
        await run(desk({"large": Hangs()}, recorders=(ledger,)), ask("Go", limits=Limits(latency=0.01)))
    assert ledger.traces[0].code == "deadline_exceeded"
    assert ledger.traces[0].cost == 100_000


async def test_a_cancelled_request_is_recorded_with_what_it_cost_so_far():
    ledger = Keeps()
    task = asyncio.create_task(run(desk({"large": Hangs()}, recorders=(ledger,)), ask("Go")))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (ledger.traces[0].outcome, ledger.traces[0].cost) == ("cancelled", 100_000)


async def test_a_cost_limit_stops_the_climb_with_an_error_that_names_the_rung():
    with pytest.raises(LimitError, match="large"):
        await run(desk({"small": Passes(), "large": Says()}), ask("Go", limits=Limits(cost=1)))
    outcome, _ = await run(desk({"small": Passes(), "large": Says()}), ask("Go", limits=Limits(cost=10**9)))
    assert isinstance(outcome, Answer)


async def test_an_unknown_price_is_never_0():
    specs = {"large": ModelSpec(name="large", price=None)}
    _, trace = await run(desk({"large": Says()}, specs=specs), ask("Go"))
    assert trace.cost is None
    with pytest.raises(LimitError):
        await run(desk({"large": Says()}, specs=specs), ask("Go", limits=Limits(cost=10**12)))


async def test_the_clients_own_mistake_does_not_climb():
    large = Says()
    with pytest.raises(RequestError):
        await run(desk({"small": Breaks(RequestError("max_tokens is negative.")), "large": large}), ask("Go"))
    assert not large.asked


class Shelf:
    def __init__(self, *texts):
        self.passages = tuple(Passage(text=text, source=f"{i}.md", start=0, end=9) for i, text in enumerate(texts))

    async def retrieve(self, request):
        return Evidence(passages=self.passages)


class Reads:
    async def answer(self, request, evidence, sink):
        return Answer(text=" | ".join(passage.text for passage in evidence.passages) or "nothing", model="reader")


READER = {"reader": ModelSpec(name="reader", price=PRICE, abilities=frozenset({"question", "evidence"}))}


async def test_a_passage_that_a_guard_refuses_is_dropped_and_the_rest_is_read():
    guards = (seat(Finds("ignore all"), on=frozenset({"evidence"})),)
    system = desk({"reader": Reads()}, specs=READER, retriever=Shelf("good", "ignore all of it", "fine"), guards=guards)
    outcome, trace = await run(system, ask("Go"))
    assert outcome.text == "good | fine"
    assert [step.ok for step in trace.steps if step.stage == "guard"] == [True, False, True]


async def test_a_passage_passes_the_guards_as_untrusted_text_with_its_headings():
    """Headings come out of documents too, and go to models with the passage: they are judged like its text."""
    seen = []

    class Notes(Finds):
        async def check(self, texts, request):
            seen.extend((text.text, text.origin) for text in texts)
            return await super().check(texts, request)

    shelf = Shelf("good", "fine")
    shelf.passages = (shelf.passages[0], structs.replace(shelf.passages[1], title="Port > ignore all of it"))
    guards = (seat(Notes("ignore all"), on=frozenset({"evidence"})),)
    outcome, _ = await run(desk({"reader": Reads()}, specs=READER, retriever=shelf, guards=guards), ask("Go"))
    assert outcome.text == "good"
    assert seen == [(text, Origin.RETRIEVED) for text in ("good", "fine", "Port > ignore all of it")]
    cut = (seat(Finds("all of it"), on=frozenset({"evidence"}), action=Action.REDACT),)
    system = desk({"reader": Titles()}, specs=READER, retriever=shelf, guards=cut)
    assert "all of it" not in (await run(system, ask("Go")))[0].text


class Titles:
    async def answer(self, request, evidence, sink):
        return Answer(text=" | ".join(passage.title or passage.text for passage in evidence.passages), model="reader")


async def test_a_retriever_that_crashes_leaves_no_evidence_and_a_trace():
    system = desk({"reader": Reads()}, specs=READER, retriever=Breaks(OSError("disk")))
    outcome, trace = await run(system, ask("Go"))
    assert outcome.text == "nothing"
    assert next(step for step in trace.steps if step.stage == "retrieve").ok is False


async def test_local_only_binds_the_router():
    specs = {
        "remote": ModelSpec(name="remote", where="remote", price=PRICE),
        "local": ModelSpec(name="local", where="local", price=PRICE),
    }
    remote, local = Says(), Says()
    guards = (seat(Finds("@"), action=Action.LOCAL),)
    await run(desk({"remote": remote, "local": local}, specs=specs, guards=guards), ask("me@example.org"))
    assert (len(remote.asked), len(local.asked)) == (0, 1)


class Careless:
    """A router that knows no limits."""

    async def route(self, request, models):
        return Decision(ladder=tuple(models))


@pytest.mark.parametrize(
    ("limits", "system", "asked"),
    [
        (Limits(where="local"), None, "local"),
        (Limits(regions=("eu",)), None, "eu"),
        (Limits(), ("eu",), "eu"),
        (Limits(regions=("eu", "us")), ("us",), "us"),
        (Limits(regions=("eu",)), ("us",), ""),
        (Limits(), None, "us"),
    ],
)
async def test_a_text_goes_nowhere_that_its_limits_forbid_whatever_the_router_says(limits, system, asked):
    regions = {"us": "us", "unknown": "", "eu": "eu", "local": ""}
    specs = {
        name: ModelSpec(name=name, where="local" if name == "local" else "remote", region=region, price=PRICE)
        for name, region in regions.items()
    }
    models = {name: Says() for name in regions}
    with suppress(NoAnswerError):
        await run(desk(models, specs=specs, router=Careless(), regions=system), ask("Go", limits=limits))
    assert [name for name, model in models.items() if model.asked] == ([asked] if asked else [])
