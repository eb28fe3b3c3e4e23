"""Each verdict by rule, the sentences, dominance."""

import numpy as np
import pytest

from harness.report.comparison.paired import difference
from harness.report.comparison.verdicts import Contrast, dominates, verdicts


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
        values = rng.normal(2 / np.sqrt(32), 1.0, 32)
        names = [str(i) for i in range(32)]
        interval = difference(dict(zip(names, values)), dict.fromkeys(names, 0.0)).interval
        found += not interval.contains(0.0)
    assert found / 300 == pytest.approx(0.49, abs=0.08)
