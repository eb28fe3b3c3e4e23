"""What Ray runs at a time: the pending trials of one fit, which is made once and read out in order.

Imports no Ray.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.sweep.worklist import Task


@dataclass(frozen=True)
class Job:
    """Tasks of one fit that differ in readout or sampling; at the stage ``score`` a single one.

    All are at the same stage, and where weights were kept they start from the same.
    """

    tasks: tuple[Task, ...]

    def after(self, finished: int) -> Job:
        """What is left when so many of its tasks are recorded."""
        return Job(self.tasks[finished:])


def jobs(ordered: Iterable[Task]) -> list[Job]:
    """Gather tasks into jobs, in the order of each one's first task; a fit's own end is read out first."""
    gathered: dict[tuple[str | None, ...], list[Task]] = {}
    for task in ordered:
        start = {"fit": task.keys.fit, "sample": task.weights}.get(task.stage, task.keys.sample)
        gathered.setdefault((task.stage, start), []).append(task)
    return [
        Job(tuple(sorted(tasks, key=lambda task: task.trial.readout is not None)))
        for tasks in gathered.values()
    ]
