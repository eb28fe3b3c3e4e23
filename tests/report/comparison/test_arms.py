"""Records as arms: what makes another arm, its matrix over subjects, its curve from the base model's row."""

from __future__ import annotations

import pytest

from harness.report.comparison.arms import arms_of, floor_of, trains_on_outputs
from harness.report.rows import select

PRIOR = {"prior_weight": 1.0}


def tried(make, method="dreambooth", lr=1e-4, *, params=None, **more):
    return make(method, params={"lr": lr, **(params or {})}, **more)


def course(make, lr, numbers, **more):
    """One setting: subject → (drift, score, fidelity)."""
    return [
        make(
            params={"lr": lr},
            subject=subject,
            drift={"noise_l2": drift},
            scores={"prompt_accuracy": score, "dino_heldout": fidelity},
            **more,
        )
        for subject, (drift, score, fidelity) in numbers.items()
    ]


@pytest.fixture
def two(make):
    """Two settings of one arm; the second has a third subject."""
    return [
        *course(make, 1e-4, {"a": (1.0, 0.8, 0.3), "b": (3.0, 0.6, 0.5)}),
        *course(make, 2e-4, {"a": (2.0, 0.5, 0.7), "b": (4.0, 0.3, 0.9), "c": (9.0, 0.1, 0.9)}),
    ]


def floor(make, method="frozen", score=0.9, **more):
    return [make(method, subject=s, scores={"prompt_accuracy": score}, **more) for s in "abc"]


def test_settings_gather_while_prior_constraint_shots_data_and_backbone_part(make):
    records = [
        tried(make, lr=1e-4),
        tried(make, lr=2e-4),
        tried(make, lr=2e-4, params={"prior_weight": 0.0}),
        tried(make, params=PRIOR),
        tried(make, lipschitz={"penalty": 5.0}),
        tried(make, lipschitz={"penalty": 50.0}),
        tried(make, params=PRIOR, lipschitz={"bound": 1.0}),
        tried(make, shots=1),
        tried(make, backbone="other"),
        tried(make, method="custom_diffusion"),
        *floor(make),
    ]
    arms = arms_of(select(records))
    assert sorted((arm.key, arm.name, len(arm.rows), arm.group[1:]) for arm in arms) == sorted(
        [
            ("dreambooth", "DreamBooth", 1, ("other", 5)),
            ("dreambooth", "DreamBooth", 1, ("toybox-sd", 1)),
            ("dreambooth", "DreamBooth", 3, ("toybox-sd", 5)),
            ("dreambooth+prior", "DreamBooth, class images", 1, ("toybox-sd", 5)),
            ("dreambooth+penalty", "DreamBooth + Lipschitz λ", 2, ("toybox-sd", 5)),
            ("dreambooth+bound+prior", "DreamBooth + Lipschitz bound, class images", 1, ("toybox-sd", 5)),
            ("custom_diffusion", "Custom Diffusion", 1, ("toybox-sd", 5)),
        ]
    )
    rows = select(records).of("method")
    assert [arm.rows[0] for arm in arms] == sorted((arm.rows[0] for arm in arms), key=rows.index)


@pytest.mark.parametrize(
    ("more", "key", "name"),
    [
        (
            {"lipschitz": {"penalty": 1.0, "norm": "activation"}},
            "dreambooth+penalty:activation",
            "DreamBooth + Lipschitz λ, activation †",
        ),
        (
            {"params": PRIOR | {"prior_prompts": "bank"}},
            "dreambooth+bank",
            "DreamBooth, bank images",
        ),
        (
            {"lipschitz": {"penalty": 1.0, "norm": "sum", "on": "entries"}},
            "dreambooth+penalty:sum:on-A:B",
            "DreamBooth + Lipschitz λ, sum, on A, B",
        ),
    ],
)
def test_another_scale_of_a_constraint_and_another_source_of_images_are_arms_of_their_own(
    make, more, key, name
):
    records = [tried(make, lipschitz={"penalty": 1.0}), tried(make, params=PRIOR), tried(make, **more)]
    arms = {arm.key: arm.name for arm in arms_of(select(records))}
    assert len(arms) == 3 and arms[key] == name


def test_subjects_are_those_that_every_setting_has_for_every_measure(make, two):
    (arm,) = arms_of(select(two))
    assert arm.subjects(["noise_l2", "prompt_accuracy"]) == {"a", "b"}
    assert arm.subjects(["noise_l2", "pres"]) == set()
    assert arm.subjects([]) == set()


def test_a_matrix_has_a_line_for_each_setting_and_a_column_for_each_subject(make, two):
    (arm,) = arms_of(select(two))
    assert arm.matrix("noise_l2", ["b", "a"]).tolist() == [[3.0, 1.0], [4.0, 2.0]]


@pytest.mark.parametrize(("base", "rising"), [(0.9, False), (0.5, True), (0.56, False)])
def test_a_curve_starts_at_the_base_model_and_rises_where_settings_lie_no_lower(make, two, base, rising):
    """Accuracy of the settings over a and b: .8, .6, .5, .3, mean .55."""
    selection = select([*two, *floor(make, score=base)])
    (arm,) = arms_of(selection)
    row = floor_of(selection, arm)
    curve = arm.settings("noise_l2", "prompt_accuracy", row, ["a", "b"], fidelity="dino_heldout")
    assert curve.drift.tolist() == [[1.0, 3.0], [2.0, 4.0]]
    assert curve.score.tolist() == [[0.8, 0.6], [0.5, 0.3]]
    assert curve.fidelity.tolist() == [[0.3, 0.5], [0.7, 0.9]]
    assert curve.floor.tolist() == [base, base]
    assert curve.rising is rising


