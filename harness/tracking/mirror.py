"""MLflow as a mirror of the records: one parent run per sweep, one nested run per trial. Never read back.

The mirror lives in a thread of its own. A store that cannot be reached costs one line; the records are whole
without it, and the next sweep or ``harness mirror`` catches up.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import records
from harness.errors import HarnessError, one_line
from harness.records import Record
from harness.tracking.mlflow_store import Store, default_uri

OPENING_SECONDS = 120
"""How long to wait for MLflow's first import and schema, on a busy machine with cold disks."""

__all__ = ["Mirror", "Store", "TrackingError", "catch_up", "default_uri"]


class TrackingError(HarnessError):
    """The MLflow store cannot be reached or written."""


class Mirror:
    """An observer of a sweep that passes its records to a :class:`Store`, in a thread, and never waits.

    Nothing is done before the first result is in: the first trial has the machine to itself.
    """

    def __init__(self, store: Store, say: Callable[[str], None]) -> None:
        self._store = store
        self._say = say
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lost = self._closed = False
        self._opened = threading.Event()

    def __enter__(self) -> Mirror:
        return self

    def __exit__(self, *exception: object) -> None:
        """End the parent run as interrupted, unless :meth:`close` has said how it ended."""
        if not self._closed and self._thread is not None:
            self.close(interrupted=True, patience=5)

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

    def proposed(self, tasks: Sequence[Any]) -> None:
        """Nothing to mirror yet."""

    def amended(self, record: Record) -> None:
        """Queue a record anew."""
        self.recorded(record)

    def close(
        self,
        *,
        failed: int = 0,
        interrupted: bool = False,
        tables: Sequence[Path] = (),
        patience: float = 60,
    ) -> None:
        """Wait for what is queued, and end the parent run.

        ``patience`` seconds at most, counted from when the store is open.
        """
        self._closed = True
        if self._thread is None:  # no result in this sweep: there may still be something to catch up with
            if self._store.current():
                return
            self._thread = threading.Thread(target=self._work, name="mlflow-mirror", daemon=True)
            self._thread.start()
        self._queue.put(None)
        self._opened.wait(OPENING_SECONDS)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._lose(TimeoutError(f"still busy after {patience:g} s"))
        if not self._lost:
            self._guarded(lambda: self._store.finish(failed=failed, interrupted=interrupted, tables=tables))

    def _work(self) -> None:
        self._guarded(self._store.open)
        self._opened.set()
        if not self._lost:
            for record in records.read_current(self._store.folder).records:
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
        hide = self._store.hide
        reason = hide(one_line(error, limit=4000))[:160]  # hidden before it is cut
        self._say(
            f"MLflow at {hide(self._store.uri)} cannot be written ({reason}); nothing is lost: "
            f"`{hide(self._store.command)}` catches up"
        )


def catch_up(store: Store, *, tables: Sequence[Path] = ()) -> int:
    """Mirror every record of a run directory; return how many there are. Raises TrackingError."""
    latest = records.read_current(store.folder).records
    try:
        store.open()
        for record in latest:
            store.put(record)
        failed = sum(record.status == "failed" for record in latest)
        store.finish(failed=failed, interrupted=False, tables=tables)
    except Exception as error:
        reason = store.hide(one_line(error, limit=4000))[:400]
        raise TrackingError(f"MLflow at {store.hide(store.uri)} cannot be written: {reason}") from error
    return len(latest)
