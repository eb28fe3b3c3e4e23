"""The runs of one experiment in an MLflow store: found by tags; writes are idempotent.

MLflow is imported only when the store is opened: that takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from harness import files, records
from harness.errors import visible
from harness.records import Record
from harness.specs import Readout
from harness.tracking import description
from harness.tracking.environment import hush, is_database

KEY, DIGEST, KIND = "harness.key", "harness.digest", "harness.kind"
NOTE = "mlflow.note.content"
MARK = "mirrored.json"
BATCH = 1000
"""MLflow's limit for the metrics of one request."""
DESCRIBING = ("title", "label", "backbone", "dataset")
"""Words of a trial that may change while its key stays: tags, for MLflow's parameters cannot change."""


def default_uri(runs: Path) -> str:
    """The store beside the runs: sqlite, by absolute path."""
    return f"sqlite:///{(runs.resolve() / 'mlflow.db').as_posix()}"


class Store:
    """The runs of one experiment in an MLflow store. Not safe for threads; raises whatever MLflow raises."""

    def __init__(self, runs: Path, experiment: str, uri: str | None = None) -> None:
        self.uri = uri or default_uri(runs)
        self.command = " ".join(
            [
                f"harness mirror {experiment}",
                *([f"--runs {runs}"] if runs != Path("runs") else []),
                *([f"--mlflow {uri}"] if uri else []),
            ]
        )
        """What a user types to catch up with what was missed."""
        self.folder = runs.resolve() / experiment
        self._experiment = experiment
        local = self.uri.startswith("sqlite")
        self._database = Path(self.uri.removeprefix("sqlite:///")) if local else None
        direct = is_database(self.uri)  # else MLflow puts artifacts below the working directory
        self._artifacts = (runs.resolve() / "mlflow-artifacts").as_uri() if direct else None
        self._lock: AbstractContextManager[Any] = (
            FileLock(runs.resolve() / "mlflow.lock") if local else nullcontext()
        )
        self._known: dict[str, tuple[str, str | None]] = {}

    def hide(self, text: str) -> str:
        """Take the password of the store's address out of a text that is shown or kept."""
        password = urlsplit(self.uri).password
        return text.replace(f":{password}@", ":***@") if password else text

    def current(self) -> bool:
        """Whether all that is recorded was mirrored to this store before; asks nobody, loads nothing."""
        try:
            return json.loads((self.folder / MARK).read_text()) == self._mark()
        except (OSError, ValueError):
            return False

    def open(self) -> None:
        """Import MLflow (slow), create schema and experiment, and find the runs that are there."""
        hush()
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from harness.tracking.connection import connected

        with self._lock:  # two sweeps must not create the schema at once
            self._client = connected(self.uri)
            self._id = self._experiment_id()
            parents = self._find(f"tags.`{KIND}` = 'sweep'")
            self._parent = parents[0].info.run_id if parents else self._new_parent()
            self._client.set_experiment_tag(self._id, description.VIEW_TAG, description.view(KIND))
            for run in self._find(f"tags.`{KIND}` = 'trial'"):
                self._known[run.data.tags[KEY]] = (run.info.run_id, run.data.tags.get(DIGEST))
            for name, value in self._about_parent().items():
                self._client.set_tag(self._parent, name, value)
            self._client.update_run(self._parent, status="RUNNING")

    def put(self, record: Record) -> None:
        """Mirror a record, unless it is there already; one that supersedes another takes over its run."""
        digest = _digest(record)
        run_id, had = self._known.get(record.key, (None, None))
        if had == digest:
            return
        with self._lock:
            run_id = run_id or self._new_run(record)
            self._fill(run_id, record)
            self._client.set_tag(run_id, DIGEST, digest)  # last: without it the run counts as unfinished
            status = "FINISHED" if record.status == "done" else "FAILED"
            self._client.set_terminated(run_id, status=status, end_time=_milliseconds(record))
        self._known[record.key] = (run_id, digest)

    def finish(self, *, failed: int, interrupted: bool, tables: Sequence[Path] = ()) -> None:
        """Put tables, figures and the experiment file on the parent run, and end it.

        What was ``interrupted`` is never current, even after its last trial: the next sweep ends the run.
        """
        with self._lock:
            for path in [self.folder / "experiment.yaml", *tables]:
                if path.is_dir():
                    self._client.log_artifacts(self._parent, str(path), path.name)
                elif path.is_file():
                    self._client.log_artifact(self._parent, str(path))
            status = "KILLED" if interrupted else "FAILED" if failed else "FINISHED"
            self._describe()
            self._client.set_terminated(self._parent, status=status)
        if interrupted:
            return
        mark = self._mark()
        mirrored = {key: digest for key, (_, digest) in self._known.items()}
        if all(
            mirrored.get(record.key) == _digest(record)
            for record in records.read_current(self.folder).records
        ):
            files.write_atomically(self.folder / MARK, json.dumps(mark).encode())

    def _describe(self) -> None:
        """Put description, mean scores and data set on the experiment and its parent run."""
        current = records.read_current(self.folder).records
        note = description.note(self.folder, current)
        self._client.set_experiment_tag(self._id, NOTE, note)
        self._client.set_tag(self._parent, NOTE, note)
        done = [record for record in current if record.status == "done"]
        if done:
            from mlflow.entities import Metric

            stamp = max(map(_milliseconds, done))
            means = [Metric(name, v, stamp, 0) for name, v in description.mean_scores(done).items()]
            for start in range(0, len(means), BATCH):
                self._client.log_batch(self._parent, metrics=means[start : start + BATCH])
            self._log_dataset(self._parent, done)

    def _log_dataset(self, run_id: str, made_from: Sequence[Record]) -> None:
        """Say in MLflow's own terms which data a run was made from; nothing where the records do not."""
        digest = description.dataset_digest(made_from)
        if digest is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        name = visible(str(made_from[0].trial["dataset"]))
        dataset = Dataset(name, digest, source_type="code", source=json.dumps({"dataset": name}))
        self._client.log_inputs(
            run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
        )

    def _about_parent(self) -> dict[str, str]:
        return description.source(f"harness sweep {self._experiment}")

    def _mark(self) -> dict[str, Any]:
        """What was mirrored, and where to; a database that was deleted and made anew is another one."""
        wanted = self.folder / records.WANTED
        return {
            "uri": self.hide(self.uri),
            "bytes": (self.folder / records.FILE).stat().st_size,
            "wanted": hashlib.sha256(wanted.read_bytes()).hexdigest() if wanted.is_file() else None,
            "database": self._database.stat().st_ino if self._database else None,
        }

    def _experiment_id(self) -> str:
        """Find or make the experiment, so tagged that MLflow's UI opens it at its runs."""
        found = self._found_or_created()
        for name, value in description.MODEL_TRAINING.items():
            self._client.set_experiment_tag(found, name, value)
        return found

    def _found_or_created(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                self._client.restore_experiment(found.experiment_id)
            return str(found.experiment_id)
        location = f"{self._artifacts}/{self._experiment}" if self._artifacts else None
        return str(self._client.create_experiment(self._experiment, artifact_location=location))

    def _find(self, condition: str) -> list[Any]:
        found: list[Any] = []
        token = None
        while True:
            page = self._client.search_runs([self._id], condition, max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def _new_parent(self) -> str:
        tags = {KIND: "sweep", **self._about_parent()}
        run = self._client.create_run(self._id, run_name=self._experiment, tags=tags)
        return str(run.info.run_id)

    def _new_run(self, record: Record) -> str:
        name = f"{record.trial['title']} · {record.trial['subject']} · {record.trial['shots']} shots"
        tags = {KIND: "trial", KEY: record.key, "mlflow.parentRunId": self._parent}
        start = _milliseconds(record) - round(1000 * sum(record.own_seconds.values()))
        tags |= description.source(f"harness sweep {self._experiment}", record)
        run = self._client.create_run(self._id, start_time=start, run_name=visible(name), tags=tags)
        return str(run.info.run_id)

    def _fill(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Metric, Param, RunTag

        stamp = _milliseconds(record)
        metrics = [Metric(name, value, stamp, 0) for name, value in _metrics(record).items()]
        there = self._client.get_run(run_id).data.params  # MLflow's parameters cannot be changed
        params = [Param(name, value) for name, value in _params(record.trial).items() if name not in there]
        tags = [RunTag(name, value) for name, value in _tags(record).items()]
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        folder = self.folder / record.key
        losses = [Metric("loss", value, stamp, step) for step, value in enumerate(_losses(folder), start=1)]
        for start in range(0, len(losses), BATCH):
            self._client.log_batch(run_id, metrics=losses[start : start + BATCH])
        self._log_dataset(run_id, [record])
        self._client.log_text(run_id, json.dumps(record.trial, indent=1, ensure_ascii=False), "trial.json")
        if (folder / "contact_sheet.png").is_file():
            self._client.log_artifact(run_id, str(folder / "contact_sheet.png"))


def _digest(record: Record) -> str:
    return hashlib.sha256(record.line()).hexdigest()[:16]


def _milliseconds(record: Record) -> int:
    """When the trial finished; from the record, so that mirroring twice gives the same points."""
    return round(1000 * datetime.fromisoformat(record.provenance["finished"]).timestamp())


def _metrics(record: Record) -> dict[str, float]:
    found = {**record.scores, **{f"drift.{name}": value for name, value in record.drift.items()}}
    found |= {f"seconds.{stage}": value for stage, value in record.seconds.items()}
    found |= {f"readout.{name}": value for name, value in (record.readout or {}).items()}
    found |= {"peak_memory_bytes": record.peak_memory_bytes, "images": float(record.images)}
    return {name: float(value) for name, value in found.items() if value is not None}


def _params(trial: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, Any] = {}
    for name, value in trial.items():
        if name in (*DESCRIBING, "readout"):
            continue
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    flat.pop("sampling.clip_text", None)
    if readout := Readout.of(trial):
        flat["trial.readout"] = readout.short
    return {name: visible(str(value))[:6000] for name, value in flat.items()}


def _tags(record: Record) -> dict[str, str]:
    origin = record.provenance
    tags = {
        "backbone": record.trial["backbone"],
        "method": record.trial["method"],
        "title": record.trial["title"],
        "dataset": record.trial["dataset"],
        "clip_text": record.trial.get("sampling", {}).get("clip_text", ""),
        "subject": record.trial["subject"],
        "commit": origin.get("commit") or "unknown",
        "dirty": origin.get("dirty"),
        "device": origin.get("device"),
        "error": record.error or "",
    }
    if readout := Readout.of(record.trial):
        tags["trial.readout"] = readout.short
    if search := record.search:
        tags |= {f"search.{name}": search[name] for name in ("study", "proposal")}
        tags |= {"search.stopped": search["stopped"]["why"]} if "stopped" in search else {}
    return {name: visible(str(value))[:5000] for name, value in tags.items()}


def _losses(folder: Path) -> list[float]:
    try:
        losses = json.loads((folder / "fit.json").read_text())["losses"]
    except (OSError, ValueError, KeyError):
        return []
    return [float(value) for value in losses if value is not None]
