"""The cache: the very same request is answered again, and nothing is kept or given that may not be."""

import time
import unicodedata
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import flow
from trimtab.answer import cache
from trimtab.errors import ConfigError
from trimtab.ports import Recorder, Tools
from trimtab.store.engine import Store
from trimtab.store.tables import cached
from trimtab.testing import Hears, Judges, Keeps, Says, Takes, ask, desk, seat
from trimtab.types import (
    FREE,
    Answer,
    Citation,
    Decision,
    Evidence,
    Impact,
    Request,
    Span,
    Step,
    Trace,
    Usage,
    Verdict,
    Wishes,
)

QUESTION = "How do I order a second card?"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}


@dataclass
class House:
    """A store and caches on it."""

    store: Store
    folder: Any
    lines: list[str] = field(default_factory=list)

    async def cache(self, personal=lambda _: (), stamp="", **options):
        starting = []
        tools = Tools(
            name="cache", recipe=self.folder, home=self.folder, encoder=lambda: None, store=lambda: self.store,
            personal=personal, secret=lambda _: None, starting=starting.append, closing=lambda _: None,
            say=self.lines.append, stamp=stamp,
        )  # fmt: skip
        built = cache.build(cache.Options(**options), tools)
        for start in starting:
            await start()
        return built


@pytest.fixture
async def house(tmp_path):
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "recipe.toml").write_text("name = 'x'\n")
    opened = Store.open(tmp_path / "trimtab.db")
    yield House(opened, recipe)
    await opened.close()


def request(question=QUESTION, *, principal="ann", params=None, wishes=None, messages=None):
    return Request(
        id="tr_1", messages=messages or ({"role": "user", "content": question},), params=params or {},
        principal=principal, wishes=wishes or Wishes(),
    )  # fmt: skip


def trace(asked=None, answer=None, **changes):
    said = answer or Answer(text="In the app.", model="small", confidence=0.9, usage=Usage(prompt=9, completion=4))
    steps = (Step(stage="answer", by=said.model, ms=9.0), Step(stage="verify", by="v", ms=0.1))
    given = {"outcome": "answer", "steps": steps, "result": said, "answered_by": said.model, **changes}
    return Trace(request=asked or request(), at=time.time(), ms=9.0, **given)


async def hit(kept, asked=None):
    """The cached answer, None for a pass."""
    said = await kept.answer(asked or request(), Evidence(), Hears(live=False))
    if isinstance(said, Verdict):
        assert not said.ok
        assert said.code in ("not_cached", "not_cacheable")
        return None
    return said


async def test_the_same_request_is_answered_again_and_says_by_whom(house):
    kept = await house.cache()
    assert await hit(kept) is None
    cited = Citation(source="a.md", start=0, end=3, quote="abc")
    answer = Answer(
        text="In the app.", model="small", confidence=0.9, usage=Usage(prompt=9, completion=4), citations=(cited,)
    )
    await kept.record(trace(answer=answer))
    said = await hit(kept)
    assert (said.text, said.model, said.label) == ("In the app.", "cache", "from: small")
    assert (said.confidence, said.citations) == (0.9, (cited,))
    assert said.usage == Usage(prompt=9, completion=4, estimated=True)


def test_it_is_a_free_local_rung_and_a_recorder():
    spec = cache.spec(cache.Options())
    assert (spec.where, spec.price) == ("local", FREE)
    assert "cache" in spec.abilities
    assert not {"tools", "vision", "evidence"} & spec.abilities
    assert isinstance(cache.Cache(cache.Options(), msgspec.structs.replace(_nothing(), name="c")), Recorder)


def _nothing():
    none = {name: None for name in Tools.__struct_fields__ if name not in ("inner", "spec")}
    return Tools(**none)


async def test_it_survives_a_restart(house):
    await (await house.cache()).record(trace())
    again = await house.cache()
    said = await hit(again)
    assert (said.text, said.label) == ("In the app.", "from: small")


async def test_it_is_over_after_its_time_on_disk_too(house, monkeypatch):
    kept = await house.cache(seconds=600)
    await kept.record(trace())
    assert await hit(kept)
    monkeypatch.setattr(cache, "time", SimpleNamespace(time=lambda: time.time() + 601))
    assert await hit(kept) is None
    await house.cache()
    assert await house.store.read(cached.select()) == []


async def test_a_changed_recipe_or_document_is_not_answered_from_before(house):
    await (await house.cache()).record(trace())
    (house.folder / ".hidden").write_text("no matter")
    assert await hit(await house.cache())
    (house.folder / "docs").mkdir()
    (house.folder / "docs" / "card.md").write_text("Order it by post.")
    assert await hit(await house.cache()) is None


