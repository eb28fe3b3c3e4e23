"""Makes an outcome count: its files put in place, then its record appended. In that order, so that what is
recorded is there; only the driver does it. Knows nothing of Ray.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness import files as artifacts
from harness.records import Lines, Record
from harness.sweep.worklist import Task
from harness.trial import provenance
from harness.trial.plan import TRACEBACK, Outcome


class RecordWriter:
    """Writes to one run directory, which the caller has locked.

    ``described`` is what every trial's summary says of the experiment: its data set, and settings beside the
    defaults (:meth:`harness.config.experiment.Experiment.described`).
    """

    def __init__(self, folder: Path, *, described: Mapping[str, Any]) -> None:
        self.folder = folder
        self.lines = Lines(folder)
        self._described = described

    def commit(self, task: Task, outcome: Outcome) -> Record:
        """Put the files in place and append the record. Raises RecordsError if either cannot be written."""
        record = self._record(task, outcome)
        files = outcome.artifacts
        if task.stage == "score" and record.status == "failed":  # images and their last scores stay
            files = {name: data for name, data in files.items() if name == TRACEBACK}
        artifacts.place(self.folder, record.key, files, replace=task.stage != "score")
        if task.stage == "score" and record.status == "done":
            (self.folder / record.key / TRACEBACK).unlink(missing_ok=True)
        self.lines.append(record)
        return record

    def amend(self, record: Record, search: Mapping[str, Any]) -> Record:
        """Append a record anew that says what a search made of its trial. Raises RecordsError."""
        amended = record.model_copy(update={"search": dict(search)})
        self.lines.append(amended)
        return amended

    def _record(self, task: Task, outcome: Outcome) -> Record:
        result = {
            each.name: getattr(outcome, each.name) for each in fields(outcome) if each.name != "artifacts"
        }
        fixed = {
            "key": task.keys.sample,
            "keys": {"fit": task.keys.fit, "sample": task.keys.sample, "score": task.keys.score},
            "trial": {**self._described, **task.trial.summary()},
        }
        if task.search is not None:
            fixed["search"] = dict(task.search)
        origin = _merged(provenance.of_process(), outcome.provenance)
        try:
            return Record.model_validate({**result, **fixed, "provenance": origin})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            reason = f"the worker's result is no record: {place}: {first['msg']}, not {first['input']!r}"
            return Record.model_validate(
                {**fixed, "status": "failed", "error": reason[:400], "provenance": origin}
            )


def _merged(driver: dict[str, Any], worker: dict[str, Any]) -> dict[str, Any]:
    """What the worker says counts where both say it: it did the computing.

    Where saved images were scored again (``scored``), this driver only says when.
    """
    known = {name: value for name, value in worker.items() if value is not None}
    if "scored" in worker:
        return {"finished": driver["finished"], **known}
    versions = {**driver["versions"], **worker.get("versions", {})}
    return {**driver, **known, "versions": versions}
