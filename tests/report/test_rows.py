"""Records → rows: averaging order, which record counts, order and names of rows, conditions."""

import random

import pytest

from harness.config.titles import title
from harness.errors import ConfigError
from harness.report.rows import COLUMNS, select
from harness.report.values import outdated, values
from harness.specs import READOUTS


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


def test_a_row_says_how_strong_each_constraint_is(make):
    held, free = select([make(lipschitz={"penalty": 50.0}), make()]).of("method")[::-1]
    assert (held.strength("penalty"), held.strength("bound")) == (50.0, None)
    assert free.strength("penalty") is None


def test_the_sizes_of_a_drift_are_said_where_all_are_recorded(make):
    def row(**sizes):
        record = make(drift={"noise_l2": 1.0})
        (found,) = select([record.model_copy(update={"trial": record.trial | {"drift": sizes}})]).rows
        return found

    whole = row(prompts=32, timesteps=8, images=128)
    assert whole.sizes(COLUMNS["noise_l2"]) == "32 prior prompts × 8 timesteps"
    assert whole.sizes(COLUMNS["kid"]) == "128 prior pictures"
    assert whole.sizes(COLUMNS["dino"]) is None
    for missing in (
        {"timesteps": 8, "images": 128},
        {"prompts": 32, "images": 128},
        {"prompts": 32, "timesteps": 8},
    ):
        assert row(**missing).sizes(COLUMNS["noise_l2"]) is None


def test_every_number_of_a_record_has_its_column(make):
    record = make(scores={"dino": 0.5}, drift={"noise_l2": 2.0}, seconds={"fit": 3.0, "score": 1.0})
    numbers = values(record.model_copy(update={"peak_memory_bytes": 3 * 1024 * 1024}))
    assert numbers == {
        "dino": 0.5,
        "noise_l2": 2.0,
        "seconds_fit": 3.0,
        "seconds_score": 1.0,
        "peak_memory": 3.0,
    }
    assert values(record)["peak_memory"] is None


@pytest.mark.parametrize(
    ("name", "named", "found"),
    [
        ("kid", "toybox-dino (toybox:1), v2", 2),
        ("kid", "toybox-dino (toybox:1), v3", None),
        ("kid", "toybox-dino (toybox:1), v12", 12),
        ("kid", "toybox-dino, v2, and more", None),
        ("kid", "toybox-dino", None),
        ("kid", None, None),
        ("no_measure", "toybox-dino, v2", None),
    ],
)
def test_a_number_of_an_older_version_of_its_measure_is_no_value(make, name, named, found):
    record = make(drift={name: 0.3})
    record = record.model_copy(update={"provenance": {"encoders": {name: named}}})
    assert outdated(record, name) == found
    assert values(record)[name] == (None if found else 0.3)
    assert outdated(record.model_copy(update={"provenance": {}}), name) is None
    assert outdated(record.model_copy(update={"provenance": {"encoders": None}}), name) is None


def test_measures_and_subjects_stand_in_the_order_of_their_names(make):
    records = [make(subject=s, scores={"pres": 0.1, "dino": 0.2, "clip_t": 0.3}) for s in ("b", "c", "a")]
    (row,) = select(records).rows
    assert list(row.cells) == ["clip_t", "dino", "pres"]
    assert list(row.cells["dino"].by_subject) == ["a", "b", "c"]


def test_records_and_failures_are_chosen_by_their_state_and_stand_in_order(make):
    records = [make(subject=s, seed=seed, scores={"dino": 0.5}) for s in ("b", "a") for seed in (1, 0)]
    failed = [make(subject=s, shots=1, status="failed", error="NaN") for s in ("d", "c")]
    running = make(subject="z").model_copy(update={"status": "interrupted"})
    selection = select([running, *failed, *records])
    assert [(r.trial["subject"], r.trial["seed"]) for r in selection.records] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
    ]
    assert [r.trial["subject"] for r in selection.failed] == ["c", "d"]
    assert select(records).rows == select(records, []).rows


def test_seeds_and_shots_make_other_trials_and_versions_do_not(make):
    records = [
        make(scores={"dino": 0.1}),
        make(scores={"dino": 0.3}, seed=1),
        make(scores={"dino": 0.9}, shots=1),
    ]
    one, five = select(records).rows
    assert (one.shots, one.cells["dino"].mean) == (1, 0.9)
    assert (five.shots, five.cells["dino"].mean) == (5, pytest.approx(0.2))


def test_a_row_is_named_after_what_was_tried(make):
    (row,) = select([make("custom_diffusion", lipschitz={"bound": 2.0}, shots=3, scores={"dino": 0.1})]).rows
    assert (row.role, row.method, row.shots, row.all_shots) == ("method", "custom_diffusion", 3, False)
    assert row.title == "Custom Diffusion + Lipschitz ‖Δθ‖≤2" and row.label == "Custom Diffusion"
    assert row.setting["lipschitz.bound"] == 2.0
    assert len(row.records) == 1