async def test_other_models_are_not_answered_for_from_before(house):
    await (await house.cache(stamp="gpt")).record(trace())
    assert await hit(await house.cache(stamp="gpt"))
    assert await hit(await house.cache(stamp="claude")) is None


@pytest.mark.parametrize(
    "same",
    [
        request("  How do I order a second card? \n"),
        request(params={"user": "u1", "metadata": {"a": 1}, "stream_options": {"include_usage": True}}),
        request(params={"temperature": 0}),
        request(params={"temperature": 0.0, "n": 1, "tools": [], "logprobs": False}),
        request(wishes=Wishes(stream=True, durable=True)),
    ],
)
async def test_what_does_not_change_an_answer_does_not_miss(house, same):
    kept = await house.cache()
    await kept.record(
        trace(
            request(
                params=same.params
                and {k: v for k, v in same.params.items() if k in ("temperature", "n", "tools", "logprobs")}
            )
        )
    )
    assert await hit(kept, same)


@pytest.mark.parametrize(
    "other",
    [
        request("How do I order a third card?"),
        request("how do i order a second card?"),
        request("How do I order a  second card?"),
        request(principal="bob"),
        request(params={"max_tokens": 3}),
        request(params={"response_format": {"type": "json_object"}}),
        request(params={"some_new_field": 1}),
        request(wishes=Wishes(model="large")),
        request(wishes=Wishes(cache=False)),
        request(messages=({"role": "system", "content": "Be rude."}, {"role": "user", "content": QUESTION})),
        request(messages=({"role": "user", "content": QUESTION, "name": "eve"},)),
    ],
)
async def test_what_may_change_an_answer_misses(house, other):
    kept = await house.cache()
    await kept.record(trace())
    assert await hit(kept, other) is None
    assert await hit(kept)


