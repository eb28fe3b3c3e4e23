"""The verdict says what the statistics say, and no more than the number of subjects allows."""

import math
import re

import pytest

from harness.report import stats
from harness.report.html.contrasts import contrasts, least_p
from harness.report.html.findings import findings
from harness.report.html.source import read
from harness.report.rows import select

EIGHT = tuple(f"s{number}" for number in range(8))


def arms(make, gains, subjects=EIGHT, **more):
    """DreamBooth at .5 and LoRA at .5 + gain for each subject, a floor at .1 and a ceiling at .9."""
    made = []
    for place, subject in enumerate(subjects):
        for method, value in (
            ("frozen", 0.1),
            ("real_ae", 0.9),
            ("dreambooth", 0.5 + place / 1000),
            ("dreambooth_lora", 0.5 + place / 1000 + gains[place]),
        ):
            made.append(make(method, subject=subject, scores={"dino_heldout": value}, **more))
    return select(made)


def said(selection, about):
    (found,) = [each.found for each in findings(selection).verdict if each.about.startswith(about)]
    return found


def test_the_leader_is_named_with_its_interval_and_n(make):
    gains = [0.2 + place / 100 for place in range(8)]
    selection = arms(make, gains)
    values = [0.5 + place / 1000 + gains[place] for place in range(8)]
    interval = stats.t_interval(values)
    expected = f"DreamBooth-LoRA, {interval.mean:.3f} [{interval.low:.3f}, {interval.high:.3f}], n = 8."
    assert said(selection, "Highest DINO held out") == f"{expected} The other one is separable from it."


def test_a_rival_whose_interval_contains_zero_stands_beside_the_leader(make):
    found = said(arms(make, [0.1, -0.1] * 4), "Highest DINO held out")
    assert "separable from it: DreamBooth" in found.replace("Not separable", "separable")


def test_the_share_of_the_gap_is_that_of_each_subject(make):
    found = said(arms(make, [0.2] * 8), "Of each subject's gap in DINO held out")
    shares = [(0.4 + place / 1000) / 0.8 for place in range(8)]
    assert f"DreamBooth closes {100 * math.fsum(shares) / 8:.0f} % " in found and "(n = 8)" in found
    assert re.match(r"DreamBooth-LoRA closes 75 %", found)  # (0.6 + 0.0035) / 0.8


def test_eight_subjects_that_all_gain_are_a_difference(make):
    (judged,) = contrasts(arms(make, [0.2 + place / 100 for place in range(8)]).of("method"))
    assert judged.reference == "DreamBooth"
    ((title, sentence),) = judged.lines
    assert title == "DreamBooth-LoRA" and sentence.startswith("better by 0.235")
    assert f"p = {2 / 2**8:.3g}" in sentence  # one pattern of signs of 256, two-sided


@pytest.mark.parametrize(("n", "silent"), [(4, False), (5, False), (6, True), (8, True)])
def test_too_few_subjects_for_any_p_below_alpha_are_called_so(make, n, silent):
    rows = arms(make, [0.2 + place / 100 for place in range(n)], EIGHT[:n]).of("method")
    limits = list(least_p(rows))
    assert (limits == []) is silent
    if not silent:
        assert f"below {2 / 2**n:g}" in limits[0] and "6 subjects are the fewest" in limits[0]
        assert "better by" not in str(list(contrasts(rows)))


def test_one_subject_gives_no_verdict_and_says_why(make):
    found = findings(arms(make, [0.2], EIGHT[:1]))
    assert [each.about for each in found.verdict] == ["No method can be called better than another"]
    assert any("at least 3" in sentence for sentence in found.limits)
    assert not found.contrasts


def test_what_did_not_move_by_construction_is_lowest_in_no_drift(make):
    made = [
        make(method, subject=subject, drift={"noise_l2": drift + place * still})
        for place, subject in enumerate(EIGHT)
        for method, drift, still in (
            ("dreambooth", 2.0, 0.01),
            ("dreambooth_lora", 1.0, 0.02),
            ("textual_inversion", 0.0, 0.0),
        )
    ]
    found = said(select(made), "Lowest ‖Δε‖₂")
    assert found.startswith("DreamBooth-LoRA") and "The other one is separable" in found
    assert found.endswith("Exactly 0 by construction, and so not compared: Textual Inversion.")


def test_failed_trials_and_a_single_seed_are_limits(make):
    records = [*arms(make, [0.1] * 8).records, make(subject="s9", status="failed", error="no")]
    limits = " ".join(findings(select(records)).limits)
    assert "1 trial failed" in limits and "One training seed" in limits


def test_curves_are_compared_at_equal_drift(run):
    verdict = findings(read(run).selection).verdict
    curves = [each for each in verdict if each.about.startswith("At equal ‖Δε‖₂")]
    assert curves and all(re.search(r"\[.*\], n = 3\.$", each.found) for each in curves)


def test_no_record_of_a_method_is_said(make):
    found = findings(select([make("frozen", scores={"dino": 0.1})]))
    assert [each.about for each in found.verdict] == ["No method was compared"]
