"""What so many prompts prove holds as often as it says, for distributions of every kind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as distributions

from harness.report.guarantees import (
    fewest,
    mean_at_most,
    share_at_least,
    tolerance_limit,
    tolerance_rank,
)

DRAWS = {
    "uniform": (lambda rng, n: rng.random(n), lambda q: q, 0.5),
    "heavy tail": (
        lambda rng, n: rng.pareto(1.5, n),
        lambda q: distributions.lomax.ppf(q, 1.5),
        2.0,
    ),
    "ties": (lambda rng, n: rng.integers(0, 4, n) / 3, lambda q: math.ceil(4 * q - 1e-12) / 3 - 1 / 3, 0.5),
}


def test_ranks_of_textbooks():
    assert fewest(0.95, 0.95) == 59  # 0.95^59 = 0.0485
    assert fewest(0.90, 0.90) == 22
    assert tolerance_rank(59, 0.95, 0.95) == 59
    assert tolerance_rank(58, 0.95, 0.95) is None
    assert tolerance_rank(93, 0.95, 0.95) == 92  # Wilks: the second largest of 93
    assert tolerance_rank(92, 0.95, 0.95) == 92


@given(st.integers(2, 400), st.floats(0.05, 0.99), st.floats(0.5, 0.99))
def test_rank_is_the_first_that_the_binomial_allows(n, share, confidence):
    # At least `share` lies below the k-th smallest unless k or more draws fell below the quantile.
    allowed = [k for k in range(1, n + 1) if distributions.binom.cdf(k - 1, n, share) >= confidence]
    found = tolerance_rank(n, share, confidence)
    if found is None:
        assert not allowed or distributions.binom.cdf(n - 1, n, share) == pytest.approx(confidence)
    else:
        assert distributions.binom.cdf(found - 1, n, share) >= confidence - 1e-9  # but for rounding
        assert found == 1 or distributions.binom.cdf(found - 2, n, share) < confidence + 1e-9


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("n", "share"), [(60, 0.95), (200, 0.9), (200, 0.5)])
def test_limit_covers_its_share_as_often_as_it_says(name, n, share):
    draw, quantile, _ = DRAWS[name]
    rng, trials = np.random.default_rng(1), 600
    limits = [tolerance_limit(list(draw(rng, n)), share, 0.9) for _ in range(trials)]
    held = np.mean([limit >= quantile(share) - 1e-12 for limit in limits])
    assert held >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / trials)
    if name == "uniform":  # and is not idle: it holds hardly more often than needed
        exact = distributions.beta.sf(share, k := tolerance_rank(n, share, 0.9), n + 1 - k)
        assert held == pytest.approx(exact, abs=0.05)


def test_limit_needs_no_order_and_is_a_value_that_was_seen():
    values = [3.0, 1.0, 2.0, *([0.5] * 100)]
    assert tolerance_limit(values, 0.95, 0.95) == 2.0  # the 102nd smallest of 103: two may lie above
    assert tolerance_rank(103, 0.95, 0.95) == 102
    assert tolerance_limit(values[::-1], 0.95, 0.95) == 2.0
    assert tolerance_limit([1.0, 2.0], 0.95, 0.95) is None


def test_share_by_hand_and_by_scipys_own_interval():
    assert share_at_least(512, 512, 0.95) == pytest.approx(0.05 ** (1 / 512))
    assert share_at_least(0, 20, 0.95) == 0.0
    of_scipy = distributions.binomtest(180, 200, alternative="greater").proportion_ci(0.95, "exact")
    assert share_at_least(180, 200, 0.95) == pytest.approx(of_scipy.low)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_share_is_covered(share):
    rng, trials = np.random.default_rng(2), 2000
    counts = rng.binomial(80, share, trials)
    held = np.mean([share_at_least(int(count), 80, 0.9) <= share for count in counts])
    assert held >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / trials)


def test_mean_by_hand():
    values = [0.0, 1.0] * 8  # mean ½, unbiased variance 4/15
    doubt = math.log(2 / 0.05)
    wanted = 0.5 + math.sqrt(2 * (4 / 15) * doubt / 16) + 7 * doubt / (3 * 15)
    assert mean_at_most(values, 0.95, low=0, high=1) == min(1.0, wanted) == 1.0
    many = values * 64
    variance = 0.25 * 1024 / 1023
    wanted = 0.5 + math.sqrt(2 * variance * doubt / 1024) + 7 * doubt / (3 * 1023)
    assert mean_at_most(many, 0.95, low=0, high=1) == pytest.approx(wanted)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=50), st.floats(-5, 5), st.floats(0.1, 10))
def test_mean_moves_with_place_and_scale(values, place, scale):
    here = mean_at_most(values, 0.95, low=0, high=1)
    moved = [min(max(place + scale * value, place), place + scale) for value in values]
    there = mean_at_most(moved, 0.95, low=place, high=place + scale)
    assert there == pytest.approx(place + scale * here, abs=1e-6)


@pytest.mark.parametrize("name", ["uniform", "ties", "rare"])
def test_mean_is_covered(name):
    rng, trials, n = np.random.default_rng(3), 1000, 100
    if name == "rare":  # the worst kind: mostly 0, seldom 1
        draw, truth = (lambda: (rng.random(n) < 0.03).astype(float)), 0.03
    else:
        draw, truth = (lambda: DRAWS[name][0](rng, n)), DRAWS[name][2]
    held = np.mean([mean_at_most(list(draw()), 0.9, low=0, high=1) >= truth for _ in range(trials)])
    assert held >= 0.9 - 3 * math.sqrt(0.9 * 0.1 / trials)


def test_what_has_no_sense_is_refused():
    with pytest.raises(ValueError, match="outside of"):
        mean_at_most([0.0, 1.5], 0.95, low=0, high=1)
    with pytest.raises(ValueError, match="too few"):
        mean_at_most([0.5], 0.95, low=0, high=1)
    with pytest.raises(ValueError, match="confidence"):
        share_at_least(1, 2, 1.0)
    with pytest.raises(ValueError, match="no count"):
        share_at_least(3, 2, 0.9)
    with pytest.raises(ValueError, match="share"):
        tolerance_rank(10, 1.0, 0.9)
