"""Odds: what is read in a text, what is fitted to outcomes, and what the router and the verifier make of it."""

import json
import math
from decimal import Decimal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab import load, testing
from trimtab.errors import ConfigError
from trimtab.odds import answer, calibration, fitted, question, ridge, words
from trimtab.odds.arithmetic import checked
from trimtab.odds.final import agree, final
from trimtab.odds.outcomes import Outcome, having, read
from trimtab.odds.worth import worth
from trimtab.route import learned
from trimtab.types import Answer, Evidence, ModelSpec, Price
from trimtab.verify import confidence

CHOICES = "Which one?\nA. red\nB. blue\nC. 12\nAnswer:"


@pytest.mark.parametrize(("text", "sums", "wrong"), [
    ("2 + 3 = 5", 1, 0), ("2 + 3 = 6", 1, 1), ("so $12 x 3 = $36, and 36 / 5 = 7.2", 2, 0),
    ("1,200 - 200 = 1,000", 1, 0),
    ("2 + 3 * 4 = 14", 1, 0), ("10 / 3 = 3.33", 1, 0), ("5 / 0 = 0", 0, 0), ("x = 4", 0, 0), ("(2 + 3) * 4 = 20", 0, 0),
    ("2/2 * 1/2 = 1/2", 0, 0), ("<<5/2=2.5>>2.5", 1, 0),
])  # fmt: skip
def test_sums_are_done_again(text, sums, wrong):
    assert checked(text)[:2] == (sums, wrong)


@pytest.mark.parametrize(("text", "choices", "found"), [
    ("It takes 3.\n#### 1,200", False, ("1200", "hashes")), (r"so \boxed{42}", False, ("42", "box")),
    ('{"reasoning": "...", "answer": "7.0"}', False, ("7", "json")), ("The answer is (B).", True, ("B", "said")),
    ("B", True, ("B", "last")), ("I do not know", True, ("", "")), ("", False, ("", "")),
    ("That makes 12 in all", False, ("12", "last")),
    ("So the mass is 8 kg. The answer is (H).\n\n", True, ("H", "said")),
    ("Therefore it is zero, and so the answer is 4. Hence the total is 12.", False, ("12", "said")),
])  # fmt: skip
def test_the_final_answer_is_found_and_how_it_was_marked(text, choices, found):
    assert final(text, choices) == found


def test_answers_agree_as_numbers_and_nothing_agrees_with_a_missing_one():
    assert agree("12", "12.0000001")
    assert not agree("12", "13")
    assert not agree("", "")
    same, differs = (answer.second(CHOICES, "The answer is (B).", other) for other in ("B", "A"))
    assert (same[0], differs[0], differs[1]) == (1, 0, 1)


@pytest.mark.parametrize(("earlier", "against"), [((), 0), (("A",), 1), (("A", "(A)", "C", None), 2), (("B",), 0)])
def test_an_opinion_that_another_shares_outvotes_the_answer(earlier, against):
    assert answer.second(CHOICES, "The answer is (B).", "A", earlier)[answer.SECOND.index("against")] == against
    assert answer.second(CHOICES, "The answer is (B).", "B", earlier)[answer.SECOND.index("against")] == 0


@given(st.text(max_size=400), st.text(max_size=400))
def test_any_text_has_facts_that_are_numbers(asked, said):
    for found, names in (
        (answer.facts(asked, said), answer.NAMES), (question.facts(asked), question.NAMES),
        (answer.second(asked, said, None), answer.SECOND), (words.hashed(asked), range(words.SLOTS)),
    ):  # fmt: skip
        assert found.shape == (len(names),)
        assert np.isfinite(found).all()


def test_code_that_does_not_parse_is_counted():
    broken = dict(zip(answer.NAMES, answer.facts("Write it", "```python\ndef f(:\n```"), strict=True))
    sound = dict(zip(answer.NAMES, answer.facts("Write it", "```python\nx = 1\n```"), strict=True))
    assert (broken["code_broken"], sound["code_broken"], sound["code"]) == (1, 0, 1)


