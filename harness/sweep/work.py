"""What a sweep hands to Ray: pending jobs, and what runs them. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.experiment import Experiment
from harness.sweep.catalog import Catalog
from harness.sweep.job import Job


@dataclass(frozen=True)
class Work:
    """Pending jobs of an experiment.

    slots    jobs at a time; None: as many as the cluster takes
    address  of a Ray cluster; None: this machine
    factory  "module:attribute" of a :class:`harness.trial.plan.WorkerFactory`
    """

    experiment: Experiment
    catalog: Catalog
    jobs: list[Job]
    slots: int | None
    address: str | None
    factory: str
