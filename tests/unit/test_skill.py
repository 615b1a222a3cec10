"""The skill: the shipped banking77 with the real encoder, its passes, and folders that are wrong."""

import json
import shutil

import pytest

from trimtab import testing
from trimtab.answer import skill
from trimtab.encode.encoder import Encoder
from trimtab.errors import ConfigError
from trimtab.types import FREE, Answer, Impact, Verdict

BANKING = skill.SHIPPED / "banking77"


@pytest.fixture(scope="module")
def encoder():
    loaded = Encoder.load()
    yield loaded
    loaded.close()


@pytest.fixture
def made(tmp_path, encoder):
    """Build and start a skill."""

    async def run(**options):
        starting = []
        tools = testing.tools(
            tmp_path, name="skill", recipe=tmp_path, encoder=lambda: encoder, starting=starting.append
        )
        built = skill.build(skill.Options(**options), tools)
        for start in starting:
            await start()
        return built

    return run


@pytest.fixture
def copied(tmp_path):
    return shutil.copytree(BANKING, tmp_path / "mine")


async def asked(rung, question):
    return await rung.answer(testing.ask(question), None, testing.Hears(live=False))


@pytest.mark.parametrize(
    ("question", "label"),
    [
        ("My new card still hasn't arrived, where is it?", "card_arrival"),
        ("How do I activate my card?", "activate_my_card"),
        ("why was my transfer declined", "declined_transfer"),
    ],
)
async def test_it_knows_an_intent_and_gives_its_reply(made, question, label):
    answer = await asked(await made(), question)
    assert isinstance(answer, Answer)
    assert (answer.label, answer.model, answer.impact) == (label, "skill", Impact.LOW)
    assert answer.text == skill.replies(BANKING / "replies.toml", (*_labels(),))[label].reply
    assert 0.6 <= answer.confidence <= 1
    assert answer.usage.estimated


async def test_what_a_person_must_do_has_high_impact(made):
    answer = await asked(await made(), "Someone stole my card, please help!")
    assert (answer.label, answer.impact) == ("lost_or_stolen_card", Impact.HIGH)


@pytest.mark.parametrize(
    ("question", "code"),
    [
        ("What is the capital of Peru?", "out_of_scope"),
        ("How do I bake bread?", "out_of_scope"),
        ("hello", "out_of_scope"),
        ("", "not_a_question"),
        ("card " * 200, "not_a_question"),
    ],
)
async def test_it_passes_what_it_does_not_know(made, question, code):
    verdict = await asked(await made(), question)
    assert isinstance(verdict, Verdict)
    assert not verdict.ok
    assert (verdict.by, verdict.code) == ("skill", code)
    assert verdict.why


async def test_it_keeps_the_contract_of_its_stage(made):
    await testing.answers_well(await made(), "skill")


async def test_a_threshold_that_none_reaches_is_unsure(made):
    verdict = await asked(await made(threshold=1.0, outside=1.0), "Is my card about to come or is it lost or declined?")
    assert verdict.code == "unsure"
    assert 0 <= verdict.score < 1


async def test_a_skill_of_ones_own_and_replies_of_ones_own(made, copied, tmp_path):
    replies = (copied / "replies.toml").read_text()
    (tmp_path / "own.toml").write_text(replies.replace("Harbour Bank", "Lake Bank"))
    answer = await asked(await made(skill="mine", replies="own.toml"), "How do I activate my card?")
    assert "Lake Bank" in answer.text


async def test_a_changed_weight_is_refused(made, copied):
    weights = bytearray((copied / "head.npz").read_bytes())
    weights[-1] ^= 1
    (copied / "head.npz").write_bytes(weights)
    with pytest.raises(ConfigError, match="SHA-256"):
        await made(skill="mine")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("[age_limit]", "[age_limits]"), "no reply for age_limit"),
        (lambda text: text + '\n[extra]\nreply = "?"\n', "replies for unknown extra"),
        (lambda text: text + "\n[broken\n", "cannot be read"),
        (lambda text: text.replace("\nperson = true", "\npersons = true", 1), "persons"),
        (lambda text: text.replace('reply = "', 'reply = " "\n#"', 1), "empty replies for"),
    ],
)
async def test_wrong_replies_are_refused(made, copied, change, message):
    (copied / "replies.toml").write_text(change((copied / "replies.toml").read_text()))
    with pytest.raises(ConfigError, match=message):
        await made(skill="mine")


async def test_an_unknown_skill_lists_those_that_ship(made):
    with pytest.raises(ConfigError, match=r"Shipped are: .*banking77"):
        await made(skill="banking78")
    with pytest.raises(ConfigError, match="probabilities"):
        await made(threshold=1.1)


def test_it_is_free_local_and_takes_one_question():
    spec = skill.spec(skill.Options())
    assert (spec.where, spec.price, spec.abilities) == ("local", FREE, {"question"})


def _labels():
    return json.loads((BANKING / "labels.json").read_text())
