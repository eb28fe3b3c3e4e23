"""When a sweep ends before it is through, and when a worker is given up, as the user asks. Imports no Ray."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from time import monotonic

from harness.errors import ConfigError
from harness.records import AnyRecord
from harness.sweep.job import Job
from harness.sweep.observer import Status
from harness.sweep.pace import Pace
from harness.sweep.worklist import Task
from harness.sweep.workload import Workload

STALL = 30 * 60.0
"""Seconds without progress after which a worker is taken to hang."""
QUIET = 4
"""A stage that counts no steps (loading, the base model's images, scoring) may take so many times as long."""


@dataclass(frozen=True)
class Limits:
    """What ends a sweep early.

    deadline   a time of ``time.monotonic()``; None: none
    stall      seconds without progress after which a worker is killed; None: never
    fail_fast  whether the first trial that fails for good ends the sweep
    """

    deadline: float | None = None
    stall: float | None = STALL
    fail_fast: bool = False


def seconds_of(text: str, *, option: str) -> float:
    """Read a duration such as ``2h``, ``90m``, ``1h30m``, ``45s``. Raises ConfigError naming the option.

    >>> seconds_of("1h30m", option="--time")
    5400.0
    """
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text.strip(), re.ASCII)
    hours, minutes, seconds = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not 0 < total < 10**9:
        raise ConfigError(f"{option} {text!r}: not a duration; write 2h, 90m, 1h30m or 45s")
    return float(total)


class TimeLimit:
    """Says of every job whether it can be expected to be done in time, at the pace measured so far.

    ``reckon`` gives the workloads of tasks. Before anything is measured every job may start.
    """

    def __init__(
        self, deadline: float | None, reckon: Callable[[Sequence[Task]], Sequence[Workload]]
    ) -> None:
        self._deadline, self._reckon = deadline, reckon
        self._pace = Pace()

    def recall(self, tasks: Iterable[Task], records: Iterable[AnyRecord]) -> None:
        """Take the pace from records of earlier sweeps."""
        if self._deadline is not None:
            known = {task.keys.sample: task for task in tasks}
            for record in records:
                if record.key in known:
                    self.recorded(known[record.key], record)

    def recorded(self, task: Task, record: AnyRecord) -> None:
        """Hear how long a trial took."""
        if self._deadline is not None and record.status == "done":
            (load,) = self._reckon([replace(task, stage="fit")])
            self._pace = self._pace.with_record(load, record.own_seconds)

    def fits(self, job: Job) -> bool:
        """Whether the job can be done in time; what other jobs may spare it (class images) is left out."""
        if self._deadline is None or not self._pace.latest:
            return True
        loads = [replace(load, drawn=0) for load in self._reckon(job.tasks)]
        return monotonic() + sum(sum(self._pace.ahead(load).values()) for load in loads) <= self._deadline


class StallWatch:
    """Remembers when every running job last made progress: a status other than the one before."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._last: dict[int, tuple[Status, float]] = {}

    def seen(self, index: int, status: Status, at: float) -> None:
        """Hear where a job is; ``at`` is a time of one clock, in seconds."""
        if index not in self._last or self._last[index][0] != status:
            self._last[index] = (status, at)

    def restart(self, index: int, at: float) -> None:
        """Hear that the next trial of a job begins."""
        if index in self._last:
            self._last[index] = (self._last[index][0], at)

    def forget(self, index: int) -> None:
        """Hear that a job is at its end."""
        self._last.pop(index, None)

    def stalled(self, at: float) -> dict[int, str]:
        """Give the jobs whose worker is to be killed, each with the reason; none is given twice."""
        found: dict[int, str] = {}
        if self._seconds is None:
            return found
        for index, (status, since) in list(self._last.items()):
            if at - since > self._seconds * (1 if status.total > 1 else QUIET):
                where = f"{status.stage} {status.done}/{status.total}" if status.total > 1 else status.stage
                found[index] = f"no progress for {span_text(at - since)} ({where}); killed"
                del self._last[index]
        return found


def span_text(seconds: float) -> str:
    """Write a span in the unit that suits it.

    >>> span_text(1900), span_text(12)
    ('31 min', '12 s')
    """
    return f"{seconds // 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
