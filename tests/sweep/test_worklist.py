"""What is still to do, judged by records and pictures; the order of work; how outcomes become records."""

from __future__ import annotations

import dataclasses

import pytest
from fakes import PNG, FakeCatalog, FakeWorker

from harness.config import titles
from harness.metrics.registry import MEASURES
from harness.records import read
from harness.specs import DatasetSpec, Execution
from harness.sweep import worklist
from harness.sweep.record_writer import RecordWriter
from harness.trial.plan import Outcome


def do(task, experiment, folder, cache):
    """Run one task without Ray and file what comes of it."""
    worker = FakeWorker(
        backbone=task.trial.backbone,
        dataset=DatasetSpec(name="toybox"),
        encoders={},
        device="cpu",
        precision="fp32",
        execution=Execution(),
        cache=cache,
        threads=1,
    )
    plan = worklist.plan(task, experiment, folder)
    return RecordWriter(folder, described={"dataset": "toybox"}).commit(
        task, worker.run(plan, lambda *news: None)
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "x").mkdir()
    return tmp_path / "x"


def look(experiment, folder, catalog=None):
    writer = RecordWriter(folder, described={"dataset": "toybox"})
    return worklist.tasks(experiment, catalog or FakeCatalog(), writer.lines, folder)


def stages(tasks):
    return [task.stage for task in tasks]


def test_a_fresh_folder_has_everything_to_do(make, folder):
    assert set(stages(look(make(), folder))) == {"fit"}


def test_what_was_done_stays_done(make, folder, tmp_path):
    experiment = make()
    for task in look(experiment, folder):
        do(task, experiment, folder, tmp_path)
    assert set(stages(look(experiment, folder))) == {"done"}


def test_an_amended_experiment_runs_only_what_is_new(make, folder, tmp_path):
    experiment = make()
    for task in look(experiment, folder):
        do(task, experiment, folder, tmp_path)
    more = look(make(shots=[1, 3, 5]), folder)
    assert {task.trial.shots for task in more if task.stage == "fit"} == {5}
    assert {task.trial.shots for task in more if task.stage == "done"} == {0, 1, 3}


def test_a_new_score_version_scores_saved_pictures_again(make, folder, tmp_path, monkeypatch):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    (task,) = look(experiment, folder)
    first = do(task, experiment, folder, tmp_path)
    monkeypatch.setitem(MEASURES, "dino", dataclasses.replace(MEASURES["dino"], version=99))
    (task,) = look(experiment, folder)
    assert task.stage == "score"
    plan = worklist.plan(task, experiment, folder)
    names = [
        "fit.json",
        "pictures/00-00.png",
        "pictures/01-00.png",
        "pictures/02-00.png",
        "prior/class-00.png",
    ]
    assert plan.stage == "score" and sorted(plan.saved) == names and plan.saved[names[1]] == PNG
    again = do(task, experiment, folder, tmp_path)
    assert again.key == first.key and again.keys["score"] != first.keys["score"]
    assert stages(look(experiment, folder)) == ["done"]
    assert (folder / first.key / "pictures" / "00-00.png").read_bytes() == PNG
    assert read(folder) == [again]


@pytest.mark.parametrize("gone", ["fit.json", "images.json", "pictures/02-00.png", "prior/class-00.png"])
def test_without_one_of_its_pictures_a_trial_is_fitted_again(make, folder, tmp_path, monkeypatch, gone):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    (task,) = look(experiment, folder)
    first = do(task, experiment, folder, tmp_path)
    monkeypatch.setitem(MEASURES, "dino", dataclasses.replace(MEASURES["dino"], version=99))
    (folder / first.key / gone).unlink()
    assert stages(look(experiment, folder)) == ["fit"]


def test_a_failure_is_retried(make, folder):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    (task,) = look(experiment, folder)
    RecordWriter(folder, described={"dataset": "toybox"}).commit(task, Outcome("failed", error="out of luck"))
    (task,) = look(experiment, folder)
    assert (task.stage, task.retry) == ("fit", True)


def test_a_failed_re_scoring_trains_nothing_when_retried(make, folder, tmp_path, monkeypatch):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    (task,) = look(experiment, folder)
    first = do(task, experiment, folder, tmp_path)
    monkeypatch.setitem(MEASURES, "dino", dataclasses.replace(MEASURES["dino"], version=99))
    (task,) = look(experiment, folder)
    failed = Outcome.of_exception(RuntimeError("no encoder"))
    failed.artifacts["images.json"] = b"half of it"
    RecordWriter(folder, described={"dataset": "toybox"}).commit(task, failed)
    (task,) = look(experiment, folder)
    assert (task.stage, task.retry) == ("score", True)
    assert "no encoder" in (folder / first.key / "traceback.txt").read_text()
    assert (folder / first.key / "images.json").read_bytes() != b"half of it"
    do(task, experiment, folder, tmp_path)
    assert not (folder / first.key / "traceback.txt").exists()


def test_a_users_method_travels_as_the_text_that_its_key_was_made_of(make, folder):
    catalog = FakeCatalog(sources={"tuned": "text"})
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    (task,) = look(experiment, folder, catalog)
    (plain,) = look(experiment, folder)
    catalog.sources["tuned"] = "edited while the sweep runs"
    assert worklist.plan(task, experiment, folder).method_source == "text"
    assert task.keys != plain.keys


