"""The promise: its bounds hold, its thresholds are tested in order, its monitor may be looked at for ever."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.route import _bounds, _monitor
from trimtab.route._contract import Contract, Rows, calibrate

DRAWS = 300


def drawn(rng, n, harm=0.06, gain=0.01):
    """Rows of a router with some skill: the small model's score tells a little of whether it is right."""
    large = (rng.random(n) < 0.9).astype(float)
    lost = rng.random(n) < harm / 0.9
    won = rng.random(n) < gain / 0.1
    small = np.where(large > 0, 1.0 - lost, won.astype(float))
    score = small + rng.normal(0, 0.8, n)
    cost = np.full(n, 0.001)
    return Rows(score=score, small=small, large=large, small_cost=cost / 10, large_cost=cost)


EDGES = {"rare losses": ((0.1, -0.9), (0.9, 0.1)), "rare gains": ((1.0, -0.9, 0.0), (0.09, 0.1, 0.81)),
         "never alike": ((1.0, -0.9), (0.9 / 1.9, 1 / 1.9))}  # fmt: skip
"""Surpluses whose mean is exactly 0, and their chances: a bound that rejects this more often than its risk is none."""


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize(("method", "n", "risk"), [
    ("betting", 12, 0.1), ("betting", 120, 0.1), ("betting", 600, 0.1), ("betting", 600, 0.4), ("clt", 120, 0.1),
    ("clt", 600, 0.1),
])  # fmt: skip
def test_a_broken_promise_is_not_certified_more_often_than_the_risk(edge, method, n, risk):
    rng = np.random.default_rng(n)
    test = (lambda values: _bounds.betting(values, -0.9, risk)) if method == "betting" else _bounds.clt
    values, chances = EDGES[edge]
    wrong = sum(test(rng.choice(values, n, p=chances)) <= risk for _ in range(DRAWS))
    slack = 3 * math.sqrt(DRAWS * risk * (1 - risk))
    assert wrong <= DRAWS * risk + slack + (0 if method == "betting" else DRAWS * 0.03)


@pytest.mark.parametrize(("keep", "n"), [(0.98, 200), (0.98, 400), (0.99, 100), (0.99, 400)])
def test_rare_losses_that_a_sample_lacks_by_chance_certify_nothing(keep, n):
    """`clt` alone broke the promise in 20 to 38 % of these draws: so few losses have no normal mean."""
    rng, promise, wrong, none = np.random.default_rng(n), Contract(keep=keep), 0, np.zeros(n)
    for _ in range(DRAWS):
        lost = rng.random(n) < (1 - keep) * 1.001
        rows = Rows(score=none, small=1.0 - lost, large=none + 1, small_cost=none, large_cost=none)
        wrong += calibrate(rows, promise, "clt").status == "kept"
    assert wrong <= DRAWS * 0.1 + 3 * math.sqrt(DRAWS * 0.09)


def test_betting_shows_with_a_third_more_rows_what_clt_shows():
    rng, surplus = np.random.default_rng(5), ((0.1, -0.9), (0.93, 0.07))
    shown = {
        "clt": sum(_bounds.clt(rng.choice(surplus[0], 300, p=surplus[1])) <= 0.1 for _ in range(DRAWS)),
        "betting": sum(
            _bounds.betting(rng.choice(surplus[0], 400, p=surplus[1]), -0.9, 0.1) <= 0.1 for _ in range(DRAWS)
        ),
    }
    assert shown["betting"] >= shown["clt"] - 3 * math.sqrt(DRAWS * 0.5)


def test_exact_is_the_binomial_tail_and_its_sample_size_is_the_least():
    assert _bounds.exact(0, 10, 0.1) == pytest.approx(0.9**10)
    assert _bounds.exact(10, 10, 0.1) == pytest.approx(1)
    n = _bounds.least_without_loss(0.02, 0.1)
    assert _bounds.exact(0, n, 0.02) <= 0.1 < _bounds.exact(0, n - 1, 0.02)


@given(st.integers(1, 300), st.floats(0.01, 0.99), st.data())
def test_exact_grows_with_losses_and_falls_with_the_rate(rows, rate, data):
    losses = data.draw(st.integers(0, rows))
    p = _bounds.exact(losses, rows, rate)
    assert 0 <= p <= 1
    if losses:
        assert _bounds.exact(losses - 1, rows, rate) <= p + 1e-12
    assert _bounds.exact(losses, rows, min(0.995, rate + 0.005)) <= p + 1e-9


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["betting", "exact", "clt"]))
def test_a_stricter_promise_never_costs_fewer_large_calls(seed, method):
    rows = drawn(np.random.default_rng(seed), 400)
    shares = [calibrate(rows, Contract(keep=keep), method).large for keep in (0.85, 0.9, 0.95, 0.99)]
    assert shares == sorted(shares)


