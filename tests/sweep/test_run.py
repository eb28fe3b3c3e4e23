"""The whole engine on Ray, with fake workers: every trial once, whatever dies."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from fakes import FakeCatalog

from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import BusyError, ConfigError, RecordsError
from harness.files import locked
from harness.metrics.registry import MEASURES
from harness.records import Lines, read
from harness.sweep import worklist
from harness.sweep.run import run_sweep

HERE = Path(__file__).parents[1]


class Notes:
    """An observer that remembers."""

    def __init__(self):
        self.workers = None
        self.stages = set()
        self.lock = threading.Lock()  # as displays and mirrors have; it cannot be pickled

    def started(self, tasks, pending, workers):
        self.workers = workers

    def running(self, now):
        self.stages |= {status.stage for _, status in now.values()}

    def recorded(self, record):
        """Nothing to remember."""


def sweep(experiment, runs, **options):
    return run_sweep(
        experiment,
        runs=runs,
        catalog=FakeCatalog(),
        workers=2,
        worker_factory="fakes:FakeWorker",
        **options,
    )


def begun(runs: Path) -> list[list[str]]:
    """What the workers began, in order: [stage, key, process, threads]."""
    return [line.split() for line in (runs.parent / "cache" / "begun").read_text().splitlines()]


def test_a_sweep_records_every_trial_and_a_second_one_does_nothing(make, runs, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    experiment = make(
        methods=["frozen", {"name": "tuned", "params": {"lr": [n * 1e-4 for n in range(1, 8)]}}],
        subjects={"split": "test", "count": 4},
    )
    notes = Notes()
    summary = sweep(experiment, runs, observers=[notes])
    assert (summary.total, summary.done, summary.failed) == (60, 60, [])
    records = read(runs / "x")
    assert len(records) == len(list(Lines(runs / "x"))) == 60
    assert all(record.status == "done" for record in records)
    assert all(worklist.has_images(runs / "x" / record.key) for record in records)
    assert (runs / "x" / "experiment.yaml").is_file() and notes.workers == 2

    starts = begun(runs)
    assert len({process for _, _, process, _ in starts}) <= 2  # resident
    assert {threads for *_, threads in starts} == {"1"}  # pinned, whatever they inherit

    again = sweep(experiment, runs)
    assert (again.total, again.before, again.done) == (60, 60, 0)
    assert len(begun(runs)) == len(starts)

    more = sweep(make(methods=["frozen"], subjects={"split": "test", "count": 5}, scores=["dino"]), runs)
    assert (more.before, more.done) == (0, 5)
    stages = Counter(stage for stage, *_ in begun(runs)[60:])
    assert stages == {"score": 4, "fit": 1}  # a new set of scores trains nothing


def test_failures_are_recorded_and_retried_and_stop_nothing(make, runs):
    mischief = ["", "raise", "nan", "die", "die-once"]
    experiment = make(
        methods=[{"name": "tuned", "params": {"mischief": mischief}}], subjects=["s0", "s1"], shots=1
    )
    notes = Notes()
    summary = sweep(experiment, runs, observers=[notes])
    by_kind = {kind: [] for kind in mischief}
    for record in read(runs / "x"):
        by_kind[record.trial["params"]["mischief"]].append(record)
    status = {kind: [record.status for record in records] for kind, records in by_kind.items()}
    failed, done = ["failed"] * 2, ["done"] * 2
    assert status == {"": done, "raise": failed, "nan": failed, "die": failed, "die-once": done}
    assert summary.done == 4 and len(summary.failed) == 6
    assert [r.error for r in by_kind["raise"]] == [f"RuntimeError: mischief with s{n}" for n in (0, 1)]
    assert "finite number" in by_kind["nan"][0].error
    assert "and so did a second one: SYSTEM_ERROR" in by_kind["die"][0].error
    assert "Worker exit detail: " in by_kind["die"][0].error and "\n" not in by_kind["die"][0].error
    text = (runs / "x" / by_kind["raise"][0].key / "traceback.txt").read_text()
    assert text.startswith("Traceback") and "mischief with s" in text

    tries = Counter(key for _, key, *_ in begun(runs))
    assert {tries[r.key] for r in by_kind["die"] + by_kind["die-once"]} == {2}
    assert {tries[r.key] for r in by_kind["raise"] + by_kind[""]} == {1}

    quiet = make(
        methods=[{"name": "tuned", "params": {"mischief": ["", "raise"]}}], subjects=["s0", "s1"], shots=1
    )
    again = sweep(quiet, runs)
    assert (again.before, again.done, len(again.failed)) == (2, 0, 2)  # only failures are tried again


def test_saved_pictures_are_scored_again_through_the_object_store(make, runs, monkeypatch):
    experiment = make(methods=["tuned"], shots=1, subjects=["s0"])
    sweep(experiment, runs)
    (first,) = read(runs / "x")
    monkeypatch.setitem(MEASURES, "dino", dataclasses.replace(MEASURES["dino"], version=99))
    sweep(experiment, runs)
    (second,) = read(runs / "x")
    assert (second.key, second.images) == (first.key, 3) and second.keys["score"] != first.keys["score"]
    assert [stage for stage, *_ in begun(runs)] == ["fit", "score"]


def test_a_full_disk_ends_the_sweep_in_one_line_and_frees_the_folder(make, runs, monkeypatch):
    append, calls = Lines.append, []

    def full(lines, record):
        calls.append(record)
        if len(calls) == 2:
            raise RecordsError("records.jsonl: cannot be written: No space left on device")
        append(lines, record)

    monkeypatch.setattr(Lines, "append", full)
    with pytest.raises(RecordsError, match="No space left on device"):
        sweep(make(), runs)
    assert len(read(runs / "x")) == 1
    with locked(runs / "x"):
        pass


def test_a_second_sweep_refuses(make, runs):
    with locked(runs / "x"), pytest.raises(BusyError, match=f"process {os.getpid()}"):
        sweep(make(), runs)


@pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_line(make, runs):
    with pytest.raises(ConfigError, match=r"resources\.gpus: 0\.5 requested for each trial, Ray sees no GPU"):
        sweep(make(resources={"gpus": 0.5}), runs)


@pytest.mark.parametrize(
    ("asked", "local", "refused"), [(2, True, True), (2, False, False), (1, True, False), (0, True, False)]
)
def test_more_gpus_than_this_machine_has_are_refused_and_a_cluster_may_grow(
    make, monkeypatch, asked, local, refused
):
    from harness.sweep import ray_session

    monkeypatch.setattr(ray_session.ray, "cluster_resources", lambda: {"GPU": 1.0})
    expected = pytest.raises(ConfigError, match="2 requested for each trial, Ray sees 1 here")
    with expected if refused else contextlib.nullcontext():
        ray_session._check_gpus(make(resources={"gpus": asked}), local=local)


def test_more_cores_than_the_machine_has_are_refused_before_anything_is_made(make, runs):
    with pytest.raises(ConfigError, match=r"resources\.cpus: 4096 requested for each trial, this machine"):
        sweep(make(resources={"cpus": 4096}), runs)
    assert not runs.exists()


def test_a_fraction_of_several_gpus_is_refused(make):
    with pytest.raises(
        ConfigError, match=r"resources\.gpus: must be a fraction of one GPU or a whole number"
    ):
        make(resources={"gpus": 1.5})


SLOW = {
    "name": "x",
    "methods": ["frozen", {"name": "tuned", "params": {"pause": 0.3, "lr": [0.1, 0.2, 0.3]}}],
    "subjects": ["s0", "s1"],
    "shots": [1, 3],
}


def start(runs: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "sweeping.py"), str(runs), json.dumps(SLOW)]
    env = {**os.environ, "PYTHONPATH": str(HERE)}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def wait_for(process: subprocess.Popen[str], word: str, count: int = 1) -> None:
    assert process.stdout
    for line in process.stdout:
        count -= line.startswith(word)
        if not count:
            return
    raise AssertionError(f"ended before {word!r}: {process.communicate()[1][-2000:]}")


def processes_in(session: str) -> list[int]:
    """Processes whose command line names a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if session in path.read_text():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def scores(runs: Path) -> dict[str, dict[str, float | None]]:
    return {record.key: record.scores for record in read(runs / "x")}


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_sigkill_of_driver_or_worker_loses_nothing_and_does_nothing_twice(make, runs, tmp_path_factory):
    killed = []
    for word, count, victim in (
        ("running", 1, "driver"),
        ("recorded", 3, "driver"),
        ("recorded", 2, "worker"),
    ):
        process = start(runs)
        wait_for(process, word, count)
        if victim == "driver":
            process.kill()
        else:
            os.kill(int(begun(runs)[-1][2]), signal.SIGKILL)
        said = process.communicate()
        killed.append(process.pid)
    assert process.returncode == 0, said  # the last one lost only a worker
    assert start(runs).wait() == 0

    records = list(Lines(runs / "x"))
    assert len(records) == len({record.key for record in records}) == 14
    assert {record.status for record in records} == {"done"}
    whole = tmp_path_factory.mktemp("whole") / "runs"
    sweep(strict_yaml.check(Experiment, SLOW, source="x"), whole)
    assert scores(whole) == scores(runs)
    assert not list((runs / "x").glob(".*"))
    deadline = time.monotonic() + 30
    sessions = [f"harness-sweep-{pid}-" for pid in killed]
    while (left := [pid for s in sessions for pid in processes_in(s)]) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert not left


