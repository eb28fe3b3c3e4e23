"""Clocks jump: durations come from one that cannot, and nothing is decided by which of two times is later."""

from __future__ import annotations

import ast
import os
import time
from pathlib import Path

import pytest
import torch
from test_full_disk import done

import harness
from harness.records import Lines
from harness.report import publish
from harness.report.html import document
from harness.trial.timing import Clock

ROOT = Path(harness.__file__).parent
SAYS_WHEN = {"files.py", "trial/provenance.py"}
"""Who may ask for the time of day: to say who holds a folder since when, and when a trial finished."""


def asked_of_the_clock(path: Path) -> set[str]:
    """The calls in a module that depend on the time of day."""
    calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    names = {ast.unparse(call) for call in calls if isinstance(call, ast.Attribute)}
    return names & {"time.time", "time.time_ns", "datetime.now", "datetime.utcnow", "datetime.today"}


def test_nothing_measures_a_duration_by_the_time_of_day():
    asking = {p.relative_to(ROOT).as_posix(): asked_of_the_clock(p) for p in ROOT.rglob("*.py")}
    assert {name: calls for name, calls in asking.items() if calls} == {
        name: {"datetime.now"} for name in SAYS_WHEN
    }


@pytest.mark.parametrize("jump", [-1e9, 1e9])
def test_a_clock_that_jumps_changes_no_seconds(monkeypatch, jump):
    clock, now = Clock(torch.device("cpu")), time.time()
    with clock.time("fit"):
        monkeypatch.setattr(time, "time", lambda: now + jump)
        time.sleep(0.01)
    assert 0.01 <= clock.seconds["fit"] < 60


@pytest.mark.parametrize("jump", [-1000, 1000])
def test_a_report_is_current_by_what_it_was_made_from_and_not_by_its_age(tmp_path, jump):
    folder = tmp_path / "x"
    folder.mkdir()
    Lines(folder).append(done("a"))
    publish.publish(folder)
    document.write([folder], folder / document.FILE)
    assert document.is_current(folder)
    then = (folder / publish.STAMP).stat().st_mtime + jump
    Lines(folder).append(done("b"))
    publish.publish(folder)
    os.utime(folder / publish.STAMP, (then, then))  # written while the clock stood elsewhere
    assert not document.is_current(folder)
