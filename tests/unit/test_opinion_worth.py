"""When an opinion is worth its price: the rule itself, and that it is about prices, not about budgets."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tuned
from hypothesis import strategies as st

from trimtab.errors import ConfigError
from trimtab.odds import fitted, side, subject
from trimtab.odds.opinion import Prospect, asks, prospect

TELLS = Prospect(agrees=(1.0, 0.4), alike=(1.0, 1.5), apart=(1.0, -2.5))
CHANCE = st.floats(0.01, 0.99)


@given(CHANCE, CHANCE, st.floats(0, 2), st.floats(1, 100))
@tuned(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_dearer_opinion_is_never_asked_where_a_cheaper_one_is_not(score, around, share, times):
    dear, cheap = (bool(asks(score, around, TELLS, one)) for one in (share * times, share))
    assert cheap or not dear


def test_it_is_asked_in_a_band_around_the_threshold_alone():
    scores = np.linspace(0.001, 0.999, 999)
    for around in (0.5, 0.8, 0.95):
        asked = asks(scores, around, TELLS, 0.05)
        inside = np.flatnonzero(asked)
        assert asked.any()
        assert np.array_equal(inside, np.arange(inside[0], inside[-1] + 1)), "one band"
        assert scores[inside[0]] < around < scores[inside[-1]]
        assert not asked[0]
        assert not asked[-1]
        assert asks(scores, around, TELLS, 0.2).sum() < asked.sum(), "the dearer the narrower"


def test_an_opinion_that_tells_nothing_is_never_asked():
    nothing = Prospect(agrees=(0.0, 0.0), alike=(1.0, 0.0), apart=(1.0, 0.0))
    assert not asks(np.linspace(0.01, 0.99, 99), 0.5, nothing, 0.0).any()


def test_of_unknown_price_it_is_asked_wherever_it_could_change_what_is_done():
    scores = np.linspace(0.01, 0.99, 99)
    unknown = asks(scores, 0.8, TELLS, None)
    assert (unknown >= asks(scores, 0.8, TELLS, 0.01)).all()
    assert unknown.any()
    assert not unknown.all()
    assert np.array_equal(unknown, asks(scores, 0.8, TELLS, np.full(99, np.nan)))


def test_the_prospect_is_what_the_rows_show():
    dice = np.random.default_rng(0)
    before = dice.uniform(0.2, 0.9, 4000)
    right = dice.random(4000) < before
    agreed = dice.random(4000) < np.where(right, 0.9, 0.2)
    after = np.where(agreed, before * 0.9 / (before * 0.9 + (1 - before) * 0.2),
                     before * 0.1 / (before * 0.1 + (1 - before) * 0.8))  # fmt: skip
    found = prospect(before, agreed.astype(float), after)
    assert found.alike == pytest.approx((1, np.log(4.5)), abs=0.05), "Bayes: the odds times 0.9 / 0.2"
    assert found.apart == pytest.approx((1, -np.log(8)), abs=0.05)


def test_a_part_that_tells_more_than_the_whole_is_heard_beside_it():
    dice = np.random.default_rng(1)
    told, noise = dice.normal(size=(300, 1)), dice.normal(size=(300, 200))
    small = (told[:, 0] + dice.normal(size=300) * 0.3 > 0).astype(float)
    rows = np.concatenate([told, noise], 1)
    made, alone = (side.fitted(rows, small, np.ones(300), (1, 200), options) for options in ([(0,)], []))
    fresh = np.concatenate([dice.normal(size=(2000, 1)), dice.normal(size=(2000, 200))], 1)
    missed = [1 - np.corrcoef(one.ranks(fresh), -fresh[:, 0])[0, 1] for one in (made, alone)]
    assert missed[0] < missed[1] / 2
    new = np.concatenate([[[2.0], [-2.0]], np.zeros((2, 200))], 1)
    assert made.stays(new)[0] > 0.9 > 0.1 > made.stays(new)[1]
    assert made.ranks(new)[0] < made.ranks(new)[1]


def test_where_both_models_fail_alike_climbing_is_not_what_a_wrong_answer_asks_for():
    """Fitted on the difference: the small model is wrong on both kinds of rows, the large one helps on one alone."""
    kind = np.repeat([0.0, 1.0, 2.0], 100)
    small, large = (kind == 0).astype(float), (kind < 2).astype(float)
    rows = np.stack([kind == one for one in range(3)], 1).astype(float) + np.random.default_rng(0).normal(
        0, 0.05, (300, 3)
    )
    stays = side.fitted(rows, small, large, (3,)).stays(np.eye(3))
    assert stays[0] > 0.9
    assert stays[2] > 0.9
    assert stays[1] < 0.2
    alone = side.fitted(rows, small, None, (3,)).stays(np.eye(3))
    assert alone[2] < 0.2, "against a model that is always right it would be climbed"


def test_the_shipped_head_knows_law_from_physics_and_a_changed_one_is_refused(tmp_path):
    from trimtab.encode.encoder import Encoder

    encoder = Encoder.load()
    texts = ["Is a contract that was signed by a minor enforceable?",
             "A proton moves at a velocity of 3 m/s in a magnetic field of 2 T. What is the force on it?"]  # fmt: skip
    rows = np.stack([fitted.features(row, text) for row, text in zip(encoder.gist_now(texts), texts, strict=True)])
    encoder.close()
    assert rows.shape == (2, sum(fitted.QUERY))
    fields = rows[:, subject.SUBJECTS : subject.SUBJECTS + subject.FIELDS]
    assert fields.sum(1) == pytest.approx([1, 1])
    assert [subject.shipped().field.names[at] for at in fields.argmax(1)] == ["law", "physics"]
    for name in (*subject.FILES, "manifest.json"):
        (tmp_path / name).write_bytes((subject.HOME / name).read_bytes())
    subject.Subjects.load(tmp_path)
    (tmp_path / "names.json").write_text("{}")
    with pytest.raises(ConfigError, match="sealed"):
        subject.Subjects.load(tmp_path)