def test_a_curve_of_settings_at_the_base_model_s_score_rises(make):
    selection = select([*course(make, 1e-4, {"a": (1.0, 0.5, 0.3)}), *floor(make, score=0.5)])
    (arm,) = arms_of(selection)
    assert arm.settings(
        "noise_l2", "prompt_accuracy", floor_of(selection, arm), ["a"], fidelity="dino_heldout"
    ).rising


def test_the_floor_is_the_base_model_on_the_arm_s_data_and_backbone(make, two):
    others = [*floor(make, "frozen_oracle"), *floor(make, backbone="other"), *floor(make, dataset="folder")]
    selection = select([*two, *others])
    (arm,) = arms_of(selection)
    assert floor_of(selection, arm) is None
    with_floor = select([*two, *others, *floor(make)])
    (arm,) = arms_of(with_floor)
    found = floor_of(with_floor, arm)
    assert (found.method, found.comparison_group[:2]) == ("frozen", ("toybox", "toybox-sd"))


def test_an_arm_s_name_leaves_out_what_its_settings_differ_in(make):
    records = [tried(make, lr=lr, lipschitz={"penalty": 5.0}) for lr in (1e-4, 2e-4)]
    titled = [
        record.model_copy(update={"trial": record.trial | {"title": f"DreamBooth (lr={n}, λ=5) (b)"}})
        for n, record in enumerate(records)
    ]
    assert [arm.name for arm in arms_of(select(titled))] == ["DreamBooth + Lipschitz λ"]


def read(record, kind, value, **more):
    readout = {"kind": kind, "value": value, **more}
    return record.model_copy(update={"trial": record.trial | {"readout": readout}})


def test_readouts_are_paths_of_their_own_that_end_where_the_fit_ends(make):
    """Another fit, of which nothing was read out on the way, is on neither path."""
    end, other = (tried(make, lr=lr, params={"steps": 100}) for lr in (1e-4, 2e-4))
    turned = dict(reversed(end.trial["params"].items()))
    turned = end.model_copy(update={"trial": end.trial | {"params": turned}})
    along = [("scale", 0.25, {}), ("scale", 0.5, {}), ("budget", 3.0, {"measure": "noise_l2"})]
    records = [end, other, read(end, "steps", 50), *(read(turned, *of, **more) for *of, more in along)]
    found = {
        (arm.key, arm.name): [row.setting.get("readout.value") for row in arm.rows]
        for arm in arms_of(select(records))
    }
    assert found == {
        ("dreambooth", "DreamBooth"): [None, None],
        ("dreambooth@steps", "DreamBooth, along its course"): [50, None],
        ("dreambooth@scale", "DreamBooth, along α"): [0.25, 0.5, 3.0, None],
    }
    merged = read(turned, "merge", 3.0, measure="noise_l2")
    keys = {arm.key: arm.name for arm in arms_of(select([end, merged]))}
    assert keys["dreambooth@merge"] == "DreamBooth, merged by block"
    held = read(tried(make, lipschitz={"penalty": 5.0}), "scale", 0.5)
    (arm,) = arms_of(select([held]))
    assert (arm.key, arm.name) == ("dreambooth+penalty@scale", "DreamBooth + Lipschitz λ, along α")


def test_with_a_score_on_the_axis_a_curve_begins_at_the_base_model_s(make, two):
    base = floor(make, score=0.9)
    for record, fidelity in zip(base, (0.1, 0.2, 0.4), strict=True):
        record.scores["dino_heldout"] = fidelity
    selection = select([*two, *base])
    (arm,) = arms_of(selection)

    def start(drift, row=None):
        row = row or floor_of(selection, arm)
        return arm.settings(drift, "prompt_accuracy", row, ["b", "a"], fidelity="dino_heldout").start

    assert start("dino_heldout").tolist() == [0.2, 0.1]
    assert start("noise_l2") is None
    moved = select(
        [make("frozen", subject=s, scores={"prompt_accuracy": 0.9}, drift={"noise_l2": 0.5}) for s in "ab"]
    )
    assert start("noise_l2", *moved.rows) is None
    assert start("dino_heldout", *moved.rows) is None


def test_of_several_base_models_the_one_sampled_as_the_arm_is_its_floor(make, two):
    def at(record, guidance):
        sampling = record.trial["sampling"] | {"guidance": guidance}
        return record.model_copy(update={"trial": record.trial | {"sampling": sampling}})

    bases = [at(record, guidance) for guidance in (2.0, 5.0, 7.5) for record in floor(make)]
    selection = select([*[at(record, 7.5) for record in two], *bases])
    (arm,) = arms_of(selection)
    assert floor_of(selection, arm).setting["sampling.guidance"] == 7.5
    without = select([*[at(record, 1.0) for record in two], *bases])
    (arm,) = arms_of(without)
    assert floor_of(without, arm).setting["sampling.guidance"] == 2.0


def test_methods_and_constraints_that_learn_distances_of_outputs_are_marked(make):
    records = [
        make(),
        make("output_preservation"),
        make(lipschitz={"penalty": 1.0, "norm": "activation"}),
        make(lipschitz={"penalty": 1.0}),
    ]
    marked = [trains_on_outputs(row) for record in records for row in select([record]).rows]
    assert marked == [False, True, True, False]
