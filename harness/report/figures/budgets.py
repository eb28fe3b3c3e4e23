"""Methods at drift budgets in three panels: fidelity, composition, kept prior, one line for each recipe.

Points of one budget stand side by side, each with its 95 % t interval over subjects. Where several strengths
of a constraint were read at one budget, :class:`harness.report.comparison.budgets.Reader` chooses.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report import stats
from harness.report.comparison.arms import method_of, readout_of
from harness.report.comparison.budgets import AtBudget, Reader, budgets_of
from harness.report.comparison.protocol import DRIFT, SCORES
from harness.report.figures import tips
from harness.report.figures.curves import LINES, MARKS
from harness.report.figures.recipes import colours_of, names_of
from harness.report.figures.style import (
    axis_name,
    encoder_line,
    handle,
    heading,
    legend_below,
    palette_of,
    panels,
    reference_handles,
    reference_lines,
)
from harness.report.rows import Row, Selection
from harness.report.series import reference_shots

WORDS = "whiskers: 95 % t intervals over subjects; hollow: drifts by less than nine tenths of the budget"
SHORT = 0.9
"""A point whose mean drift is below this share of its budget is hollow: it is read at α = 1."""
WIDTH = 0.62
"""Share of the distance between two budgets over which the points of one stand."""


@dataclass(frozen=True)
class _Line:
    """One recipe at the budgets that it was recorded at, and how it is drawn."""

    name: str
    points: list[AtBudget]
    colour: str
    shift: float
    mark: str
    dashes: Any


def over_budgets(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw the three panels; None where fewer than two recipes were read at budgets."""
    shots, budgets = reference_shots(selection), budgets_of(selection)
    lines = _lines(selection, shots, budgets)
    names = [
        s.name for s in SCORES if any(point.by_subject(s.name) for line in lines for point in line.points)
    ]
    if len(lines) < 2 or not names:
        return None
    palette = palette_of(selection)
    words = heading(selection, shots=shots, experiment=experiment, spread=False)
    figure, (grid,) = panels(len(names), across=3, heading=f"{words}\n{WORDS}", height=3.7)
    references = [row for row in selection.rows if row.role != "method"]
    for axes, name in zip(grid, names, strict=True):
        reference_lines(axes, references, name, palette)
        for line in lines:
            _draw(axes, line, name)
        axes.set_title(axis_name(name))
        axes.set_ylabel(encoder_line(selection, name), fontsize=7.5, color="#888888")
        axes.set_xlabel(f"budget of {axis_name(DRIFT)}")
        axes.set_xticks(budgets)
        axes.grid(visible=False, axis="x")
    shown = [row for row in references if any(name in row.cells for name in names)]
    handles = [handle(line.colour, line.name, line=line.dashes, marker=line.mark) for line in lines]
    legend_below(figure, [*handles, *reference_handles(shown, palette)])
    return figure


def _lines(selection: Selection, shots: int, budgets: Sequence[float]) -> list[_Line]:
    points = [read for rows in _recipes(selection, shots) if (read := _points(rows, budgets))]
    rows = [read[0].row for read in points]
    gap = min((b - a for a, b in pairwise(budgets)), default=1.0)
    shifts = np.linspace(-0.5, 0.5, len(points)) * WIDTH * gap
    looks = zip(
        names_of(rows), points, colours_of(selection, rows), shifts, cycle(MARKS), cycle(LINES), strict=False
    )
    return [_Line(*each) for each in looks]


def _recipes(selection: Selection, shots: int) -> list[list[Row]]:
    """Gather rows that differ in the strength of their constraint and in their readout alone."""
    gathered: dict[str, list[Row]] = {}
    for row in selection.of("method"):
        if row.shots == shots and DRIFT in row.cells:
            strength = f"lipschitz.{row.kind.key}" if row.kind else None
            kept = {k: v for k, v in row.setting.items() if k != strength and not k.startswith("readout.")}
            gathered.setdefault(json.dumps([method_of(row), kept], sort_keys=True), []).append(row)
    return list(gathered.values())


def _points(rows: Sequence[Row], budgets: Sequence[float]) -> list[AtBudget]:
    return [point for budget in budgets if (point := _point(rows, budget))]


def _point(rows: Sequence[Row], budget: float) -> AtBudget | None:
    read = [row for row in rows if (at := readout_of(row)) and (at.kind, at.value) == ("budget", budget)]
    read = [row for row in read if (at := readout_of(row)) and at.measure == DRIFT]
    if len(read) == 1:
        return AtBudget(method_of(read[0]), budget, read[0], at_end=False, settings=1, developed=False)
    return Reader(rows).read(method_of(read[0]), budget) if read else None


def _draw(axes: Axes, line: _Line, name: str) -> None:
    held = [(point, list(point.by_subject(name).values())) for point in line.points if point.by_subject(name)]
    places = [point.budget + line.shift for point, _ in held]
    means = [stats.mean(values) for _, values in held]
    axes.plot(places, means, color=line.colour, linestyle=line.dashes, linewidth=1.1, alpha=0.8, zorder=2)
    for place, value, (point, values) in zip(places, means, held, strict=True):
        if (interval := stats.t_interval(values)) is not None:
            axes.vlines(place, interval.low, interval.high, color=line.colour, linewidth=1.1, zorder=2)
        filled = point.drift >= SHORT * point.budget
        axes.plot(
            place,
            value,
            marker=line.mark,
            color=line.colour,
            markerfacecolor=line.colour if filled else "white",
            markeredgecolor="white" if filled else line.colour,
            zorder=3,
        )
        tips.leave(axes, place, value, tips.measured(point.row, name, DRIFT))
