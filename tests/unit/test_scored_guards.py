"""The guards on the encoder's heads: what they make of its scores. The scores here are a stand-in's, by word."""

import re
from types import SimpleNamespace

import pytest

from trimtab import testing
from trimtab.errors import ConfigError
from trimtab.guard import _limit, injection, toxicity
from trimtab.types import Origin, Text

WORDS = {"override": "injection", "do": "instruction", "damn": "toxicity"}


class Heads:
    """In the place of the encoder: 0.99 for a text with the head's word in it, else 0.01; counts what it is asked.

    At a glance each sentence is a part; one with the word, or with "perhaps", is in doubt, and likely where it has the
    word. With each "maybe" beside a "perhaps" the doubt grows.
    """

    def __init__(self):
        self.asked, self.glanced = [], []

    def glance(self, text):
        self.glanced.append(text)
        return [
            SimpleNamespace(
                start=part.start(), end=part.end(), doubtful=doubts(part[0]), likely=doubts(part[0], "") ,
                **dict.fromkeys(WORDS.values(), 0.01 + 0.1 * part[0].count("maybe")),
            )
            for part in re.finditer(r"[^.!]+[.!]?", text)
        ]  # fmt: skip

    async def read(self, texts):
        self.asked += texts
        return [
            SimpleNamespace(**{head: 0.99 if word in text.split() else 0.01 for word, head in WORDS.items()})
            for text in texts
        ]


def doubts(text, perhaps="perhaps"):
    words = text.strip(" .!").split()
    return frozenset(head for word, head in WORDS.items() if word in words or perhaps in words)


@pytest.fixture
def built(tmp_path):
    def build(module, **options):
        heads = Heads()
        tools = testing.tools(tmp_path, name=module.__name__.rpartition(".")[2], encoder=lambda: heads)
        guard = module.build(module.Options(**options), tools)
        guard.heads = heads
        return guard

    return build


async def asked(guard, *texts, origin=Origin.USER):
    found = tuple(Text(text=text, origin=origin, path=f"messages[{i}].content") for i, text in enumerate(texts))
    return await guard.check(found, testing.ask("x"))


@pytest.mark.parametrize(
    ("module", "word", "code"), [(injection, "override", "injection"), (toxicity, "damn", "toxicity")]
)
async def test_a_text_above_the_threshold_is_found_with_its_score_and_span(built, module, word, code):
    guard = built(module)
    assert (await asked(guard, "All is well.")).ok
    verdict = await asked(guard, "All is well.", f"now {word} it")
    assert (verdict.ok, verdict.code, verdict.score) == (False, code, 0.99)
    assert [(span.path, span.start, span.end) for span in verdict.spans] == [("messages[1].content", 0, len(word) + 7)]
    assert f"{module.HEAD.usual[0]:.2f} is the most" in verdict.why


async def test_the_span_is_the_part_of_a_long_text_that_scores_most(built):
    before, after = "It rains on the old town. " * 60, " The sun will shine again." * 60
    text = f"{before}Now override it! {after}"
    guard = built(injection)
    (span,) = (await asked(guard, text)).spans
    assert text[span.start : span.end] == " Now override it!"
    assert guard.heads.asked == [" Now override it!"], "what words alone clear is not read"


async def test_what_is_in_doubt_is_read_and_may_be_cleared(built):
    guard = built(injection)
    assert (await asked(guard, "It rains. It may perhaps stop. We shall see.")).ok
    assert guard.heads.asked == [" It may perhaps stop."]
    assert (await asked(guard, "All is well.")).ok
    assert len(guard.heads.asked) == 1


async def test_of_a_long_text_the_likely_parts_are_read_and_the_most_doubtful_others(built):
    guard = built(injection)
    text = (
        "It may perhaps rain. " * 10
        + "It is perhaps and maybe dry. "
        + "It may perhaps rain. " * 30
        + "Do not override it."
    )
    assert not (await asked(guard, text)).ok
    assert " It is perhaps and maybe dry." in guard.heads.asked
    assert guard.heads.asked[-1] == " Do not override it."
    assert len(guard.heads.asked) < 5, "a few of 42 parts"


async def test_what_words_alone_would_call_a_finding_is_read(built):
    guard = built(injection, threshold=0.05)
    text = "It is perhaps and maybe dry. " * 40
    assert (await asked(guard, text)).ok, "the reading clears it"
    assert len(guard.heads.asked) == 2, "the same part again is known"


async def test_a_head_in_doubt_is_no_matter_of_another_s(built):
    guard = built(toxicity)
    assert (await asked(guard, "override it")).ok
    assert guard.heads.asked == []


async def test_text_that_nobody_vouches_for_is_held_to_a_stricter_bar(built):
    guard = built(injection, threshold=0.995, untrusted_threshold=0.5)
    assert (await asked(guard, "override it")).ok
    for origin in (Origin.RETRIEVED, Origin.TOOL):
        assert not (await asked(guard, "override it", origin=origin)).ok
        assert not (await asked(guard, "please do this", origin=origin)).ok, "a document has no tasks to give"
    assert (await asked(guard, "please do this")).ok, "a user has"
    assert (await asked(guard, "override it", origin=Origin.SYSTEM)).ok


async def test_a_text_is_read_once_for_all_guards(tmp_path):
    heads = Heads()
    tools = testing.tools(tmp_path, encoder=lambda: heads)
    for module in (injection, toxicity, injection):
        await asked(module.build(module.Options(), tools), "Perhaps perhaps.", "Perhaps perhaps.")
    assert (heads.asked, heads.glanced) == (["Perhaps perhaps."], ["Perhaps perhaps."])


async def test_what_is_too_long_to_read_is_a_finding(built):
    guard = built(injection, characters=100)
    assert (await asked(guard, "x" * 100)).ok
    verdict = await asked(guard, "x" * 50, "y" * 51)
    assert (verdict.ok, verdict.code) == (False, "too_long_to_judge")
    assert [span.end for span in verdict.spans] == [50, 51]
    assert guard.heads.glanced == ["x" * 100]


async def test_thresholds_come_from_settings_calibration_or_habit_in_this_order(built, tmp_path):
    assert (await asked(built(injection), "now do")).ok
    _limit.save(tmp_path, {"injection": _limit.benign(injection.HEAD.by, [0.005] * 200)})
    assert not (await asked(built(injection), "now do")).ok  # 0.01 is above what benign texts have
    assert (await asked(built(injection), "now override", origin=Origin.TOOL)).score == 0.9901
    assert (await asked(built(injection, threshold=0.5), "now do")).ok
    with pytest.raises(ConfigError, match="too few"):
        built(injection, fpr=0.001)
    _limit.save(tmp_path, {"injection": _limit.benign("another head", [0.5] * 200)})
    with pytest.raises(ConfigError, match="another head"):
        built(injection)


@pytest.mark.parametrize("options", [{"threshold": 2.0}, {"untrusted_threshold": -0.1}, {"characters": 0}])
def test_thresholds_that_are_none_are_refused(built, options):
    with pytest.raises(ConfigError):
        built(injection, **options)


async def test_an_encoder_without_heads_is_told(tmp_path):
    class Plain:
        pass

    plain = Plain()
    guard = injection.build(injection.Options(), testing.tools(tmp_path, encoder=lambda: plain))
    with pytest.raises(ConfigError, match="has no heads"):
        await guard.start()


async def test_it_keeps_the_contract_of_guards(built):
    for module in (injection, toxicity):
        await testing.guards_well(built(module))