class Killer(Notes):
    """Kills every process that Ray lends to the sweep, once, when a trial is well under way.

    Ray's agents are none of them: with one of those the node goes, and the command with it.
    """

    def __init__(self):
        super().__init__()
        self.killed = []

    def running(self, now):
        super().running(now)
        if not self.killed and {status.stage for _, status in now.values()} & {"fit", "sample"}:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    name = path.read_text().rstrip(chr(0))
                    lent = name.startswith("ray::") and "Agent" not in name
                    if lent and os.getpid() in ancestors(path.parent):
                        self.killed.append(name)
                        os.kill(int(path.parent.name), signal.SIGKILL)


def ancestors(process: Path) -> set[int]:
    found = set()
    while (parent := int((process / "stat").read_text().rpartition(") ")[2].split()[1])) > 1:
        found.add(parent)
        process = process.parent / str(parent)
    return found


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc")
def test_every_trial_is_done_though_every_process_that_ray_lends_is_killed(make, runs):
    killer = Killer()
    slower = {**SLOW, "methods": [{"name": "tuned", "params": {"pause": 1.5}}]}
    summary = sweep(strict_yaml.check(Experiment, slower, source="x"), runs, observers=[killer])
    assert any("train" in name for name in killer.killed), killer.killed
    assert (summary.total, summary.done, summary.failed) == (4, 4, [])
    assert len(list(Lines(runs / "x"))) == 4


def test_ctrl_c_ends_cleanly_and_the_next_run_continues(runs):
    for number, word, count in ((signal.SIGTERM, "started", 1), (signal.SIGINT, "recorded", 2)):
        process = start(runs)
        wait_for(process, word, count)
        process.send_signal(number)
        _, errors = process.communicate()
        assert process.returncode == 130 and "Traceback" not in errors
    kept = list(Lines(runs / "x"))
    assert 2 <= len(kept) < 14 and {record.status for record in kept} == {"done"}
    assert start(runs).wait() == 0
    assert list(Lines(runs / "x"))[: len(kept)] == kept and len(list(Lines(runs / "x"))) == 14
