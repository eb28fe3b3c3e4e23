"""An experiment file: what it may say, and the line that every mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from fakes import FakeCatalog

from harness.api import Lipschitz
from harness.config import experiment as config
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.sweep.grid import expand, trials

MINIMAL = "methods: [frozen, tuned]\n"
FROZEN = "methods: [frozen]\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "few.yaml"
    path.write_text(text)
    return path


def mistake(folder: Path, text: str) -> str:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        expand(config.load(path), FakeCatalog())
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def test_name_defaults_to_the_file(tmp_path):
    assert config.load(write(tmp_path, MINIMAL)).name == "few"


def test_a_list_is_an_axis(make):
    experiment = make(
        methods=[{"name": "tuned", "params": {"lr": [1e-3, 1e-4], "steps": 5}}],
        seeds=[0, 1],
        sampling={"steps": [10, 20], "guidance": 3},
    )
    found = trials(experiment, FakeCatalog())
    assert len(found) == 2 * 2 * 2 * 2 * 2  # lr, seeds, sampling steps, shots, subjects
    assert {t.params["lr"] for t in found} == {1e-3, 1e-4}
    assert {t.sampling.steps for t in found} == {10, 20}
    assert {t.sampling.guidance for t in found} == {3.0}


def test_a_method_without_photos_has_one_trial_for_all_shots(make):
    found = trials(make(methods=["frozen"]), FakeCatalog())
    assert [(t.subject, t.shots) for t in found] == [("s0", 0), ("s1", 0)]


def test_a_parameter_that_is_a_list_by_nature_is_no_axis(make):
    one = trials(make(methods=[{"name": "tuned", "params": {"targets": ["to_q", "to_k"]}}]), FakeCatalog())
    two = trials(
        make(methods=[{"name": "tuned", "params": {"targets": [["to_q"], ["to_q", "to_k"]]}}]), FakeCatalog()
    )
    assert len(two) == 2 * len(one) == 8


def test_a_decoupled_penalty_stands_in_records_and_copies_only_where_it_is_asked_for(make):
    entry = {"name": "tuned", "lipschitz": {"penalty": 5, "decoupled": [False, True]}}
    coupled, decoupled = trials(make(methods=[entry], shots=1, subjects=["s0"]), FakeCatalog())
    assert [t.title for t in (coupled, decoupled)] == ["Tuned (λ=5)", "Tuned (λ=5 decoupled)"]
    plain = Lipschitz(penalty=5.0).settings()
    assert coupled.lipschitz.settings() == plain
    assert decoupled.lipschitz.settings() == {**plain, "decoupled": True}
    copy = make(methods=[{"name": "tuned", "lipschitz": {"penalty": 5}}]).model_dump(mode="json")
    assert "decoupled" not in copy["methods"][0]["lipschitz"][0]


def test_lipschitz_axes_and_their_titles(make):
    entry = {"name": "tuned", "lipschitz": [None, {"penalty": [1, 500]}, {"bound": 0.5, "relative": True}]}
    found = trials(make(methods=[entry], shots=1, subjects=["s0"]), FakeCatalog())
    assert [t.title for t in found] == ["Tuned", "Tuned (λ=1)", "Tuned (λ=500)", "Tuned (B=0.5·‖θ0‖)"]
    assert [t.lipschitz and t.lipschitz.penalty for t in found] == [None, 1.0, 500.0, None]


def test_rows_of_one_method_are_told_apart_by_what_differs(make):
    entries = ["tuned", *({"name": "tuned", "params": {"lr": lr, "steps": 5}} for lr in (0.1, 0.2))]
    found = trials(make(methods=entries, shots=1, subjects=["s0"]), FakeCatalog())
    assert [t.title for t in found] == ["Tuned", "Tuned (lr=0.1, steps=5)", "Tuned (lr=0.2, steps=5)"]
    alone = trials(make(methods=entries[1:2], shots=1, subjects=["s0"]), FakeCatalog())
    assert [t.title for t in alone] == ["Tuned"]


def test_exponents_are_numbers(tmp_path):
    experiment = config.load(write(tmp_path, "methods: [{name: tuned, params: {lr: 1e-4}}]\n"))
    assert experiment.methods[0].params["lr"] == 1e-4


def test_relative_paths_start_from_the_file(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "mine.py").touch()
    text = "methods: [mine.py]\ndataset: {name: folder, path: photos, resize: crop}\nbackbone: ./nowhere/sd\n"
    experiment = config.load(write(tmp_path, text))
    assert experiment.dataset.path == str(tmp_path / "photos")
    assert experiment.dataset.options == {"resize": "crop"}
    assert experiment.methods[0].name == str(tmp_path / "mine.py")
    assert experiment.backbone[0].path == "./nowhere/sd"
    assert experiment.backbone[0].name == "sd"


def test_the_resolved_copy_stands_for_the_same_trials(make):
    entry = {"name": "tuned", "label": "T", "lipschitz": [None, {"penalty": [1, 2]}]}
    experiment = make(
        methods=["frozen", entry], encoders={"clip": "ViT-B-32"}, sampling={"prompts": ["a {}"]}
    )
    copy = strict_yaml.dump(experiment.model_dump(mode="json")).decode()
    again = strict_yaml.check(Experiment, yaml.safe_load(copy), source="copy")
    assert trials(again, FakeCatalog()) == trials(experiment, FakeCatalog())
    assert again == experiment


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (FROZEN + "sed: 3\n", ": unknown key 'sed'; did you mean 'seeds'? known: "),
        (FROZEN + "execution: {park: false}\n", ": execution.park: is called cpu_offload now"),
        (
            FROZEN + "execution: {channels_last: true, checkpointing: true}\n",
            ": execution.checkpointing: is called gradient_checkpointing now",
        ),
        (FROZEN + "sampling: {stepz: 3}\n", ": sampling: unknown key 'stepz'; did you mean 'steps'?"),
        (
            "methods: [frozen, {name: tuned, lipschitz: [{penalty: 1}, {penalti: 1}]}]\n",
            ": methods[1].lipschitz[1]: unknown key 'penalti'; did you mean 'penalty'?",
        ),
        ("methods: [frozn]\n", ": methods[0]: unknown method 'frozn'; did you mean 'frozen'? known: frozen"),
        (
            "methods: [frozen, {name: tuned, params: {lrr: 3}}]\n",
            ": methods[1].params: unknown parameter 'lrr'; did you mean 'lr'?",
        ),
        (FROZEN + "scores: [clip_tt]\n", ": scores: unknown score 'clip_tt'; did you mean 'clip_t'?"),
        (FROZEN + "subjects: [s0, s9]\n", ": subjects[1]: unknown subject 's9'; known: d0, d1"),
        (FROZEN + "subjects: [s0, s0]\n", ": subjects[1]: 's0' is there twice"),
        (FROZEN + "subjects: {split: test, count: 9}\n", ": subjects: count: 9 requested, the split"),
        (
            FROZEN + "subjects: 5\n",
            ": subjects: must be development, test, confirmation, all, names, or {split",
        ),
        (FROZEN + "subjects: [s0, 5]\n", ": subjects[1]: must be a valid string, not 5"),
        (
            FROZEN + "subjects: {split: tests}\n",
            ": subjects.split: must be 'development', 'test', 'confirmation' or 'all'",
        ),
        (FROZEN + "subjects: {splt: test}\n", ": subjects"),
        (
            FROZEN + "subjects: {split: test, cout: 2}\n",
            ": subjects: unknown key 'cout'; did you mean 'count'",
        ),
        (FROZEN + "subjects: {split: test, count: 0}\n", ": subjects.count: must be greater than or equal"),
        (FROZEN + "shots: [1, three]\n", ": shots[1]: must be a valid integer, not 'three'"),
        (FROZEN + "shots: 0\n", ": shots: must be greater than or equal to 1, not 0"),
        (FROZEN + "shots: true\n", ": shots: must be a valid integer, not True"),
        (FROZEN + "shots: []\n", ": shots: needs at least one value: it is an axis"),
        ("methods: []\n", ": methods: needs at least one value"),
        ("methods: [{name: tuned, params: {lr: []}}]\n", ": methods[0].params.lr: needs at least one value"),
        ("methods: [{name: tuned, lipschitz: {norm: sum}}]\n", ": methods[0].lipschitz: needs a penalty"),
        (
            "methods: [{name: tuned, lipschitz: {penalty: -1}}]\n",
            ": methods[0].lipschitz.penalty: must be greater",
        ),
        (
            "methods: [{name: frozen, lipschitz: {penalty: 1}}]\n",
            ": methods[0].lipschitz: 'frozen' changes no weights",
        ),
        (
            "methods: [tuned, tuned]\n",
            ": methods[1]: this trial is there twice: Tuned, s0, 5 shots, seed 0 (first",
        ),
        ("methods: [tuned]\nshots: [1, 1]\n", ": methods[0]: this trial is there twice"),
        ("methods: [{label: x}]\n", ": methods[0].name: is missing"),
        ("name: x\n", ": methods: is missing"),
        (FROZEN + "resources: {workers: 0}\n", ": resources.workers: must be 1 or more"),
        (FROZEN + "precision: fp8\n", ": precision: must be 'fp32', 'bf16' or 'fp16', not 'fp8'"),
        (
            FROZEN + "precision: fp16\nsampling: {precision: bf16}\n",
            ": precision: must be fp32 beside sampling.precision, not 'fp16'",
        ),
        (FROZEN + "sampling: {prompts: [a mug]}\n", ": sampling.prompts: prompt 'a mug' needs exactly"),
        (FROZEN + "name: a/b\n", ": name: String should match pattern"),
        (FROZEN + "sampling: {guidance: .nan}\n", ": sampling.guidance: must be a finite number"),
        (FROZEN + "drift: {[1]: 2}\n", ":2: not valid YAML: a key must be a word"),
        ("methods: \x00\n", ": not valid YAML: unacceptable character"),
        ("- 1\n", ": must hold a mapping"),
        ("methods: [frozen\n", ":2: not valid YAML: expected ',' or ']'"),
        (FROZEN + "methods: [tuned]\n", ":2: not valid YAML: key 'methods' is given twice"),
        (
            "methods: [{name: tuned, params: {mischief: skip-s0}}]\nsubjects: [s0]\n",
            ": nothing to do: Tuned, s0: s0 is",
        ),
    ],
)
def test_a_mistake_names_file_key_value_and_remedy(tmp_path, text, says):
    assert mistake(tmp_path, text).startswith(says)


def test_a_folder_named_toybox_is_not_the_backbone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("toybox", "mine"):
        (tmp_path / name).mkdir()
    path = write(tmp_path, FROZEN + "backbone: [toybox, mine]\n")
    known, own = config.load(path).backbone
    assert (known.name, known.path) == ("toybox", None) and own.path == str(tmp_path / "mine")


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "none.yaml")


def test_skips_are_listed_with_their_reason(make):
    expansion = expand(
        make(methods=["frozen", {"name": "tuned", "params": {"mischief": "skip-s0"}}]), FakeCatalog()
    )
    assert [(s.title, s.subject, s.reason) for s in expansion.skips] == [("Tuned", "s0", "s0 is skipped")]
    assert {t.subject for t in expansion.trials if t.method == "tuned"} == {"s1"}


def test_thousands_of_trials_expand(make):
    entry = {"name": "tuned", "params": {"lr": [n * 1e-4 for n in range(1, 26)]}}
    found = trials(make(methods=[entry], subjects="all", shots=[1, 2, 3, 4, 5], seeds=[0, 1]), FakeCatalog())
    assert len(found) == 3000


def test_set_changes_a_key_and_makes_what_leads_to_it(tmp_path):
    path = write(tmp_path, "methods: [frozen, {name: tuned, params: {lr: 1}}]\nsampling: {steps: 20}\n")
    changed = config.load(path, ["sampling.steps=[5, 10]", "methods.1.params.lr=2e-3"])
    assert changed.sampling.steps == (5, 10)
    assert changed.methods[1].params == {"lr": 2e-3}
    assert config.load(path, ["drift.prompts=8"]).drift.prompts == 8


@pytest.mark.parametrize(
    "change", ["steps", "=3", "sampling.steps.deep=1", "methods.7=frozen", "name=[unclosed"]
)
def test_set_says_what_is_wrong_with_a_change(tmp_path, change):
    path = write(tmp_path, "methods: [frozen]\nsampling: {steps: 20}\n")
    with pytest.raises(ConfigError, match="--set"):
        config.load(path, [change])


def test_set_is_checked_like_the_file(tmp_path):
    with pytest.raises(ConfigError, match="sampling"):
        config.load(write(tmp_path, MINIMAL), ["sampling.stepz=3"])


def test_all_shots_are_marked_where_the_number_was_not_asked_for(make):
    found = trials(make(methods=["tuned"], subjects=["s0", "s1"], shots=[1, 3, "all"]), FakeCatalog())
    counted = [(trial.subject, trial.shots, trial.all_shots) for trial in found]
    assert sorted(counted) == [
        ("s0", 1, False), ("s0", 3, False), ("s0", 6, True), ("s1", 1, False), ("s1", 3, False)
    ]  # fmt: skip
    assert [trial.summary().get("all_shots") for trial in found].count(True) == 1


def test_a_method_is_sampled_in_its_own_way_where_it_says_so(make):
    methods = [
        "tuned",
        {"name": "tuned", "label": "own", "sampling": {"sampler": "pndm", "guidance": [1, 2]}},
    ]
    sampling = {"sampler": "euler", "steps": 7, "guidance": 3.0}
    experiment = make(methods=methods, subjects=["s0"], shots=1, sampling=sampling)
    found = [
        (t.sampling.sampler, t.sampling.steps, t.sampling.guidance) for t in trials(experiment, FakeCatalog())
    ]
    assert found == [("euler", 7, 3.0), ("pndm", 7, 1.0), ("pndm", 7, 2.0)]
    shared, own = experiment.model_dump(mode="json")["methods"]
    assert "sampling" not in shared and own["sampling"]["sampler"] == ["pndm"]


def test_a_method_cannot_change_which_prompts_are_drawn(make):
    with pytest.raises(ConfigError, match="sampling"):
        make(methods=[{"name": "tuned", "sampling": {"prompts": 3}}])