@pytest.mark.parametrize(
    "never",
    [
        request(params={"temperature": 0.7}),
        request(params={"n": 2}),
        request(params={"tools": [CALL]}),
        request(params={"logprobs": True}),
        request(params={"modalities": ["audio"]}),
        request(wishes=Wishes(cache=False)),
        request("I am Ada"),
        request(messages=({"role": "user", "content": [{"type": "text", "text": "x"}, {"type": "image_url"}]},)),
        request(messages=({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"})),
        request(
            messages=({"role": "assistant", "content": "", "tool_calls": [CALL]}, {"role": "user", "content": "x"})
        ),
        request("lone \ud800"),
    ],
)
async def test_such_a_request_is_never_kept(house, never):
    kept = await house.cache(personal=lambda text: (Span(kind="NAME", start=5, end=8),) if "Ada" in text else ())
    await kept.record(trace(never))
    assert await hit(kept, never) is None
    assert await house.store.read(cached.select()) == []


SAID = Answer(text="Yes.", model="small")


@pytest.mark.parametrize(
    "never",
    [
        trace(answer=msgspec.structs.replace(SAID, tool_calls=(CALL,))),
        trace(answer=msgspec.structs.replace(SAID, text=None, tool_calls=(CALL,))),
        trace(answer=msgspec.structs.replace(SAID, finish="length")),
        trace(answer=msgspec.structs.replace(SAID, impact=Impact.HIGH)),
        trace(answer=msgspec.structs.replace(SAID, body={"recorded": True})),
        trace(answer=msgspec.structs.replace(SAID, extra={"refusal": "no"})),
        trace(answer=msgspec.structs.replace(SAID, choices=({"index": 1},))),
        trace(answer=msgspec.structs.replace(SAID, model="code")),
        trace(answer=msgspec.structs.replace(SAID, model="cache")),
        trace(answer=msgspec.structs.replace(SAID, text="")),
        trace(answer=msgspec.structs.replace(SAID, text="Ada says yes.")),
        trace(answer=msgspec.structs.replace(SAID, text="x" * 200_000)),
        trace(decision=Decision(ladder=("small",), impact=Impact.HIGH)),
        trace(outcome="error", result=None),
        trace(outcome="cancelled", result=None),
        trace(steps=(Step(stage="answer", by="small", ms=1.0), Step(stage="verify", by="v", ms=1.0, ok=False))),
        trace(
            steps=(
                Step(stage="answer", by="small", ms=1.0),
                Step(stage="verify", by="v", ms=1.0, ok=False),
                Step(stage="answer", by="large", ms=1.0, ok=False, code="upstream_down"),
            )
        ),
        trace(steps=(Step(stage="guard", by="pii", ms=1.0, code="email:redact"), Step(stage="answer", by="s", ms=1.0))),
    ],
)
async def test_such_an_answer_is_never_kept(house, never):
    kept = await house.cache(personal=lambda text: (Span(kind="NAME", start=0, end=3),) if "Ada" in text else ())
    await kept.record(never)
    assert await hit(kept) is None
    assert await house.store.read(cached.select()) == []


async def test_a_finder_that_fails_means_not_kept(house):
    def broken(_):
        raise RuntimeError("no")

    kept = await house.cache(personal=broken)
    await kept.record(trace())
    assert await hit(kept) is None


async def test_the_later_rungs_good_answer_is_kept(house):
    kept = await house.cache()
    steps = (
        Step(stage="answer", by="small", ms=1.0),
        Step(stage="verify", by="v", ms=1.0, ok=False),
        Step(stage="answer", by="large", ms=1.0),
        Step(stage="verify", by="v", ms=1.0),
    )
    await kept.record(trace(answer=Answer(text="Yes.", model="large"), steps=steps))
    assert (await hit(kept)).label == "from: large"


async def test_scope_and_case_are_options(house):
    kept = await house.cache(scope="everyone", ignore_case=True)
    await kept.record(trace())
    assert await hit(kept, request(principal="bob"))
    assert await hit(kept, request(QUESTION.upper()))


async def test_the_oldest_are_forgotten_here_and_on_disk(house):
    kept = await house.cache(entries=3)
    for i in range(5):
        await kept.record(trace(request(f"Question {i}")))
    assert [bool(await hit(kept, request(f"Question {i}"))) for i in range(5)] == [False, False, True, True, True]
    assert len(await house.store.read(cached.select())) == 3


async def test_memory_is_capped_and_the_rest_is_read_from_disk(house):
    kept = await house.cache(memory=2000)
    for i in range(5):
        await kept.record(trace(request(f"Question {i}"), Answer(text=f"Answer {i}", model="small")))
    assert len(kept._answers._kept) < 5
    assert [(await hit(kept, request(f"Question {i}"))).text for i in range(5)] == [f"Answer {i}" for i in range(5)]
    assert kept._answers._size <= 2000


async def test_a_row_that_is_gone_or_broken_is_a_miss(house):
    await (await house.cache()).record(trace())
    kept = await house.cache()
    await house.store.transact(lambda connection: connection.execute(cached.update().values(body="{")))
    assert await hit(kept) is None
    await house.store.transact(lambda connection: connection.execute(cached.delete()))
    assert await hit(kept) is None


async def test_a_store_that_fails_fails_no_request(house):
    kept = await house.cache()
    await house.store.close()
    await kept.record(trace())
    assert await hit(kept) is None
    assert "closed" in house.lines[0]


async def test_on_the_path_the_second_time_costs_nothing(house):
    kept, large, seen = await house.cache(), Says("Yes."), Keeps()
    counter = desk({"cache": kept, "large": large}, recorders=(seen, kept))
    for _ in range(2):
        outcome, _trace = await flow.run(counter, ask("Is it so?"))
    assert len(large.asked) == 1
    assert (outcome.text, outcome.model) == ("Yes.", "cache")
    assert [one.answered_by for one in seen.traces] == ["large", "cache"]
    assert seen.traces[0].steps[1].code == "not_cached"


async def test_on_the_path_what_a_person_must_see_or_a_judge_doubts_is_not_kept(house):
    kept = await house.cache()
    models = {"cache": kept, "large": Says("Maybe.")}
    doubts = (seat(Judges(lambda _: False)),)

    class Releases:
        async def approve(self, case):
            return None

    await flow.run(desk(models, recorders=(kept,), verifiers=doubts, approver=Releases()), ask("Is it so?"))
    await flow.run(desk(models, recorders=(kept,), router=Takes(Impact.HIGH)), ask("Is it so?"))
    assert await house.store.read(cached.select()) == []


@pytest.mark.parametrize("wrong", [{"seconds": 0}, {"entries": 0}, {"longest": 0}, {"memory": -1}])
def test_sizes_that_keep_nothing_are_refused(wrong):
    with pytest.raises(ConfigError, match="above 0"):
        cache.build(cache.Options(**wrong), _nothing())


def _key(text):
    return cache.Cache(cache.Options(), _nothing()).key(request(text))


@given(st.text(max_size=40), st.text(max_size=40))
def test_texts_that_mean_different_things_have_different_keys(one, other):
    def plain(text):
        return unicodedata.normalize("NFC", text).strip()

    if plain(one) != plain(other):
        assert _key(one) != _key(other) or _key(one) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2² + 1", "22 + 1"),
        ("a\n  b", "a\n b"),
        ("has 'a  b'", "has 'a b'"),
        ("a\tb", "a b"),
        ("½", "1⁄2"),
        ("US", "us"),
    ],
)
def test_lookalikes_are_not_the_same(one, other):
    assert _key(one) != _key(other)


def test_composed_and_decomposed_letters_are_the_same():
    assert _key("café") == _key("cafe\u0301")
