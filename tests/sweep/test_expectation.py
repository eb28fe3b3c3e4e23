"""What a dry run says of the cost, and what shocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.config import experiment as config
from harness.records import Record
from harness.sweep.catalog import Installed
from harness.sweep.expectation import MANY, Expectation, expect
from harness.sweep.findings import duration_text
from harness.sweep.grid import expand
from harness.sweep.pace import by_default
from harness.sweep.worklist import Task
from harness.sweep.workload import workloads
from harness.trial.plan import Keys

SMOKE = Path(__file__).parents[2] / "harness" / "experiments" / "smoke.yaml"


def expected(tmp_path, *changes: str, times: float | None = None) -> Expectation:
    """The expectation of smoke; with ``times`` its first fit is done and took so many times the default."""
    experiment = config.load(SMOKE, changes)
    catalog = Installed(experiment)
    trials = expand(experiment, catalog).trials
    tasks = [Task(trial, Keys(str(n), str(n), str(n)), "fit") for n, trial in enumerate(trials)]
    records = []
    if times:
        number = next(n for n, task in enumerate(tasks) if task.trial.method == "dreambooth")
        load = workloads(tasks, experiment, catalog)[number]
        seconds = {stage: times * default for stage, default in by_default(load).items()}
        records = [Record(key=str(number), keys={}, status="done", trial={}, seconds=seconds)]
        tasks[number] = replace(tasks[number], stage="done")
    return expect(tasks, experiment, catalog, records, tmp_path, workers=1)


def test_pictures_and_disk_by_hand(tmp_path):
    cost = expected(tmp_path)
    assert cost.pictures == 3 + 6 + 3 * (3 + 8)  # frozen, the photos, three methods with prior images
    assert cost.size == pytest.approx(42 * 3 * 64 * 64 * 0.6 + 5 * 80_000, abs=1)
    assert cost.alarm is None and "two CPU cores" in cost.pace


def test_a_search_is_said_not_to_be_counted(tmp_path):
    search = {"trials": 2, "scheduler": "none"}
    over = [{"name": "dreambooth", "over": {"lr": {"log": [1e-4, 1e-3]}}}]
    written = tmp_path / "searched.yaml"
    written.write_text(yaml.safe_dump({"name": "searched", "search": search, "methods": over}))
    searched = config.load(written)
    cost = expect([], searched, Installed(searched), [], tmp_path, workers=1)
    assert cost.words.endswith("what a search will propose is not counted")
    assert "search" not in expected(tmp_path).words


def test_records_at_hand_give_the_pace(tmp_path):
    once, slow = expected(tmp_path, times=1.0), expected(tmp_path, times=10.0)
    assert "1 recorded trial" in slow.pace
    assert once.seconds and slow.seconds and slow.seconds > 3 * once.seconds


def test_a_billion_images_are_asked_about(tmp_path):
    cost = expected(tmp_path, "sampling.images=1000000000")
    assert cost.pictures > MANY and cost.alarm
    for word in ("12,000,000,03", "years", "TB", "sampling.images"):
        assert word in cost.alarm
    assert cost.finding().verdict == "note"


def test_of_another_base_model_or_a_gpu_no_time_is_said_before_something_was_measured(tmp_path):
    for change in ("resources.gpus=1", "backbone=some/model"):
        cost = expected(tmp_path, change)
        assert cost.seconds is None and "passes" in cost.words and "nothing measured" in cost.pace


def test_durations_read_well():
    texts = [duration_text(s) for s in (40, 1260, 12_000, 86_400 * 12, 86_400 * 365 * 84)]
    assert texts == ["40 s", "21 min", "3 h 20 min", "12 days", "84 years"]
