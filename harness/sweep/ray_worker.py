"""Both ends of a job on Ray: the worker process that runs it, and the actor that hands out the plans."""

from __future__ import annotations

import importlib
import time
import warnings
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

import harness
from harness.config.experiment import Experiment
from harness.files import cache_root
from harness.specs import EncoderSpec
from harness.sweep import worklist
from harness.sweep.job import Job
from harness.sweep.observer import Status
from harness.trial.plan import Outcome, Plan, TrialWorker

REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class WorkerConfig:
    """What every worker of a sweep is made of; ``plans`` is the handle of the PlanActor."""

    factory: str
    experiment: Experiment
    encoders: Mapping[str, Mapping[str, EncoderSpec]]
    plans: Any


class PlanActor:
    """An actor beside the driver: hands out plans, and keeps the status of running jobs."""

    def __init__(self, experiment: Experiment, folder: Path) -> None:
        self._jobs: dict[int, Job] = {}
        self._experiment = experiment
        self._folder = folder
        self._statuses: dict[int, Status] = {}

    def add(self, index: int, job: Job) -> None:
        """Expect somebody to ask for the plans of a job, by its number."""
        self._jobs[index] = job

    def plans(self, index: int) -> list[Plan]:
        """Write out the plans of the job with a number, one for each of its tasks."""
        return worklist.plans(self._jobs[index].tasks, self._experiment, self._folder)

    def report(self, index: int, status: Status) -> None:
        """Note the status of a job."""
        self._statuses[index] = status

    def statuses(self) -> dict[int, Status]:
        """Return the last status of every job that reported one."""
        return self._statuses


class RayWorker(tune.Trainable):
    """Lives in a worker process for the whole sweep and runs one job after the other, an outcome at a step.

    Every exception becomes a failed outcome that ends the job: one that escaped would end the process and the
    models in it.
    """

    def setup(self, config: dict[str, Any], worker: WorkerConfig | None = None) -> None:
        assert worker is not None
        self._worker_config = worker
        self._worker: TrialWorker | None = None
        self._backbone = ""
        self._outcomes: Generator[Outcome] | None = None
        self._left = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._outcomes = None
        return True

    def step(self) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("default")
            outcome = self._next()
        return {"outcome": outcome, "done": not self._left, "said": remarks(heard)}

    def _next(self) -> Outcome:
        try:
            if self._outcomes is None:
                self._outcomes, self._left = self._begin(self.config["index"])
            outcome = next(self._outcomes)
            self._left -= 1
            if not self._left:
                self._outcomes.close()
        except (Exception, SystemExit) as error:
            outcome, self._left = Outcome.of_exception(error), 0
        return outcome

    def _begin(self, index: int) -> tuple[Generator[Outcome], int]:
        """Fetch a job's plans; return its outcomes to come and how many they are."""
        plans = ray.get(self._worker_config.plans.plans.remote(index))
        reporter = ProgressReporter(self._worker_config.plans, index)
        return self._worker_for(plans[0]).outcomes(plans, reporter), len(plans)

    def _worker_for(self, plan: Plan) -> TrialWorker:
        config, spec = self._worker_config, plan.trial.backbone
        name = spec.model_dump_json()
        if self._worker is None or self._backbone != name:
            self._worker = None  # frees the other backbone before this one is loaded
            module, attribute = config.factory.split(":")
            factory = getattr(importlib.import_module(module), attribute)
            self._worker = factory(
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


def remarks(heard: Sequence[warnings.WarningMessage]) -> list[str]:
    """Pick the harness's own warnings, for the driver to say: nobody sees a worker's stderr."""
    own = str(Path(harness.__file__).parent)
    return [str(each.message) for each in heard if each.filename.startswith(own)]


class ProgressReporter:
    """The progress callback of one job: reports every change of stage, and steps twice a second."""

    def __init__(self, plans: Any, index: int) -> None:
        self._plans = plans
        self._index = index
        self._stage = ""
        self._reported_at = 0.0

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._reported_at >= REPORT_SECONDS:
            self._stage, self._reported_at = stage, now
            self._plans.report.remote(self._index, Status(stage, done, total, loss))
