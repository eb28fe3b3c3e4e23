"""The table of ``harness sweep --dry-run``: what a worklist holds, row by row, and on one screen.

Loads no torch. Knows nothing of how trials are run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from rich.table import Table

from harness.config.titles import setting
from harness.sweep.worklist import STAGES, Task

SCREEN = 24
"""Rows that are shown one by one, and lines of a longer plan."""
SHOWN = 4
"""Values of an axis that are written out; of more, the first two and the last."""


@dataclass(frozen=True)
class Line:
    """Trials that stand in one line: rows of one setting, or of several that differ in one axis."""

    backbones: tuple[str, ...]
    titles: tuple[str, ...]
    samplings: tuple[str, ...]
    tasks: tuple[Task, ...]


def plan_table(work: Sequence[Task], *, everything: bool = False) -> tuple[Table, str | None]:
    """Lay a worklist out; what is more than a screen of rows is grouped, then cut, unless ``everything``.

    Beside the table comes a line that says what it leaves out, None where that is nothing.
    """
    rows = _rows(work)
    lines = rows if everything or len(rows) <= SCREEN else _grouped(rows)
    shown = lines if everything else lines[:SCREEN]
    table = _headed(work)
    stages = _stages(work)
    for line in shown:
        shots = sorted({task.trial.shots for task in line.tasks})
        counts: Counter[str] = Counter(task.stage for task in line.tasks)
        table.add_row(
            _folded(line.backbones),
            _folded(line.titles),
            _folded(line.samplings),
            ", ".join(map(str, shots)) if shots != [0] else "–",
            str(len({task.trial.subject for task in line.tasks})),
            str(len({task.trial.seed for task in line.tasks})),
            *(str(n) for n in (len(line.tasks), *(counts[stage] for stage in stages))),
        )
    return table, _left_out(rows, lines, shown)


def _stages(work: Sequence[Task]) -> list[str]:
    there: Counter[str] = Counter(task.stage for task in work)
    return [stage for stage in STAGES if there[stage] or stage == "fit"]


def _headed(work: Sequence[Task]) -> Table:
    stages = _stages(work)
    count: Counter[str] = Counter(task.stage for task in work)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", show_footer=True)
    for name in ("backbone", "method", "sampling", "shots"):
        table.add_column(name, footer="total" if name == "backbone" else "", overflow="fold")
    totals = ["", "", str(len(work)), *(str(count[stage]) for stage in stages)]
    names = ("subjects", "seeds", "trials", *("run" if stage == "fit" else stage for stage in stages))
    for name, total in zip(names, totals, strict=True):
        table.add_column(name, footer=total, justify="right", no_wrap=True)
    return table


def _left_out(rows: Sequence[Line], lines: Sequence[Line], shown: Sequence[Line]) -> str | None:
    if len(lines) == len(rows) and len(shown) == len(rows):
        return None
    hidden = lines[len(shown) :]
    trials = sum(len(line.tasks) for line in hidden)
    more = f"{len(hidden):,} more lines with {trials:,} trials; " if hidden else ""
    together = "those that differ in one axis share a line; " if len(lines) < len(rows) else ""
    return f"… {more}{len(rows):,} rows in all, {together}--all shows each"


def _rows(work: Iterable[Task]) -> list[Line]:
    rows: dict[tuple[str, str, str], list[Task]] = {}
    for task in work:
        trial = task.trial
        way = trial.sampling
        sampling = f"{way.sampler} {way.steps} × {way.guidance:g}" + f" {way.precision}" * bool(way.precision)
        rows.setdefault((trial.backbone.name, trial.title, sampling), []).append(task)
    return [
        Line((backbone,), (title,), (sampling,), tuple(tasks))
        for (backbone, title, sampling), tasks in rows.items()
    ]


def _grouped(rows: Sequence[Line]) -> list[Line]:
    """Let the rows of a method share lines along the one axis that leaves the fewest of them."""
    by_method: dict[str, list[tuple[Line, dict[str, str]]]] = {}
    for row in rows:
        by_method.setdefault(row.tasks[0].trial.method, []).append((row, _coordinates(row)))
    return [line for members in by_method.values() for line in _along_one_axis(members)]


def _coordinates(row: Line) -> dict[str, str]:
    trial: dict[str, Any] = {"dataset": None} | row.tasks[0].trial.model_dump(mode="json")
    return {axis: json.dumps(value, sort_keys=True) for axis, value in setting(trial).items()}


def _along_one_axis(members: Sequence[tuple[Line, dict[str, str]]]) -> list[Line]:
    axes = dict.fromkeys(axis for _, place in members for axis in place)
    varied = [axis for axis in axes if len({place.get(axis) for _, place in members}) > 1]
    best = [[row] for row, _ in members]
    for axis in varied:
        shared: dict[object, list[Line]] = {}
        for row, place in members:
            shared.setdefault(frozenset((k, v if k != axis else "") for k, v in place.items()), []).append(
                row
            )
        best = min(best, list(shared.values()), key=len)
    return [_joined(lines) for lines in best]


def _joined(lines: Sequence[Line]) -> Line:
    return Line(
        tuple(dict.fromkeys(name for line in lines for name in line.backbones)),
        tuple(dict.fromkeys(title for line in lines for title in line.titles)),
        tuple(dict.fromkeys(words for line in lines for words in line.samplings)),
        tuple(task for line in lines for task in line.tasks),
    )


def _folded(words: Sequence[str]) -> str:
    """Write texts that differ in one place as one: "DreamBooth (lr=1e-05, 1e-06)"."""
    if len(words) == 1:
        return words[0]
    before = re.sub(r"[^\s=(]*$", "", _opening(words))
    reverse = _opening([text[len(before) :][::-1] for text in words])[::-1]
    after = re.sub(r"^[^\s,)]*", "", reverse)
    values = [text[len(before) : len(text) - len(after)] for text in words]
    if len(values) > SHOWN:
        values = [*values[:2], f"… {values[-1]} ({len(values)} values)"]
    return f"{before}{', '.join(values)}{after}"


def _opening(words: Sequence[str]) -> str:
    """The longest text that all of them begin with."""
    return "".join(letters[0] for letters in takewhile(lambda each: len(set(each)) == 1, zip(*words)))
