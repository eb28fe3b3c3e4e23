"""The trials of a sweep as they become known, what is to be done of them, and who hears of it. No Ray."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness import files
from harness.config import strict_yaml
from harness.config.experiment import Experiment
from harness.records import WANTED, Record
from harness.sweep import worklist
from harness.sweep.agenda import Agenda
from harness.sweep.catalog import Catalog
from harness.sweep.grid import Expansion
from harness.sweep.observer import Observer
from harness.sweep.record_writer import RecordWriter
from harness.sweep.searching import Searching, points_in
from harness.sweep.worklist import Task, Worklist


class Course:
    """The experiment's own trials are known at once, those of a search in time.

    Writes the resolved experiment and the keys that are wanted into the run directory.
    """

    def __init__(
        self,
        experiment: Experiment,
        catalog: Catalog,
        expanded: Expansion,
        writer: RecordWriter,
        observers: Sequence[Observer],
    ) -> None:
        self._folder, self._writer, self._observers = writer.folder, writer, observers
        self._started = False
        results: dict[str, Record] = {}
        searches: list[Searching] = []
        if expanded.studies:  # which judge records, and may write them anew
            whole = list(writer.lines)
            work = Worklist(experiment, catalog, whole, writer.folder)
            self.tasks: list[Task] = work.tasks(expanded.trials)
            for study in expanded.studies:
                points = points_in(study, whole, work, catalog)
                searches.append(Searching(study, catalog, work, results, points=points, amend=self._amend))
        else:
            outlines = writer.lines.outlines()
            self.tasks = Worklist(experiment, catalog, outlines, writer.folder).tasks(expanded.trials)
        own = [task for task in self.tasks if task.stage != "done"]
        self.agenda = Agenda(own, searches, results, self._heard)
        resolved = strict_yaml.dump(experiment.model_dump(mode="json"))
        files.write_atomically(writer.folder / "experiment.yaml", resolved)
        self._write_wanted()

    @property
    def pending(self) -> list[Task]:
        """Those of the tasks that were not done before."""
        return [task for task in self.tasks if task.stage != "done"]

    def start(self, workers: int) -> None:
        """Tell the observers what there is to do; from now on they hear of every trial that is added."""
        self._started = True
        for observer in self._observers:
            observer.started(self.tasks, worklist.in_order(self.pending), workers)

    def _heard(self, tasks: list[Task]) -> None:
        self.tasks += tasks
        if self._started:
            self._write_wanted()
            for observer in self._observers:
                observer.proposed(tasks)

    def _amend(self, record: Record, search: Mapping[str, Any]) -> Record:
        amended = self._writer.amend(record, search)
        if self._started:
            for observer in self._observers:
                observer.amended(amended)
        return amended

    def _write_wanted(self) -> None:
        wanted = json.dumps(list(dict.fromkeys(task.keys.sample for task in self.tasks)), indent=0)
        files.write_atomically(self._folder / WANTED, wanted.encode())
