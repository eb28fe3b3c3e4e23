"""Fidelity and prompt adherence against drift from the base model, as in arXiv 2505.19519, Figure 6.

Methods are compared as curves, fidelity at equal drift; what has no drift by construction is a point.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.metrics.registry import shown_in
from harness.report.figures import point_labels, tips
from harness.report.figures.line_plots import measured
from harness.report.figures.style import (
    STAR,
    Palette,
    axis_name,
    drawing,
    encoder_line,
    handle,
    heading,
    legend_below,
    line_of,
    mark_of,
    mixed,
    palette_of,
    reference_handles,
    reference_lines,
    short,
)
from harness.report.rows import Row, Selection
from harness.report.series import Series, reference_shots, series_of

FIDELITY, ADHERENCE, DRIFTS = (shown_in(place) for place in ("fidelity", "adherence", "drift"))


def against_drift(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw fidelity (upper row) and prompt adherence (lower row) against three measures of drift.

    Each method with a constraint is a curve that begins at its unconstrained star and whose points are
    labelled by its strength; so is a method along a parameter of its own. Crosses are ± s.e. over
    subjects, floors and ceilings are lines. Returns None where no row has both a score and a drift.
    """
    shots = reference_shots(selection)
    rows = [row for row in selection.of("method") if row.shots in (shots, 0)]
    drifts = measured(DRIFTS, rows)
    scores = [*measured(FIDELITY, rows)[:1], *measured(ADHERENCE, rows)[:1]]
    if not drifts or not scores:
        return None
    palette = palette_of(selection)
    line = heading(selection, shots=shots, experiment=experiment)
    figure = drawing(max(7.5, 3.9 * len(drifts)), 3.3 * len(scores) + 1.0, line)
    grid = figure.subplots(len(scores), len(drifts), squeeze=False, sharex="col", sharey="row")
    cells = [(grid[i, k], drift, score) for i, score in enumerate(scores) for k, drift in enumerate(drifts)]
    for axes, drift, score in cells:
        reference_lines(axes, selection.rows, score, palette)
        _draw(axes, rows, drift, score, palette)
    for axes, score in zip(grid[:, 0], scores, strict=True):
        axes.set_ylabel("\n".join(filter(None, (axis_name(score), encoder_line(selection, score)))))
    for axes, drift in zip(grid[-1], drifts, strict=True):
        axes.set_xlabel("\n".join(filter(None, (axis_name(drift), encoder_line(selection, drift)))))
    legend_below(figure, [*_handles(rows, palette), *reference_handles(selection.rows, palette)])
    point_labels.settle(figure)
    for axes, drift, score in cells:
        _label(axes, rows, drift, score, palette)
    return figure


def _draw(axes: Axes, rows: Sequence[Row], drift: str, score: str, palette: Palette) -> None:
    shown = [row for row in rows if drift in row.cells and score in row.cells]
    curves = series_of(shown)
    on_curves = _on_curves(curves)
    for curve in curves:
        axes.plot(
            [row.cells[drift].mean for row in curve.members],
            [row.cells[score].mean for row in curve.members],
            color=_tone(curve, palette),
            linestyle=line_of(curve),
            linewidth=1.5,
            zorder=2,
        )
    for row in shown:
        curve_of = on_curves.get(id(row))
        colour = _tone(curve_of, palette) if curve_of else palette[row]
        _point(axes, row, drift, score, colour, mark_of(curve_of) if curve_of else STAR)
    if shown:
        lowest, highest = (pick(row.cells[drift].mean for row in shown) for pick in (min, max))
        axes.set_xlim(left=min(lowest, 0.0) - 0.04 * highest)


def _on_curves(curves: Sequence[Series]) -> dict[int, Series]:
    """Say which curve marks a row (by id); what a constraint starts from stays a star on no curve."""
    stars = {id(curve.anchor) for curve in curves}
    return {id(row): curve for curve in curves for _, row in curve.rows if id(row) not in stars}


def _tone(curve: Series, palette: Palette) -> str:
    row = curve.rows[0][1]
    return mixed(palette.of_method(row.method), "black", 0.45) if curve.kind is None else palette[row]


def _point(axes: Axes, row: Row, drift: str, score: str, colour: str, mark: str) -> None:
    x, y = row.cells[drift], row.cells[score]
    axes.errorbar(
        x.mean, y.mean, xerr=x.error, yerr=y.error, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.45,
        zorder=2,
    )  # fmt: skip
    star = mark == STAR
    axes.plot(
        [x.mean], [y.mean], linestyle="", marker=mark, color=colour, zorder=5 if star else 4,
        markersize=12 if star else 5.5, markeredgecolor="white", markeredgewidth=0.8, clip_on=False,
    )  # fmt: skip
    tips.leave(axes, x.mean, y.mean, tips.measured(row, score, drift))


def _label(axes: Axes, rows: Sequence[Row], drift: str, score: str, palette: Palette) -> None:
    shown = [row for row in rows if drift in row.cells and score in row.cells]
    curves = series_of(shown)
    written = [
        point_labels.Label(row.cells[drift].mean, row.cells[score].mean, short(value), _tone(curve, palette))
        for curve in curves
        for value, row in reversed(curve.rows)  # the tight end stands alone, the loose one in a crowd
    ]
    named = _on_curves(curves)
    stars = [(row.cells[drift].mean, row.cells[score].mean) for row in shown if id(row) not in named]
    point_labels.place(axes, written, obstacles=stars)


def _handles(rows: Sequence[Row], palette: Palette) -> list[object]:
    curves = series_of(rows)
    named = _on_curves(curves)
    stars = [handle(palette[row], row.title, marker=STAR, line="") for row in rows if id(row) not in named]
    return [*stars, *(_curve_handle(curve, palette) for curve in curves)]


def _curve_handle(curve: Series, palette: Palette) -> object:
    return handle(
        _tone(curve, palette),
        f"{curve.name} (labelled)",
        marker=mark_of(curve),
        line=line_of(curve),
    )
