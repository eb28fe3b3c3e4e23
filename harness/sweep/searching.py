"""A study while it runs: its proposals one after the other, rung by rung, read off the results as they come.

What is to be done next follows from the records alone. Knows neither Ray nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config.experiment import Experiment
from harness.errors import HarnessError
from harness.records import AnyRecord, Record
from harness.specs import Trial
from harness.sweep import halving
from harness.sweep.catalog import Catalog
from harness.sweep.grid import Expansion
from harness.sweep.proposals import Tried, propose
from harness.sweep.study import Level, Point, Study, identity
from harness.sweep.worklist import Task, Worklist

Amend = Callable[[Record, Mapping[str, Any]], Record]
"""Appends a record anew with what a search made of its trial."""


def points_in(study: Study, lines: Sequence[AnyRecord], work: Worklist[Any], catalog: Catalog) -> list[Point]:
    """Find the points of a study that records hold, whoever asked for them, in the order of their proposals.

    ``lines`` are all records in file order. A point counts where the key of a record is that of one of its
    trials; those without a proposal's number stand behind those with one.
    """
    known: dict[str, tuple[Point, set[str]]] = {}
    places: dict[str, tuple[float, int]] = {}
    for line, record in enumerate(lines):
        point = study.point_of(record.trial, catalog)
        if point is None:
            continue
        name = identity(point)
        if name not in known:
            known[name] = point, _keys(study, point, work, catalog)
        if record.key in known[name][1]:
            own = record.search if record.search and record.search["study"] == study.name else None
            number = float("inf") if own is None else own["proposal"]
            before = places.get(name, (number, line))
            places[name] = min(number, before[0]), before[1]
    return [known[name][0] for name in sorted(places, key=places.__getitem__)]


def known_trials(
    experiment: Experiment, catalog: Catalog, expanded: Expansion, lines: Sequence[AnyRecord], folder: Path
) -> list[Trial]:
    """Give the trials of an experiment, and those of its searches' proposals that records know of."""
    work = Worklist(experiment, catalog, lines, folder)
    found = list(expanded.trials)
    for study in expanded.studies:
        for point in points_in(study, lines, work, catalog)[: study.rules.trials]:
            held = [(trial, work.record(work.keys(trial).sample)) for trial in study.trials(point, catalog)]
            found += [trial for trial, record in held if record is not None]
    return found


def at_most(studies: Sequence[Study]) -> tuple[int, int, int]:
    """Count the proposals of a search, and at most how many fits and readouts they take.

    With ASHA a proposal that goes on from a rung is fitted again, so that every rung is a fit.
    """
    proposals = fits = readouts = 0
    for study in studies:
        cells = study.rules.trials * len(study.subjects) * len(study.experiment.seeds)
        written = study.written_readouts
        rungs = len(written.steps) if written and study.rules.scheduler == "asha" else 0
        proposals += study.rules.trials
        fits += cells * (1 + rungs)
        readouts += cells * (1 + (len(list(written.each())) if written else 0))
    return proposals, fits, readouts


def _keys(study: Study, point: Point, work: Worklist[Any], catalog: Catalog) -> set[str]:
    try:
        return {work.keys(trial).sample for trial in study.trials(point, catalog)}
    except HarnessError:
        return set()


class Searching:
    """The course of one study.

    points   those of its records, first to last: they are proposals before any new one is made
    results  final results by sample key, shared with others; a failure of this sweep is one
    tried    what came of the proposals so far
    """

    def __init__(
        self,
        study: Study,
        catalog: Catalog,
        work: Worklist[Record],
        results: dict[str, Record],
        *,
        points: Sequence[Point],
        amend: Amend,
    ) -> None:
        self.study = study
        self.tried: list[Tried] = []
        self._catalog, self._work, self._results, self._amend = catalog, work, results, amend
        self._points = points
        self._point: Point = {}
        self._levels: list[Level] = []
        self._tasks: list[Task] = []
        self._rungs: dict[int, float] = {}
        self._new: list[Task] = []

    @property
    def finished(self) -> bool:
        """Whether there is a result for every proposal."""
        return len(self.tried) >= self.study.rules.trials

    def advance(self) -> list[Task]:
        """Give the tasks that must be done before the study can go on; nothing once it is finished."""
        while not self.finished:
            if not self._levels:
                self._begin()
            if missing := [task for task in self._tasks if task.keys.sample not in self._results]:
                return missing
            self._conclude()
        return []

    def news(self) -> list[Task]:
        """Give the tasks, done ones too, that the study has come to since it was last asked."""
        told, self._new = self._new, []
        return told

    def _begin(self) -> None:
        number = len(self.tried)
        known = number < len(self._points)
        self._point = self._points[number] if known else propose(self.study, self.tried)
        self._levels, self._rungs = self.study.levels(self._point, self._catalog), {}
        self._enter()

    def _enter(self) -> None:
        stamp = self.study.stamp(len(self.tried), self._point)
        self._tasks = [replace(task, search=stamp) for task in self._work.tasks(self._levels[0].trials)]
        self._new += self._tasks
        for task in self._tasks:
            record = self._work.record(task.keys.sample)
            if task.stage == "done" and record is not None:
                self._results.setdefault(task.keys.sample, record)

    def _conclude(self) -> None:
        """Take the results of a level: on to the next one, or to the next proposal."""
        from harness.report.merit import measures_for, merit_of

        records = [self._results[task.keys.sample] for task in self._tasks]
        level = self._levels.pop(0)
        ends = [each for each in records if not _between(each)] if level.rung is None else records
        measures = self.study.rules.merit or measures_for(self.study.experiment.dataset.name)
        done = all(record.status == "done" for record in records)
        merit = merit_of(ends, measures) if done else None
        stopped = self._verdict(level.rung, merit, records)
        self._stamp(records, stopped)
        if level.rung is not None and merit is not None:
            self._rungs[level.rung] = merit
            if stopped is None:
                self._enter()
                return
        failed = merit is None
        finished = level.rung is None and not failed
        self.tried.append(Tried(self._point, merit if finished else None, {} if failed else self._rungs))
        self._levels = []

    def _verdict(
        self, rung: int | None, merit: float | None, records: Sequence[Record]
    ) -> Mapping[str, Any] | None:
        """Why the proposal stops here, None where it does not; what is on record stays so."""
        if rung is None or merit is None:
            return None
        held = [(record.search or {}).get("stopped") for record in records if self._own(record)]
        if held and all(held):
            return held[0]
        earlier = [each.rungs[rung] for each in self.tried if rung in each.rungs]
        return halving.verdict(rung, merit, earlier, self.study.rules.reduction)

    def _stamp(self, records: Sequence[Record], stopped: Mapping[str, Any] | None) -> None:
        """Let the records say whose proposal they are, and where and why it was stopped."""
        wanted = self.study.stamp(len(self.tried), self._point)
        wanted |= {"stopped": dict(stopped)} if stopped else {}
        for record in records:
            if record.status == "done" and self._own(record) and record.search != wanted:
                self._results[record.key] = self._amend(record, wanted)

    def _own(self, record: Record) -> bool:
        return record.search is None or record.search["study"] == self.study.name


def _between(record: Record) -> bool:
    """Whether a record is a readout, and not the end of the course."""
    return bool(record.trial.get("readout"))
