"""Both ends of a trial on Ray: the resident worker that runs it, and the desk that hands out the plans."""

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

TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Bench:
    """What every worker of a sweep is made of."""

    factory: str
    experiment: Experiment
    encoders: Mapping[str, Mapping[str, EncoderSpec]]
    desk: Any


class Desk:
    """An actor beside the driver: hands out plans, and keeps what running trials say of themselves."""

    def __init__(self, tasks: list[Task], experiment: Experiment, folder: Path) -> None:
        self._tasks = tasks
        self._experiment = experiment
        self._folder = folder
        self._statuses: dict[int, Status] = {}

    def plan(self, index: int) -> Plan:
        return worklist.plan(self._tasks[index], self._experiment, self._folder)

    def tell(self, index: int, status: Status) -> None:
        self._statuses[index] = status

    def statuses(self) -> dict[int, Status]:
        return self._statuses


class Resident(tune.Trainable):
    """Lives in a worker process for the whole sweep and runs one trial after the other.

    Every exception becomes a failed outcome: one that escaped would end the process and the models in it.
    """

    def setup(self, config: dict[str, Any], bench: Bench | None = None) -> None:
        assert bench is not None
        self._bench = bench
        self._worker: TrialWorker | None = None
        self._backbone = ""

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        index = self.config["index"]
        try:
            plan = ray.get(self._bench.desk.plan.remote(index))
            outcome = self._worker_for(plan).run(plan, _Teller(self._bench.desk, index))
        except Exception as error:
            outcome = Outcome.of_exception(error)
        return {"outcome": outcome, "done": True}

    def _worker_for(self, plan: Plan) -> TrialWorker:
        bench, spec = self._bench, plan.trial.backbone
        name = spec.model_dump_json()
        if self._worker is None or self._backbone != name:
            self._worker = None  # frees the other backbone before this one is loaded
            module, attribute = bench.factory.split(":")
            factory = getattr(importlib.import_module(module), attribute)
            self._worker = factory(
                backbone=spec,
                dataset=bench.experiment.dataset,
                encoders=bench.encoders[name],
                device="cuda" if bench.experiment.resources.gpus else "cpu",
                precision=bench.experiment.precision,
                execution=bench.experiment.execution,
                cache=cache_root(),
                threads=bench.experiment.resources.cpus,
            )
            self._backbone = name
        return self._worker


class _Teller:
    """The progress callback of one trial: passes on every change of stage, and steps twice a second."""

    def __init__(self, desk: Any, index: int) -> None:
        self._desk = desk
        self._index = index
        self._stage = ""
        self._told_at = 0.0

    def __call__(self, stage: str, done: int, total: int, loss: float | None = None) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._told_at >= TELL_SECONDS:
            self._stage, self._told_at = stage, now
            self._desk.tell.remote(self._index, Status(stage, done, total, loss))
