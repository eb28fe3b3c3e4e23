"""Runs an experiment: what is pending in its run directory is handed to Ray, and recorded as it comes.

Ray Tune hands out trials to worker processes that stay, and retries the trial of a worker that dies. The rest
is the harness's own: results come back as bytes, the driver writes them, Tune's storage is thrown away. This
module imports Ray only when there is something to run.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness import files
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.errors import ConfigError
from harness.records import WANTED, Record, locked
from harness.specs import Trial
from harness.sweep import worklist
from harness.sweep.catalog import Catalog
from harness.sweep.job import jobs
from harness.sweep.observer import Observer
from harness.sweep.record_writer import RecordWriter
from harness.sweep.signals import Interrupted, Interruption
from harness.sweep.work import Work
from harness.sweep.worklist import Task

WORKER = "harness.trial.worker:Worker"


@dataclass
class Summary:
    """How a sweep ended: trials by what became of them, and whether it was interrupted."""

    total: int
    before: int = 0
    done: int = 0
    failed: list[Record] = field(default_factory=list)
    interrupted: bool = False


def run_sweep(
    experiment: Experiment,
    *,
    runs: Path,
    catalog: Catalog,
    expanded: Sequence[Trial] | None = None,
    workers: int | None = None,
    address: str | None = None,
    worker_factory: str = WORKER,
    observers: Sequence[Observer] = (),
) -> Summary:
    """Do what the run directory still lacks of the experiment, and record it trial by trial.

    ``expanded`` are the experiment's trials, where they are known already; ``workers`` overrides
    ``resources.workers``; ``address`` names a Ray cluster, None starts Ray on this machine;
    ``worker_factory`` is "module:attribute" of a :class:`harness.trial.plan.WorkerFactory`.
    Raises ConfigError before anything is started, BusyError if another sweep holds the directory,
    RecordsError if it cannot be written. A trial's own failure is recorded and counted; Ctrl-C ends the sweep
    early, with ``interrupted`` set.
    """
    folder = Path(runs).resolve() / experiment.name
    if address is None:
        _check_cores(experiment)
    with locked(folder):
        writer = _opened(folder, experiment)
        tasks = worklist.tasks(experiment, catalog, writer.lines, folder, expanded=expanded)
        pending = worklist.in_order([task for task in tasks if task.stage != "done"])
        _describe(folder, experiment, tasks)
        grouped = jobs(pending)
        slots = slots_of(experiment, workers, len(grouped)) if address is None else workers
        summary = Summary(total=len(tasks), before=len(tasks) - len(pending))
        with Interruption() as interruption:
            for observer in observers:
                observer.started(tasks, pending, slots or 0)
            if pending:
                work = Work(experiment, catalog, grouped, slots, address, worker_factory)
                records, summary.interrupted = _run(work, writer, observers, interruption)
                summary.done = sum(record.status == "done" for record in records)
                summary.failed = [record for record in records if record.status == "failed"]
    return summary


def _opened(folder: Path, experiment: Experiment) -> RecordWriter:
    """Clear what a killed sweep left half-done in a run directory; return the writer of its records."""
    files.clear_leftovers(folder)
    writer = RecordWriter(folder, described=experiment.described())
    aside = writer.lines.repair()
    if aside:
        logging.getLogger("harness").warning("%s: the last line was cut off; set aside", aside)
    return writer


def _describe(folder: Path, experiment: Experiment, tasks: Sequence[Task]) -> None:
    """Write the resolved experiment and the keys of its trials."""
    files.write_atomically(folder / "experiment.yaml", strict_yaml.dump(experiment.model_dump(mode="json")))
    wanted = json.dumps([task.keys.sample for task in tasks], indent=0)
    files.write_atomically(folder / WANTED, wanted.encode())


def _run(
    work: Work, writer: RecordWriter, observers: Sequence[Observer], interruption: Interruption
) -> tuple[list[Record], bool]:
    """Do the work on Ray. Return the records of what was finished, and whether the user interrupted."""
    from harness.sweep.ray_session import session  # Ray is slow to import, and not always needed

    records: list[Record] = []
    try:
        interruption.check()
        with session(work.experiment, work.slots, work.address) as storage:
            from harness.sweep.ray_driver import RecordCallback, run_jobs

            interruption.arm()  # Ray takes SIGTERM for itself
            interruption.check()
            callback = RecordCallback(writer, observers, interruption, records)
            run_jobs(callback, work, storage=storage)
    except Interrupted:
        return records, True
    return records, False


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