@pytest.mark.parametrize(("rows", "width"), [(12, 5), (12, 30)])
def test_the_rows_left_out_are_predicted_as_if_they_had_not_been_there(rows, width, monkeypatch):
    """Against refits without each row; spread and penalty are those of all rows, so they are near, not equal."""
    monkeypatch.setattr(ridge, "PENALTIES", (3.0,))
    rng = np.random.default_rng(rows + width)
    features = rng.normal(size=(rows, width))
    targets = features[:, :1] + rng.normal(size=(rows, 1))
    _, held = ridge.fit(features, targets, (width,))
    again = [
        ridge.fit(np.delete(features, row, 0), np.delete(targets, row, 0), (width,))[0].predict(features[[row]])[0, 0]
        for row in range(rows)
    ]
    assert np.corrcoef(held[:, 0], again)[0, 1] > 0.9


def test_platt_finds_the_odds_that_made_the_outcomes():
    rng = np.random.default_rng(0)
    score = rng.normal(size=20_000)
    right = (rng.random(20_000) < ridge.sigmoid(2 * score - 1)).astype(float)
    assert ridge.platt(score, right) == pytest.approx((2, -1), abs=0.1)
    assert all(math.isfinite(value) for value in ridge.platt(np.zeros(10), np.ones(10)))


@pytest.mark.parametrize(("line", "said"), [
    ("{", "row 2"), ('{"question": "q", "right": {"m": 2}}', "row 2"), ('{"right": {}}', "row 2"), ("\xff", "row 2"),
])  # fmt: skip
def test_a_row_that_cannot_be_read_is_named(tmp_path, line, said):
    path = tmp_path / "o.jsonl"
    path.write_bytes(b'{"question": "q", "right": {"m": 1}}\n' + line.encode("latin-1"))
    with pytest.raises(ConfigError, match=said):
        read(path)


def test_a_file_without_outcomes_or_without_the_model_says_so(tmp_path):
    path = tmp_path / "o.jsonl"
    path.write_text("\n")
    with pytest.raises(ConfigError, match="no outcome"):
        read(path)
    with pytest.raises(ConfigError, match=r"No row has an outcome of z.*"):
        having((Outcome(question="q", right={"m": 1}),), "z")


def outcomes(n=240):
    """The small model is right about sums and wrong about law; its answers carry their mark."""
    made = []
    for at in range(n):
        law = at % 2
        asked = f"Which court heard case {at}?" if law else f"What is {at} + {at + 1}?"
        right = float(not law)
        said = "I think it might be unclear." if law else f"{at} + {at + 1} = {2 * at + 1}. The answer is {2 * at + 1}."
        made.append(Outcome(question=asked, right={"small": right, "large": 1.0}, answers={"small": said}))
    return tuple(made)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odds")
    rng, rows = np.random.default_rng(0), outcomes()
    odds = fitted.train(rows, rng.normal(0, 0.05, (len(rows), fitted.DIMS)))
    odds.save(folder / "odds", {"seen": [calibration.mark(one.question) for one in rows]})
    return folder


def test_odds_come_back_as_they_were_and_a_changed_byte_is_seen(trained, tmp_path):
    odds = fitted.Odds.load(trained / "odds")
    assert odds.models(said=False) == {"small": 240, "large": 240}
    assert odds.models(said=True) == {"small": 240}
    assert odds.key("small", "large", said=True) == fitted.Key("small", "large", True)
    assert odds.key("small", "nobody", said=True) == fitted.Key("small", "", True), "who is not known is always right"
    for name in (*fitted.FILES, "manifest.json"):
        (tmp_path / name).write_bytes((trained / "odds" / name).read_bytes())
    (tmp_path / "odds.npz").write_bytes(b"x" + (tmp_path / "odds.npz").read_bytes()[1:])
    with pytest.raises(ConfigError, match="sealed"):
        fitted.Odds.load(tmp_path)


def test_odds_of_other_features_are_refused(trained, tmp_path):
    fitted.Odds.load(trained / "odds").save(tmp_path, {"features": 1})
    with pytest.raises(ConfigError, match="another version"):
        fitted.Odds.load(tmp_path)


def test_too_few_outcomes_are_no_odds():
    with pytest.raises(ConfigError, match="100 outcomes"):
        fitted.train(outcomes(20), np.zeros((20, fitted.DIMS)))


def test_what_the_odds_have_seen_is_not_calibrated_on(trained):
    with pytest.raises(ConfigError, match="every question"):
        calibration.unseen(outcomes(), trained / "odds")
    new = Outcome(question="Something new?", right={"small": 1, "large": 1})
    assert calibration.unseen((*outcomes(), new), trained / "odds") == (new,)
    assert calibration.split(outcomes(), 1) == outcomes()
    assert 80 < len(calibration.split(outcomes(), 0.5)) < 160


