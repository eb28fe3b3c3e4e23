"""What the records of a search say: its proposals in order, the merit found, edges, what ASHA spared.

Reads records alone. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config.search import Range
from harness.records import Record
from harness.report.merit import merit_of
from harness.specs import Readout

EDGE = 0.1
"""Share of a range that counts as its edge, on the scale on which it is drawn."""


@dataclass(frozen=True)
class Proposal:
    """One point and what came of it.

    point    values by axis (``lr``, ``lipschitz.penalty``)
    merits   by optimizer steps, None for a course whose method has no such parameter; the last is the longest
    end      merit at the end of the course; None where it was stopped or failed
    stopped  where and why, as the record says
    course   steps to the end of the course, and ``trained`` those that were trained for one subject: one that
             goes on from a rung is fitted again from the start. None without a course in steps
    """

    number: int
    point: Mapping[str, Any]
    merits: Mapping[int | None, float]
    end: float | None
    stopped: Mapping[str, Any] | None
    course: int | None
    trained: int

    @property
    def best(self) -> float | None:
        """The best merit at any checkpoint or the end; None where nothing could be measured."""
        return max(self.merits.values(), default=None)


@dataclass(frozen=True)
class SearchedStudy:
    """One method's search: its proposals in their order, and its ranges."""

    name: str
    ranges: Mapping[str, Range]
    proposals: tuple[Proposal, ...]

    @cached_property
    def found(self) -> list[float]:
        """The best merit after one proposal, two, …; nan as long as there is none."""
        best, course = math.nan, []
        for each in self.proposals:
            if each.best is not None:
                best = each.best if math.isnan(best) else max(best, each.best)
            course.append(best)
        return course

    @property
    def winner(self) -> Proposal | None:
        """The proposal with the best merit, the first of equals."""
        tried = [each for each in self.proposals if each.best is not None]
        return max(tried, key=lambda each: (each.best or 0.0, -each.number), default=None)

    @property
    def spared(self) -> tuple[int, int] | None:
        """Steps that were trained for a subject, and those of all courses; None without courses in steps."""
        courses = [each.course for each in self.proposals]
        if None in courses:
            return None
        return sum(each.trained for each in self.proposals), sum(filter(None, courses))

    def edges(self) -> list[str]:
        """Say at which edges of the ranges the best lies; of steps, where it was read out."""
        if self.winner is None:
            return []
        point = dict(self.winner.point)
        if "steps" in point:
            point["steps"] = max(self.winner.merits, key=self.winner.merits.__getitem__)
        return [words for name, value in point.items() if (words := _edge(name, self.ranges[name], value))]


def _edge(name: str, within: Range, value: Any) -> str | None:
    numbers = [each for each in within.values if isinstance(each, int | float) and not isinstance(each, bool)]
    if not isinstance(value, int | float) or len(numbers) != len(within.values) or len(numbers) < 2:
        return None
    low, high = min(numbers), max(numbers)
    if not within.bounded:
        near = (value <= low, value >= high) if len(numbers) > 2 else (False, False)
    else:
        share = position(within, value)
        near = (share <= EDGE, share >= 1 - EDGE)
    if not any(near):
        return None
    end, bound = ("lower", low) if near[0] else ("upper", high)
    return f"{name} = {value:g} lies at the {end} edge of its range ({bound:g})"


def position(within: Range, value: Any) -> float:
    """Place a value in its range, 0 at the first end and 1 at the last, on the scale that it is drawn on."""
    if not within.bounded:
        places = max(1, len(within.values) - 1)
        return within.values.index(value) / places if value in within.values else math.nan
    low, high = within.values
    if within.kind == "log":
        return math.log(value / low) / math.log(high / low)
    return float((value - low) / (high - low))


def searched(records: Sequence[Record], measures: Sequence[str]) -> list[SearchedStudy]:
    """Gather the records of searches into studies, in the order of their names; others are left out."""
    gathered: dict[tuple[str, str], dict[int, list[Record]]] = {}
    for record in records:
        if record.search:
            study = gathered.setdefault((record.trial["backbone"], record.search["study"]), {})
            study.setdefault(record.search["proposal"], []).append(record)
    found = []
    for (_, name), proposals in sorted(gathered.items()):
        last = proposals[max(proposals)][-1].search or {}
        ranges = {axis: Range.model_validate(each) for axis, each in last["over"].items()}
        tried = tuple(_proposal(n, proposals[n], measures) for n in sorted(proposals))
        found.append(SearchedStudy(name, ranges, tried))
    return found


def _proposal(number: int, records: Sequence[Record], measures: Sequence[str]) -> Proposal:
    course = records[0].trial["params"].get("steps")
    levels: dict[int | None, list[Record]] = {}
    for record in records:
        readout = Readout.of(record.trial)
        if readout is None or readout.kind == "steps":
            levels.setdefault(_steps(record), []).append(record)
    weighed = {step: _merit(levels[step], measures) for step in sorted(levels, key=lambda step: step or 0)}
    ends = [record for record in records if Readout.of(record.trial) is None]
    marks = [record.search for record in records if record.search]
    one = min((record.trial["subject"], record.trial["seed"]) for record in records)
    fits = [
        record
        for level in levels.values()
        for record in level
        if (record.trial["subject"], record.trial["seed"]) == one and not record.provenance.get("fit_shared")
    ]
    return Proposal(
        number=number,
        point=marks[0]["point"],
        merits={step: merit for step, merit in weighed.items() if merit is not None},
        end=_merit(ends, measures) if ends else None,
        stopped=next((mark["stopped"] for mark in marks if "stopped" in mark), None),
        course=course,
        trained=sum(_steps(record) or 0 for record in fits),
    )


def _steps(record: Record) -> int | None:
    """The optimizer steps after which a record's weights were taken."""
    readout = Readout.of(record.trial)
    reached = readout.value if readout and readout.kind == "steps" else record.trial["params"].get("steps")
    return None if reached is None else int(reached)


def _merit(records: Sequence[Record], measures: Sequence[str]) -> float | None:
    """The mean merit over subjects; None where a trial failed or a measure is missing."""
    done = all(record.status == "done" for record in records)
    return merit_of(records, measures) if done else None
