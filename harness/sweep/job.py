"""What a sweep hands to Ray."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.experiment import Experiment
from harness.sweep.catalog import Catalog
from harness.sweep.worklist import Task


@dataclass(frozen=True)
class Job:
    """What is to be done, and on what: ``slots`` trials at a time (None: as many as the cluster takes)."""

    experiment: Experiment
    catalog: Catalog
    tasks: list[Task]
    slots: int | None
    address: str | None
    factory: str
