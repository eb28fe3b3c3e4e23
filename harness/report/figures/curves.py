"""Methods as curves over drift in three panels: fidelity, composition, kept prior.

A line is the mean over subjects, made monotone; its band the 95 % interval when subjects are resampled. The
base model and the ceiling are lines across.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.comparison.arms import Arm, arms_of, floor_of
from harness.report.comparison.curves import band
from harness.report.comparison.paired import LEAST_SUBJECTS
from harness.report.comparison.protocol import BUDGETS, DRIFT, FIDELITY, SCORES
from harness.report.figures import tips
from harness.report.figures.recipes import colours_of
from harness.report.figures.style import (
    STAR,
    Palette,
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

LINES_ARE = "lines: means over subjects, made monotone; "
BANDS_ARE = "bands: 95 % intervals, subjects resampled; "
NO_BANDS = "intervals: harness compare; "
DOTTED = "dotted: budgets"
MOST_BANDS = 6
"""Where there are more curves their bands hide each other, and are left out."""
REPLICATES = 500
PLACES = 80
MARKS = ("o", "s", "^", "D", "v", "P", "X", "d", "<", "*", ">", "h")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 3)), (0, (3, 1, 1, 1)))
LINES = (*DASHES, *DASHES[: len(MARKS) - len(DASHES)])
MOST_CURVES = len(MARKS)


class _Look(NamedTuple):
    """How a curve is drawn."""

    colour: str
    line: Any
    mark: str


def over_drift(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw the three panels; None where no two settings of a method share drift, fidelity and a base model.

    Each curve has a mark of its own, which tells it without colour. Dotted uprights: the budgets.
    """
    shots = reference_shots(selection)
    arms = [arm for arm in arms_of(selection) if _drawable(selection, arm, shots)][:MOST_CURVES]
    names = [score.name for score in SCORES if any(_drawn_over(selection, arm, score.name) for arm in arms)]
    if FIDELITY.name not in names:
        return None
    palette, banded = palette_of(selection), len(arms) <= MOST_BANDS
    line = heading(selection, shots=shots, experiment=experiment, spread=False)
    figure, (grid,) = panels(
        len(names),
        across=3,
        heading=f"{line}\n{LINES_ARE}{BANDS_ARE if banded else NO_BANDS}{DOTTED}",
        height=2.6 if banded else 3.7,
    )
    looks = _looks(selection, arms, palette, shaded=banded)
    references = [row for row in selection.rows if row.role != "method"]
    furthest = max(
        max(BUDGETS),
        *(float(arm.matrix(DRIFT, sorted(arm.subjects([DRIFT]))).mean(axis=1).max()) for arm in arms),
    )
    for axes, name in zip(grid, names, strict=True):
        reference_lines(axes, references, name, palette)
        for budget in BUDGETS:
            axes.axvline(budget, color="#999999", linewidth=0.7, linestyle=":", zorder=0)
        for arm in arms:
            _curve(axes, selection, arm, name, looks[arm.key], furthest, banded=banded)
        axes.set_title(axis_name(name))
        axes.set_ylabel(encoder_line(selection, name), fontsize=7.5, color="#888888")
        axes.set_xlabel(axis_name(DRIFT))
    handles = [
        handle(look.colour, arm.name, line=look.line, marker=look.mark)
        for arm, look in zip(arms, looks.values(), strict=True)
    ]
    shown = [row for row in references if any(name in row.cells for name in names)]
    legend_below(figure, [*handles, *reference_handles(shown, palette)])
    return figure


def _looks(selection: Selection, arms: Sequence[Arm], palette: Palette, *, shaded: bool) -> dict[str, _Look]:
    """Give each curve its line and mark; tones of its method's colour, where few enough to be told apart."""
    rows = [arm.rows[0] for arm in arms]
    colours = [palette[row] for row in rows] if shaded else colours_of(selection, rows)
    looks = zip(colours, LINES, MARKS, strict=False)
    return {arm.key: _Look(*look) for arm, look in zip(arms, looks, strict=True)}


def _drawable(selection: Selection, arm: Arm, shots: int) -> bool:
    if len(arm.rows) < 2 or arm.rows[0].shots != shots or not _drawn_over(selection, arm, FIDELITY.name):
        return False
    return all(any(row.cells[DRIFT].by_subject.values()) for row in arm.rows)


def _drawn_over(selection: Selection, arm: Arm, name: str) -> list[str]:
    """List the subjects that a curve of this score is over; none where a measure or the base model lacks."""
    floor = floor_of(selection, arm)
    if floor is None or name not in floor.cells:
        return []
    common = arm.subjects([DRIFT, FIDELITY.name, name]) & floor.cells[name].by_subject.keys()
    return sorted(common) if len(common) >= LEAST_SUBJECTS else []


def _curve(
    axes: Axes,
    selection: Selection,
    arm: Arm,
    name: str,
    look: _Look,
    furthest: float,
    *,
    banded: bool,
) -> None:
    subjects, floor = _drawn_over(selection, arm, name), floor_of(selection, arm)
    if not subjects or floor is None:
        return
    settings = arm.settings(DRIFT, name, floor, subjects, fidelity=FIDELITY.name)
    places = np.linspace(0, furthest, PLACES)
    middle, low, high = band(settings, places, replicates=REPLICATES)
    if banded:
        axes.fill_between(places, low, high, color=look.colour, alpha=0.13, linewidth=0)
    axes.plot(places, middle, color=look.colour, linestyle=look.line, zorder=2)
    path = settings.path(np.ones(len(subjects)))
    axes.plot(
        path.drift[1:],
        path.score[1:],
        linestyle="",
        marker=look.mark,
        markersize=9 if look.mark == STAR else None,
        color=look.colour,
        markeredgecolor="white",
        zorder=3,
    )
    _tips(axes, arm.rows, name)


def _tips(axes: Axes, rows: Sequence[Row], name: str) -> None:
    for row in rows:
        tips.leave(axes, row.cells[DRIFT].mean, row.cells[name].mean, tips.measured(row, name, DRIFT))
