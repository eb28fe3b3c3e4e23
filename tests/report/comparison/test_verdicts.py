"""Each verdict by rule, the sentences, dominance."""

import numpy as np
import pytest

from harness.report.comparison.paired import Difference, difference
from harness.report.comparison.verdicts import Contrast, dominates, verdicts
from harness.report.stats import Interval, t_interval


def contrast(name, values, margin=0.03, higher=True):
    names = [str(i) for i in range(len(values))]
    found = difference(dict(zip(names, values)), dict.fromkeys(names, 0.0))
    return Contrast(name, margin, found, higher_is_better=higher)


CLEAR = [0.10, 0.12, 0.09, 0.11, 0.10, 0.13, 0.08, 0.11]
NOTHING = [0.004, -0.003, 0.002, -0.004, 0.001, -0.002, 0.003, -0.001]
LOUD = [0.2, -0.3, 0.25, -0.15, 0.1, -0.2, 0.3, -0.1]


@pytest.mark.parametrize(
    ("values", "higher", "kind"),
    [(CLEAR, True, "better"), (CLEAR, False, "worse"), (NOTHING, True, "same"), (LOUD, True, "open")],
)
def test_a_verdict_by_rule(values, higher, kind):
    (verdict,) = verdicts([contrast("fidelity", values, higher=higher)])
    assert verdict.kind == kind


def test_sentences_say_n_the_interval_and_what_would_be_needed():
    better, same, unknown = verdicts(
        [contrast("a", CLEAR), contrast("b", NOTHING), contrast("c", LOUD, margin=0.1)]
    )
    assert better.sentence() == "better by 0.105 [+0.092, +0.118] (n = 8, p = 0.0234)"
    assert same.sentence() == "the same within 0.03 (90 % interval [-0.002, +0.002], n = 8)"
    assert unknown.sentence().startswith("cannot be told with 8 subjects [-0.178, +0.203]")
    assert unknown.sentence().endswith("; 0.1 would need 43")


def judged(low, high, p, *, equivalence=(-1.0, 1.0), margin=0.03):
    interval = Interval((low + high) / 2, low, high, 8)
    narrow = Interval(interval.mean, *equivalence, 8)
    return verdicts([Contrast("a", margin, Difference(interval, narrow, 0.1, p))])[0]


def test_a_difference_needs_both_a_small_p_and_an_interval_without_zero():
    assert judged(0.1, 0.2, 0.049).kind == "better"
    assert judged(-0.2, -0.1, 0.049).kind == "worse"
    assert judged(0.1, 0.2, 0.05).kind == "open"
    assert judged(0.0, 0.2, 0.01).kind == "open"
    assert judged(-0.1, 0.9, 0.01).kind == "open"
    assert judged(0.9, 1.2, 0.01).kind == "better"


@pytest.mark.parametrize(
    ("equivalence", "kind"),
    [
        ((-0.02, 0.02), "same"),
        ((-0.03, 0.02), "open"),
        ((-0.02, 0.03), "open"),
        ((-0.02, 0.5), "open"),
        ((-0.5, 0.02), "open"),
    ],
)
def test_the_same_means_inside_the_margin_on_both_sides(equivalence, kind):
    assert judged(-0.1, 0.1, 1.0, equivalence=equivalence).kind == kind


def test_a_loss_and_a_margin_out_of_reach_are_said():
    (worse,) = verdicts([contrast("a", CLEAR, higher=False)])
    assert worse.sentence() == "worse by 0.105 [+0.092, +0.118] (n = 8, p = 0.00781)"
    (unknown,) = verdicts([contrast("a", LOUD, margin=1e-5)])
    assert unknown.sentence().endswith("; 1e-05 is out of reach")


def test_what_is_not_worse_depends_on_the_better_direction():
    assert judged(-0.1, 0.1, 1.0, equivalence=(-0.029, 0.5)).not_worse
    assert not judged(-0.1, 0.1, 1.0, equivalence=(-0.03, 0.5)).not_worse
    found = judged(-0.1, 0.1, 1.0, equivalence=(-0.5, 0.029)).contrast.difference
    assert verdicts([Contrast("a", 0.03, found, higher_is_better=False)])[0].not_worse
    assert not verdicts([Contrast("a", 0.029, found, higher_is_better=False)])[0].not_worse


def test_a_family_is_corrected_together():
    """p = 2/256 alone; among seven such questions 7 · 2/256 > .05."""
    alone = verdicts([contrast("a", CLEAR)])[0]
    among = verdicts([contrast(str(i), CLEAR) for i in range(7)])
    assert alone.p == 2 / 256 and alone.kind == "better"
    assert among[0].p == pytest.approx(14 / 256) and among[0].kind == "open"


def test_dominance_needs_one_win_and_no_loss_beyond_the_margin():
    win, draw, loud = verdicts([contrast("f", CLEAR), contrast("c", NOTHING), contrast("k", LOUD)])
    assert dominates([win, draw])
    assert not dominates([draw, draw])
    assert not dominates([win, loud])  # a loss beyond the margin is not excluded
    assert not dominates([win, draw], counting=["c"])


def test_a_planted_effect_of_two_standard_errors_is_found_about_half_of_the_time():
    """t = 2 against 2.04 (n = 32): power .49 at a shift of 2 (noncentral t)."""
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(300):
        found += not t_interval(rng.normal(2 / np.sqrt(32), 1.0, 32)).contains(0.0)
    assert found / 300 == pytest.approx(0.49, abs=0.08)
