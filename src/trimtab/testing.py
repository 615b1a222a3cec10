"""For people who add kinds: fakes of every port, and the contract suite that each kind of a stage must pass."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from trimtab.errors import TrimtabError
from trimtab.flow import Desk
from trimtab.judge import Seat
from trimtab.ports import Tools
from trimtab.types import (
    OK,
    Action,
    Answer,
    Case,
    Decision,
    Delta,
    Evidence,
    Impact,
    Json,
    Limits,
    ModelSpec,
    Origin,
    Passage,
    Pending,
    Price,
    Request,
    Span,
    Text,
    Trace,
    Usage,
    Verdict,
    Wishes,
)  # fmt: skip

ODD_TEXTS = (
    "", " ", "\x00", "\ud800", "a" * 100_000, "é" * 5000, "\u202e\u200b\u0301" * 50, "🦀🧑‍🚀",
    "SELECT '\"; --", "{" * 2000,
    "ignore", "1" * 5000, "ไทย 中文 日本語", "\r\n\t", "%s %d {0} {{x}}", "../../etc/passwd",
)  # fmt: skip
"""Texts that no kind may crash on."""


def ask(*contents: str, **changes: Any) -> Request:
    """A request of one user message for each content; `changes` are other fields of `Request`."""
    messages: tuple[Json, ...] = tuple({"role": "user", "content": content} for content in contents)
    return Request(**{"id": "tr_test", "messages": messages, **changes})


class Says:
    """A model that answers `text`, streamed a word at a time where someone listens."""

    def __init__(self, text: str = "Yes.", *, confidence: float | None = None, usage: Usage | None = None, **more: Any):
        self.text, self.confidence, self.more = text, confidence, more
        self.usage = usage or Usage(prompt=10, completion=5)
        self.asked: list[Request] = []
        self.name = "fake"

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
        self.asked.append(request)
        sink.spent(Usage(prompt=self.usage.prompt, estimated=True))
        if sink.live:
            for word in self.text.split(" "):
                await asyncio.sleep(0)
                await sink.emit(Delta(text=word + " "))
        return Answer(text=self.text, model=self.name, usage=self.usage, confidence=self.confidence, **self.more)


class Passes:
    """A model that takes nothing."""

    def __init__(self, code: str = "not_mine") -> None:
        self.code = code

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Verdict:
        return Verdict(ok=False, by="fake", code=self.code, why="Not a question for me.")


class Breaks:
    """Anything of any port that raises; after `words` were emitted, where a model has begun to stream."""

    def __init__(self, error: BaseException, words: Sequence[str] = ()) -> None:
        self.error, self.words = error, words

    async def answer(self, request: Request, evidence: Evidence, sink: Any) -> Answer:
        for word in self.words:
            await sink.emit(Delta(text=word))
        raise self.error

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        return True

    async def _raise(self, *_: Any) -> Any:
        raise self.error

    check = verify = route = retrieve = approve = record = _raise


class Finds:
    """A guard that finds `needle`; with "" it never finds anything."""

    def __init__(self, needle: str = "") -> None:
        self.needle = needle

    async def check(self, texts: Sequence[Text], request: Request) -> Verdict:
        for text in texts:
            if self.needle and (at := text.text.find(self.needle)) >= 0:
                span = Span(kind="FOUND", start=at, end=at + len(self.needle), path=text.path)
                return Verdict(ok=False, code="found", why="The needle is there.", score=1.0, spans=(span,))
        return OK


class Takes:
    """A router whose ladder is all models in their order, or the one that the client pinned."""

    def __init__(self, impact: Impact = Impact.LOW) -> None:
        self.impact = impact

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        wished = request.wishes.model
        names = tuple(models) if wished == "auto" else (wished,)
        local = request.limits.where == "local"
        ladder = tuple(name for name in names if not local or models[name].where == "local")
        return Decision(ladder=ladder, reasons=("test",), impact=self.impact)


class Judges:
    """A verifier that lets an answer pass when `passes(answer)`."""

    def __init__(self, passes: Callable[[Answer], bool], applies: bool = True) -> None:
        self.passes, self._applies = passes, applies

    def applies(self, request: Request, spec: ModelSpec) -> bool:
        return self._applies

    async def verify(self, request: Request, evidence: Evidence, answer: Answer) -> Verdict:
        return OK if self.passes(answer) else Verdict(ok=False, code="doubted", why="It does not look right.")


class Inbox:
    """An approver that wants a person for high impact, doubted answers and unanswered questions."""

    async def approve(self, case: Case) -> Pending | None:
        answer_impact = case.answer.impact if case.answer else Impact.LOW
        if Impact.HIGH in (case.decision.impact, answer_impact) or Action.PERSON in case.actions:
            return Pending(ticket="t1", code="high_impact", why="A person releases it.")
        if case.answer is None or not case.verdict.ok:
            return Pending(ticket="t2", code="doubted_answer" if case.answer else "unanswered", why="A person answers.")
        return None


class Keeps:
    """A recorder that keeps traces in a list."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []

    async def record(self, trace: Trace) -> None:
        self.traces.append(trace)


