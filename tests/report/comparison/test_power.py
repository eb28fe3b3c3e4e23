"""Power of the paired t test, against simulation and published values."""

import numpy as np
import pytest
from scipy import stats as oracle

from harness.report.comparison.power import power, smallest_effect, subjects_needed


def test_no_effect_is_seen_as_often_as_alpha():
    assert power(0.0, 1.0, 12) == pytest.approx(0.05)


def test_power_agrees_with_simulation():
    rng = np.random.default_rng(0)
    drawn = rng.normal(0.6, 1.0, (20_000, 16))
    seen = (oracle.ttest_1samp(drawn, 0.0, axis=1).pvalue < 0.05).mean()
    assert power(0.6, 1.0, 16) == pytest.approx(seen, abs=0.01)


def test_thirty_four_pairs_see_half_a_deviation():
    """Cohen 1988: d = .5, power .80, two-sided .05."""
    assert subjects_needed(0.5, 1.0) == 34


def test_smallest_effect_and_subjects_needed_are_inverse():
    effect = smallest_effect(0.092, 32)
    assert effect == pytest.approx(0.047, abs=0.001)
    assert subjects_needed(effect * 1.0001, 0.092) == 32
    assert subjects_needed(effect * 0.99, 0.092) == 33


def test_an_effect_far_above_the_spread_needs_two():
    assert subjects_needed(1.0, 0.0) == 2
    assert smallest_effect(0.0, 4) == smallest_effect(0.0, 2) == 0.0
    assert power(1.0, 1e-3, 4) == 1.0


def test_a_single_subject_shows_nothing():
    with pytest.raises(ValueError, match="at least 2"):
        smallest_effect(1.0, 1)


def test_a_sharper_test_needs_a_larger_effect_and_more_subjects():
    effect = smallest_effect(1.0, 20, wanted=0.9, alpha=0.01)
    assert power(effect, 1.0, 20, alpha=0.01) == pytest.approx(0.9)
    assert subjects_needed(effect * 1.0001, 1.0, wanted=0.9, alpha=0.01) == 20
    assert subjects_needed(effect * 0.999, 1.0, wanted=0.9, alpha=0.01) == 21
    assert power(-effect, 1.0, 20, alpha=0.01) == pytest.approx(0.9)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_smallest_effect_scales_with_the_deviation(n):
    effect = smallest_effect(1.0, n)
    assert power(effect, 1.0, n) == pytest.approx(0.8)
    sharp = smallest_effect(1.0, n, alpha=0.01)
    assert power(sharp, 1.0, n, alpha=0.01) == pytest.approx(0.8)
    assert smallest_effect(100.0, n) == pytest.approx(100 * effect)


@pytest.mark.parametrize("n", [2, 3, 4, 12])
def test_power_is_a_number_that_grows_up_to_one_at_every_effect(n):
    found = [power(effect, 1.0, n) for effect in np.linspace(0, 40, 161)]
    assert np.isfinite(found).all()
    assert (np.diff(found) > -1e-6).all() and found[0] == pytest.approx(0.05) and found[-1] <= 1.0


def test_the_fewest_are_two_and_above_a_hundred_thousand_there_is_no_number():
    assert subjects_needed(30.0, 1.0) == 2
    assert subjects_needed(0.01, 1.0) == pytest.approx((1.959964 + 0.841621) ** 2 * 1e4, abs=3)
    assert isinstance(subjects_needed(0.01, 1.0), int)
    assert subjects_needed(0.005, 1.0) is None
