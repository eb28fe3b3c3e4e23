"""What a sweep hands to Ray: what is to be done, and what does it. Imports no Ray."""

from __future__ import annotations

from dataclasses import dataclass

from harness.config.experiment import Experiment
from harness.sweep.agenda import Agenda
from harness.sweep.catalog import Catalog
from harness.sweep.limits import Limits, TimeLimit


@dataclass(frozen=True)
class Work:
    """The jobs of an experiment.

    slots    jobs at a time; None: as many as the cluster takes
    address  of a Ray cluster; None: this machine
    factory  "module:attribute" of a :class:`harness.trial.plan.WorkerFactory`
    limits   what ends it early
    time     says which job can be done in time
    """

    experiment: Experiment
    catalog: Catalog
    agenda: Agenda
    slots: int | None
    address: str | None
    factory: str
    limits: Limits
    time: TimeLimit
