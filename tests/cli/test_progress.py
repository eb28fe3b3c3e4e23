"""What a sweep says while it runs, on a terminal and elsewhere."""

from __future__ import annotations

import io
from functools import partial

from fakes import FakeCatalog
from rich.console import Console

from harness.cli.progress import Display, clock, what_is_left
from harness.sweep.observer import Status
from harness.sweep.record_writer import RecordWriter
from harness.sweep.worklist import in_order, tasks
from harness.sweep.workload import workloads
from harness.trial.plan import Outcome


def outcome(**changes):
    scores = {"dino_heldout": 0.61234, "clip_t": 0.25}
    return Outcome("done", **{"scores": scores, "seconds": {"fit": 60.0, "sample": 5.0}} | changes)


def follow(make, tmp_path, console):
    """Let a display follow four trials, of which one fails."""
    experiment = make(shots=1)
    pending = in_order(tasks(experiment, FakeCatalog(), [], tmp_path))
    writer = RecordWriter(tmp_path, described={"dataset": "toybox"})
    with Display(partial(workloads, experiment=experiment, catalog=FakeCatalog()), console) as display:
        display.started(pending, pending, 2)
        display.running({0: (pending[0], Status("fit", 3, 10, 0.25)), 1: (pending[1], Status("score", 0, 0))})
        for task in pending[:3]:
            display.recorded(writer.commit(task, outcome()))
        display.recorded(writer.commit(pending[3], Outcome("failed", error="NaN loss at step 3 [really]")))
        display.say("a line")


def test_plain_lines_are_dated_and_count(make, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=False, width=200)
    follow(make, tmp_path, console)
    lines = console.file.getvalue().splitlines()
    assert all(line[2] == ":" and line[5] == ":" for line in lines)
    assert "6 trials: 0 done, 6 to run" in lines[0] and "starting 2 workers" in lines[1]
    assert (
        "[1/6, estimating the time left]  done Frozen, s0  DINO held out 0.612  CLIP-T 0.250  1:05"
        in lines[2]
    )
    assert "[4/6, 1 failed" in lines[5]
    assert "failed Frozen, s1: NaN loss at step 3 [really]" in lines[5]
    assert lines[6].endswith("a line") and len(lines) == 7


def test_a_terminal_shows_what_runs(make, tmp_path):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    follow(make, tmp_path, console)
    text = console.file.getvalue()
    assert "6 trials: 0 done, 6 to run" in text
    assert "3/10" in text and "loss 0.2500" in text and "NaN loss at step 3 [really]" in text


def test_durations():
    assert [clock(s) for s in (0.4, 8, 125, 3725)] == ["0 s", "8 s", "2:05", "1:02:05"]


def test_what_is_left_says_what_failed_before(make, tmp_path):
    experiment = make(shots=1)
    writer = RecordWriter(tmp_path, described={"dataset": "toybox"})
    first = tasks(experiment, FakeCatalog(), [], tmp_path)[0]
    writer.commit(first, Outcome("failed", error="x"))
    again = tasks(experiment, FakeCatalog(), writer.lines, tmp_path)
    assert what_is_left(again) == "6 trials: 0 done, 6 to run (1 failed before)"
