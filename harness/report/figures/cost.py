"""What a trial costs: seconds to fit, to sample and to score, as bars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from harness.report import stats
from harness.report.figures import tips
from harness.report.figures.style import drawing, heading, legend_below, mixed, palette_of
from harness.report.rows import Row, Selection
from harness.report.series import reference_shots, series_of

STAGES = {
    "fit": "fit",
    "prior": "class pictures (charged, also when cached)",
    "sample": "sample",
    "score": "score",
}
"""Parts of a bar in their order, with their names in the legend."""


def bars(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw the mean seconds of a trial for each method at one number of shots, strengths pooled.

    The wall-clock of the machine that ran it, with whatever else ran beside. Class pictures are hatched where
    the records tell them from fitting. None where no record says how long it took.
    """
    shots = reference_shots(selection)
    rows = [row for row in selection.rows if row.role != "ceiling" and row.shots in (shots, 0)]
    pooled = {name: (members[0], _seconds(members)) for name, members in _pooled(rows).items()}
    pooled = {name: (row, spent) for name, (row, spent) in pooled.items() if any(spent.values())}
    if not pooled:
        return None
    palette = palette_of(selection)
    line = heading(selection, shots=shots, experiment=experiment, spread=False)
    figure = drawing(8.6, 0.36 * len(pooled) + 1.6, line)
    axes = figure.subplots()
    for place, (row, spent) in enumerate(pooled.values()):
        _bar(axes, place, spent, palette[row])
    axes.set_yticks(range(len(pooled)), list(pooled))
    axes.tick_params(axis="y", length=0, labelcolor="#222222", labelsize=9)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.margins(x=0.1, y=0.02)
    axes.set_xlabel("seconds a trial (mean over trials)")
    present = [stage for stage in STAGES if any(spent[stage] for _, spent in pooled.values())]
    legend_below(figure, [Patch(label=STAGES[stage], **_look(stage, "#666666")) for stage in present])
    return figure


def _pooled(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows of a constraint cost the same at any strength; those along a parameter (steps) do not."""
    held = [curve for curve in series_of(rows) if curve.kind is not None]
    curves = {id(row): curve.name for curve in held for _, row in curve.rows}
    pooled: dict[str, list[Row]] = {}
    for row in rows:
        pooled.setdefault(curves.get(id(row), row.title), []).append(row)
    return pooled


def _seconds(rows: Sequence[Row]) -> dict[str, float]:
    records = [record for row in rows for record in row.records]
    spent = {stage: stats.mean(record.seconds.get(stage, 0.0) for record in records) for stage in STAGES}
    spent["fit"] = max(0.0, spent["fit"] - spent["prior"])  # fitting is recorded with what it was charged
    return spent


def _bar(axes: Axes, place: int, spent: Mapping[str, float], colour: str) -> None:
    left = 0.0
    for stage in STAGES:
        axes.barh(place, spent[stage], left=left, height=0.66, **_look(stage, colour))
        if spent[stage]:
            tips.leave(axes, left + spent[stage] / 2, place, f"{STAGES[stage]} {spent[stage]:.3g} s")
        left += spent[stage]
    axes.text(left, place, f"  {left:.3g} s", va="center", fontsize=8, color="#444444")


def _look(stage: str, colour: str) -> dict[str, Any]:
    if stage == "prior":
        return {"facecolor": "white", "edgecolor": colour, "hatch": "////", "linewidth": 0.6}
    share = {"fit": 0.0, "sample": 0.5, "score": 0.78}[stage]
    return {"facecolor": mixed(colour, "white", share), "edgecolor": "white", "linewidth": 0.6}