PRICED = {
    "small": ModelSpec(name="small", abilities=frozenset({"chat"}), price=Price(input=Decimal(1), output=Decimal(1))),
    "large": ModelSpec(name="large", abilities=frozenset({"chat"}), price=Price(input=Decimal(10), output=Decimal(10))),
}


async def test_a_model_that_is_unlikely_to_be_right_is_skipped_and_the_last_rung_stays(trained):
    tools = testing.tools(trained, recipe=trained)
    router = learned.build(learned.Options(odds="odds", least=0.5), tools)
    sums = await router.route(testing.ask("What is 71 + 72?"), PRICED)
    law = await router.route(testing.ask("Which court heard case 71?"), PRICED)
    assert sums.ladder == ("small", "large")
    assert law.ladder == ("large",)
    assert law.left_out == {"small": "unlikely_right"}
    assert "learned" in law.reasons
    unpriced = {name: msgspec.structs.replace(spec, price=None) for name, spec in PRICED.items()}
    assert "price_unknown" in (await router.route(testing.ask("What is 71 + 72?"), unpriced)).reasons
    strange = {name.upper(): spec for name, spec in PRICED.items()}
    said = await router.route(testing.ask("Which court heard case 71?"), strange)
    assert (said.ladder, "no_outcomes" in said.reasons) == (("SMALL", "LARGE"), True)
    tools.encoder().close()


async def test_a_share_of_what_would_be_skipped_is_tried_and_its_chance_is_told(trained):
    tools = testing.tools(trained, recipe=trained)
    router = learned.build(learned.Options(odds="odds", least=0.5, explore=0.05), tools)
    ids = [f"tr_{at}" for at in range(400)]
    law = [await router.route(testing.ask("Which court heard case 71?", id=one), PRICED) for one in ids]
    tried = [one.ladder == ("small", "large") for one in law]
    assert 6 <= sum(tried) <= 36, "about 20 of 400"
    told = [next(signal.value for signal in one.signals if signal.name == "propensity") for one in law]
    assert set(zip(tried, told, strict=True)) == {(True, 0.05), (False, 0.95)}
    again = await router.route(testing.ask("Which court heard case 71?", id=ids[tried.index(True)]), PRICED)
    assert again.ladder == ("small", "large")
    sums = await router.route(testing.ask("What is 71 + 72?"), PRICED)
    assert [signal.value for signal in sums.signals if signal.name == "propensity"] == [1.0]
    plain = learned.build(learned.Options(odds="odds", least=0.5), tools)
    assert "propensity" not in [one.name for one in (await plain.route(testing.ask("What is 1 + 2?"), PRICED)).signals]
    tools.encoder().close()


def test_exploring_more_than_one_in_twenty_is_refused():
    with pytest.raises(ConfigError, match="explore"):
        load.options("route", "learned", {"odds": "odds", "explore": 0.2})


async def test_the_verifier_judges_an_answer_by_its_text_where_it_has_odds(trained):
    tools = testing.tools(trained, recipe=trained)
    judge = confidence.build(confidence.Options(odds="odds", threshold=0.5), tools)
    good = Answer(text="71 + 72 = 143. The answer is 143.", model="small")
    bad = Answer(text="I think it might be unclear.", model="small")
    assert (await judge.verify(testing.ask("What is 71 + 72?"), Evidence(), good)).ok
    no = await judge.verify(testing.ask("Which court heard case 71?"), Evidence(), bad)
    assert (no.ok, no.code) == (False, "low_confidence")
    other = await judge.verify(
        testing.ask("What is 71 + 72?"), Evidence(), msgspec.structs.replace(good, model="other")
    )
    assert other.code == "not_judged"
    tools.encoder().close()


PROBABILITY = st.floats(0, 1)


@given(PROBABILITY, PROBABILITY, st.floats(0, 1), st.floats(1e-6, 1))
def test_a_try_is_worth_it_exactly_where_it_is_expected_to_cost_less(right, least, cost, above):
    found = worth(right, least, cost, above)
    if right < least:
        assert found == "unlikely_right"
    else:
        assert (found == "try") == (cost < right * above)
        assert worth(right, least, None, above) == worth(right, least, cost, None) == "try"


def test_outcomes_are_the_documented_shape():
    line = {"question": "q", "right": {"small": 1, "large": 0.5}, "answers": {"small": "a"}, "cost": {"small": 0.0002}}
    assert msgspec.json.decode(json.dumps(line), type=Outcome).cost == {"small": 0.0002}
