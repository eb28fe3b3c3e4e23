"""Settings are ranked by their geometric mean; the shortest that is as good as the best is taken. By hand."""

import math

import pytest

from harness.errors import ConfigError
from harness.report.tables import best_settings
from harness.report.tables.best_settings import MERITS, chosen, default_measures, table


def ranked(records):
    return best_settings.ranked(records, MERITS["accuracy"])


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


def test_prior_penalty_bound_and_shots_are_ranked_apart(make):
    records = [
        tried(make, 1e-4, 0.5, 0.8),
        tried(make, 1e-4, 0.5, 0.7, params={"prior_weight": 1.0}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 5.0}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 50.0}),
        tried(make, 1e-4, 0.5, 0.5, lipschitz={"bound": 5.0}),
        tried(make, 1e-4, 0.5, 0.4, method="dreambooth_lora"),
        tried(make, 1e-4, 0.5, 0.4, shots=1),
        make("frozen", scores={"dino_heldout": 1.0, "prompt_accuracy": 1.0}),
    ]
    assert [len(group) for group in ranked(records)] == [1, 1, 1, 2, 1, 1]


def course(make, steps, *squares):
    """One setting of so many steps, whose merit for each subject is the square root of the given number."""
    return [
        tried(make, 1e-4, square, 1.0, subject=f"mug_0{i}", params={"steps": steps})
        for i, square in enumerate(squares)
    ]


def test_the_shortest_course_within_one_standard_error_of_its_difference_to_the_best_is_taken(make):
    # Merits of two subjects, the best .9 and .7. Behind it: 200 steps .05 and .05, hence worse;
    # 100 steps .16 and −.04, .06 ± .10; 50 steps .3 and .04, .17 ± .13, hence worse.
    (group,) = ranked(
        [
            *course(make, 300, 0.9**2, 0.7**2),
            *course(make, 200, 0.85**2, 0.65**2),
            *course(make, 100, 0.74**2, 0.74**2),
            *course(make, 50, 0.6**2, 0.66**2),
        ]
    )
    assert chosen(group).steps == 100
    assert chosen(group[:2]).steps == 300
    assert chosen(group[:2], paired=False).steps == 200


def test_unpaired_the_shortest_course_within_one_standard_error_of_the_best_is_taken(make):
    # Merits .8 ± .1 (.9 and .7), so .7 and more is as good: 100 steps have .71, 50 steps .69, 200 steps .75.
    (group,) = ranked(
        [
            *course(make, 300, 0.81, 0.49),
            *course(make, 200, 0.5625, 0.5625),
            *course(make, 100, 0.5041, 0.5041),
            *course(make, 50, 0.4761, 0.4761),
        ]
    )
    assert group[0].steps == 300
    assert group[0].merit.error == pytest.approx(0.1)
    assert chosen(group, paired=False).steps == 100


def test_of_equally_short_courses_the_better_is_taken_and_one_without_steps_is_the_longest(make):
    (group,) = ranked([tried(make, 1e-4, 0.5, 0.8), tried(make, 2e-4, 0.5, 0.7)])
    assert chosen(group) is group[0]
    assert group[0].steps == math.inf
    (alone,) = ranked([*course(make, 300, 0.5), *course(make, 100, 0.49)])
    assert chosen(alone).steps == 300


def test_the_table_marks_the_chosen_and_a_measure_must_be_better_when_higher(make):
    records = [tried(make, 1e-4, 0.5, 0.8), tried(make, 2e-4, 0.5, 0.2)]
    lines = table(records, MERITS["accuracy"]).splitlines()
    assert [
        line.count("**") for line in lines if line.startswith("| DreamBooth") or "**DreamBooth" in line
    ] == [10, 0]
    with pytest.raises(ConfigError, match="better when higher"):
        table(records, ["weight_l2"])
    with pytest.raises(ConfigError, match="unknown measure 'dinno'"):
        table(records, ["dinno"])
    with pytest.raises(ConfigError, match="no finished trial"):
        table([make(scores={"dino": 1.0})])


def by_prompt(fidelity, accessory, colour):
    return {
        "dino_heldout": fidelity,
        "prompt_accuracy": [1.0] * len(fidelity),
        "prompt_accuracy_accessory": accessory,
        "prompt_accuracy_colour": colour,
    }


def test_on_toybox_the_merit_is_of_context_and_accessories_also_in_records_of_before(make):
    values = by_prompt([0.4, 0.8, 0.1], [None, 1.0, None], [None, None, 1.0])
    before = make(scores={"dino_heldout": 1.3 / 3, "prompt_accuracy_accessory": 1.0}, by_prompt=values)
    now = make(
        subject="lamp_07",
        scores={"dino_context": 0.25, "prompt_accuracy_accessory": 1.0},
        by_prompt=values,
    )
    assert default_measures([before]) == ("dino_context", "prompt_accuracy_accessory")
    (((candidate,)),) = best_settings.ranked([before, now])
    assert candidate.merit.by_subject == pytest.approx({"mug_01": math.sqrt(0.6), "lamp_07": 0.5})


def test_without_prompts_of_known_kind_nothing_is_recovered(make):
    unknown = {"dino_heldout": [0.4, 0.8]}
    lone = make(scores={"dino_heldout": 0.6, "prompt_accuracy_accessory": 1.0}, by_prompt=unknown)
    assert best_settings.ranked([lone]) == []
    no_colour = {"dino_heldout": [0.4, 0.8], "prompt_accuracy": [1.0, 1.0]}
    told = make(scores={"dino_heldout": 0.6, "prompt_accuracy_accessory": 1.0}, by_prompt=no_colour)
    (((candidate,)),) = best_settings.ranked([told])
    assert candidate.merit.mean == pytest.approx(math.sqrt(0.6))


def test_other_data_keep_their_merit(make):
    assert default_measures([make(dataset="dreambench")]) == ("dino_heldout", "prompt_accuracy")
