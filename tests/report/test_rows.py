"""Records → rows: averaging order, which record counts, order and names of rows, conditions."""

import random

import pytest

from harness.config.titles import title
from harness.errors import ConfigError
from harness.report.rows import select


def test_seeds_are_averaged_within_a_subject_before_subjects(make):
    records = [
        make(subject="mug", seed=0, scores={"dino": 0.2}),
        make(subject="mug", seed=1, scores={"dino": 0.4}),
        make(subject="cat", seed=0, scores={"dino": 0.9}),
    ]
    (row,) = select(records).rows
    # mug (.2 + .4) / 2 = .3, cat .9: mean .6; averaging all three at once would give .5
    assert row.cells["dino"].by_subject == {"mug": pytest.approx(0.3), "cat": 0.9}
    assert row.cells["dino"].mean == pytest.approx(0.6)
    assert row.cells["dino"].error == pytest.approx(0.3)  # |.9 − .3| / 2
    assert row.cells["dino"].n == row.subjects == 2


def test_only_the_last_record_of_a_key_counts(make):
    first, second = make(scores={"dino": 0.1}), make(scores={"dino": 0.7})
    assert first.key == second.key
    assert select([first, second]).rows[0].cells["dino"].mean == 0.7


def test_a_newer_version_of_a_trial_replaces_the_older_key(make):
    older, newer = make(scores={"dino": 0.1}, version=1), make(scores={"dino": 0.7}, version=2)
    assert older.key != newer.key
    selection = select([older, newer])
    assert selection.rows[0].cells["dino"].by_subject == {"mug_01": 0.7}
    assert selection.records == (newer,)


def test_an_older_key_that_was_redone_counts_again(make):
    older, newer = make(scores={"dino": 0.1}, version=1), make(scores={"dino": 0.7}, version=2)
    again = older.model_copy(update={"scores": {"dino": 0.3}})
    assert select([older, newer, again]).records == (again,)


def test_a_retry_that_succeeds_is_no_failure(make):
    failed, done = make(status="failed", error="NaN"), make(scores={"dino": 0.5})
    assert select([failed, done]).failed == ()
    assert select([done, failed]).rows == ()


def test_empty_numbers_are_no_subjects(make):
    records = [make(subject="mug", scores={"dino": None}), make(subject="cat", scores={"dino": 0.5})]
    (row,) = select(records).rows
    assert (row.cells["dino"].n, row.subjects) == (1, 2)
    assert row.cells["dino"].error is None


def test_rows_stand_in_one_order_however_records_come(experiment):
    shuffled = random.Random(4).sample(experiment, len(experiment))
    assert [r.title for r in select(shuffled).rows] == [r.title for r in select(experiment).rows]


def test_rows_go_from_floor_to_ceiling_and_from_loose_to_tight(experiment):
    rows = select(experiment, ["shots=5", "method=dreambooth"]).rows
    assert [row.title for row in rows] == [
        "Frozen",
        "Frozen, described in words",
        "DreamBooth (prior_weight=0)",
        "DreamBooth + Lipschitz λ=0",
        *(
            f"DreamBooth + Lipschitz λ={penalty} (P&P, the paper's method)"
            for penalty in ("5", "50", "500", "5000", "50000", "500000")
        ),
        *(f"DreamBooth + Lipschitz ‖Δθ‖≤{bound}" for bound in ("3", "2", "1.2", "0.7", "0.3", "0.1")),
        "DreamBooth (prior_weight=1)",
        "Real photos",
        "Real photos, autoencoded",
    ]


@pytest.mark.parametrize(
    ("method", "constraint", "params", "name"),
    [
        ("dreambooth", None, {}, "DreamBooth"),
        ("dreambooth", {"penalty": 500.0}, {}, "DreamBooth + Lipschitz λ=500 (P&P, the paper's method)"),
        ("dreambooth", {"penalty": 0.0}, {}, "DreamBooth + Lipschitz λ=0"),
        ("dreambooth", {"penalty": 500.0}, {"prior_weight": 1.0}, "DreamBooth + Lipschitz λ=500"),
        ("dreambooth", {"penalty": 1e-4, "norm": "sum"}, {}, "DreamBooth + Lipschitz λ=0.0001 (sum)"),
        ("dreambooth", {"bound": 0.01, "relative": True}, {}, "DreamBooth + Lipschitz ‖Δθ‖≤0.01·‖θ0‖"),
        (
            "dreambooth_lora",
            {"penalty": 1e-7, "norm": "sum", "on": "entries"},
            {},
            "DreamBooth-LoRA + Lipschitz λ=1e-07 (sum), on A, B",
        ),
    ],
)
def test_the_constraint_is_in_the_title(make, method, constraint, params, name):
    assert title(make(method, lipschitz=constraint, params=params).trial) == name


