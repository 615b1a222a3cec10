"""Replay: recorded outcomes under another policy, against what that policy is known to make of them."""

from decimal import Decimal

import numpy as np
import pytest

from trimtab import testing
from trimtab.errors import ConfigError
from trimtab.evaluate import _walk, replay
from trimtab.evaluate._walk import Walked
from trimtab.odds.outcomes import Outcome
from trimtab.types import Price

N = 600


def logged(seed=0, share=0.3):
    """The small model is right on short questions; the large one's outcome is seen for `share` of the rows."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for at in range(N):
        long = rng.random() < 0.5
        asked = f"Question {at}: " + ("please weigh all of the following at length " * 4 if long else "short")
        small, large = float(rng.random() < (0.3 if long else 0.9)), float(rng.random() < 0.9)
        truth.append((long, small, large))
        right = {"small": small} | ({"large": large} if rng.random() < share else {})
        rows.append(Outcome(question=asked, right=right, answers={"small": "x"}, seen={"large": share},
                            tokens={"small": (100, 50), "large": (100, 50)}))  # fmt: skip
    return tuple(rows), truth


def by_length(truth):
    """A policy that sends what is long to the large model."""
    walks = tuple(Walked(answered="large" if long else "small", called=("large" if long else "small",))
                  for long, _, _ in truth)  # fmt: skip
    prices = {
        "small": Price(input=Decimal(1), output=Decimal(1)),
        "large": Price(input=Decimal(10), output=Decimal(10)),
    }
    return replay.Policy(name="by length", walks=walks, prices=prices)


def test_over_many_logs_the_estimate_is_what_the_policy_really_keeps():
    quality, kept = [], []
    for seed in range(30):
        rows, truth = logged(seed)
        found = replay.replay(by_length(truth), rows, "large")
        quality.append(found.quality.value)
        kept.append(found.kept.low <= 1.0 <= found.kept.high)
        assert found.status == "ok"
        assert found.seen < N
    assert np.mean(quality) == pytest.approx(0.9, abs=0.01), "0.9 on short ones and 0.9 by the large model"
    assert 0.75 <= np.mean(kept) <= 1, "the policy keeps all of the large model's quality; the interval is for 0.9"


def test_cost_is_by_the_new_price_and_unknown_where_a_price_or_the_tokens_are():
    rows, truth = logged()
    policy = by_length(truth)
    share = np.mean([long for long, _, _ in truth])
    exact = share * 150 * 10e-6 + (1 - share) * 150 * 1e-6
    assert replay.replay(policy, rows, "large").cost.value == pytest.approx(exact)
    unpriced = replay.Policy(name="x", walks=policy.walks, prices={**policy.prices, "large": None})
    assert replay.replay(unpriced, rows, "large").cost is None


def test_a_cost_that_is_missing_with_its_outcome_is_estimated_without_bias():
    found = []
    for seed in range(30):
        rows, truth = logged(seed)
        half = [Outcome(question=one.question, right=one.right, seen=one.seen, cost={"small": 1.0} | ({"large": 10.0}
                if "large" in one.right else {})) for one in rows]  # fmt: skip
        policy = replay.Policy(name="x", walks=by_length(truth).walks, prices={})
        found.append(replay.replay(policy, half, "large").cost.value - 1 - 9 * np.mean([long for long, _, _ in truth]))
    assert abs(np.mean(found)) < 0.02


def test_failed_tries_are_paid():
    rows, _ = logged()
    prices = by_length(_).prices
    climbs = replay.Policy(name="x", prices=prices, walks=(Walked(answered="large", called=("small", "large")),) * N)
    assert replay.replay(climbs, rows, "large").cost.value == pytest.approx(150 * 11e-6)


def test_a_policy_keeps_all_of_its_own_quality_and_another_is_no_certainty():
    rows = tuple(Outcome(question=f"{at}", right={"small": 1.0, "large": 1.0}) for at in range(200))
    found = {
        name: replay.replay(replay.Policy(name=name, prices={}, walks=(Walked(answered=name, called=(name,)),) * 200),
                            rows, "large").kept for name in ("small", "large")
    }  # fmt: skip
    assert (found["large"].low, found["large"].high) == (1.0, 1.0)
    assert 0.98 < found["small"].low < 0.99


def test_what_the_rows_do_not_tell_is_said():
    rows, truth = logged()
    policy = by_length(truth)
    silent = tuple(Outcome(question=one.question, right=one.right, tokens=one.tokens) for one in rows)
    found = replay.replay(policy, silent, "large")
    assert (found.status, found.quality, found.kept) == ("insufficient_data", None, None)
    assert "`seen`" in found.why
    few = replay.replay(replay.Policy(name="x", walks=policy.walks[:50], prices={}), rows[:50], "large")
    assert "too few" in few.why
    rare = tuple(Outcome(question=one.question, right={"small": 1.0}, seen={"large": 0.01}) for one in rows)
    seen = Outcome(question="q", right={"large": 1.0}, seen={"large": 0.01})
    large = replay.Policy(name="x", walks=(Walked(answered="large", called=("large",)),) * (N + 1), prices={})
    assert "worth 1 rows" in replay.replay(large, (*rare, seen), "large").why
    with pytest.raises(ConfigError, match="No row has an outcome of 'large'"):
        replay.replay(policy, rare, "large")
    blind = replay.Policy(
        name="x", walks=(Walked(answered="small", called=("small",), blind=("small",)),) * N, prices={}
    )
    assert "`answers`" in replay.replay(blind, rows, "large").why


async def test_the_path_decides_as_it_would_and_calls_no_model():
    never = testing.Breaks(AssertionError("a model was called"))
    desk = testing.desk({"small": never, "large": never, "other": never},
                        verifiers=(testing.seat(testing.Judges(lambda answer: answer.text != "bad")),))  # fmt: skip
    rows = (
        Outcome(question="a", right={"small": 1, "large": 1}, answers={"small": "good", "large": "good"}),
        Outcome(question="b", right={"small": 0, "large": 1}, answers={"small": "bad", "large": "good"}),
        Outcome(question="c", right={"small": 0, "large": 1}, answers={"small": "bad", "large": "bad"}),
        Outcome(question="d", right={"small": 0, "large": 1}, answers={"large": "good"}),
    )
    found = await _walk.walk(desk, rows)
    assert [one.answered for one in found] == ["small", "large", None, "small"]
    assert [one.called for one in found] == [("small",), ("small", "large"), ("small", "large"), ("small",)]
    assert [one.blind for one in found] == [(), (), (), ("small",)]
