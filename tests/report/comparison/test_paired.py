"""Paired differences: three subjects by hand, scipy as oracle, coverage and size by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as oracle

from harness.report.comparison.paired import difference, holm, sign_flip_p

FIRST = {"a": 0.5, "b": 0.7, "c": 0.9, "only here": 0.1}
SECOND = {"a": 0.4, "b": 0.5, "c": 0.6}


def test_three_subjects_by_hand():
    """Differences .1, .2, .3: mean .2, s.d. .1, t(2) = 4.302653; two of eight patterns are as extreme."""
    found = difference(FIRST, SECOND)
    assert found.mean == pytest.approx(0.2) and found.n == 3
    assert found.deviation == pytest.approx(0.1)
    reach = 4.302652729911275 * 0.1 / math.sqrt(3)
    assert found.interval.low == pytest.approx(0.2 - reach)
    assert found.equivalence.high == pytest.approx(0.2 + 2.919985580355516 * 0.1 / math.sqrt(3))
    assert found.p == 0.25


def test_two_common_subjects_are_too_few():
    with pytest.raises(ValueError, match="2 common subjects, at least 3"):
        difference({"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.0, "c": 0.0})


@given(st.lists(st.integers(-50, 50), min_size=3, max_size=7))
def test_the_exact_p_is_scipys_permutation_test(values):
    expected = oracle.permutation_test(
        (values,), np.sum, permutation_type="samples", n_resamples=np.inf, vectorized=False
    ).pvalue
    assert sign_flip_p(values) == pytest.approx(min(1.0, expected))


def test_a_difference_of_zero_has_p_one():
    assert sign_flip_p([0.1, -0.1, 0.2, -0.2]) == 1.0


def test_monte_carlo_agrees_with_the_exact_p():
    values = np.random.default_rng(1).normal(0.4, 1, 20)
    exact = sign_flip_p(values)
    # 21 subjects, the last of which differs by nothing: the same distribution, by random patterns.
    assert sign_flip_p([*values, 0.0]) == pytest.approx(exact, abs=0.005)
    assert (exact * 2**20).is_integer()  # 20 subjects: every pattern


def test_the_p_of_random_patterns_counts_the_observed_one_and_repeats_itself():
    """(1 + k) / (1 + draws), k the patterns at least as extreme; the default draws are 100,000 of seed 0."""
    values = np.random.default_rng(4).normal(0.2, 1, 24)
    bits = np.random.default_rng(7).integers(0, 2, (999, 24), dtype=np.int8)
    extreme = sum(
        abs(sum(v if bit else -v for v, bit in zip(values, row))) >= abs(values.sum()) for row in bits
    )
    assert sign_flip_p(values, draws=999, seed=7) == pytest.approx((1 + extreme) / 1000)
    usual = sign_flip_p(values)
    assert usual == sign_flip_p(values, draws=100_000, seed=0) != sign_flip_p(values, seed=1)
    assert sign_flip_p(np.ones(30), draws=99) == 0.01


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_order_of_adding_decides_no_p_at_any_scale(scale):
    values = [0.1 * scale, 0.7 * scale, -0.2 * scale, -0.6 * scale]
    assert {sign_flip_p(values), sign_flip_p(values[::-1]), sign_flip_p(sorted(values))} == {1.0}
    assert sign_flip_p([0.1 * scale, 0.2 * scale, 0.3 * scale]) == 0.25


def test_holm_by_hand():
    """.01·3, max(.03, .02·2), max(.04, .5·1)."""
    assert holm([0.5, 0.01, 0.02]) == pytest.approx([0.5, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=6))
def test_holm_never_lowers_a_p_and_keeps_their_order(values):
    corrected = holm(values)
    assert all(c >= p for c, p in zip(corrected, values))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [corrected[i] for i in order] == sorted(corrected)


def test_the_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    names = [str(i) for i in range(8)]
    hits = 0
    for _ in range(2000):
        values = dict(zip(names, rng.normal(0.3, 1.0, 8)))
        hits += difference(values, dict.fromkeys(names, 0.0)).interval.contains(0.3)
    assert hits / 2000 == pytest.approx(0.95, abs=0.02)


def test_a_null_is_rejected_in_five_percent():
    rng = np.random.default_rng(2)
    rejected = sum(sign_flip_p(rng.normal(0, 1, 10)) < 0.05 for _ in range(2000))
    assert rejected / 2000 == pytest.approx(0.05, abs=0.015)
