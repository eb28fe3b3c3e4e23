"""What a sweep hands to Ray: pending tasks, and what runs them. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.experiment import Experiment
from harness.sweep.catalog import Catalog
from harness.sweep.worklist import Task


@dataclass(frozen=True)
class Job:
    """Pending tasks of an experiment.

    slots    trials at a time; None: as many as the cluster takes
    address  of a Ray cluster; None: this machine
    factory  "module:attribute" of a :class:`harness.trial.plan.WorkerFactory`
    """

    experiment: Experiment
    catalog: Catalog
    tasks: list[Task]
    slots: int | None
    address: str | None
    factory: str
