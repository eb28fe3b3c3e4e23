"""How long a sweep will take from here on: the work ahead, at the pace measured so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records import Record
from harness.sweep.observer import Status
from harness.sweep.pace import Pace, by_default
from harness.sweep.worklist import Task
from harness.sweep.workload import Workload

ENOUGH = 5.0
"""Seconds of training that must be measured, in full or in part, before anything is said."""
ORDER = ("prior", "fit", "sample", "score", "file")


@dataclass
class _Course:
    """A stage of a running trial: how far it was when it was first seen there, and how far it is now."""

    total: int
    began: float
    done_then: int
    now: float
    done: int

    @property
    def share(self) -> float:
        """Of the stage, done."""
        return self.done / self.total if self.total else 0.0


class TimeLeft:
    """Follows a sweep; knows its tasks by their sample keys. Times are those of one clock, in seconds."""

    def __init__(self, loads: Mapping[str, Workload], workers: int, pace: Pace | None = None) -> None:
        self._ahead = dict(loads)
        self._workers = max(1, workers)
        self._pace = pace or Pace()
        self._courses: dict[str, dict[str, _Course]] = {}

    def expect(self, loads: Mapping[str, Workload]) -> None:
        """Hear of more work, which a search proposed."""
        self._ahead |= loads

    def running(self, now: Mapping[int, tuple[Task, Status]], at: float) -> None:
        """Hear what the running trials are at."""
        there = {task.keys.sample for task, _ in now.values()}
        self._courses = {key: courses for key, courses in self._courses.items() if key in there}
        for task, status in now.values():
            courses = self._courses.setdefault(task.keys.sample, {})
            course = courses.pop(status.stage, None)
            if course is None or course.total != status.total:
                course = _Course(status.total, at, status.done, at, status.done)
            elif status.done != course.done:
                course.now, course.done = at, status.done
            courses[status.stage] = course  # the last one is the present stage

    def recorded(self, record: Record) -> None:
        """Hear of a result: of what succeeded the seconds count."""
        load = self._ahead.pop(record.key, None)
        self._courses.pop(record.key, None)
        if load is not None and record.status == "done":
            self._pace = self._pace.with_record(load, record.own_seconds)

    def seconds(self) -> float | None:
        """Estimate the seconds that are left; None while too little of the training was measured."""
        pace = self._current_pace()
        trains = any(load.training for load in self._ahead.values())
        if pace.known("fit") < ENOUGH if trains else not pace.latest:
            return None
        return span(list(self._ahead.values()), pace, self._workers) - self._under_way(pace) / self._workers

    def _current_pace(self) -> Pace:
        """The pace with what the running trials have shown so far."""
        pace = self._pace
        for key, courses in self._courses.items():
            load = self._ahead.get(key)
            defaults = by_default(_trained_alone(load)) if load else {}
            for stage in ("fit", "sample"):
                course = courses.get(stage)
                if course is None or course.done == course.done_then:
                    continue
                default = defaults.get(stage, 0.0) * (course.done - course.done_then) / course.total
                if load and default:
                    pace = pace.with_measured(stage, load.method, course.now - course.began, default)
        return pace

    def _under_way(self, pace: Pace) -> float:
        """Seconds of work in the running trials that are done already."""
        done = 0.0
        for key, courses in self._courses.items():
            present = next(reversed(courses))
            if key in self._ahead and present in ORDER:
                ahead = pace.ahead(self._ahead[key])
                stage = ORDER.index(present)
                done += sum(ahead[each] for each in ORDER[:stage]) + courses[present].share * ahead[present]
        return done


def _trained_alone(load: Workload) -> Workload:
    """The load as the stage ``fit`` reports on it: class images have a stage of their own."""
    return Workload(load.method, training=load.training, sampling=load.sampling)


def span(loads: Sequence[Workload], pace: Pace, workers: int) -> float:
    """Seconds that loads take on workers busy to the end; for the base model's work all of them wait."""
    work = sum(sum(pace.ahead(load).values()) for load in loads)
    return work / workers + sum(pace.base(load) for load in loads)
