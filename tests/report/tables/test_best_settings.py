"""Settings are ranked by their geometric mean; the shortest that is as good as the best is taken. By hand."""

import math
import re

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


def test_a_setting_tried_on_fewer_subjects_comes_last_and_is_not_taken(make):
    (group,) = ranked([*course(make, 300, 0.5, 0.5), *course(make, 100, 0.9), *course(make, 200, 0.4, 0.4)])
    assert [each.steps for each in group] == [300, 200, 100]
    assert chosen(group).steps == 300


def test_penalties_in_different_metrics_and_images_of_different_sources_are_ranked_apart(make):
    records = [
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 5.0}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 5.0, "norm": "activation"}),
        tried(make, 1e-4, 0.5, 0.6, lipschitz={"penalty": 5.0, "norm": "fisher"}),
        tried(make, 1e-4, 0.5, 0.7, params={"prior_weight": 1.0}),
        tried(make, 1e-4, 0.5, 0.7, params={"prior_weight": 1.0, "prior_prompts": "bank"}),
    ]
    assert [len(group) for group in ranked(records)] == [1] * 5


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
    with pytest.raises(ConfigError, match=r"^--measure: .*unknown measure 'dinno'"):
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


LINES = [
    "Merit: the geometric mean of DINO held out and Prompt accuracy for each subject; mean ± s.e. over n.",
    "| Method | n | Merit ↑ | DINO held out ↑ | Prompt accuracy ↑ |",
    "| - | -: | -: | -: | -: |",
    "| *5 shots: 3 settings* | | | | |",
    "| DreamBooth (steps=300) | 2 | 0.800 ± 0.100 | 0.650 ± 0.160 | 1.000 ± 0.000 |",
    "| **DreamBooth (steps=100)** | **2** | **0.750 ± 0.050** | **0.565 ± 0.075** | **1.000 ± 0.000** |",
    "| DreamBooth (steps=50) | 2 | 0.250 ± 0.050 | 0.065 ± 0.025 | 1.000 ± 0.000 |",
]


@pytest.mark.parametrize(
    ("paired", "rival"),
    [(True, "its paired difference to the best setting of"), (False, "the best setting of")],
)
def test_the_whole_table_by_hand(make, paired, rival):
    records = [*course(make, 300, 0.81, 0.49), *course(make, 100, 0.64, 0.49), *course(make, 50, 0.04, 0.09)]
    written = table(records, MERITS["accuracy"], paired=paired).splitlines()
    lines = [re.sub(r"-+", "-", re.sub(r" +", " ", line)) for line in written if line]
    assert lines == [
        *LINES,
        f"- Bold: the fewest steps within one standard error of {rival} the same method.",
        "- Settings are chosen on other subjects than methods are compared on.",
    ]


def test_what_is_not_said_is_taken_from_the_data_and_paired(make):
    records = [*course(make, 300, 0.81, 0.49), *course(make, 100, 0.64, 0.49)]
    folder = [record.model_copy(update={"trial": record.trial | {"dataset": "folder"}}) for record in records]
    assert table(folder) == table(folder, MERITS["accuracy"], paired=True, format="markdown")
    assert r"\textbf" in table(folder, format="tex")
    with pytest.raises(ConfigError, match="unknown format 'latex'"):
        table(folder, format="latex")
    assert len(best_settings.ranked(folder)) == 1


def test_nothing_is_known_of_no_records_and_toybox_needs_all_of_them():
    assert default_measures([]) == MERITS["accuracy"] == ("dino_heldout", "prompt_accuracy")


def test_records_of_other_data_beside_toybox_are_weighed_as_other_data(make):
    assert default_measures([make(), make(dataset="folder")]) == MERITS["accuracy"]


def test_a_setting_without_a_subject_of_the_best_is_not_as_good(make):
    best = course(make, 300, 0.81, 0.49)
    other = tried(make, 1e-4, 0.3, 1.0, subject="cat", params={"steps": 10})
    (group,) = ranked([*best, other])
    assert chosen(group).steps == 300


def test_unpaired_a_single_subject_has_no_spread(make):
    (alone,) = ranked([*course(make, 300, 0.5), *course(make, 100, 0.49)])
    assert chosen(alone, paired=False).steps == 300
    (equal,) = ranked([*course(make, 300, 0.5), *course(make, 100, 0.5)])
    assert chosen(equal, paired=False).steps == chosen(equal).steps == 100


def test_only_subjects_that_have_all_measures_count(make):
    records = [
        tried(make, 1e-4, 0.5, 0.8),
        make(subject="cat", params={"lr": 1e-4}, scores={"dino_heldout": 0.9}),
        make(subject="dog", params={"lr": 1e-4}, scores={"prompt_accuracy": 0.9}),
    ]
    ((candidate,),) = ranked(records)
    assert list(candidate.merit.by_subject) == ["mug_01"]
    assert candidate.cells[0].by_subject == {"cat": 0.9, "mug_01": 0.5}


