"""What a worker warns of is heard in the driver, once."""

from __future__ import annotations

import warnings
from types import SimpleNamespace

import torch

from harness.cache import Cache
from harness.sweep.limits import StallWatch
from harness.sweep.ray_driver import RecordCallback
from harness.sweep.ray_worker import JobThread
from harness.trial.plan import Outcome

PLANS = ["a plan", "another"]
SOON = 60.0


def results_of(outcomes, plans):
    """What the thread of a worker brings for a job, without Ray."""
    thread = JobThread(lambda plan: SimpleNamespace(outcomes=lambda plans, progress: outcomes))
    thread.begin(plans)
    found = [thread.next(SOON)]
    while not found[-1].done:
        found.append(thread.next(SOON))
    return found


def test_a_workers_own_warnings_travel_with_the_outcome_and_are_said_once(tmp_path):
    root = tmp_path / "file"
    root.write_text("no folder")

    def outcomes():
        for content in ({"n": 1}, {"n": 2}):
            warnings.warn("of another library", stacklevel=1)
            Cache(root).tensors("kind", content, lambda: {"x": torch.zeros(1)})
            yield Outcome("done")

    line = f"cache {root} cannot be written (Not a directory); going on without it"
    found, filed = results_of(outcomes(), PLANS), []
    assert [(each.done, each.said) for each in found] == [(False, [line]), (True, [line])]
    callback = RecordCallback.__new__(RecordCallback)
    callback._watch = StallWatch(None)
    callback._file = callback._file_rest = lambda index, outcome: filed.append(outcome.status)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        for each in found:
            callback.on_trial_result(0, [], SimpleNamespace(config={"index": 0}), each._asdict())
    assert [str(each.message) for each in heard] == [line]
    assert filed == ["done", "done"]


def test_a_method_that_calls_exit_fails_its_trial_and_not_the_worker():
    def outcomes():
        raise SystemExit(3)
        yield

    (found,) = results_of(outcomes(), PLANS)
    assert found.outcome.status == "failed" and found.outcome.error == "SystemExit: 3"
    assert found.done