def test_a_changed_title_does_not_split_a_row(make):
    older = make(subject="mug", scores={"dino": 0.5})
    newer = make(subject="cat", scores={"dino": 0.7})
    newer = newer.model_copy(update={"trial": newer.trial | {"title": "DreamBooth (prior_weight=0)"}})
    (row,) = select([older, newer]).rows
    assert row.subjects == 2


def test_parameters_that_vary_stay_in_the_name(make):
    trial = make(lipschitz={"penalty": 50.0}).trial | {"title": "DreamBooth (lr=0.001, λ=50)"}
    assert title(trial) == "DreamBooth (lr=0.001) + Lipschitz λ=50 (P&P, the paper's method)"
    assert title(trial | {"lipschitz": None}) == "DreamBooth (lr=0.001, λ=50)"


def test_rows_that_share_a_title_say_what_differs(make):
    records = [
        make(params={"steps": steps, "lr": 1e-5}, scores={"dino": 0.5}, subject=subject)
        for steps in (200, 50)
        for subject in ("mug", "cat")
    ]
    assert [row.title for row in select(records).rows] == ["DreamBooth (steps=50)", "DreamBooth (steps=200)"]


def test_floors_and_ceilings_stand_beside_every_selection(experiment):
    for condition in ("shots=1", "method=custom_diffusion", "penalty=500", "bound=0.7"):
        rows = select(experiment, [condition]).rows
        assert [row.role for row in rows if row.role != "method"] == ["floor"] * 2 + ["ceiling"] * 2
        assert any(row.role == "method" for row in rows)


def test_conditions_hold_together_and_values_widen(experiment):
    selection = select(experiment, ["shots=1,3", "method=dreambooth", "subject=mug_03"])
    assert {(r.method, r.shots) for r in selection.of("method")} == {("dreambooth", 1), ("dreambooth", 3)}
    assert all(row.subjects == 1 for row in selection.rows)


@pytest.mark.parametrize(
    "title",
    [
        "DreamBooth + Lipschitz λ=500 (P&P, the paper's method)",
        "DreamBooth (prior_weight=1)",
        "Custom Diffusion",
    ],
)
def test_a_title_is_what_the_column_of_methods_shows(experiment, title):
    assert {row.title for row in select(experiment).rows} >= {title}
    rows = select(experiment, [f"title={title}"]).of("method")
    shown = {row.shots for row in select(experiment).rows if row.title == title}
    assert {row.shots for row in rows} == shown
    assert len({row.label for row in rows}) == 1
    assert len(rows) == len(shown)


def test_several_titles_and_a_shared_one_widen(experiment):
    rows = select(experiment, ["title=Custom Diffusion,DreamBooth-LoRA", "shots=1"]).of("method")
    assert [row.title for row in rows] == ["DreamBooth-LoRA", "Custom Diffusion"]
    assert len(select(experiment, ["title=DreamBooth", "shots=1"]).of("method")) == 2


def test_numbers_in_conditions_may_be_written_in_any_way(experiment):
    assert select(experiment, ["penalty=5e3"]).rows == select(experiment, ["penalty=5000.0"]).rows


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("shot=5", "unknown key 'shot'; did you mean 'shots'? known: backbone, bound"),
        ("shots=7", "unknown shots '7'; known: 0, 1, 3, 5"),
        ("method=dreambooht", "did you mean 'dreambooth'?"),
        ("title=Custom Difusion", "unknown title 'Custom Difusion'; did you mean 'Custom Diffusion'?"),
        ("shots", "key=value"),
        ("shots=", "key=value"),
    ],
)
def test_a_wrong_condition_names_the_alternatives(experiment, condition, message):
    with pytest.raises(ConfigError) as error:
        select(experiment, [condition])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_all_shots_make_one_row_whatever_their_number(make):
    records = [
        make(subject=f"mug_0{count}", shots=count, all_shots=True, scores={"dino": 0.1 * count})
        for count in (4, 5, 6)
    ]
    records += [make(subject=f"mug_0{count}", shots=3, scores={"dino": 0.3}) for count in (4, 5, 6)]
    three, every = select(records).rows
    assert (three.shots_in_words, every.shots_in_words) == ("3 shots", "all shots (4 to 6)")
    assert every.cells["dino"].mean == pytest.approx(0.5)
    assert every.subjects == three.subjects == 3
    assert [row.shots_in_words for row in select(records, ["shots=all"]).rows] == ["all shots (4 to 6)"]