class Hears:
    """A sink that keeps what it is given."""

    def __init__(self, live: bool = True) -> None:
        self.live = live
        self.deltas: list[Delta] = []
        self.usage: Usage | None = None
        self.gone: list[Usage] = []

    async def emit(self, delta: Delta) -> None:
        self.deltas.append(delta)

    def spent(self, usage: Usage) -> None:
        self.usage = usage

    def lost(self, usage: Usage, ms: float) -> None:
        self.gone.append(usage)

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self.deltas)


PRICE = Price(input=Decimal(1), output=Decimal(2))


def desk(models: Mapping[str, Any], **parts: Any) -> Desk:
    """A desk around `models` (name -> fake, cheapest first); `parts` are fields of `Desk` to set."""
    for name, model in models.items():
        if hasattr(model, "name"):
            model.name = name
    specs = {
        name: ModelSpec(name=name, price=PRICE, abilities=frozenset({"chat", "tools", "json", "stream"}))
        for name in models
    }
    given: dict[str, Any] = {
        "guards": (), "router": Takes(), "retriever": None, "models": models, "specs": specs, "verifiers": (),
        "approver": None, "recorders": (), "baseline": PRICE, **parts,
    }  # fmt: skip
    return Desk(**given)


def seat(judge: Any, name: str = "seat", **policy: Any) -> Seat:
    """A seat with its policy."""
    return Seat(name=name, judge=judge, **policy)


def tools(home: Path, **parts: Any) -> Tools:
    """Tools to build a kind with in a test: state in `home`, a real store and encoder on first use."""
    from trimtab.wiring import bench_tools

    return msgspec.structs.replace(bench_tools(home), **{"name": "kind", **parts})


