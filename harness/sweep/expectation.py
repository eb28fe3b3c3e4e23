"""What a sweep will cost, before it begins: hours, pictures, disk. Loads no torch."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.config.experiment import Experiment
from harness.diffusion.backbones.checks import resolution_here
from harness.records import AnyRecord
from harness.specs import KNOWN_BACKBONES
from harness.sweep.catalog import Catalog
from harness.sweep.findings import Finding, duration_text, size_text
from harness.sweep.job import jobs
from harness.sweep.pace import Pace
from harness.sweep.run import slots_of
from harness.sweep.time_left import span
from harness.sweep.worklist import Task, in_order
from harness.sweep.workload import workloads

PNG_SHARE = 0.6
"""Size of an image as PNG, of its three bytes a pixel; photographs take about that."""
BESIDE = 80_000
"""Bytes of a trial's other files, without weights: contact sheet, losses, scores by image."""
STARTING = 15.0
"""Seconds in which workers load networks."""
MANY, LONG = 1_000_000, 30 * 86_400
"""Pictures and seconds above which an experiment is hardly meant so."""


@dataclass(frozen=True)
class Expectation:
    """The cost of what a run directory still lacks.

    seconds   on ``workers`` workers; None where nothing says how fast the base model is here
    pace      where the seconds come from, or why there are none
    passes    through the denoiser
    pictures  that are filed, and their ``size`` in bytes, without weights; None where that is not known
    place     the nearest folder that is there, with ``free`` bytes
    searches  whether a search will propose more, of which nothing is counted
    """

    seconds: float | None
    workers: int
    pace: str
    passes: float
    pictures: int
    size: int | None
    place: Path
    free: int
    searches: bool = False

    @property
    def words(self) -> str:
        """Say it in a line."""
        workers = f"{self.workers} worker{'s' * (self.workers > 1)}"
        work = f"{self.passes:,.0f} passes through the denoiser"
        if self.seconds is not None:
            work = f"about {duration_text(self.seconds)} with {workers}"
        size = "" if self.size is None else f", {size_text(self.size)} without weights"
        besides = "; what a search will propose is not counted" if self.searches else ""
        return f"{work}, {self.pictures:,} pictures{size}{besides}"

    @property
    def alarm(self) -> str | None:
        """Say what can hardly be meant: very many pictures, more time or disk than there is."""
        reasons = [f"{self.pictures:,} pictures"] if self.pictures > MANY else []
        if self.seconds is not None and self.seconds > LONG:
            reasons.append(f"{duration_text(self.seconds)} of work")
        if self.size is not None and self.size > self.free:
            reasons.append(f"{size_text(self.size)} where {size_text(self.free)} are free ({self.place})")
        if not reasons:
            return None
        return (
            f"IS THIS MEANT? {', '.join(reasons)}: look at sampling.images, prompts, drift.images, subjects"
        )

    def finding(self) -> Finding:
        """Say it as a finding of the preflight."""
        return Finding("note" if self.alarm else "ok", "cost", self.words, self.pace, self.alarm or "")


def expect(
    tasks: Sequence[Task],
    experiment: Experiment,
    catalog: Catalog,
    records: Iterable[AnyRecord],
    folder: Path,
    *,
    workers: int | None = None,
) -> Expectation:
    """Reckon the pending among all tasks of an experiment; ``records`` of its run directory give the pace."""
    pending = in_order([task for task in tasks if task.stage != "done"])
    loads = workloads(pending, experiment, catalog)
    slots = slots_of(experiment, workers, len(jobs(pending)))
    pace, words = _pace(tasks, experiment, catalog, records)
    place = next(path for path in (folder.resolve(), *folder.resolve().parents) if path.is_dir())
    sizes = {spec.model_dump_json(): resolution_here(spec) for spec in experiment.backbone}
    bytes_of = [
        None if side is None else load.pictures * 3 * side**2 * PNG_SHARE + BESIDE
        for load, task in zip(loads, pending, strict=True)
        for side in [sizes[task.trial.backbone.model_dump_json()]]
    ]
    known = [each for each in bytes_of if each is not None]
    return Expectation(
        seconds=None if pace is None else (STARTING + span(loads, pace, slots)) * bool(loads),
        workers=slots,
        pace=words,
        passes=sum(load.passes for load in loads),
        pictures=sum(load.pictures for load in loads),
        size=int(sum(known)) if len(known) == len(bytes_of) else None,
        place=place,
        free=shutil.disk_usage(place).free,
        searches=experiment.search is not None,
    )


def _pace(
    tasks: Sequence[Task], experiment: Experiment, catalog: Catalog, records: Iterable[AnyRecord]
) -> tuple[Pace | None, str]:
    """The pace of the records at hand; without any, for Toybox on CPUs, that of the defaults."""
    done = [record for record in records if record.status == "done"]
    recorded = {record.key for record in done}
    wanted = [replace(task, stage="fit") for task in tasks if task.keys.sample in recorded]
    loads = dict(zip((t.keys.sample for t in wanted), workloads(wanted, experiment, catalog), strict=True))
    pace, seen = Pace(), 0
    for record in done:
        if record.key in loads:
            pace, seen = pace.with_record(loads[record.key], record.own_seconds), seen + 1
    if seen:
        return pace, f"at the pace of {seen} recorded trial{'s' * (seen > 1)}"
    own = all(spec.path is None and spec.name in KNOWN_BACKBONES for spec in experiment.backbone)
    if own and not experiment.resources.gpus:
        return pace, "at the pace of two CPU cores; that of this machine shows after a minute"
    return None, "nothing measured yet says how long they take here"
