"""The grounding verifier: what passages support stands, what they do not is doubted, and nothing else is judged."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.ports import Tools
from trimtab.types import Answer, Evidence, ModelSpec, Passage, Request, Verdict
from trimtab.verify import _support, grounding

TEXT = (
    "The desk is open from 9:00 to 17:00 on weekdays. Refunds are paid within 14 days after the parcel has arrived. "
    "Parcels to Norway take six days. The shop in Oslo was founded by Anna Berg in 1998."
)


@pytest.fixture(scope="module")
def encoder() -> Iterator[Encoder]:
    made = Encoder.load()
    yield made
    made.close()


def built(encoder: Any = None, **options: Any) -> grounding.Grounding:
    def none(*_: Any) -> Any:
        return None

    tools = Tools(
        name="grounded", recipe=Path(), home=Path(), encoder=lambda: encoder, store=none, personal=lambda _: (),
        secret=none, starting=none, closing=none, say=none,
    )  # fmt: skip
    return grounding.build(msgspec.convert(options, grounding.Options), tools)


async def judged(verifier: grounding.Grounding, said: str | None, *passages: str) -> Verdict:
    evidence = Evidence(passages=tuple(Passage(text=text, source="a.md", start=0, end=len(text)) for text in passages))
    return await verifier.verify(Request(id="t", messages=()), evidence, Answer(text=said, model="m"))


@pytest.mark.parametrize(
    "said",
    [
        "Refunds are paid within 14 days after the parcel has arrived.",
        "The desk is open from 9:00 to 17:00 on weekdays.",
        "Parcels to Norway take 6 days.",
        "Yes, the shop in Oslo was founded by Anna Berg.",
        "Parcels to Norway take six days. Is there anything else you would like to know?",
    ],
)
async def test_what_the_passages_say_stands(encoder: Encoder, said: str) -> None:
    verdict = await judged(built(encoder), said, TEXT)
    assert verdict.ok
    assert verdict.score is not None
    assert verdict.score >= 0.5


@pytest.mark.parametrize(
    "said",
    [
        "Refunds are paid within 30 days after the parcel has arrived.",
        "The moon is made of green cheese and orbits Mars.",
        "I love Oslo, it is my favourite city.",
        "The desk is open from 9:00 to 17:00 on weekdays. Our founder also climbed Mount Everest twice.",
    ],
)
async def test_what_they_do_not_say_is_doubted(encoder: Encoder, said: str) -> None:
    verdict = await judged(built(encoder), said, TEXT)
    assert (verdict.ok, verdict.code, verdict.by) == (False, "ungrounded", "grounded")
    assert verdict.score is not None
    assert verdict.score < 0.5
    assert not any(word in verdict.why for word in said.split() if len(word) > 8), "a reason quotes nothing"


async def test_a_denial_takes_support_away(encoder: Encoder) -> None:
    plain, denied = [
        (await judged(built(encoder, threshold=0), f"Refunds are {word}paid within 14 days after arrival.", TEXT)).score
        for word in ("", "not ")
    ]
    assert plain is not None
    assert denied is not None
    assert denied < plain - 0.1


async def test_the_worst_sentence_decides_and_is_named(encoder: Encoder) -> None:
    good, bad = "Parcels to Norway take six days.", "Penguins founded the bank of Argentina."
    alone, both = [await judged(built(encoder), said, TEXT) for said in (bad, f"{good} {bad}")]
    assert both.score == pytest.approx(alone.score, abs=1e-4)
    assert both.why.startswith("Sentence 2 of 2")


async def test_several_passages_support_together(encoder: Encoder) -> None:
    said = "Parcels to Norway take six days. The shop in Oslo was founded by Anna Berg in 1998."
    verdict = await judged(built(encoder), said, *TEXT.split(". "))
    assert verdict.ok


@pytest.mark.parametrize("said", [None, "", "  \n", "Yes.", "OK!", "Shall I book the table in Rome?"])
async def test_what_claims_nothing_stands_without_a_score(said: str | None) -> None:
    verdict = await judged(built(), said, TEXT)
    assert (verdict.ok, verdict.score) == (True, None)


async def test_without_passages_the_settings_decide() -> None:
    said = "Parcels to Norway take six days."
    assert (await judged(built(), said)).ok
    assert (await judged(built(require=True), said)).code == "no_evidence"


async def test_too_much_text_is_doubted_and_not_read() -> None:
    verdict = await judged(built(), "Parcels take six days.", "x " * grounding.MOST)
    assert (verdict.ok, verdict.code) == (False, "too_long")


@pytest.mark.parametrize(
    "said", ["\ud800 torn words here", "שלום עולם טוב", "a\u0301\u0302" * 300, "0 " * 500, "。" * 50]
)
async def test_odd_answers_get_a_verdict(encoder: Encoder, said: str) -> None:
    assert isinstance((await judged(built(encoder), said, TEXT)).ok, bool)


async def test_passages_without_sentences_support_nothing(encoder: Encoder) -> None:
    assert (await judged(built(encoder), "Parcels to Norway take six days.", "# Title", "---")).code == "ungrounded"


def test_a_threshold_that_is_no_probability_is_refused() -> None:
    with pytest.raises(ConfigError, match="threshold"):
        built(threshold=1.5)


def test_it_applies_to_named_models_or_to_all_but_the_cache() -> None:
    request, small, cache = (
        Request(id="t", messages=()),
        ModelSpec(name="small"),
        ModelSpec(abilities=frozenset({"cache"})),
    )
    assert built().applies(request, small)
    assert not built().applies(request, cache)
    assert not built(models=["large"]).applies(request, small)
    assert built(models=["small"]).applies(request, small)


@given(st.text(max_size=80), st.lists(st.text(max_size=80), max_size=4), st.floats(-1, 1))
def test_features_are_finite_and_bounded(sentence: str, evidence: list[str], odd: float) -> None:
    found = _support.features(sentence, _support.known(evidence), odd)
    assert len(found) == len(_support.NAMES) == len(_support.WEIGHTS)
    assert all(map(math.isfinite, found))
    assert all(0 <= value <= 1 for value in found[:4])
    assert 0 <= _support.probability(found) <= 1


@given(st.lists(st.sampled_from(["parcel", "norway", "six", "days", "refund"]), min_size=2, max_size=6))
def test_evidence_that_says_the_same_covers_all(words: list[str]) -> None:
    sentence = " ".join(words)
    found = dict(zip(_support.NAMES, _support.features(sentence, _support.known([sentence]), 1.0), strict=True))
    assert (found["covered"], found["best"], found["run"], found["figures"], found["denial"]) == (1, 1, 1, 0, 0)


async def test_another_name_takes_support_away(encoder: Encoder) -> None:
    told = "The shop was founded in the town by Anna Berg."
    plain, other = [(await judged(built(encoder), told.replace("Berg", name), told)) for name in ("Berg", "Holm")]
    assert plain.ok
    assert not other.ok


async def test_words_and_marks_are_told_apart(encoder: Encoder) -> None:
    text = "Well, it's 5 o'clock (here)."
    (states,) = await encoder.states([text])
    assert len(encoder.wordy(text)) == len(states)
    assert sum(encoder.wordy(text)) == encoder.tokens("Well it s 5 o clock here")