def test_seeds_are_averaged_and_subjects_stand_by_name(make):
    records = [
        tried(make, 1e-4, value, 1.0, subject=subject, seed=seed)
        for subject, values in (("b", (0.2, 0.6)), ("a", (0.1, 0.3)))
        for seed, value in enumerate(values)
    ]
    ((candidate,),) = ranked(records)
    assert candidate.cells[0].by_subject == pytest.approx({"a": 0.2, "b": 0.4})
    assert list(candidate.cells[0].by_subject) == list(candidate.merit.by_subject) == ["a", "b"]
    assert candidate.merit.by_subject == pytest.approx({"a": math.sqrt(0.2), "b": math.sqrt(0.4)})


def searched(records, *studies):
    """The records, each of a study or of none."""
    marks = [None if study is None else {"study": study} for study in studies]
    return [each.model_copy(update={"search": mark}) for each, mark in zip(records, marks, strict=True)]


def test_each_study_of_a_search_is_ranked_apart(make):
    """Two studies may search one method over other ranges: what stood beside them is of neither."""
    records = [tried(make, lr, 0.5, 0.8) for lr in (1e-4, 2e-4, 3e-4)]
    assert [len(group) for group in ranked(searched(records, "narrow", "wide", None))] == [1, 1, 1]
    assert [len(group) for group in ranked(searched(records, "narrow", "wide", "wide"))] == [1, 2]


def test_a_setting_beside_the_only_search_of_its_method_is_weighed_with_it(make):
    records = [
        tried(make, 1e-4, 0.5, 0.8),
        tried(make, 2e-4, 0.5, 0.7),
        tried(make, 3e-4, 0.5, 0.6, lipschitz={"penalty": 5.0}),
        tried(make, 3e-4, 0.5, 0.6, params={"prior_weight": 0.1}),
    ]
    assert [len(group) for group in ranked(searched(records, "plain", None, None, None))] == [2, 1, 1]
    assert [len(group) for group in ranked(searched(records, "any", None, None, "any"))] == [3, 1]


def test_a_checkpoint_is_its_course_however_the_hyperparameters_are_ordered(make):
    end = tried(make, 1e-4, 0.5, 1.0, params={"steps": 100})
    early = {"params": {"steps": 300, "lr": 1e-4}, "readout": {"kind": "steps", "value": 100}}
    checkpoint = end.model_copy(update={"trial": end.trial | early})
    ((candidate,),) = ranked([end, checkpoint])
    assert candidate.steps == 100


def test_the_table_marks_what_its_rule_takes(make):
    # Behind the best, .9 and .7, by .05 and .05: worse in pairs, within one standard error of .8 otherwise.
    records = [*course(make, 300, 0.9**2, 0.7**2), *course(make, 200, 0.85**2, 0.65**2)]

    def marked(**rule):
        lines = table(records, MERITS["accuracy"], **rule).splitlines()
        return [line.split("**")[1] for line in lines if line.startswith("| **")]

    assert marked() == marked(paired=True) == ["DreamBooth (steps=300)"]
    assert marked(paired=False) == ["DreamBooth (steps=200)"]


def test_a_table_of_toybox_is_weighed_by_composition(make):
    scores = {
        "dino_context": 0.5,
        "prompt_accuracy_accessory": 0.9,
        "dino_heldout": 0.1,
        "prompt_accuracy": 0.2,
    }
    records = [make(scores=scores)]
    assert table(records) == table(records, MERITS["composition"]) != table(records, MERITS["accuracy"])


def test_what_the_base_model_has_for_nothing_is_no_merit(make):
    """By toybox-dino:2 it has .3 of 1: .65 is half of what can be gained, .2 is nothing."""
    scores = {"dino_context": 0.65, "prompt_accuracy_accessory": 0.5}
    encoders = {"dino_context": "toybox-dino:2 (toybox:1), v1"}
    half = make(scores=scores, encoders=encoders)
    none = make(subject="lamp_07", scores=scores | {"dino_context": 0.2}, encoders=encoders)
    (((candidate,),)) = best_settings.ranked([half, none])
    assert candidate.merit.by_subject == pytest.approx({"mug_01": 0.5, "lamp_07": 0.0})
    assert candidate.cells[0].by_subject == {"mug_01": 0.65, "lamp_07": 0.2}
    assert "DINO in context counts from 0.3: the base model has that for nothing" in table([half, none])
    photos = make("real", scores={"dino": 1.0}, encoders={"dino": "toybox-dino:2 (toybox:1), v1"})
    assert "for nothing" in table([half, none, photos])
    first = make(scores=scores, encoders={"dino_context": "toybox-dino (toybox:1), v1"})
    ((before,),) = best_settings.ranked([first])
    assert before.merit.mean == pytest.approx(math.sqrt(0.65 * 0.5))
    assert "for nothing" not in table([first])
