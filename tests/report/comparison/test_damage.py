"""Rank correlations, against scipy and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from harness.report.comparison.damage import agreement, rank_correlation


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=3, max_size=20))
def test_the_correlation_is_scipys(pairs):
    first, second = (np.array(values, float) for values in zip(*pairs))
    if len(set(first)) < 2 or len(set(second)) < 2:
        assert rank_correlation(first, second) is None
    else:
        assert rank_correlation(first, second) == pytest.approx(oracle.spearmanr(first, second).statistic)


def test_settings_that_rank_alike_for_every_subject_agree_wholly():
    drift = np.array([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0], [3.0, 4.0, 5.0]])
    found = agreement(drift, drift**2, replicates=200)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)
    assert agreement(drift, -drift, replicates=200).value == -1.0


def test_subjects_are_resampled_and_settings_stay():
    drift, damage = np.random.default_rng(0).normal(size=(2, 12, 9))
    drawn = np.random.default_rng(3).multinomial(9, np.full(9, 1 / 9), 150) / 9
    found = [oracle.spearmanr(drift @ weights, damage @ weights).statistic for weights in drawn]
    low, high = np.quantile(found, [0.025, 0.975])
    value = oracle.spearmanr(drift.mean(axis=1), damage.mean(axis=1)).statistic
    assert low < value < high
    wanted = {"value": value, "low": low, "high": high, "share": 1.0}
    assert vars(agreement(drift, damage, replicates=150, seed=3)) == pytest.approx(wanted)


def test_two_thousand_replicates_of_one_seed_are_drawn_unless_said():
    drift, damage = np.random.default_rng(1).normal(size=(2, 40, 15))
    assert agreement(drift, damage) == agreement(drift, damage, replicates=2000, seed=0)
    assert agreement(drift, damage) != agreement(drift, damage, replicates=2001)
    assert agreement(drift, damage) != agreement(drift, damage, seed=1)


def test_two_settings_rank_alike_or_not():
    rising = np.array([[0.0, 0.1], [1.0, 1.1]])
    assert vars(agreement(rising, rising)) == {"value": 1.0, "low": 1.0, "high": 1.0, "share": 1.0}
    assert vars(agreement(rising, -rising)) == {"value": -1.0, "low": -1.0, "high": -1.0, "share": 1.0}


def test_settings_that_drift_alike_have_no_rank():
    found = agreement(np.ones((3, 4)), np.random.default_rng(2).normal(size=(3, 4)))
    assert found.value is None and found.share == 0.0
    assert np.isnan([found.low, found.high]).all()


def test_a_correlation_that_no_replicate_has_keeps_its_value():
    """Of one subject alone the settings differ, and no replicate of a hundred draws it."""
    measure = np.zeros((2, 100_000))
    measure[1, 0] = 1.0
    found = agreement(measure, measure, replicates=1, seed=next(s for s in range(20) if _misses(s)))
    assert (found.value, found.share) == (1.0, 0.0)


def _misses(seed):
    return np.random.default_rng(seed).multinomial(100_000, np.full(100_000, 1e-5), 1)[0, 0] == 0
