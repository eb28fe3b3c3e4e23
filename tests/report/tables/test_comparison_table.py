"""Methods compared as curves: a planted difference comes out, mistakes are one line."""

import pytest

from harness.errors import ConfigError
from harness.report.rows import select
from harness.report.tables.comparison_table import compare, table

GIVEN = {"clip_t": 0.3, "prompt_accuracy": 0.9}


def arm(make, method, height, settings=(1.0, 2.0, 4.0), subjects="abc", **more):
    """Settings at some drifts whose fidelity is the drift's tenth, plus a height."""
    return [
        make(
            method=method,
            subject=subject,
            params={"steps": int(10 * drift)},
            scores={"dino_heldout": drift / 10 + height, **GIVEN},
            drift={"noise_l2": drift, "image_drift": drift, "weight_l2": drift},
            **more,
        )
        for drift in settings
        for subject in subjects
    ]


def base(make, subjects="abc"):
    zero = dict.fromkeys(("noise_l2", "image_drift", "weight_l2"), 0.0)
    return [
        make(method="frozen", subject=s, shots=0, scores={"dino_heldout": 0.0, **GIVEN}, drift=zero)
        for s in subjects
    ]


@pytest.fixture
def records(make):
    return [
        *base(make),
        *arm(make, "dreambooth", 0.0),
        *arm(make, "dreambooth_lora", 0.1, settings=(2.0, 3.0)),
    ]


def test_a_planted_difference_is_found_over_the_common_support(records):
    (found,) = compare(select(records), "dreambooth", drifts=["noise_l2"])
    assert found.arm.key == "dreambooth_lora"
    assert found.support == (2.0, 3.0) and found.subjects == 3
    result = found.by_score["dino_heldout"]
    assert (result.value, result.low, result.high) == pytest.approx((0.1, 0.1, 0.1))
    assert found.by_score["clip_t"].value == 0.0
    assert found.deviations["dino_heldout"] == pytest.approx(0.0)


def test_the_table_says_the_interval_and_that_it_is_exploratory(records):
    text = table(records, "dreambooth", drifts=["noise_l2"], power=True)
    assert "0.100 [0.100, 0.100]" in text and "2.00–3.00" in text
    assert "Exploratory" in text and "80 % power" in text


def test_curves_that_do_not_overlap_are_said_to(make):
    records = [
        *base(make),
        *arm(make, "dreambooth", 0.0),
        *arm(make, "dreambooth_lora", 0.1, settings=(8.0, 9.0)),
    ]
    (found,) = compare(select(records), "dreambooth", drifts=["noise_l2"])
    assert found.by_score["dino_heldout"] is None and found.support is None
    assert "no overlap" in table(records, "dreambooth", drifts=["noise_l2"])


def test_mistakes_are_one_line(records, make):
    with pytest.raises(ConfigError, match=r"--against dreambooht: unknown .*did you mean 'dreambooth'"):
        table(records, "dreambooht")
    with pytest.raises(ConfigError, match="unknown measure 'noise'"):
        table(records, "dreambooth", drifts=["noise"])
    with pytest.raises(ConfigError, match="unknown format 'csv'"):
        table(records, "dreambooth", format="csv")
    with pytest.raises(ConfigError, match="no row of the method frozen"):
        table(records[3:], "dreambooth")
    two = [*base(make, "ab"), *arm(make, "dreambooth", 0.0, subjects="ab")]
    two += arm(make, "dreambooth_lora", 0.1, subjects="ab")
    with pytest.raises(ConfigError, match=r"2 common subjects .* at least 3 are needed"):
        table(two, "dreambooth")
    with pytest.raises(ConfigError, match="nothing to compare with dreambooth"):
        table([r for r in records if r.trial["method"] != "dreambooth_lora"], "dreambooth")
