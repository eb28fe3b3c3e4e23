"""From ``readouts:`` to jobs and records: what is expanded, refused, grouped, and lost by no kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fakes import FakeCatalog

from harness.config import strict_yaml, titles
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.records import Lines, read
from harness.report.filters import holds, parse
from harness.specs import Readout
from harness.sweep import worklist
from harness.sweep.grid import trials
from harness.sweep.job import jobs
from harness.sweep.readouts import fits
from harness.sweep.run import run_sweep

HERE = Path(__file__).parents[1]
READOUTS = {"steps": [2, 5], "scale": [0.5], "budget": {"noise_l2": [3, 5.5]}}
SHORT = ["steps:2", "steps:5", "scale:0.5", "budget:3", "budget:5.5"]


def short(trial):
    return trial.readout.short if trial.readout else None


def keys_of(experiment, folder):
    return {task.keys.sample: task for task in worklist.tasks(experiment, FakeCatalog(), [], folder)}


def test_every_fit_of_a_method_is_read_out_and_floors_are_not(make):
    found = trials(make(readouts=READOUTS, shots=1, subjects=["s0"]), FakeCatalog())
    assert [short(trial) for trial in found] == [None, *[None, *SHORT] * 2]
    assert [trial.title for trial in found][:7] == [
        "Frozen",
        "Tuned (lr=0.001)",
        "Tuned (lr=0.001), at 2 steps",
        "Tuned (lr=0.001), at 5 steps",
        "Tuned (lr=0.001), α = 0.5",
        "Tuned (lr=0.001), ‖Δε‖₂ ≤ 3",
        "Tuned (lr=0.001), ‖Δε‖₂ ≤ 5.5",
    ]
    assert fits(found) == 3


def test_a_methods_own_readouts_stand_in_place_of_the_experiments(make):
    entries = [
        {"name": "tuned", "readouts": {"scale": 0.25}},
        {"name": "tuned", "params": {"lr": 0.5}, "readouts": {}},
    ]
    experiment = make(readouts=READOUTS, methods=entries, shots=1, subjects=["s0"])
    assert [short(t) for t in trials(experiment, FakeCatalog())] == [None, "scale:0.25", None]


def test_without_readouts_neither_files_nor_trials_speak_of_them(make):
    experiment = make()
    assert "readout" not in json.dumps(experiment.model_dump(mode="json"))
    assert all("readout" not in trial.summary() for trial in trials(experiment, FakeCatalog()))


def test_a_resolved_file_is_the_same_experiment(make):
    experiment = make(readouts=READOUTS, methods=[{"name": "tuned", "readouts": {}}, "frozen"])
    again = strict_yaml.check(Experiment, experiment.model_dump(mode="json"), source="x")
    assert again == experiment


@pytest.mark.parametrize(
    ("readouts", "message"),
    [
        ({"steps": 11}, r"methods\[0\]: readouts.steps: 11 lies beyond the course of 10 steps"),
        ({"steps": 0}, r"readouts.steps\[?0?\]?.*greater than or equal to 1"),
        ({"scale": 1.5}, r"readouts.scale: α = 1.5 must be between 0 \(the base model\) and 1"),
        ({"scale": [0.5, -0.1]}, r"readouts.scale: α = -0.1 must be between"),
        ({"budget": {"kid": 1}}, r"readouts.budget: no budget on 'kid': α is sought without images"),
        ({"budget": 5}, r"readouts.budget: must be \{measure: budgets\}"),
        ({"budget": {"noise_l2": 0}}, r"readouts.budget.noise_l2.*greater than 0"),
        ({"scale": [0.5, 0.25, 0.5]}, r"readouts: scale:0.5 is there twice"),
        ({"budget": {"noise_l2": [5, 5.0]}}, r"readouts: budget:5 is there twice"),
        ({"merge": {"kid": 1}}, r"readouts.merge: no budget on 'kid': α is sought without images"),
        ({"merge": [3]}, r"readouts.merge: must be \{measure: budgets\}"),
        ({"merge": {"noise_l2": -1}}, r"readouts.merge.noise_l2.*greater than 0"),
        ({"merge": {"noise_l2": [5, 5.0]}}, r"readouts: merge:5 is there twice"),
        ({"step": 3}, r"readouts: unknown key 'step'"),
    ],
)
def test_bad_readouts_are_one_line(make, readouts, message):
    with pytest.raises(ConfigError, match=message) as caught:
        trials(make(methods=["tuned"], readouts=readouts), FakeCatalog())
    assert "\n" not in str(caught.value)


def test_a_merge_has_a_key_and_a_title_of_its_own_and_leaves_all_others_alone(make, tmp_path):
    given = {"methods": ["tuned"], "shots": 1, "subjects": ["s0"]}
    before = keys_of(make(**given, readouts=READOUTS), tmp_path)
    after = keys_of(make(**given, readouts={**READOUTS, "merge": {"noise_l2": [3]}}), tmp_path)
    (new,) = after.keys() - before.keys()
    assert before.keys() < after.keys()
    assert after[new].trial.title == "Tuned, ‖Δε‖₂ ≤ 3 by block"
    assert after[new].trial.readout.settings() == {"kind": "merge", "value": 3.0, "measure": "noise_l2"}
    assert "merge" not in json.dumps(make(**given, readouts=READOUTS).model_dump(mode="json"))


def test_readouts_of_a_floor_are_refused(make):
    entry = {"name": "frozen", "readouts": {"scale": [0.5]}}
    with pytest.raises(ConfigError, match=r"methods\[0\].readouts: 'frozen' is a floor and trains nothing"):
        trials(make(methods=[entry]), FakeCatalog())


def test_a_checkpoint_under_a_decaying_rate_is_refused():
    from harness.sweep.readouts import on_course

    checkpoint = [Readout(kind="steps", value=5)]
    on_course(checkpoint, {"steps": 10, "lr_decay": "none"}, "methods[0]")
    with pytest.raises(ConfigError, match="with lr_decay: linear step 5 is not the end of a fit of 5 steps"):
        on_course(checkpoint, {"steps": 10, "lr_decay": "linear"}, "methods[0]")
    with pytest.raises(ConfigError, match="no parameter 'steps' to stop early at"):
        on_course(checkpoint, {}, "methods[0]")


def test_readouts_share_the_fit_key_and_leave_that_of_its_end_alone(make, tmp_path):
    given = {"methods": ["tuned"], "shots": 1, "subjects": ["s0"]}
    (end,) = keys_of(make(**given), tmp_path).values()
    tasks = keys_of(make(**given, readouts=READOUTS), tmp_path)
    assert len(tasks) == 6 and end.keys.sample in tasks
    assert {task.keys.fit for task in tasks.values()} == {end.keys.fit}


def test_a_job_is_a_fit_with_its_readouts_and_samplings_its_end_first(make, tmp_path):
    experiment = make(
        methods=["frozen", "tuned"], shots=1, readouts={"scale": [0.5]}, sampling={"guidance": [1, 2]}
    )
    ordered = worklist.in_order(worklist.tasks(experiment, FakeCatalog(), [], tmp_path))
    grouped = jobs(ordered)
    assert sorted(len(job.tasks) for job in grouped) == [2, 2, 4, 4]
    for job in grouped:
        assert len({task.keys.fit for task in job.tasks}) == 1
        ends = [task.trial.readout is None for task in job.tasks]
        assert ends == sorted(ends, reverse=True)
    assert sorted(t.keys.sample for job in grouped for t in job.tasks) == sorted(
        task.keys.sample for task in ordered
    )


def test_kept_weights_of_the_end_serve_scales_and_those_of_a_checkpoint_itself(make, tmp_path):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"], readouts=READOUTS)
    folder = tmp_path / "runs"
    run_records = []
    for task in worklist.tasks(experiment, FakeCatalog(), [], folder):
        if short(task.trial) in (None, "steps:2"):
            from harness.sweep.record_writer import RecordWriter
            from harness.trial.plan import Outcome

            (folder / "x").mkdir(parents=True, exist_ok=True)
            files = {"delta.safetensors": b"w", "fit.json": b"{}"}
            outcome = Outcome("done", artifacts=files)
            run_records.append(RecordWriter(folder / "x", described={"dataset": "d"}).commit(task, outcome))
    more = make(methods=["tuned"], shots=1, subjects=["s0"], readouts=READOUTS, sampling={"guidance": [5, 7]})
    tasks = worklist.tasks(more, FakeCatalog(), run_records, folder / "x")
    of_end, of_step = (record.key for record in run_records)
    weights = {short(t.trial): (t.stage, t.weights) for t in tasks if t.trial.sampling.guidance == 7}
    assert weights == {
        None: ("sample", of_end),
        "steps:2": ("sample", of_step),
        "steps:5": ("fit", None),
        **dict.fromkeys(SHORT[2:], ("sample", of_end)),
    }
    sampling = jobs(worklist.in_order([t for t in tasks if t.stage != "done"]))
    plans = worklist.plans(
        next(j for j in sampling if len(j.tasks) > 2 and j.tasks[0].stage == "sample").tasks,
        more,
        folder / "x",
    )
    assert [bool(plan.saved) for plan in plans] == [True] + [False] * (len(plans) - 1)


def test_records_of_readouts_have_titles_conditions_and_settings_of_their_own():
    plain = {"title": "T", "label": "T", "dataset": "d", "backbone": "b", "method": "dreambooth"}
    plain |= {"subject": "s", "shots": 1, "seed": 0, "params": {}, "lipschitz": None}
    scaled = {**plain, "readout": {"kind": "scale", "value": 0.5}}
    held = {**scaled, "lipschitz": {"penalty": 500.0, "bound": None}}
    assert (titles.title(plain), titles.title(scaled)) == ("T", "T, α = 0.5")
    assert titles.title(held) == "T + Lipschitz λ=500, α = 0.5" or titles.title(held).endswith(", α = 0.5")
    assert titles.identity(plain) != titles.identity(scaled)

    class Of:
        def __init__(self, trial):
            self.trial, self.status = trial, "done"

    records = [Of(plain), Of(scaled)]
    for wanted, expected in (("none", [True, False]), ("scale:0.5", [False, True])):
        conditions = parse([f"readout={wanted}"], records)
        assert [holds(conditions, record) for record in records] == expected
    with pytest.raises(ConfigError, match=r"unknown readout 'scale:0\.6'; did you mean"):
        parse(["readout=scale:0.6"], records)


def sweep(experiment, runs):
    return run_sweep(
        experiment, runs=runs, catalog=FakeCatalog(), workers=2, worker_factory="fakes:FakeWorker"
    )


def begun(runs):
    return [line.split() for line in (runs.parent / "cache" / "begun").read_text().splitlines()]


SLOW = {
    "name": "x",
    "methods": [{"name": "tuned", "params": {"pause": 0.4, "lr": [0.1, 0.2]}}],
    "subjects": ["s0"],
    "shots": [1],
    "readouts": READOUTS,
}


def test_a_worker_or_a_sweep_that_dies_between_readouts_loses_and_doubles_nothing(runs, tmp_path_factory):
    command = [sys.executable, str(HERE / "sweeping.py"), str(runs), json.dumps(SLOW)]
    paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    env = {**os.environ, "PYTHONPATH": paths}
    for count, victim in ((2, "driver"), (3, "worker")):
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
        )
        for line in process.stdout:
            count -= line.startswith("recorded")
            if not count:
                break
        if victim == "driver":
            process.kill()
        else:
            os.kill(int(begun(runs)[-1][2]), signal.SIGKILL)
        said = process.communicate()
    assert process.returncode == 0, said

    records = list(Lines(runs / "x"))
    assert len(records) == len({record.key for record in records}) == 12
    assert {record.status for record in records} == {"done"}
    starts = Counter(key for _, key, *_ in begun(runs))
    assert max(starts.values()) <= 3 and sum(starts.values()) <= 12 + 3
    whole = tmp_path_factory.mktemp("whole") / "runs"
    experiment = strict_yaml.check(Experiment, SLOW, source="x")
    sweep(experiment, whole)
    assert {r.key: r.scores for r in read(whole / "x")} == {r.key: r.scores for r in records}


def test_a_job_that_cannot_begin_fails_every_readout_and_is_tried_again(make, runs):
    given = {"shots": 1, "subjects": ["s0"], "readouts": {"scale": [0.5]}}
    entry = {"name": "tuned", "params": {"mischief": "raise"}}
    summary = sweep(make(methods=[entry], **given), runs)
    assert [record.error for record in summary.failed] == ["RuntimeError: mischief with s0"] * 2
    again = sweep(make(methods=[entry], **given), runs)
    assert (again.before, len(again.failed)) == (0, 2)
