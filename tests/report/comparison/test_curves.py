"""Paths, their difference, areas: by hand; the bootstrap by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.report.comparison.curves import (
    Path,
    Settings,
    area,
    band,
    bootstrap,
    difference_at,
    differences_at,
    mean_difference,
    own_differences,
    share_dominant,
)

ONES = np.ones(3)


def settings(drift, score, floor=0.0, fidelity=None, rising=True):
    wide = [np.repeat(np.array(v, float)[:, None], 3, axis=1) for v in (drift, score, fidelity or score)]
    return Settings(*wide, np.full(3, floor), rising=rising)


def test_a_path_is_sorted_anchored_monotone_and_ends_at_the_largest_fidelity():
    """Scores by drift 1, 2, 3, 4 are .2, .5, .3, .7, then .6 past the peak: .5 and .3 pool to .4."""
    path = settings([2, 1, 4, 3, 5], [0.5, 0.2, 0.7, 0.3, 0.6]).path(ONES)
    assert path.drift.tolist() == [0, 1, 2, 3, 4]
    assert path.score == pytest.approx([0.0, 0.2, 0.4, 0.4, 0.7])
    assert path.support == (1.0, 4.0)


def test_settings_of_one_drift_stand_in_their_own_order():
    """Thirty settings at drift 2 among thirty at 1, so many that a sort which is not stable moves them."""
    drift = np.tile([1.0, 2.0], 30)
    for number in range(30):
        best = [float(i == 2 * number + 1) for i in range(60)]
        path = settings(drift, [0.5] * 60, fidelity=best).path(ONES)
        assert len(path.drift) == 1 + 30 + number + 1


def test_a_score_that_falls_with_drift_is_made_to_fall_up_to_the_same_end():
    path = settings([1, 2, 3], [0.9, 0.95, 0.2], floor=1.0, fidelity=[0.1, 0.8, 0.7], rising=False).path(ONES)
    assert path.drift.tolist() == [0, 1, 2]
    assert path.score == pytest.approx([1.0, 0.925, 0.925])


def test_weights_choose_the_subjects():
    found = Settings(np.array([[1.0, 3.0]]), np.array([[0.2, 0.6]]), np.array([[0.2, 0.6]]), np.zeros(2))
    assert found.path(np.array([0.0, 2.0])).drift.tolist() == [0, 3]
    assert found.path(np.array([1.0, 1.0])).score.tolist() == [0, 0.4]


def test_the_mean_difference_by_hand():
    """y = x against y = x/2 over their common support [2, 4]: the mean of x/2 is 1.5."""
    first = Path(np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 4.0]))
    second = Path(np.array([0.0, 2.0, 6.0]), np.array([0.0, 1.0, 3.0]))
    assert mean_difference(first, second) == pytest.approx(1.5)
    assert mean_difference(second, first) == pytest.approx(-1.5)


def test_curves_that_hardly_overlap_are_not_compared():
    first = Path(np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0]))
    assert mean_difference(first, Path(np.array([0.0, 2.9, 9.0]), np.array([0.0, 1.0, 1.0]))) is None
    assert mean_difference(first, Path(np.array([0.0, 5.0, 9.0]), np.array([0.0, 1.0, 1.0]))) is None


@pytest.mark.parametrize(
    ("second", "compared"), [((2.0, 9.0), True), ((2.1, 9.0), False), ((2.5, 9.0), False)]
)
def test_curves_are_compared_from_a_quarter_of_their_union_on(second, compared):
    """Of (1, 4) and (2, 9): overlap 2, union 8."""
    first = Path(np.array([0.0, 1.0, 4.0]), np.array([0.0, 1.0, 1.0]))
    found = mean_difference(first, Path(np.array([0.0, *second]), np.array([0.0, 0.5, 0.5])))
    assert (found is not None) == compared
    assert found is None or found == pytest.approx(0.5)


def test_two_curves_of_one_setting_each_have_nothing_in_common():
    point = Path(np.array([0.0, 2.0]), np.array([0.0, 1.0]))
    assert mean_difference(point, point) is None


def test_the_area_by_hand():
    """Up to (2, .5), flat to 4, of a span of 1: triangle .5 and rectangle 1, over 4."""
    path = Path(np.array([0.0, 2.0]), np.array([0.0, 0.5]))
    assert area(path, 4.0, floor=0.0, ceiling=1.0) == pytest.approx(1.5 / 4)
    assert area(path, 1.0, floor=0.0, ceiling=1.0) == pytest.approx(0.125)
    assert area(path, 0.5, floor=0.0, ceiling=1.0) == pytest.approx(0.0625)


def test_the_area_is_a_share_between_floor_and_ceiling():
    """From (0, .2) to (2, .7), flat to 4, between .2 and .7: triangle .5 and rectangle 1, over .5 · 4."""
    path = Path(np.array([0.0, 2.0]), np.array([0.2, 0.7]))
    assert area(path, 4.0, floor=0.2, ceiling=0.7) == pytest.approx(0.75)


@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0, 1)), min_size=2, max_size=8))
def test_a_rising_path_never_falls(points):
    path = settings(*zip(*points)).path(ONES)
    assert (np.diff(path.score) >= -1e-12).all() and (np.diff(path.drift) >= 0).all()


def test_the_bootstrap_interval_of_a_mean_is_about_its_normal_one():
    values = np.random.default_rng(0).normal(1.0, 1.0, 50)
    found = bootstrap(lambda w: float(values @ w / w.sum()), 50)
    reach = 1.96 * values.std() / np.sqrt(50)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - reach, abs=0.05)
    assert found.high == pytest.approx(values.mean() + reach, abs=0.05)
    assert found.share == 1.0


def test_the_bootstrap_interval_is_the_percentiles_of_its_replicates():
    values, seen = np.random.default_rng(1).normal(1.0, 1.0, 9), []

    def statistic(weights):
        assert weights.sum() == len(weights) == 9
        seen.append(float(values @ weights / 9))
        return seen[-1]

    found = bootstrap(statistic, 9, replicates=300)
    assert len(seen) == 301 and found.value == seen[-1] == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(seen[:300], [0.025, 0.975])))
    wide = bootstrap(statistic, 9, replicates=300, level=0.99)
    assert (wide.low, wide.high) == pytest.approx(tuple(np.quantile(seen[:300], [0.005, 0.995])))


def test_the_bootstrap_draws_every_subject_alike_and_repeats_itself():
    drawn = []
    bootstrap(lambda w: drawn.append(w) or 0.0, 4, replicates=4000)
    assert np.mean(drawn[:4000], axis=0) == pytest.approx(np.ones(4), abs=0.07)
    values = np.arange(7.0) ** 2

    def mean(weights):
        return float(values @ weights)

    assert (
        bootstrap(mean, 7)
        == bootstrap(mean, 7, replicates=2000, level=0.95, seed=0)
        != bootstrap(mean, 7, seed=1)
    )


def test_the_bootstrap_says_how_often_it_was_undefined():
    found = bootstrap(lambda w: None if w[0] == 0 else 1.0, 2, replicates=1000)
    assert found.share == pytest.approx(0.75, abs=0.05) and (found.low, found.high) == (1.0, 1.0)
    none = bootstrap(lambda w: None, 2)
    assert np.isnan(none.low) and np.isnan(none.high)
    assert (none.value, none.share) == (None, 0.0)
    whole = bootstrap(lambda w: 1.0 if (w == 1).all() else None, 20, replicates=50)
    assert (whole.value, whole.share) == (1.0, 0.0)


def test_the_share_dominant_is_one_where_every_subject_wins_everything():
    assert share_dominant({"a": [0.1, 0.2], "b": [0.0, 0.3]}) == 1.0
    assert share_dominant({"a": [0.1, 0.2], "b": [-0.1, -0.3]}) == 0.0
    drawn = {"a": [1.0, -1.0, 0.5, 0.1]}
    assert (
        share_dominant(drawn)
        == share_dominant(drawn, replicates=2000, seed=0)
        != share_dominant(drawn, seed=1)
    )
    half = share_dominant({"a": [1.0, -1.0]}, replicates=20_000)
    assert half == pytest.approx(0.75, abs=0.02)  # ++ and +- in both orders


def three(drift, score, start=None):
    """Three subjects who differ in ease alone, by -.1, 0 and .1."""
    wide = [np.repeat(np.array(v, float)[:, None], 3, axis=1) for v in (drift, score)]
    ease = np.array([-0.1, 0.0, 0.1])
    begin = None if start is None else np.full(3, start)
    return Settings(wide[0], wide[1] + ease, wide[1] + ease, ease, True, begin)


def test_a_path_begins_where_the_base_model_stands():
    path = three([0.5, 0.9], [2.0, 4.0], start=0.1).path(ONES)
    assert path.drift.tolist() == [0.1, 0.5, 0.9] and path.score == pytest.approx([0.0, 2.0, 4.0])


def test_differences_at_places_by_hand():
    """y = x and y = 2x - 1 from x = 1 on: at 1.5 and 2 they differ by -.5 and -1; at 3 one has ended."""
    first, second = three([1, 3], [1, 3]), three([1, 2], [1, 3])
    found = difference_at(first.path(ONES), second.path(ONES), np.array([1.5, 2.0, 3.0]))
    assert found[:2] == pytest.approx([-0.5, -1.0]) and np.isnan(found[2])
    inside, end, beyond = differences_at(first, second, [1.5, 2.0, 3.0], replicates=200)
    # Ease is in both: pairing takes it out of every replicate.
    assert (inside.value, inside.low, inside.high) == pytest.approx((-0.5, -0.5, -0.5))
    assert end.value == pytest.approx(-1.0) and beyond.value is None and beyond.share == 0


def test_each_subject_has_its_own_difference_and_a_point_is_met_at_its_drift():
    first, second = three([1, 3], [1, 3]), three([1, 2], [1, 3])
    assert own_differences(first, second) == pytest.approx([-0.5, -0.5, -0.5])  # mean of 0 .. -1
    assert own_differences(first, three([2], [1.5])) == pytest.approx([0.5, 0.5, 0.5])
    assert own_differences(first, three([4], [1.5])) == [None, None, None]


def test_a_band_holds_its_line_and_ends_with_it():
    line, low, high = band(three([1, 3], [1, 3]), np.array([0.0, 2.0, 3.5]), replicates=400)
    assert line[:2] == pytest.approx([0.0, 2.0]) and np.isnan([line[2], low[2], high[2]]).all()
    assert low[1] == pytest.approx(1.9) and high[1] == pytest.approx(2.1)


def test_a_path_ends_at_its_last_setting_and_not_before():
    line, low, high = band(three([1, 3], [1, 3]), np.array([3.0]), replicates=50)
    assert np.isfinite([line, low, high]).all()


def noisy(seed, subjects=9):
    drawn = np.random.default_rng(seed).normal([[1.0], [1.2]], 0.3, (2, subjects))
    return Settings(
        np.array([np.full(subjects, 1.0), np.full(subjects, 3.0)]), drawn, drawn, np.zeros(subjects)
    )


def test_intervals_are_the_percentiles_of_replicates_that_reach_the_place():
    """The replicates again, drawn as the bootstrap draws them."""
    first, second = noisy(1), noisy(2)
    rng = np.random.default_rng(0)
    drawn = [np.bincount(rng.integers(0, 9, 9), minlength=9).astype(float) for _ in range(300)]
    at = np.array([2.0])
    lines = np.array([first.path(weights).at(at)[0] for weights in drawn])
    _, low, high = band(first, at, replicates=300, level=0.8)
    assert (low[0], high[0]) == pytest.approx(tuple(np.quantile(lines, [0.1, 0.9])))
    values = np.array([difference_at(first.path(w), second.path(w), at)[0] for w in drawn])
    held = values[~np.isnan(values)]
    assert 0 < len(held) < 300  # a path ends at its largest fidelity: many replicates end at drift 1
    (found,) = differences_at(first, second, [2.0], replicates=300, level=0.8)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(held, [0.1, 0.9])))
    assert found.share == pytest.approx(len(held) / 300)
    assert differences_at(first, second, [2.0]) != differences_at(first, second, [2.0], seed=1)


def test_a_place_that_no_replicate_reaches_keeps_the_value_of_all_subjects():
    """At drift 1.5 the mean of the two subjects reaches; nobody's own path does, nor one replicate's."""
    ends = np.array([[1.0, 2.0], [1.4, 2.4]])
    scores = np.array([[0.5, 0.5], [0.6, 0.6]])
    first = Settings(ends, scores, scores, np.zeros(2))
    seed = next(n for n in range(50) if set(np.random.default_rng(n).integers(0, 2, 2)) != {0, 1})
    (found,) = differences_at(first, first, [1.6], replicates=1, seed=seed)
    assert (found.value, found.share) == (0.0, 0.0) and np.isnan([found.low, found.high]).all()
