"""The best setting is the one with the highest geometric mean, by hand."""

import math

import pytest

from harness.choice import ranked, table
from harness.errors import ConfigError


def tried(make, lr, dino, accuracy, subject="mug_01", method="dreambooth", **more):
    scores = {"dino_heldout": dino, "prompt_accuracy": accuracy}
    return make(method, subject=subject, params={"lr": lr, **more.pop("params", {})}, scores=scores, **more)


def test_merit_is_the_geometric_mean_for_each_subject_then_the_mean(make):
    records = [
        tried(make, 1e-4, 0.5, 0.8), tried(make, 1e-4, 0.1, 0.9, subject="lamp_07"),
        tried(make, 2e-4, 0.6, 0.2), tried(make, 2e-4, -0.1, 1.0, subject="lamp_07"),
    ]  # fmt: skip
    ((first, second),) = ranked(records)
    assert first.row.setting["params.lr"] == 1e-4
    assert first.merit.mean == pytest.approx((math.sqrt(0.4) + math.sqrt(0.09)) / 2)
    assert second.merit.mean == pytest.approx((math.sqrt(0.12) + 0.0) / 2)


def test_prior_penalty_and_bound_are_ranked_apart(make):
    records = [
        tried(make, 1e-4, 0.5, 0.8),
        tried(make, 1e-4, 0.5, 0.7, params={"prior_weight": 1.0}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 5.0}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 50.0}),
        tried(make, 1e-4, 0.5, 0.5, lipschitz={"bound": 5.0}),
        tried(make, 1e-4, 0.5, 0.4, method="dreambooth_lora"),
        make("frozen", scores={"dino_heldout": 1.0, "prompt_accuracy": 1.0}),
    ]
    assert [len(group) for group in ranked(records)] == [1, 1, 2, 1, 1]


def test_the_table_marks_the_best_and_a_measure_must_be_better_when_higher(make):
    records = [tried(make, 1e-4, 0.5, 0.8), tried(make, 2e-4, 0.5, 0.2)]
    lines = table(records).splitlines()
    assert [
        line.count("**") for line in lines if line.startswith("| DreamBooth") or "**DreamBooth" in line
    ] == [10, 0]
    with pytest.raises(ConfigError, match="better when higher"):
        table(records, ["weight_l2"])
    with pytest.raises(ConfigError, match="unknown measure 'dinno'"):
        table(records, ["dinno"])
    with pytest.raises(ConfigError, match="no finished trial"):
        table([make(scores={"dino": 1.0})])