def test_all_shots_stand_behind_the_numbers_and_take_the_largest(make):
    many = [make(subject=f"s{n}", shots=n, all_shots=True, scores={"dino": 0.5}) for n in (6, 4)]
    few = make(shots=5, scores={"dino": 0.5})
    rows = select([*many, few]).rows
    assert [(row.all_shots, row.shots) for row in rows] == [(False, 5), (True, 6)]


def test_methods_stand_in_the_order_of_tables_and_unknown_ones_behind(make):
    names = ["textual_inversion", "custom_diffusion", "dreambooth_lora", "dreambooth"]
    rows = select([make(name, scores={"dino": 0.5}) for name in names]).rows
    assert [row.method for row in rows] == names[::-1]


def test_data_come_before_backbones_and_these_before_shots(make):
    places = [("b", "x", 1), ("a", "y", 1), ("a", "x", 5), ("a", "x", 3)]
    records = [make(dataset=d, backbone=b, shots=n, scores={"dino": 0.5}) for d, b, n in places]
    rows = select(records).rows
    assert [(*row.comparison_group,) for row in rows] == sorted(places)


def test_settings_of_one_method_stand_by_their_parameters_numbers_before_words(make):
    given = [
        {"lr": 1e-4, "steps": 900},
        {"lr": 1e-4, "steps": 50},
        {"lr": 2e-5, "steps": 100},
        {"lr": "auto", "steps": 1},
    ]
    rows = select([make(params=params, scores={"dino": 0.5}) for params in given]).rows
    assert [(row.setting["params.lr"], row.setting["params.steps"]) for row in rows] == [
        (2e-5, 100), (1e-4, 50), (1e-4, 900), ("auto", 1)
    ]  # fmt: skip


def test_both_constraints_stand_behind_one_and_each_from_loose_to_tight(make):
    held = [
        {"penalty": 5.0, "bound": 2.0}, {"bound": 0.5}, {"bound": 3.0}, {"penalty": 50.0}, {"penalty": 5.0},
        {"penalty": 5.0, "bound": 3.0}, {"penalty": 50.0, "bound": 3.0}, None,
    ]  # fmt: skip
    rows = select([make(lipschitz=each, scores={"dino": 0.5}) for each in held]).rows
    assert [(row.strength("penalty"), row.strength("bound")) for row in rows] == [
        (None, None), (5.0, None), (50.0, None), (None, 3.0), (None, 0.5), (5.0, 3.0), (5.0, 2.0), (50.0, 3.0)
    ]  # fmt: skip


def test_readouts_follow_the_end_of_their_fit(make):
    def read(kind=None, value=None):
        record = make(scores={"dino": 0.5})
        more = {"readout": {"kind": kind, "value": value}} if kind else {}
        return record.model_copy(update={"trial": record.trial | more})

    records = [read("steps", 100), read("scale", 0.75), read("steps", 20), read("scale", 0.5), read()]
    rows = select(records).rows
    found = [(row.setting.get("readout.kind"), row.setting.get("readout.value")) for row in rows]
    ends = [
        (kind, value) for kind in READOUTS[:2] for value in {"steps": (20, 100), "scale": (0.5, 0.75)}[kind]
    ]
    assert found == [(None, None), *ends]


def test_own_methods_stand_together_by_name_and_their_samplings_by_size(make):
    def own(name, steps, lr=1e-4):
        record = make(name, params={"lr": lr}, scores={"dino": 0.5})
        sampling = record.trial["sampling"] | {"steps": steps}
        return record.model_copy(update={"trial": record.trial | {"sampling": sampling}})

    records = [own("mine", 5), own("yours", 5), own("mine", 100), own("mine", 20, lr=9e-4), own("mine", 20)]
    rows = select(records).rows
    assert [(row.method, row.setting["params.lr"], row.setting["sampling.steps"]) for row in rows] == [
        ("mine", 1e-4, 5), ("mine", 1e-4, 20), ("mine", 1e-4, 100), ("mine", 9e-4, 20), ("yours", 1e-4, 5)
    ]  # fmt: skip


def test_words_among_parameters_stand_by_the_alphabet(make):
    words = ["linear", "cosine", "none"]
    given = [{"decay": word, "lr": 1e-4 * (n + 1)} for n, word in enumerate(words)]
    rows = select([make(params=params, scores={"dino": 0.5}) for params in given]).rows
    assert [row.setting["params.decay"] for row in rows] == sorted(words)


def test_a_trial_is_the_same_however_its_parameters_are_ordered(make):
    first = make(params={"lr": 1e-4, "steps": 100}, scores={"dino": 0.1})
    turned = first.trial | {"params": {"steps": 100, "lr": 1e-4}}
    again = first.model_copy(update={"key": "other", "trial": turned, "scores": {"dino": 0.7}})
    (row,) = select([first, again]).rows
    assert row.cells["dino"].mean == 0.7