def test_drift_set_and_precision_are_told_where_they_are_not_the_defaults(make):
    assert make().described() == {"dataset": "toybox"}
    told = make(drift={"prompts": 8}, precision="bf16").described()
    assert (told["drift"]["prompts"], told["precision"]) == (8, "bf16")
    trial = {"backbone": "b", "method": "m"}
    plain, other = (titles.setting({**trial, **told}) for told in (make().described(), told))
    assert other.items() - plain.items() >= {("drift.prompts", 8), ("precision", "bf16")}


def test_the_order_shows_every_row_early_and_cheap_rows_first(make, folder):
    ordered = worklist.in_order(look(make(), folder))
    assert [task.trial.title for task in ordered[:3]] == ["Frozen", "Tuned (lr=0.001)", "Tuned (lr=0.0001)"]
    assert len(ordered) == len(look(make(), folder))


def test_the_order_changes_backbones_once(make, folder):
    ordered = worklist.in_order(look(make(backbone=["toybox", "org/sd"]), folder))
    names = [task.trial.backbone.name for task in ordered]
    assert names == sorted(names, reverse=True) and set(names) == {"toybox", "sd"}


def test_scoring_comes_before_fitting(make, folder, tmp_path, monkeypatch):
    experiment = make()
    do(look(experiment, folder)[-1], experiment, folder, tmp_path)
    monkeypatch.setitem(MEASURES, "dino", dataclasses.replace(MEASURES["dino"], version=99))
    assert stages(worklist.in_order(look(experiment, folder)))[:2] == ["score", "fit"]


def test_a_result_that_is_no_record_becomes_a_failure_and_not_a_number(make, folder):
    (task,) = look(make(methods=["tuned"], shots=1, subjects=["s0"]), folder)
    record = RecordWriter(folder, described={"dataset": "toybox"}).commit(
        task, Outcome("done", scores={"dino": float("nan")})
    )
    assert record.status == "failed" and record.error
    assert "scores.dino: Input should be a finite number" in record.error


def test_a_record_says_where_it_comes_from_and_no_path_of_this_machine(make, folder, tmp_path):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"], backbone=str(tmp_path / "weights"))
    (task,) = look(experiment, folder)
    record = do(task, experiment, folder, tmp_path)
    assert {"commit", "dirty", "versions", "platform", "finished", "device"} <= set(record.provenance)
    assert record.trial["backbone"] == "weights" and record.trial["dataset"] == "toybox"
    assert str(tmp_path) not in record.line().decode()


def test_thousands_of_trials_are_ordered_and_none_is_lost(make, folder):
    entry = {"name": "tuned", "params": {"lr": [n * 1e-4 for n in range(1, 26)]}}
    tasks = look(make(methods=[entry], subjects="all", shots=[1, 2, 3, 4, 5], seeds=[0, 1]), folder)
    assert len(worklist.in_order(tasks)) == 3000


def test_scoring_again_leaves_the_fits_provenance_and_says_its_own_beside_it(make, folder):
    (task,) = look(make(methods=["tuned"], shots=1, subjects=["s0"]), folder)
    fit = {"commit": "abc", "dirty": None, "versions": {"torch": "1"}, "device": "big", "finished": "then"}
    outcome = Outcome("done", provenance={**fit, "scored": {"commit": "def", "device": "small"}})
    record = RecordWriter(folder, described={"dataset": "toybox"}).commit(task, outcome)
    assert record.provenance == {
        "commit": "abc",
        "versions": {"torch": "1"},
        "device": "big",
        "finished": "then",
        "scored": {"commit": "def", "device": "small"},
    }


def test_changed_sampling_draws_with_the_weights_that_were_kept(make, folder, tmp_path):
    given = {"methods": ["tuned"], "shots": 1, "subjects": ["s0"]}
    first = do(look(make(**given), folder)[0], make(**given), folder, tmp_path)
    more = make(**given, sampling={"steps": 7})
    assert stages(look(more, folder)) == ["fit"]  # nothing was kept
    (folder / first.key / "delta.safetensors").write_bytes(b"weights")
    (task,) = look(more, folder)
    assert (task.stage, task.weights) == ("sample", first.key)
    plan = worklist.plan(task, more, folder)
    assert sorted(plan.saved) == ["delta.safetensors", "fit.json"]
    second = do(task, more, folder, tmp_path)
    assert (second.keys["fit"], second.key != first.key) == (first.keys["fit"], True)
    assert stages(look(more, folder)) == ["done"]


def test_the_photos_held_out_decide_scores_alone_and_only_where_the_draw_decides_them(make, folder):
    few, more = (make(shots=shots) for shots in ([1], [1, 3]))
    draws = FakeCatalog(draws_decide=True)
    one, other = look(few, folder, draws), look(more, folder, draws)
    assert {task.most_shots for task in one} == {1} and {task.most_shots for task in other} == {3}
    known = {(t.trial.title, t.trial.subject, t.trial.shots, t.trial.seed): t.keys for t in other}
    for task in one:
        keys = known[task.trial.title, task.trial.subject, task.trial.shots, task.trial.seed]
        assert (keys.fit, keys.sample) == (task.keys.fit, task.keys.sample)
        assert keys.score != task.keys.score
    fixed = {t.keys.sample: t.keys.score for t in look(more, folder)}
    assert all(fixed[task.keys.sample] == task.keys.score for task in look(few, folder))
    assert worklist.plan(other[0], more, folder).most_shots == 3
