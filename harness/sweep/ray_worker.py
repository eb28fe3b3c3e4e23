"""Both ends of a trial on Ray: the worker process that runs it, and the actor that hands out the plans."""

from __future__ import annotations

import importlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune

from harness.config.experiment import Experiment
from harness.files import cache_root
from harness.specs import EncoderSpec
from harness.sweep import worklist
from harness.sweep.observer import Status
from harness.sweep.worklist import Task
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
    """An actor beside the driver: hands out plans, and keeps the status of running trials."""

    def __init__(self, tasks: list[Task], experiment: Experiment, folder: Path) -> None:
        self._tasks = tasks
        self._experiment = experiment
        self._folder = folder
        self._statuses: dict[int, Status] = {}

    def plan(self, index: int) -> Plan:
        """Write out the plan of the task at ``index``."""
        return worklist.plan(self._tasks[index], self._experiment, self._folder)

    def report(self, index: int, status: Status) -> None:
        """Note the status of the task at ``index``."""
        self._statuses[index] = status

    def statuses(self) -> dict[int, Status]:
        """Return the last status of every task that reported one."""
        return self._statuses


class RayWorker(tune.Trainable):
    """Lives in a worker process for the whole sweep and runs one trial after the other.

    Every exception becomes a failed outcome: one that escaped would end the process and the models in it.
    """

    def setup(self, config: dict[str, Any], worker: WorkerConfig | None = None) -> None:
        assert worker is not None
        self._worker_config = worker
        self._worker: TrialWorker | None = None
        self._backbone = ""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        index = self.config["index"]
        try:
            plan = ray.get(self._worker_config.plans.plan.remote(index))
            outcome = self._worker_for(plan).run(plan, ProgressReporter(self._worker_config.plans, index))
        except Exception as error:
            outcome = Outcome.of_exception(error)
        return {"outcome": outcome, "done": True}

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


class ProgressReporter:
    """The progress callback of one trial: reports every change of stage, and steps twice a second."""

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