def requests() -> tuple[Request, ...]:
    """Requests that every kind must survive: odd texts, parts, tools, many turns, nobody's turn."""
    odd = tuple(ask(text) for text in ODD_TEXTS)
    parts = ask(
        id="tr_parts",
        messages=({"role": "user", "content": [{"type": "text", "text": "2 + 2"}, {"type": "image_url"}]},),
    )
    tool = ask(
        "What is the weather?", params={"tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}
    )
    turns = ask("What is 2 + 2?", "And times 3?")
    system = ask(messages=({"role": "system", "content": "You help."},))
    local = ask("What is 2 + 2?", limits=Limits(where="local"), wishes=Wishes(cache=False))
    return (*odd, parts, tool, turns, system, local)


async def answers_well(model: Any, name: str) -> None:
    """The contract of a model: an answer in its own name or a pass that says why; faults only from the tree."""
    for request in requests():
        try:
            said = await model.answer(request, Evidence(), Hears(live=False))
        except TrimtabError as error:
            assert error.message, "an error says what was wrong"
            continue
        if isinstance(said, Verdict):
            assert not said.ok, "a rung that passes gives a verdict that is not ok"
            assert said.code and said.why, "a pass says why"
        else:
            assert said.model == name, "an answer is in the rung's own name"
            assert said.text is not None or said.tool_calls, "an answer says something"
            assert said.confidence is None or 0 <= said.confidence <= 1


async def guards_well(guard: Any) -> None:
    """The contract of a guard: a verdict on any text of any origin, spans inside the texts, the same one twice."""
    for origin in Origin:
        for odd in ODD_TEXTS:
            texts = (Text(text="All is well.", origin=origin, path="a"), Text(text=odd, origin=origin, path="b"))
            verdict = await guard.check(texts, ask(odd))
            assert verdict == await guard.check(texts, ask(odd)), "the same texts get the same verdict"
            lengths = {text.path: len(text.text) for text in texts}
            for span in verdict.spans:
                assert 0 <= span.start < span.end <= lengths[span.path], "spans lie inside their text"
            assert verdict.ok or (verdict.code != "ok" and verdict.why), "a finding says why"
    assert (await guard.check((), ask())).ok, "nothing said, nothing found"


async def routes_well(router: Any) -> None:
    """The contract of a router: a ladder of known models, none twice, and limits kept."""
    specs = {
        "code": ModelSpec(name="code"),
        "small": ModelSpec(name="small", abilities=frozenset({"chat"})),
        "large": ModelSpec(name="large", where="remote", abilities=frozenset({"chat", "tools", "json", "vision"})),
    }
    for request in requests():
        decision = await router.route(request, specs)
        assert set(decision.ladder) <= set(specs), "only known models"
        assert len(set(decision.ladder)) == len(decision.ladder), "none twice"
        if request.limits.where == "local":
            assert "large" not in decision.ladder, "local only stays local"
        assert set(specs) - set(decision.ladder) <= set(decision.left_out), "what is left out has a reason"
    pinned = await router.route(ask("Hello there", wishes=Wishes(model="large")), specs)
    assert pinned.ladder == ("large",), "a pinned model is the only one"


async def retrieves_well(retriever: Any) -> None:
    """The contract of a retriever: passages with a source and offsets that fit their text, best first."""
    for request in requests():
        passages = (await retriever.retrieve(request)).passages
        assert all(passage.source and 0 <= passage.start < passage.end for passage in passages)
        scores = [passage.score for passage in passages]
        assert scores == sorted(scores, reverse=True), "best first"


async def verifies_well(verifier: Any) -> None:
    """The contract of a verifier: it says whether it applies, and gives a verdict on any answer."""
    evidence = Evidence(passages=(Passage(text="Two and two is four.", source="a.md", start=0, end=20),))
    for request in requests():
        assert isinstance(verifier.applies(request, ModelSpec()), bool)
        for text in (*ODD_TEXTS, None):
            verdict = await verifier.verify(request, evidence, Answer(text=text, model="m", confidence=0.5))
            assert verdict.ok or (verdict.code != "ok" and verdict.why), "a no says why"


async def approves_well(approver: Any) -> None:
    """The contract of an approver: None or a ticket with a reason; an answer that nobody doubts is released."""
    fine = Case(
        request=ask("Hi"), decision=Decision(ladder=("a",)), answer=Answer(text="Hello.", model="a"), verdict=OK
    )
    assert await approver.approve(fine) is None
    for request in requests():
        high = Decision(ladder=("a",), impact=Impact.HIGH)
        for answer in (None, Answer(text="Hello.", model="a")):
            pending = await approver.approve(Case(request=request, decision=high, answer=answer, verdict=OK))
            assert pending is None or (pending.ticket and pending.code and pending.why)


async def records_well(recorder: Any) -> None:
    """The contract of a recorder: it takes every trace, refused, crashed and waiting ones too."""
    for i, request in enumerate(requests()):
        request = msgspec.structs.replace(request, id=f"tr_{i}")
        for outcome in ("answer", "refused", "pending", "error", "cancelled"):
            cost = None if outcome == "error" else 12
            trace = Trace(request=request, at=1.0, ms=2.0, outcome=outcome, cost=cost)
            await recorder.record(
                msgspec.structs.replace(trace, request=msgspec.structs.replace(request, id=f"tr_{i}_{outcome}"))
            )
