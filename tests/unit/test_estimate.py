"""Estimates from half-seen logs, against simulated traffic whose truth is known."""

import numpy as np
import pytest

from trimtab.evaluate import _estimate as estimate

DRAWS = 300


def log(rng, n=400, least=0.1):
    """Values that depend on a covariate, seen the more often the higher they are: what is seen misleads."""
    x = rng.random(n)
    value = (rng.random(n) < 0.2 + 0.6 * x).astype(float)
    chance = least + (0.9 - least) * x
    return np.where(rng.random(n) < chance, value, np.nan), chance, x[:, None]


TRUTH = 0.5
"""The mean of 0.2 + 0.6 x for x even in [0, 1]."""


def test_the_mean_over_many_logs_is_the_truth_and_the_mean_of_what_is_seen_is_not():
    rng = np.random.default_rng(0)
    found, naive = [], []
    for _ in range(DRAWS):
        value, chance, covariates = log(rng)
        found.append(estimate.influence(value, chance, covariates).mean())
        naive.append(np.nanmean(value))
    error = np.std(found) / np.sqrt(DRAWS)
    assert abs(np.mean(found) - TRUTH) < 4 * error
    assert np.mean(naive) - TRUTH > 0.05


def test_a_useless_guess_leaves_it_unbiased_and_a_good_one_makes_it_sharper():
    rng = np.random.default_rng(1)
    blind, guided = [], []
    for _ in range(DRAWS):
        value, chance, covariates = log(rng, least=0.2)
        blind.append(estimate.influence(value, chance, rng.random((len(value), 1))).mean())
        guided.append(estimate.influence(value, chance, covariates).mean())
    assert abs(np.mean(blind) - TRUTH) < 4 * np.std(blind) / np.sqrt(DRAWS)
    assert np.std(guided) < np.std(blind)


def test_a_wrong_chance_is_found_out_by_this_test_too():
    """The test above can fail: with propensities that are not those of the log the estimate is off."""
    rng = np.random.default_rng(2)
    found = []
    for _ in range(DRAWS):
        value, chance, covariates = log(rng)
        found.append(estimate.influence(value, np.full_like(chance, 0.5), covariates * 0).mean())
    assert abs(np.mean(found) - TRUTH) > 0.05


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(confidence):
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(DRAWS):
        value, chance, covariates = log(rng)
        found = estimate.interval(estimate.influence(value, chance, covariates), confidence)
        held += found.low <= TRUTH <= found.high
    assert abs(held / DRAWS - confidence) < 0.07


@pytest.mark.parametrize(("n", "right", "seen"), [(100, 0.99, 1), (100, 0.01, 1), (2000, 0.99, 0.05)])
def test_the_interval_holds_where_nearly_all_are_alike(n, right, seen):
    """The normal interval alone held the truth in 60 to 63 % of these draws, for 90: a sample may lack what is rare."""
    rng, held = np.random.default_rng(n), 0
    for _ in range(DRAWS):
        value = np.where(rng.random(n) < seen, rng.random(n) < right, np.nan)
        chance = np.full(n, float(seen))
        parts = estimate.influence(value, chance, np.zeros((n, 0)))
        found = estimate.share(parts, 0.9, estimate.effective(value, chance))
        held += found.low <= right <= found.high
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert held >= DRAWS * 0.9 - 3 * np.sqrt(DRAWS * 0.09)


@pytest.mark.parametrize(("n", "lost"), [(100, 0.01), (100, 0.03), (400, 0.005)])
def test_what_is_kept_is_no_point_where_no_loss_was_seen(n, lost):
    """By the delta method alone 62 to 82 % held the truth."""
    rng, held = np.random.default_rng(n), 0
    for _ in range(DRAWS):
        large = (rng.random(n) < 0.9).astype(float)
        found = estimate.ratio(np.where(rng.random(n) < lost, 0, large), large, 0.9, n)
        held += found.low <= 1 - lost <= found.high
    assert held >= DRAWS * 0.9 - 3 * np.sqrt(DRAWS * 0.09)


def test_the_ratio_of_two_policies_on_the_same_rows_is_sharper_than_of_two_on_others():
    rng = np.random.default_rng(4)
    large = (rng.random(2000) < 0.8).astype(float)
    small = np.where(rng.random(2000) < 0.9, large, 1 - large)
    same = estimate.ratio(small, large, 0.9, 2000)
    apart = estimate.ratio(rng.permutation(small), large, 0.9, 2000)
    assert same.low < small.mean() / large.mean() < same.high
    assert same.error < 0.7 * apart.error
    assert estimate.ratio(small, np.zeros(2000), 0.9, 2000) is None


def test_all_seen_is_the_plain_mean_and_few_seen_are_worth_few():
    value = np.array([0.0, 1.0, 1.0, 1.0])
    assert estimate.influence(value, np.ones(4), np.zeros((4, 0))).mean() == 0.75
    assert estimate.effective(value, np.ones(4)) == 4
    assert estimate.effective(np.array([1.0, 1.0, np.nan]), np.array([0.01, 1.0, 1.0])) < 1.1
    assert estimate.effective(np.array([np.nan]), np.ones(1)) == 0


def test_what_could_not_be_seen_and_was_is_an_error():
    with pytest.raises(ValueError, match="probability"):
        estimate.influence(np.array([1.0]), np.zeros(1), np.zeros((1, 0)))
