"""A sweep that ends early, and workers that hang: the rules alone, and with the fakes on Ray."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fakes import FakeCatalog
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from harness.records import read
from harness.sweep.agenda import Agenda
from harness.sweep.job import Job
from harness.sweep.limits import QUIET, Limits, StallWatch, TimeLimit, seconds_of
from harness.sweep.observer import Status
from harness.sweep.pace import SAMPLING, Pace
from harness.sweep.run import run_sweep
from harness.sweep.signals import Interrupted, Interruption
from harness.sweep.worklist import tasks
from harness.sweep.workload import Workload


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
def test_a_duration_is_the_sum_of_its_parts(hours, minutes, seconds):
    text = "".join(
        f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")) if n or unit == "s"
    )
    total = hours * 3600 + minutes * 60 + seconds
    if total:
        assert seconds_of(text, option="--time") == total
    else:
        with pytest.raises(ConfigError):
            seconds_of(text, option="--time")


@pytest.mark.parametrize(
    "text", ["", "2", "h", "1.5h", "-1h", "30m1h", "2 hours", "0h", "٢h", "9" * 30 + "h"]
)
def test_what_is_no_duration_is_refused_in_one_line(text):
    with pytest.raises(ConfigError, match=r"^--stall .*: not a duration; write 2h, 90m, 1h30m or 45s$"):
        seconds_of(text, option="--stall")


def test_a_worker_is_given_up_when_its_status_stands_still_and_only_once():
    watch = StallWatch(10)
    watch.seen(0, Status("fit", 3, 100), 0)
    watch.seen(1, Status("score", 0, 1), 0)
    watch.seen(0, Status("fit", 4, 100), 9)
    watch.seen(0, Status("fit", 4, 100), 19)
    assert watch.stalled(19) == {}
    assert watch.stalled(19.5) == {0: "no progress for 10 s (fit 4/100); killed"}
    assert watch.stalled(10 * QUIET) == {}
    assert watch.stalled(10 * QUIET + 60) == {1: "no progress for 1 min (score); killed"}
    assert watch.stalled(1e9) == {}


def test_a_new_trial_of_a_job_and_one_that_is_over_are_no_stall():
    watch = StallWatch(10)
    for index in (0, 1):
        watch.seen(index, Status("sample", 1, 4), 0)
    watch.restart(0, 8)
    watch.forget(1)
    assert watch.stalled(18) == {}
    assert list(watch.stalled(19)) == [0]
    never = StallWatch(None)
    never.seen(0, Status("fit", 1, 4), 0)
    assert never.stalled(1e9) == {}


def test_a_deadline_does_as_a_signal_and_the_first_reason_counts():
    ahead = Interruption(time.monotonic() + 1e6)
    ahead.check()
    ahead.stop("failure")
    ahead.stop("signal")
    with pytest.raises(Interrupted):
        ahead.check()
    assert ahead.why == "failure"
    over = Interruption(time.monotonic() - 1)
    with pytest.raises(Interrupted):
        over.check()
    assert over.why == "time"


def sweep(experiment, runs, limits, **options):
    return run_sweep(
        experiment,
        runs=runs,
        catalog=FakeCatalog(),
        workers=1,
        worker_factory="fakes:FakeWorker",
        limits=limits,
        **options,
    )


def test_a_job_starts_only_where_it_can_be_done_in_time(make, runs, monkeypatch):
    made = make(methods=[{"name": "tuned", "params": {"lr": [0.1, 0.2, 0.3]}}], subjects=["s0"], shots=1)
    first = make(methods=[{"name": "tuned", "params": {"lr": [0.1]}}], subjects=["s0"], shots=1)
    assert sweep(first, runs, Limits(deadline=time.monotonic() + 1e6)).done == 1
    from harness.sweep import limits

    clock = time.monotonic()
    monkeypatch.setattr(limits, "monotonic", lambda: clock)
    late = sweep(made, runs, Limits(deadline=clock + 2.0))
    assert (late.total, late.before, late.done, late.stopped) == (3, 1, 0, "time")
    assert sweep(made, runs, Limits(deadline=clock + 1e6)).done == 2


def test_of_the_jobs_that_wait_those_that_fit_are_taken(make, monkeypatch):
    """A pass takes 0.1 s and filing its default times as much: 30 passes fit in 10 s, 200 do not."""
    from harness.sweep import limits

    monkeypatch.setattr(limits, "monotonic", lambda: 1000.0)
    passes = {0.1: 200, 0.2: 30, 0.3: 200}
    limit = TimeLimit(
        1010.0, lambda tasks: [Workload("m", sampling=passes[task.trial.params["lr"]]) for task in tasks]
    )
    made = make(methods=[{"name": "tuned", "params": {"lr": list(passes)}}], subjects=["s0"], shots=1)
    agenda = Agenda(tasks(made, FakeCatalog(), [], Path("nowhere")))
    assert limit.fits(Job((agenda_task(agenda, 0),)))
    limit._pace = Pace().with_measured("sample", "m", 100.0, 1000 * SAMPLING)
    taken = agenda.take(limit.fits)
    assert taken is not None and agenda.jobs[taken].tasks[0].trial.params["lr"] == 0.2
    agenda.died(taken)
    assert agenda.take(limit.fits) is None and agenda.idle and len(agenda.aside) == 2


def agenda_task(agenda, place):
    return agenda._queue[place][0].tasks[0]


def test_fail_fast_ends_after_the_first_failure_and_keeps_what_is_done(make, runs):
    experiment = make(
        methods=[{"name": "tuned", "params": {"mischief": ["", "raise"], "lr": [0.1, 0.2, 0.3]}}],
        subjects=["s0"],
        shots=1,
    )
    summary = sweep(experiment, runs, Limits(fail_fast=True))
    assert summary.stopped == "failure" and len(summary.failed) == 1
    assert summary.done + 1 == len(read(runs / "x")) < 6
    assert sweep(experiment, runs, Limits()).stopped is None


def test_a_worker_that_hangs_is_killed_tried_again_and_fails_with_the_reason(make, runs, caplog):
    experiment = make(
        methods=[{"name": "tuned", "params": {"mischief": ["", "hang", "hang-once"]}}],
        subjects=["s0"],
        shots=1,
    )
    summary = sweep(experiment, runs, Limits(stall=2.0))
    status = {r.trial["params"]["mischief"]: (r.status, r.error) for r in read(runs / "x")}
    assert summary.stopped is None and status[""] == status["hang-once"] == ("done", None)
    assert "and so did a second one: no progress for" in status["hang"][1]
    assert "no progress for" in caplog.text
