"""Plots with methods as lines: scores against shots, numbers along a constraint.

Each function takes a selection of one data set and backbone and gives a figure, or None where the records
hold nothing to draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.diffusion.constraints.base import Constraint
from harness.metrics.registry import shown_in
from harness.report.figures import tips
from harness.report.figures.style import (
    STAR,
    Palette,
    axis_name,
    encoder_line,
    handle,
    heading,
    legend_below,
    line_of,
    mark_of,
    palette_of,
    panels,
    reference_handles,
    reference_lines,
    short,
)
from harness.report.rows import STAND_IN, Row, Selection
from harness.report.series import Series, reference_shots, series_of

AGAINST_SHOTS = shown_in("shots")
ALONG = shown_in("constraint")

MOST_LINES = 9
"""More lines in one panel cannot be told apart; constrained rows go first, they have figures of their own."""

UNCONSTRAINED = math.inf
LETTER = 0.023
"""Width of a letter of a tick's name, as a share of the axis."""


def measured(names: Sequence[str], rows: Sequence[Row]) -> list[str]:
    """Keep the measures that some row has; a held-out score that none has gives way to the full one."""
    held = {name for row in rows for name in row.cells}
    return [found for name in names if (found := name if name in held else STAND_IN.get(name)) in held]


def against_shots(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw scores against the number of shots: for each method a line with a band of ± s.e."""
    lines = _lines(selection)
    names = measured(AGAINST_SHOTS, [row for rows in lines for row in rows])
    if not names:
        return None
    palette = palette_of(selection)
    line = heading(selection, experiment=experiment)
    figure, (grid,) = panels(len(names), across=3, heading=line)
    for axes, name in zip(grid, names, strict=True):
        reference_lines(axes, selection.rows, name, palette)
        for rows in lines:
            _band(axes, [row for row in rows if name in row.cells], name, palette)
        axes.set_xticks(sorted({row.shots for rows in lines for row in rows}))
        axes.set_xlabel("shots")
        _title(axes, selection, name)
    handles = [
        handle(palette[row], row.title, marker=_shot_mark(row, palette), line=_shot_line(row))
        for row, *_ in lines
    ]
    legend_below(figure, [*handles, *reference_handles(selection.rows, palette)])
    return figure


def _lines(selection: Selection) -> list[list[Row]]:
    gathered: dict[str, list[Row]] = {}
    for row in selection.of("method"):
        gathered.setdefault(row.title, []).append(row)
    lines = [rows for rows in gathered.values() if len(rows) > 1]
    kept = sorted(lines, key=lambda rows: rows[0].constrained)[:MOST_LINES]
    return [rows for rows in lines if rows in kept]


def _shot_mark(row: Row, palette: Palette) -> str:
    return row.kind.look.mark_over_shots if row.kind else palette.mark(row)


def _shot_line(row: Row) -> str:
    return "--" if row.constrained else "-"


def _band(axes: Axes, rows: Sequence[Row], name: str, palette: Palette) -> None:
    if not rows:
        return
    colour, cells = palette[rows[0]], [row.cells[name] for row in rows]
    shots = [row.shots for row in rows]
    axes.fill_between(
        shots,
        [cell.mean - (cell.error or 0.0) for cell in cells],
        [cell.mean + (cell.error or 0.0) for cell in cells],
        color=colour,
        alpha=0.13,
        linewidth=0,
    )
    axes.plot(
        shots,
        [cell.mean for cell in cells],
        color=colour,
        linestyle=_shot_line(rows[0]),
        marker=_shot_mark(rows[0], palette),
        markeredgecolor="white",
        zorder=3,
    )
    for row in rows:
        tips.leave(axes, row.shots, row.cells[name].mean, tips.measured(row, name))


def along_constraint(
    selection: Selection, kind: type[Constraint], *, experiment: str | None = None
) -> Figure | None:
    """Draw numbers along the strength of one kind of constraint on a logarithmic axis, tighter to the right.

    Strengths of different scales (absolute and relative bounds, penalties of different norms) have panels of
    their own, one below the other. The unconstrained method stands at the left end, off the scale, as does a
    strength of 0 at the end that it belongs to.
    """
    shots = reference_shots(selection)
    rows = [row for row in selection.of("method") if row.shots == shots]
    scales = _scales([curve for curve in series_of(rows) if curve.kind is kind])
    curves = [curve for gathered in scales for curve in gathered]
    names = measured(ALONG, [row for curve in curves for row in curve.members])
    if not names:
        return None
    palette = palette_of(selection)
    line = heading(selection, shots=shots, experiment=experiment)
    figure, grid = panels(len(names), across=3, heading=line, blocks=len(scales))
    for gathered, block in zip(scales, grid, strict=True):
        places = _places(gathered)
        for axes, name in zip(block, names, strict=True):
            reference_lines(axes, selection.rows, name, palette)
            for curve in gathered:
                _curve(axes, curve, name, places, palette)
            _scale_axis(axes, gathered[0], places)
            _title(axes, selection, name)
    handles = [
        handle(palette[curve.rows[0][1]], curve.name, marker=mark_of(curve), line=line_of(curve))
        for curve in curves
    ]
    if any(curve.anchor for curve in curves):
        handles.append(handle("#555555", "unconstrained", marker=STAR, line=""))
    legend_below(figure, [*handles, *reference_handles(selection.rows, palette)])
    return figure


def _scales(curves: Sequence[Series]) -> list[list[Series]]:
    """Gather the curves that share an axis, the usual scale first; a scale needs two values above 0."""
    gathered: dict[str, list[Series]] = {}
    for curve in sorted(curves, key=lambda curve: curve.scale):
        gathered.setdefault(curve.scale, []).append(curve)
    return [
        group
        for group in gathered.values()
        if len({value for curve in group for value, _ in curve.rows} - {0.0}) > 1
    ]


def _curve(axes: Axes, curve: Series, name: str, places: Mapping[float, float], palette: Palette) -> None:
    points = [(places[value], row.cells[name]) for value, row in curve.rows if name in row.cells]
    axes.errorbar(
        [x for x, _ in points], [cell.mean for _, cell in points],
        yerr=[cell.error or 0.0 for _, cell in points],
        color=palette[curve.rows[0][1]], linestyle=line_of(curve), marker=mark_of(curve),
        markeredgecolor="white", elinewidth=1, zorder=3,
    )  # fmt: skip
    for value, row in [*curve.rows, *([(UNCONSTRAINED, curve.anchor)] if curve.anchor else [])]:
        if name in row.cells:
            tips.leave(axes, places[value], row.cells[name].mean, tips.measured(row, name))
    if curve.anchor and name in curve.anchor.cells:
        cell = curve.anchor.cells[name]
        axes.errorbar(
            [places[UNCONSTRAINED]], [cell.mean], yerr=[cell.error or 0.0], color=palette[curve.anchor],
            linestyle="", marker=STAR, markersize=11, markeredgecolor="white", elinewidth=1, zorder=4,
        )  # fmt: skip


def _places(curves: Sequence[Series]) -> dict[float, float]:
    """Place strengths on a logarithmic axis, tighter to the right, what is off the scale one step beyond.

    Keys are the strengths and UNCONSTRAINED, in the order of their places.
    """
    values = {value for curve in curves for value, _ in curve.rows}
    scale = sorted(values - {0.0})
    step = max(0.3, math.log10(scale[-1] / scale[0]) / 8)
    if curves[0].kind is not None and curves[0].kind.axis.tighter == "lower":
        places = {value: -math.log10(value) for value in reversed(scale)}
        if 0.0 in values:
            places[0.0] = -math.log10(scale[0]) + step
    else:
        places = {value: math.log10(value) for value in scale}
        if 0.0 in values:
            places = {0.0: math.log10(scale[0]) - step} | places
    if any(curve.anchor for curve in curves):
        places = {UNCONSTRAINED: min(places.values()) - step} | places
    return places


def _scale_axis(axes: Axes, curve: Series, places: Mapping[float, float]) -> None:
    axes.set_xticks(list(places.values()), _tick_names(places))
    axes.set_xlabel(f"{curve.kind.axis.title if curve.kind else ''}{curve.scale}, tighter →")
    axes.grid(axis="x", visible=False)


def _tick_names(places: Mapping[float, float]) -> list[str]:
    """Name the places; a name that would run into the one before it stands in a second line."""
    at = list(places.values())
    names = ["none" if value == UNCONSTRAINED else short(value) for value in places]
    lowered = False
    for index in range(1, len(names)):
        gap = (at[index] - at[index - 1]) / (at[-1] - at[0])
        needed = LETTER * (1 + (len(names[index - 1].strip()) + len(names[index])) / 2)
        lowered = gap < needed and not lowered
        names[index] = "\n" * lowered + names[index]
    return names


def _title(axes: Axes, selection: Selection, name: str) -> None:
    axes.set_title(axis_name(name))
    axes.set_ylabel(encoder_line(selection, name), fontsize=7.5, color="#888888")
