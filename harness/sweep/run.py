"""Runs an experiment: what is pending in its run directory is handed to Ray, and recorded as it comes.

Ray Tune hands out trials to worker processes that stay, and retries the trial of a worker that dies. The rest
is the harness's own: results come back as bytes, the driver writes them, Tune's storage is thrown away. This
module imports Ray only when there is something to run.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from harness import files
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.files import locked
from harness.records import Record
from harness.sweep.catalog import Catalog
from harness.sweep.course import Course
from harness.sweep.grid import Expansion, expand
from harness.sweep.limits import Limits, TimeLimit
from harness.sweep.observer import Observer
from harness.sweep.record_writer import RecordWriter
from harness.sweep.signals import Interrupted, Interruption, Reason
from harness.sweep.work import Work
from harness.sweep.workload import workloads

WORKER = "harness.trial.worker:Worker"


@dataclass
class Summary:
    """How a sweep ended: trials by what became of them, and why it ended early, if it did."""

    total: int
    before: int = 0
    done: int = 0
    failed: list[Record] = field(default_factory=list)
    stopped: Reason | None = None

    @property
    def interrupted(self) -> bool:
        """Whether it ended early."""
        return self.stopped is not None


def run_sweep(
    experiment: Experiment,
    *,
    runs: Path,
    catalog: Catalog,
    expanded: Expansion | None = None,
    workers: int | None = None,
    address: str | None = None,
    worker_factory: str = WORKER,
    observers: Sequence[Observer] = (),
    limits: Limits = Limits(),
) -> Summary:
    """Do what the run directory still lacks of the experiment, and record it trial by trial.

    ``expanded`` is the experiment expanded, where that was done already; ``workers`` overrides
    ``resources.workers``; ``address`` names a Ray cluster, None starts Ray on this machine;
    ``worker_factory`` is "module:attribute" of a :class:`harness.trial.plan.WorkerFactory`.
    Raises ConfigError before anything is started, BusyError if another sweep holds the directory,
    RecordsError if it cannot be written. A trial's own failure is recorded and counted; Ctrl-C and ``limits``
    end the sweep early, with ``stopped`` set.
    """
    folder = Path(runs).resolve() / experiment.name
    if address is None:
        _check_cores(experiment)
    with locked(folder):
        writer = _opened(folder, experiment)
        course = Course(experiment, catalog, expanded or expand(experiment, catalog), writer, observers)
        slots = slots_of(experiment, workers, course.agenda.breadth) if address is None else workers
        summary = Summary(total=0)
        with Interruption(limits.deadline) as interruption:
            course.start(slots or 0)
            if not course.agenda.idle:
                time = TimeLimit(limits.deadline, partial(workloads, experiment=experiment, catalog=catalog))
                time.recall(course.tasks, writer.lines.outlines())
                work = Work(experiment, catalog, course.agenda, slots, address, worker_factory, limits, time)
                records = _run(work, writer, observers, interruption)
                summary.stopped = interruption.why
                summary.done = sum(record.status == "done" for record in records)
                summary.failed = [record for record in records if record.status == "failed"]
        summary.total, summary.before = len(course.tasks), len(course.tasks) - len(course.pending)
    return summary


def _opened(folder: Path, experiment: Experiment) -> RecordWriter:
    """Clear what a killed sweep left half-done in a run directory; return the writer of its records."""
    files.clear_leftovers(folder)
    writer = RecordWriter(folder, described=experiment.described())
    aside = writer.lines.repair()
    if aside:
        logging.getLogger("harness").warning("%s: the last line was cut off; set aside", aside)
    return writer


def _run(
    work: Work, writer: RecordWriter, observers: Sequence[Observer], interruption: Interruption
) -> list[Record]:
    """Do the work on Ray, till it is done or interrupted. Return the records of what was finished."""
    from harness.sweep.ray_session import session  # Ray is slow to import, and not always needed

    records: list[Record] = []
    try:
        interruption.check()
        with session(work.experiment, work.slots, work.address) as storage:
            from harness.sweep.ray_driver import RecordCallback, run_jobs

            interruption.arm()  # Ray takes SIGTERM for itself
            interruption.check()
            callback = RecordCallback(writer, work, observers, interruption, records)
            run_jobs(callback, work, storage=storage)
            if work.agenda.aside:
                interruption.stop("time")
    except Interrupted:
        pass
    return records


def _check_cores(experiment: Experiment) -> None:
    """Raise ConfigError where a single trial needs more cores than this machine has."""
    requested, there = experiment.resources.cpus, files.cores()
    if requested > there:
        raise ConfigError(
            f"{experiment.source}: resources.cpus: {requested} requested for each trial, "
            f"this machine has {there}"
        )


def slots_of(experiment: Experiment, workers: int | None, pending: int) -> int:
    """How many jobs run at a time on this machine."""
    resources = experiment.resources
    wanted = workers or resources.workers
    slots = files.cores() // resources.cpus if wanted == "auto" else int(wanted)
    return max(1, min(slots, pending))
