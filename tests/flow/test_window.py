"""Nothing that a guard cuts from a whole answer leaves in its stream, however the stream is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import load
from trimtab.flow import run
from trimtab.testing import Finds, Keeps, Says, Takes, ask, desk, seat
from trimtab.types import OK, Action, Answer, Delta, Passage, Refused, Span, Verdict

ANSWER = frozenset({"answer"})
KEY = "sk-proj-" + "a1B2c3D4e5F6g7H8" * 3
JWT = "eyJhbGciOiJIUzI1NiJ9." + "eyJ" + "c3ViIjoiMTIzNDU2Nzg5MCJ9" * 14 + "." + "s5DQ" * 12
PEM = "-----BEGIN PRIVATE KEY-----\n" + ("MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 12) + "-----END PRIVATE KEY-----"
SECRETS = {"key": KEY, "jwt": JWT, "pem": PEM}


def built(kind, **options):
    module = load.kind("guard", kind)
    return module.build(module.Options(**options), None)


class Pieces:
    """A model that emits `text` in pieces of the given sizes, and `extra` deltas before it."""

    def __init__(self, text, sizes, extras=(), **more):
        self.text, self.sizes, self.extras, self.more, self.name = text, sizes, extras, more, "fake"

    async def answer(self, request, evidence, sink):
        for extra in self.extras:
            await sink.emit(Delta(extra=extra))
        at, i = 0, 0
        while at < len(self.text):
            size = self.sizes[i % len(self.sizes)]
            await sink.emit(Delta(text=self.text[at : at + size]))
            at, i = at + size, i + 1
        return Answer(text=self.text, model="large", **self.more)


async def streamed(text, sizes, guards, extras=(), **more):
    heard = []

    async def emit(delta):
        heard.append(delta)

    outcome, trace = await run(desk({"large": Pieces(text, sizes, extras, **more)}, guards=guards), ask("Go"), emit)
    return outcome, heard, trace


def said(heard):
    return "".join(delta.text for delta in heard)


@pytest.mark.parametrize("size", [1, 4, 7, 50, 10_000])
@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
async def test_what_is_redacted_in_the_whole_is_redacted_in_the_stream(secret, size):
    text = f"Here you are: {secret} and that is all there is to say about it. " + "More words follow. " * 30
    guards = (seat(built("secrets"), action=Action.REDACT, on=ANSWER),)
    outcome, heard, _ = await streamed(text, [size], guards)
    assert said(heard) == outcome.text
    assert secret[30:60] not in said(heard)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
async def test_what_is_refused_has_not_left_before(secret):
    guards = (seat(built("secrets"), on=ANSWER),)
    outcome, heard, trace = await streamed(f"Some words first. {secret} and more. " + "x " * 200, [4], guards)
    assert isinstance(outcome, Refused)
    assert secret[:12] not in said(heard)
    assert next(step for step in trace.steps if step.stage == "answer").code == "secret"


class Long:
    """A guard that finds every run of at least 5 `z`, wherever it is."""

    async def check(self, texts, request):
        spans = tuple(
            Span(kind="Z", start=start, end=end, path=text.path) for text in texts for start, end in runs(text.text)
        )
        return Verdict(ok=False, code="z", why="z", spans=spans) if spans else OK


def runs(text):
    start = None
    for i, char in enumerate(text + "."):
        if char == "z":
            start = i if start is None else start
        elif start is not None:
            if i - start >= 5:
                yield start, i
            start = None


@given(
    text=st.text(alphabet="z a.é\n", max_size=900),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6),
)
def test_a_stream_is_the_cut_answer_for_any_text_and_any_cuts(text, sizes):
    import asyncio

    guards = (seat(Long(), action=Action.REDACT, on=ANSWER),)
    outcome, heard, _ = asyncio.run(streamed(text or "a", sizes, guards))
    assert said(heard) == outcome.text


async def test_tool_calls_and_reasoning_are_judged_before_they_leave():
    calls = [
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"k": "'}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": KEY[:20]}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": KEY[20:] + '"}'}}]},
        {"reasoning_content": "The key is " + KEY[:10]},
        {"reasoning_content": KEY[10:] + "."},
    ]
    guards = (seat(built("secrets"), action=Action.REDACT, on=ANSWER),)
    _, heard, _ = await streamed("", [1], guards, calls)
    sent = "".join(str(delta.extra) for delta in heard)
    assert KEY[8:40] not in sent
    assert "'name': 'f'" in sent
    assert "The key is [" in sent
    refusing = (seat(built("secrets"), on=ANSWER),)
    outcome, heard, _ = await streamed("", [1], refusing, calls)
    assert isinstance(outcome, Refused)
    assert heard == []


async def test_every_text_of_an_answer_is_judged():
    where = {
        "choices": ({"index": 1, "message": {"role": "assistant", "content": f"It is {KEY}."}, "logprobs": {"x": 1}},),
        "extra": {"reasoning_content": f"It is {KEY}."},
        "tool_calls": ({"id": "c", "type": "custom", "custom": {"name": "f", "input": KEY}},),
    }
    for field, value in where.items():
        model = Says("Fine.", **{field: value})
        outcome, _ = await run(desk({"large": model}, guards=(seat(built("secrets"), on=ANSWER),)), ask("Go"))
        assert isinstance(outcome, Refused), field
        cut = (seat(built("secrets"), action=Action.REDACT, on=ANSWER),)
        outcome, _ = await run(desk({"large": Says("Fine.", **{field: value})}, guards=cut), ask("Go"))
        assert KEY not in str(outcome), field
        assert "logprobs" not in str(outcome)


@pytest.mark.parametrize(
    "place",
    [
        {"messages": ({"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": KEY}},)},
        {
            "messages": (
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"http://x/?k={KEY}"}}]},
            )
        },
        {"messages": ({"role": "user", "content": "Go", "unknown": {"deep": [KEY]}},)},
        {"params": {"prediction": {"type": "content", "content": KEY}}},
        {"params": {"tools": [{"type": "function", "function": {"name": "f", "description": KEY}}]}},
    ],
)
async def test_every_text_of_a_request_is_judged(place):
    large = Says()
    outcome, _ = await run(desk({"large": large}, guards=(seat(built("secrets")),)), ask("Go", **place))
    assert isinstance(outcome, Refused)
    cut = (seat(built("secrets"), action=Action.REDACT),)
    await run(desk({"large": large}, guards=cut), ask("Go", **place))
    assert KEY not in str(large.asked)


class Shelf:
    async def retrieve(self, request):
        from trimtab.types import Evidence

        return Evidence(passages=(Passage(text="The needle is here.", source="a.md", start=0, end=19),))


class Reads:
    def __init__(self):
        self.read = []

    async def answer(self, request, evidence, sink):
        self.read.append(evidence.passages[0].text)
        return Verdict(ok=False, by="reader", code="not_in_documents", why="No.")


async def test_what_a_guard_asks_of_evidence_is_done():
    from trimtab.testing import PRICE, Inbox
    from trimtab.types import ModelSpec, Pending

    specs = {
        "reader": ModelSpec(name="reader", price=PRICE, abilities=frozenset({"evidence"})),
        "far": ModelSpec(name="far", where="remote", price=PRICE, abilities=frozenset({"chat"})),
        "near": ModelSpec(name="near", price=PRICE, abilities=frozenset({"chat"})),
    }

    async def outcome_of(action):
        reader, far, near = Reads(), Says("far"), Says("near")
        models = {"reader": reader, "far": far, "near": near}
        guards = (seat(Finds("needle"), action=action, on=frozenset({"evidence"})),)
        system = desk(models, specs=specs, retriever=Shelf(), guards=guards, approver=Inbox(), router=Takes())
        return (await run(system, ask("Go")))[0], reader

    outcome, reader = await outcome_of(Action.REDACT)
    assert reader.read == ["The ██████ is here."]
    assert outcome.text == "far"
    outcome, _ = await outcome_of(Action.LOCAL)
    assert outcome.text == "near"
    outcome, _ = await outcome_of(Action.PERSON)
    assert isinstance(outcome, Pending)


class Forgets:
    def __init__(self, error):
        self.error = error

    async def record(self, trace):
        raise self.error


async def test_a_recorder_that_fails_takes_neither_the_answer_nor_the_next_recorder():
    from trimtab.errors import StorageError
    from trimtab.types import Wishes

    for error in (ValueError("bug"), StorageError("Disk full.")):
        ledger = Keeps()
        outcome, _ = await run(desk({"large": Says("Fine.")}, recorders=(Forgets(error), ledger)), ask("Go"))
        assert outcome.text == "Fine."
        assert len(ledger.traces) == 1
    durable = ask("Go", wishes=Wishes(durable=True))
    with pytest.raises(StorageError):
        await run(desk({"large": Says("Fine.")}, recorders=(Forgets(StorageError("Disk full.")),)), durable)


async def test_a_priced_call_that_crashed_without_a_word_has_an_unknown_cost():
    from trimtab.testing import Breaks

    _, trace = await run(desk({"small": Breaks(ZeroDivisionError()), "large": Says()}), ask("Go"))
    assert trace.cost is None
