"""Statistics over subjects: by hand, and against scipy."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness.report import stats

FINITE = st.floats(-1e6, 1e6, allow_nan=False)


def test_mean_and_standard_error_by_hand():
    assert stats.mean([1.0, 2.0, 6.0]) == 3.0
    # deviations −2, −1, 3: variance 14 / 2 = 7, standard error √(7 / 3)
    assert stats.standard_error([1.0, 2.0, 6.0]) == pytest.approx(math.sqrt(7 / 3), rel=1e-15)


def test_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no values"):
        stats.mean([])


@given(st.lists(FINITE, min_size=2, max_size=20), st.randoms())
def test_order_changes_no_bit(values, random):
    shuffled = random.sample(values, len(values))
    assert stats.mean(values) == stats.mean(shuffled)
    assert stats.standard_error(values) == stats.standard_error(shuffled)


def test_one_subject_has_no_interval():
    assert stats.standard_error([0.5]) is None
    assert stats.t_interval([0.5]) is None
    assert stats.paired_interval({"mug": 0.5}, {"mug": 0.4, "cat": 0.1}) is None


def test_t_interval_by_hand():
    # mean 2, s.e. 1/√3, t(.975; 2) = 4.302653
    interval = stats.t_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.high == pytest.approx(2 + 4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.low == pytest.approx(2 - 4.302653 / math.sqrt(3), abs=1e-6)
    assert interval.n == 3


def test_an_interval_contains_its_ends_and_nothing_beyond():
    interval = stats.Interval(2.0, 1.0, 3.0, 4)
    assert [interval.contains(x) for x in (0.9, 1.0, 2.0, 3.0, 3.1)] == [False, True, True, True, False]


def test_paired_interval_agrees_with_scipy():
    generator = np.random.default_rng(3)
    first = {f"s{i}": float(x) for i, x in enumerate(generator.normal(0.6, 0.1, 9))}
    second = {f"s{i}": float(x) for i, x in enumerate(generator.normal(0.5, 0.1, 9))}
    ours = stats.paired_interval(first, second, level=0.9)
    theirs = scipy_stats.ttest_rel(list(first.values()), list(second.values())).confidence_interval(0.9)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), rel=1e-12)


def test_paired_interval_uses_common_subjects_only():
    interval = stats.paired_interval({"a": 3.0, "b": 5.0, "c": 100.0}, {"b": 1.0, "a": 1.0, "d": -100.0})
    assert (interval.mean, interval.n) == (3.0, 2)
    # 2 and 4: mean 3, s.e. 1, t(.975; 1) = 12.7062
    assert (interval.low, interval.high) == pytest.approx((3 - 12.7062, 3 + 12.7062), abs=1e-4)
