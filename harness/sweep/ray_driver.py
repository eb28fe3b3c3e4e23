"""The driver's side of Ray Tune: every job is a Tune trial, handed out as a worker becomes free; outcomes are
filed as they come.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from harness.errors import HarnessError
from harness.records import Record
from harness.sweep import worklist
from harness.sweep.agenda import Agenda
from harness.sweep.job import Job
from harness.sweep.limits import StallWatch
from harness.sweep.observer import Observer, Status
from harness.sweep.ray_worker import STARTING, RayWorker, WorkerConfig
from harness.sweep.record_writer import RecordWriter
from harness.sweep.signals import Interrupted, Interruption
from harness.sweep.work import Work
from harness.sweep.worklist import Task
from harness.trial.plan import Outcome, Plan

REPORT_SECONDS = 0.5
REPORTS_A_SECOND = 40
"""So many reports the driver takes without falling behind; more workers report less often."""
ERROR_LENGTH = 400
log = logging.getLogger("harness")


def run_jobs(callback: RecordCallback, work: Work, *, storage: Path) -> None:
    """Let Tune run the jobs, then once more what is left of those whose worker died.

    Tune's own storage goes to ``storage``, to be thrown away. Raises Interrupted after a signal, HarnessError
    if a result could not be filed.
    """
    experiment, agenda = work.experiment, work.agenda
    encoders = {spec.model_dump_json(): work.catalog.encoders(spec) for spec in experiment.backbone}
    worker = WorkerConfig(work.factory, experiment, encoders, _report_seconds(work))
    run = 0
    try:
        while agenda.again():
            run += 1
            _tuner(callback, work, worker, storage=storage / f"tune-{run}").fit()
    except Interrupted:
        if callback.error:
            raise callback.error from None
        raise


def _report_seconds(work: Work) -> float:
    """How often a worker says how far it is, by how many there can be."""
    there, needs = ray.cluster_resources(), work.experiment.resources
    workers = work.slots or int(there.get("CPU", 1) // needs.cpus)
    if needs.gpus:
        workers = min(workers, int(there.get("GPU", 1) // needs.gpus))
    return max(REPORT_SECONDS, workers / REPORTS_A_SECOND)


def _tuner(callback: RecordCallback, work: Work, worker: WorkerConfig, *, storage: Path) -> tune.Tuner:
    """Set up Tune for the agenda's jobs, each a trial whose only parameter is the job's number.

    Tune's own retries are off: they leave out a trial that was handed to a worker already dead.
    """
    needs = {"cpu": work.experiment.resources.cpus, "gpu": work.experiment.resources.gpus}
    return tune.Tuner(
        tune.with_resources(tune.with_parameters(RayWorker, worker=worker), needs),
        tune_config=tune.TuneConfig(
            search_alg=JobSearcher(work.agenda, work.time.fits),
            num_samples=-1,
            reuse_actors=True,
            max_concurrent_trials=work.slots,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="sweep",
            storage_path=str(storage),
            verbose=0,
            callbacks=[callback],
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )


class JobSearcher(Searcher):
    """What Tune asks for trials: gives it the agenda's next job that is wanted, or lets it wait for one."""

    def __init__(self, agenda: Agenda, wanted: Callable[[Job], bool]) -> None:
        super().__init__()
        self._agenda, self._wanted = agenda, wanted

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its searcher into its own storage, which nobody reads."""
        return {}

    def suggest(self, trial_id: str) -> Any:
        """Name the next job; None while there is none, the end when none is to come."""
        if self._agenda.idle:
            return Searcher.FINISHED
        index = self._agenda.take(self._wanted)
        return None if index is None else {"index": index}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing to learn: the records say what came of it."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to keep: what is to be done follows from the records."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to read."""


def cause_of_death(report: str) -> str:
    """Pick from Ray's report of a dead worker (Tune's error file) what killed it: one line."""
    lines = report.rpartition("Failure # ")[2].splitlines()[1:]
    text = " ".join(" ".join(lines).split())
    return text.partition("Worker exit type: ")[2] or (lines[-1] if lines else "Ray does not say why")


