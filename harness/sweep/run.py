"""Runs the trials of an experiment through Ray Tune. The only package that imports Ray.

Tune hands out trials to resident workers and retries the trial of a worker that dies. Everything else is the
harness's own: outcomes come back as bytes and the driver files them; Tune's storage is a throw-away folder.
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
from harness.sweep.job import Job
from harness.sweep.observer import Observer
from harness.sweep.record_writer import Ledger
from harness.sweep.signals import Interrupted, Interruption

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
        files.clear_leftovers(folder)
        ledger = Ledger(folder, described=experiment.described())
        aside = ledger.lines.repair()
        if aside:
            logging.getLogger("harness").warning("%s: the last line was cut off; set aside", aside)
        tasks = worklist.tasks(experiment, catalog, ledger.lines, folder, expanded=expanded)
        pending = worklist.in_order([task for task in tasks if task.stage != "done"])
        resolved = strict_yaml.dump(experiment.model_dump(mode="json"))
        files.write_atomically(folder / "experiment.yaml", resolved)
        wanted = json.dumps([task.keys.sample for task in tasks], indent=0)
        files.write_atomically(folder / WANTED, wanted.encode())
        slots = slots_of(experiment, workers, len(pending)) if address is None else workers
        summary = Summary(total=len(tasks), before=len(tasks) - len(pending))
        with Interruption() as interruption:
            for observer in observers:
                observer.started(tasks, pending, slots or 0)
            if pending:
                job = Job(experiment, catalog, pending, slots, address, worker_factory)
                records, summary.interrupted = _run(job, ledger, observers, interruption)
                summary.done = sum(record.status == "done" for record in records)
                summary.failed = [record for record in records if record.status == "failed"]
    return summary


def _run(
    job: Job, ledger: Ledger, observers: Sequence[Observer], interruption: Interruption
) -> tuple[list[Record], bool]:
    """Do a job on Ray. Return the records of what was finished, and whether the user interrupted."""
    from harness.sweep.ray_session import session  # Ray is slow to import, and not always needed

    records: list[Record] = []
    try:
        interruption.check()
        with session(job.experiment, job.slots, job.address) as storage:
            from harness.sweep.ray_driver import Clerk, run_tasks

            interruption.arm()  # Ray takes SIGTERM for itself
            interruption.check()
            clerk = Clerk(job.tasks, ledger, observers, interruption, records)
            run_tasks(clerk, job, storage=storage)
    except Interrupted:
        return records, True
    return records, False


def _check_cores(experiment: Experiment) -> None:
    """Raise ConfigError where a single trial asks for more than this machine has."""
    asked, there = experiment.resources.cpus, files.cores()
    if asked > there:
        raise ConfigError(
            f"{experiment.source}: resources.cpus: {asked} asked for each trial, this machine has {there}"
        )


def slots_of(experiment: Experiment, workers: int | None, pending: int) -> int:
    """How many trials run at a time on this machine."""
    resources = experiment.resources
    wanted = workers or resources.workers
    slots = files.cores() // resources.cpus if wanted == "auto" else int(wanted)
    return max(1, min(slots, pending))
