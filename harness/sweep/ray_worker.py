"""The worker's side of Ray: a process that stays, in which one thread runs job after job."""

from __future__ import annotations

import gc
import importlib
import queue
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ray import tune

import harness
from harness.config.experiment import Experiment
from harness.files import cache_root
from harness.specs import EncoderSpec
from harness.sweep.observer import Status
from harness.trial.plan import Outcome, Plan, TrialWorker

STARTING = Status("starting", 0, 0)


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker of a sweep is made of; it reports at least every ``report_seconds``."""

    factory: str
    experiment: Experiment
    encoders: Mapping[str, Mapping[str, EncoderSpec]]
    report_seconds: float


class RayWorker(tune.Trainable):
    """Lives in a worker process for the whole sweep and runs one job after the other.

    A step returns the next outcome, or after ``report_seconds`` how far the job is. There is no third process
    between it and the driver: the driver hands it the plans, and Tune's own results bring the rest back.
    """

    def setup(self, config: dict[str, Any], worker: WorkerConfig | None = None) -> None:
        assert worker is not None
        self._seconds = worker.report_seconds
        self._thread = JobThread(TrialWorkers(worker).worker_for)

    def take(self, plans: Sequence[Plan] | Exception) -> None:
        """Begin a job: the driver calls this before its first step; an exception is why there are none."""
        self._thread.begin(plans)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        found = self._thread.next(self._seconds)
        return {**found._asdict(), "at": self._thread.status}


class Result(NamedTuple):
    """What a step brings: an outcome or none yet, whether it is the job's last, and what was warned of."""

    outcome: Outcome | None = None
    done: bool = False
    said: Sequence[str] = ()


class JobThread:
    """The only thread that touches models: whoever waits for it can say meanwhile how far it is.

    It goes on to the next trial of a job when it is asked again, that is, when what it gave is on record: one
    that is killed has lost no more than it was at.

    Every exception becomes a failed outcome that ends the job: one that escaped would end the process and the
    models in it. ``worker_for`` gives the worker for a plan's backbone.
    """

    def __init__(self, worker_for: Callable[[Plan], TrialWorker]) -> None:
        self._worker_for = worker_for
        self._jobs: queue.SimpleQueue[Sequence[Plan] | Exception] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[Result] = queue.SimpleQueue()
        self._asked = threading.Semaphore(0)
        self._given = False
        self.status = STARTING
        threading.Thread(target=self._run, daemon=True, name="jobs").start()

    def begin(self, plans: Sequence[Plan] | Exception) -> None:
        """Run a job when the one before is through."""
        self.status = STARTING
        self._jobs.put(plans)

    def next(self, seconds: float) -> Result:
        """Wait for the next outcome, so long at most."""
        if self._given:
            self._asked.release()
        try:
            found = self._results.get(timeout=seconds)
        except queue.Empty:
            found = Result()
        self._given = found.outcome is not None and not found.done
        return found

    def _run(self) -> None:
        while True:
            try:
                self._carry_out(self._jobs.get())
            except (Exception, SystemExit) as error:
                self._results.put(Result(Outcome.of_exception(error), done=True))

    def _carry_out(self, plans: Sequence[Plan] | Exception) -> None:
        if isinstance(plans, Exception):
            raise plans
        outcomes = self._worker_for(plans[0]).outcomes(plans, self._note)
        for left in reversed(range(len(plans))):
            with _heard() as said:
                outcome = next(outcomes)
            if not left:
                outcomes.close()
            self._results.put(Result(outcome, not left, said))
            if left:
                self._asked.acquire()

    def _note(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        self.status = Status(stage, done, total, loss)


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Collect the harness's own warnings, for the driver to say: nobody sees a worker's stderr."""
    own, said = str(Path(harness.__file__).parent), list[str]()
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("default")
        yield said
    said += [str(each.message) for each in heard if each.filename.startswith(own)]


def _imported(name: str) -> Any:
    """Import what "module:attribute" names; the first time without looking for garbage, for there is none.

    Else the collector walks through all that is imported, again and again: a fifth of the time. It does not
    look at that afterwards either.
    """
    module, attribute = name.split(":")
    if module not in sys.modules:
        gc.disable()
        try:
            importlib.import_module(module)
        finally:
            gc.enable()
        gc.freeze()
    return getattr(sys.modules[module], attribute)


class TrialWorkers:
    """Makes the worker of a backbone when a plan asks for it; holds one at a time."""

    def __init__(self, config: WorkerConfig) -> None:
        self._config = config
        self._worker: TrialWorker | None = None
        self._backbone = ""

    def worker_for(self, plan: Plan) -> TrialWorker:
        """Give the worker that has the plan's backbone."""
        config, spec = self._config, plan.trial.backbone
        name = spec.model_dump_json()
        if self._worker is None or self._backbone != name:
            self._worker = None  # frees the other backbone before this one is loaded
            self._worker = _imported(config.factory)(
                backbone=spec,
                dataset=config.experiment.dataset,
                encoders=config.encoders[name],
                device="cuda" if config.experiment.resources.gpus else "cpu",
                precision=config.experiment.precision,
                execution=config.experiment.execution,
                cache=cache_root(),
                threads=config.experiment.resources.cpus,
            )
            self._backbone = name
        return self._worker