class RecordCallback(tune.Callback):
    """Runs in the driver: hands out plans, records every outcome as it comes, and tells the observers.

    A job gives an outcome for each of its tasks, in their order.
    """

    def __init__(
        self,
        writer: RecordWriter,
        work: Work,
        observers: Sequence[Observer],
        interruption: Interruption,
        records: list[Record],
    ) -> None:
        self._work = work
        self._records = records
        self.error: HarnessError | None = None
        self.writer = writer
        self._agenda = work.agenda
        self._observers = observers
        self._interruption = interruption
        self._running: dict[int, Status] = {}
        self._trials: dict[int, Any] = {}
        self._watch = StallWatch(work.limits.stall)
        self._stalled: dict[int, str] = {}
        self._told_at = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune writes its callbacks into its own storage, which nobody reads: locks and threads stay out."""
        return {}

    def setup(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to prepare; Tune asks."""

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        """Hand the worker its plans: Tune has its process ready, and asks it for a step after this."""
        index = trial.config["index"]
        self._running[index], self._trials[index] = STARTING, trial
        self._watch.seen(index, STARTING, time.monotonic())
        trial.temporary_state.ray_actor.take.remote(self._plans(index))

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        outcome = result.pop("outcome")  # else Tune keeps every image of the sweep in memory
        for remark in result.pop("said", ()):
            warnings.warn(remark, stacklevel=1)  # once for all workers: the same words count once
        index = trial.config["index"]
        if outcome is None:
            self._running[index] = result.pop("at")
            self._watch.seen(index, self._running[index], time.monotonic())
        elif not result["done"]:
            self._file(index, outcome)
            self._watch.restart(index, time.monotonic())
        else:
            self._file_rest(index, outcome)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        index = trial.config["index"]
        stalled = self._stalled.pop(index, None)
        if self._agenda.died(index):
            self._leave(index)
            return
        cause = stalled or cause_of_death(Path(trial.error_file).read_text())
        why = f"its worker died, and so did a second one: {cause}"
        self._file_rest(index, Outcome("failed", error=why[:ERROR_LENGTH]))

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        self._interruption.check()
        now = time.monotonic()
        if now - self._told_at >= REPORT_SECONDS:
            self._told_at = now
            for index, why in self._watch.stalled(now).items():
                self._kill(index, why)
            for observer in self._observers:
                observer.running({index: (self._current(index), s) for index, s in self._running.items()})

    def _kill(self, index: int, why: str) -> None:
        """End a worker that hangs; Tune then says that it died."""
        trial = self._trials[index]
        log.warning("%s: %s", self._current(index).keys.sample, why)
        self._stalled[index] = why
        ray.kill(trial.temporary_state.ray_actor)
        last = trial.last_result
        if last.get("node_ip") == ray.util.get_node_ip_address():
            with contextlib.suppress(OSError):
                os.kill(last["pid"], signal.SIGKILL)  # one that is stopped hears nothing of Ray's

    def _leave(self, index: int) -> None:
        self._running.pop(index, None)
        self._trials.pop(index, None)
        self._watch.forget(index)

    def _plans(self, index: int) -> list[Plan] | OSError:
        """Write out a job's plans with the saved files they start from, or say why these cannot be read."""
        try:
            return worklist.plans(self._agenda.jobs[index].tasks, self._work.experiment, self.writer.folder)
        except OSError as error:
            return error

    def _current(self, index: int) -> Task:
        return self._agenda.left(index)[0]

    def _file_rest(self, index: int, outcome: Outcome) -> None:
        """File the outcome of a job's last task; one that ended the job before it is that of all the rest."""
        self._leave(index)
        for _ in self._agenda.left(index):
            self._file(index, outcome)

    def _file(self, index: int, outcome: Outcome) -> None:
        try:
            task = self._current(index)
            record = self.writer.commit(task, outcome)
            self._work.time.recorded(task, record)
            if record.status == "failed" and self._work.limits.fail_fast:
                self._interruption.stop("failure")
            self._records.append(record)
            for observer in self._observers:
                observer.recorded(record)
            self._agenda.filed(index, record)
        except HarnessError as error:
            self.error = error
            raise Interrupted from error
