"""Whoever watches a sweep: the progress display, the MLflow mirror. Knows nothing of Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.records import Record
from harness.sweep.worklist import Task


@dataclass(frozen=True)
class Status:
    """The last report of a running trial: stage, steps done of total (0: unknown), latest loss."""

    stage: str
    done: int
    total: int
    loss: float | None = None


class Observer(Protocol):
    """Gets the news of a sweep, in the driver, one call at a time; must return at once."""

    def started(self, tasks: Sequence[Task], pending: Sequence[Task], workers: int) -> None:
        """Hear what the sweep consists of, what of it is to be done, and by how many workers (0: unknown)."""
        ...

    def running(self, now: Mapping[int, tuple[Task, Status]]) -> None:
        """Hear, about twice a second, what the running trials are at."""
        ...

    def recorded(self, record: Record) -> None:
        """Hear of a result; its record and files are on disk."""
        ...

    def proposed(self, tasks: Sequence[Task]) -> None:
        """Hear of trials, done ones too, that a search has come to since the sweep started."""
        ...

    def amended(self, record: Record) -> None:
        """Hear of what a search made of a trial whose result is known."""
        ...
