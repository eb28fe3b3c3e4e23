"""MLflow as a mirror of the records: one parent run per sweep, one nested run per trial. Never read back.

The mirror lives in a thread of its own. A store that cannot be reached costs one line; the records are whole
without it, and the next sweep or ``harness mirror`` catches up. Runs are found again by their tags, so that
nothing is there twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness import records
from harness.errors import HarnessError, one_line
from harness.records import Record

KEY, DIGEST, KIND = "harness.key", "harness.digest", "harness.kind"
CLOSE_SECONDS = 60
QUIET = {
    "DO_NOT_TRACK": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


class TrackingError(HarnessError):
    """The MLflow store cannot be reached or written."""


def default_uri(runs: Path) -> str:
    """The store beside the runs: sqlite, by absolute path."""
    return f"sqlite:///{(runs.resolve() / 'mlflow.db').as_posix()}"


class Store:
    """The runs of one experiment in an MLflow store. Not safe for threads; raises whatever MLflow raises."""

    def __init__(self, runs: Path, experiment: str, uri: str | None = None) -> None:
        self.uri = uri or default_uri(runs)
        self.folder = runs.resolve() / experiment
        self._experiment = experiment
        local = self.uri.startswith("sqlite")
        self._artifacts = (runs.resolve() / "mlflow-artifacts").as_uri() if local else None
        self._lock: AbstractContextManager[Any] = (
            FileLock(runs.resolve() / "mlflow.lock") if local else nullcontext()
        )
        self._known: dict[str, tuple[str, str | None]] = {}

    def open(self) -> None:
        """Import MLflow (slow), create schema and experiment, and find the runs that are there."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        logging.getLogger("mlflow").setLevel(logging.ERROR)
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow import MlflowClient

        with self._lock:  # two sweeps must not create the schema at once
            self._client = MlflowClient(tracking_uri=self.uri)
            self._id = self._experiment_id()
            parents = self._find(f"tags.`{KIND}` = 'sweep'")
            self._parent = parents[0].info.run_id if parents else self._new_parent()
            for run in self._find(f"tags.`{KIND}` = 'trial'"):
                self._known[run.data.tags[KEY]] = (run.info.run_id, run.data.tags.get(DIGEST))
            self._client.update_run(self._parent, status="RUNNING")

    def put(self, record: Record) -> None:
        """Mirror a record, unless it is there already; one that supersedes another takes over its run."""
        digest = hashlib.sha256(record.line()).hexdigest()[:16]
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
        """Put tables, figures and the experiment file on the parent run, and end it."""
        with self._lock:
            for path in [self.folder / "experiment.yaml", *tables]:
                if path.is_dir():
                    self._client.log_artifacts(self._parent, str(path), path.name)
                elif path.is_file():
                    self._client.log_artifact(self._parent, str(path))
            status = "KILLED" if interrupted else "FAILED" if failed else "FINISHED"
            self._client.set_terminated(self._parent, status=status)

    def _experiment_id(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
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
        run = self._client.create_run(self._id, run_name=self._experiment, tags={KIND: "sweep"})
        return str(run.info.run_id)

    def _new_run(self, record: Record) -> str:
        name = f"{record.trial['title']} · {record.trial['subject']} · {record.trial['shots']} shots"
        tags = {KIND: "trial", KEY: record.key, "mlflow.parentRunId": self._parent}
        start = _milliseconds(record) - round(1000 * sum(record.seconds.values()))
        run = self._client.create_run(self._id, start_time=start, run_name=name, tags=tags)
        return str(run.info.run_id)

    def _fill(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Metric, Param, RunTag

        stamp = _milliseconds(record)
        metrics = [Metric(name, value, stamp, 0) for name, value in _metrics(record).items()]
        params = [Param(name, value) for name, value in _params(record.trial).items()]
        tags = [RunTag(name, value) for name, value in _tags(record).items()]
        self._client.log_batch(run_id, metrics=metrics, params=params, tags=tags)
        folder = self.folder / record.key
        losses = [Metric("loss", value, stamp, step) for step, value in enumerate(_losses(folder), start=1)]
        for start in range(0, len(losses), 1000):  # MLflow's limit for one batch
            self._client.log_batch(run_id, metrics=losses[start : start + 1000])
        self._client.log_text(run_id, json.dumps(record.trial, indent=1, ensure_ascii=False), "trial.json")
        if (folder / "contact_sheet.png").is_file():
            self._client.log_artifact(run_id, str(folder / "contact_sheet.png"))


class Mirror:
    """An observer of a sweep that passes its records to a :class:`Store`, in a thread, and never waits.

    Nothing is done before the first result is in: the first trial has the machine to itself.
    """

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost = False

    def started(self, tasks: Sequence[Any], pending: Sequence[Any], workers: int) -> None:
        """Nothing to mirror yet."""

    def running(self, now: Mapping[int, Any]) -> None:
        """Nothing to mirror yet."""

    def recorded(self, record: Record) -> None:
        """Queue a record."""
        self._queue.put(record)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
            self._thread.start()

    def close(self, *, failed: int = 0, interrupted: bool = False, tables: Sequence[Path] = ()) -> None:
        """Wait for what is queued, but not long, and end the parent run."""
        if self._thread is None:  # no result in this sweep: there may still be something to catch up with
            self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
            self._thread.start()
        self._queue.put(None)
        self._thread.join(CLOSE_SECONDS)
        if self._thread.is_alive():
            self._lose(TimeoutError(f"still busy after {CLOSE_SECONDS} s"))
        if not self._lost:
            self._guarded(lambda: self._store.finish(failed=failed, interrupted=interrupted, tables=tables))

    def _work(self) -> None:
        self._guarded(self._store.open)
        if not self._lost:
            earlier = records.read(self._store.folder)
            for record in earlier:
                self._guarded(lambda record=record: self._store.put(record))  # type: ignore[misc]
        while (queued := self._queue.get()) is not None:
            self._guarded(lambda record=queued: self._store.put(record))  # type: ignore[misc]

    def _guarded(self, step: Callable[[], None]) -> None:
        if self._lost:
            return
        try:
            step()
        except Exception as error:  # whatever the store does wrong, the sweep goes on
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self._lost = True
        self._say(
            f"MLflow at {self._store.uri} cannot be written ({one_line(error, limit=160)}); nothing is lost: "
            f"`harness mirror {self._store.folder.name}` catches up"
        )


def catch_up(store: Store, *, tables: Sequence[Path] = ()) -> int:
    """Mirror every record of a run directory; return how many there are. Raises TrackingError."""
    latest = records.read(store.folder)
    try:
        store.open()
        for record in latest:
            store.put(record)
        failed = sum(record.status == "failed" for record in latest)
        store.finish(failed=failed, interrupted=False, tables=tables)
    except Exception as error:
        raise TrackingError(f"MLflow at {store.uri} cannot be written: {one_line(error)}") from error
    return len(latest)


def _milliseconds(record: Record) -> int:
    """When the trial finished; from the record, so that mirroring twice gives the same points."""
    return round(1000 * datetime.fromisoformat(record.provenance["finished"]).timestamp())


def _metrics(record: Record) -> dict[str, float]:
    found = {**record.scores, **{f"drift.{name}": value for name, value in record.drift.items()}}
    found |= {f"seconds.{stage}": value for stage, value in record.seconds.items()}
    found |= {"peak_memory_bytes": record.peak_memory_bytes, "images": float(record.images)}
    return {name: float(value) for name, value in found.items() if value is not None}


def _params(trial: Mapping[str, Any]) -> dict[str, str]:
    flat: dict[str, Any] = {}
    for name, value in trial.items():
        if name == "title":
            continue  # it may change while the trial stays the same; MLflow's parameters may not
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": item for key, item in value.items()}
        else:
            flat[name] = value
    return {name: str(value)[:6000] for name, value in flat.items()}


def _tags(record: Record) -> dict[str, str]:
    origin = record.provenance
    tags = {
        "backbone": record.trial["backbone"],
        "method": record.trial["method"],
        "title": record.trial["title"],
        "subject": record.trial["subject"],
        "commit": origin.get("commit") or "unknown",
        "dirty": origin.get("dirty"),
        "device": origin.get("device"),
        "error": record.error or "",
    }
    return {name: str(value)[:5000] for name, value in tags.items()}


def _losses(folder: Path) -> list[float]:
    try:
        losses = json.loads((folder / "fit.json").read_text())["losses"]
    except (OSError, ValueError, KeyError):
        return []
    return [float(value) for value in losses if value is not None]