def test_few_rows_are_no_evidence_and_the_answer_says_how_many_are_needed():
    few = drawn(np.random.default_rng(1), 30)
    found = calibrate(few, Contract(keep=0.99), "betting")
    assert (found.status, found.large, found.threshold) == ("insufficient_data", 1.0, math.inf)
    empty = Rows(**dict.fromkeys(("score", "small", "large", "small_cost", "large_cost"), np.zeros(0)))
    assert calibrate(empty, Contract()).status == "insufficient_data"
    many = drawn(np.random.default_rng(1), 3000)
    assert calibrate(many, Contract(keep=0.95), "betting").status == "kept"


def test_the_cost_ceiling_and_an_unknown_cost_are_said():
    rows = drawn(np.random.default_rng(2), 2000)
    assert calibrate(rows, Contract(keep=0.95, max_cost=1e-6)).status == "too_dear"
    unknown = Rows(score=rows.score, small=rows.small, large=rows.large, small_cost=rows.small_cost,
                   large_cost=rows.large_cost * math.nan)  # fmt: skip
    assert calibrate(unknown, Contract(keep=0.95)).cost is None


def test_a_large_model_that_is_never_right_leaves_no_share_to_tell():
    none, half = np.zeros(400), np.tile([0.0, 1.0], 200)
    found = calibrate(Rows(score=half, small=half, large=none, small_cost=none, large_cost=none), Contract())
    assert (found.status, found.kept, found.large) == ("kept", None, 0.0)


@pytest.mark.parametrize("change", [{"small": np.full(50, 1.5)}, {"score": np.full(50, np.nan)}, {"large": np.ones(3)}])
def test_rows_that_cannot_be_read_are_named(change):
    rows = drawn(np.random.default_rng(3), 50)
    bad = Rows(**{name: change.get(name, getattr(rows, name)) for name in rows.__struct_fields__})
    with pytest.raises(ValueError, match=next(iter(change))):
        calibrate(bad, Contract())


@pytest.mark.parametrize("bad", [{"keep": 0}, {"keep": 1.1}, {"confidence": 0.2}, {"confidence": 1}, {"max_cost": 0}])
def test_a_contract_that_means_nothing_is_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Contract(**bad)


def test_the_monitor_stays_quiet_while_the_promise_holds_and_hears_a_drift():
    rng, alarms, heard = np.random.default_rng(4), 0, []
    for _ in range(100):
        quiet = loud = _monitor.Monitor(allowed=0.05)
        for _ in range(600):
            quiet = _monitor.watch(quiet, float(rng.choice([1, 0, -1], p=[0.09, 0.87, 0.04])))
        alarms += quiet.alarm
        while not loud.alarm and loud.audits < 3000:
            loud = _monitor.watch(loud, float(rng.choice([1, 0, -1], p=[0.2, 0.78, 0.02])))
        heard.append(loud.audits)
    assert alarms <= 19, "an alarm while the promise holds: at most one in ten, three deviations allowed"
    assert np.median(heard) < 200


@given(st.lists(st.floats(-1, 1), max_size=60), st.floats(-0.9, 0.9), st.randoms())
def test_the_monitor_is_pure_and_its_capital_does_not_depend_on_the_order(losses, allowed, random):
    def after(ordered):
        monitor = _monitor.Monitor(allowed=allowed)
        for loss in ordered:
            monitor = _monitor.watch(monitor, loss)
        return monitor

    mixed = losses.copy()
    random.shuffle(mixed)
    first, second = after(losses), after(mixed)
    assert first.capital == pytest.approx(second.capital)
    assert first == after(losses)
    assert 0 <= first.p_value <= 1
    assert first.alarm == (first.p_value <= 0.1 + 1e-12)


@pytest.mark.parametrize("loss", [1.01, -2, math.nan])
def test_the_monitor_takes_no_loss_outside_its_range(loss):
    with pytest.raises(ValueError, match="loss"):
        _monitor.watch(_monitor.Monitor(allowed=0.1), loss)
