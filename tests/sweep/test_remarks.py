"""What a worker warns of is heard in the driver, once."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import torch

from harness.cache import Cache
from harness.sweep.ray_driver import RecordCallback
from harness.sweep.ray_worker import RayWorker
from harness.trial.plan import Outcome


def worker_of(outcomes) -> RayWorker:
    """A worker in the middle of a job of two trials, without Ray."""
    worker = RayWorker.__new__(RayWorker)
    worker._outcomes, worker._left = outcomes, 2
    return worker


def test_a_workers_own_warnings_travel_with_the_outcome_and_are_said_once(tmp_path):
    root = tmp_path / "file"
    root.write_text("no folder")

    def outcomes():
        for content in ({"n": 1}, {"n": 2}):
            warnings.warn("of another library", stacklevel=1)
            Cache(root).tensors("kind", content, lambda: {"x": torch.zeros(1)})
            yield Outcome("done")

    line = f"cache {root} cannot be written (Not a directory); going on without it"
    worker, filed = worker_of(outcomes()), []
    results = [worker.step(), worker.step()]
    assert [(result["done"], result["said"]) for result in results] == [(False, [line]), (True, [line])]
    callback = RecordCallback.__new__(RecordCallback)
    callback._file = callback._file_rest = lambda index, outcome: filed.append(outcome.status)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        for result in results:
            callback.on_trial_result(0, [], SimpleNamespace(config={"index": 0}), result)
    assert [str(each.message) for each in heard] == [line]
    assert filed == ["done", "done"]


def test_a_method_that_calls_exit_fails_its_trial_and_not_the_worker():
    def outcomes():
        raise SystemExit(3)
        yield

    result = worker_of(outcomes()).step()
    assert result["outcome"].status == "failed" and result["outcome"].error == "SystemExit: 3"
    assert result["done"]
