"""The page of the toy: samples of every arm, and fit against drift over worlds of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.paper.pages import Entry, Measured, Page, Part
from harness.paper.sources import Sources, missing
from harness.records import Record, read
from harness.report.figures.decades import decades
from harness.report.figures.style import drawing
from harness.report.stats import t_interval

EXPERIMENT, POINTS_FILE = "toy", "points.json"
COMMAND = "harness sweep experiments/paper/toy.yaml"
MEASURES = {
    "new_energy": "Energy distance: new class to its truth ↓",
    "old_energy": "Old classes to the base model's ↓",
    "noise_l2": "noise_l2",
    "weight_l2": "weight_l2",
}
"""Number of a record → its column: the toy's own in words, the others by their names."""
BASE = "Base model"
FLOOR = "Floor: true new points; base samples of other noises"
COLOURS = ("#0072B2", "#009E73", "#D55E00", "#E69F00", "#56B4E9", "#CC79A7")


def toy(sources: Sources) -> Page:
    """Set the arms of the toy side by side: energy distances and drift, intervals over worlds."""
    folder = sources.folder(EXPERIMENT)
    found = _by_arm(read(folder)) if folder else {}
    entries = [
        Entry(
            FLOOR if arm == BASE else arm,
            title,
            measured=value,
        )
        for arm, members in found.items()
        for name, title in MEASURES.items()
        if (value := _mean(members, name))
    ] or missing("all arms", tuple(MEASURES.values()), COMMAND)
    return Page(
        "toy",
        "Toy: five Gaussians and a sixth",
        "What holds the old classes in place while a new one is learnt?",
        (
            Part(
                "Measured: energy distances and drift, over worlds (data, base, draws).",
                tuple(entries),
                twin=True,
            ),
        ),
        (
            "The paper prints pictures of three arms and no number. Data, network, schedule and steps are "
            "those of the released scripts; the chain starts one timestep later, where theirs divides by "
            "zero, and the "
            "fine-tune has an Adam of its own, where theirs goes on with pretraining's moments.",
        ),
        draw=lambda: _drawn(folder, found) if folder else None,
    )


def _by_arm(records: list[Record]) -> dict[str, list[Record]]:
    gathered: dict[str, list[Record]] = {}
    for record in sorted(records, key=_place):
        gathered.setdefault(record.trial["title"], []).append(record)
    return gathered


def _place(record: Record) -> tuple[float, ...]:
    """Order the arms: base model, naive, along α, along λ, the preserving ones, the embedding; worlds."""
    trial = record.trial
    kinds = ("frozen", "dreambooth", "output_preservation", "class_embedding")
    penalty = (trial["lipschitz"] or {}).get("penalty", 0.0)
    prior = trial["params"].get("prior_weight", 0.0)
    alpha = -trial.get("readout", {}).get("value", 1.0)
    return kinds.index(trial["method"]), prior, penalty, alpha, trial["seed"]


def _mean(members: list[Record], name: str) -> Measured | None:
    numbers = [value for r in members if (value := {**r.scores, **r.drift}.get(name)) is not None]
    interval = t_interval(numbers)
    return Measured(interval, EXPERIMENT) if interval else None


def _drawn(folder: Path, found: dict[str, list[Record]]) -> Figure | None:
    points: dict[str, Any] = {}
    if (folder / POINTS_FILE).is_file():
        points = json.loads((folder / POINTS_FILE).read_text(encoding="utf-8"))
    down = len(points) // 5 + 1
    figure = drawing(12, 2.5 * down, "Measured: samples of every arm in one world; last, fit against drift")
    grid = list(figure.subplots(down, 5, squeeze=False).flat)
    titles = {r.key: title for title, members in found.items() for r in members}
    shown = {title: points[key] for key, title in titles.items() if key in points}
    for axes, (title, classes) in zip(grid, shown.items(), strict=False):
        for colour, each in zip(COLOURS, classes, strict=True):
            axes.plot([x for x, _ in each], [y for _, y in each], ".", markersize=2, color=colour)
        axes.set(xlim=(-5, 5), ylim=(-5, 5), aspect="equal", xticks=[], yticks=[])
        axes.set_title(title.partition(", weight")[0], fontsize=7)
    free = grid[len(shown) :]
    spec = free[0].get_subplotspec().get_gridspec()
    for axes in free:
        axes.remove()
    _against(figure.add_subplot(spec[-1, -len(free) :]), found)
    return figure


def _against(axes: Axes, found: dict[str, list[Record]]) -> None:
    """Draw fit against drift with the intervals over worlds; the axis of drift has a 0."""
    for title, members in found.items():
        across, up = _mean(members, "old_energy"), _mean(members, "new_energy")
        if across and up and title != BASE:
            x, y = across.interval, up.interval
            colour = "#0072B2" if title.startswith("λ") else "#D55E00"
            axes.plot([x.low, x.high], [y.mean, y.mean], color=colour, linewidth=1)
            axes.plot([x.mean, x.mean], [y.low, y.high], color=colour, linewidth=1)
            axes.plot([x.mean], [y.mean], "o", color=colour, markersize=4)
            words = title.removeprefix("Naive, ").partition(", weight")[0]
            axes.annotate(words, (x.mean, y.mean), xytext=(3, 3), textcoords="offset points", fontsize=6)
    axes.set_xscale("symlog", linthresh=1e-3)
    axes.set_yscale("log")
    decades(axes.xaxis)
    decades(axes.yaxis)
    axes.set_xlabel("old classes: energy distance to the base model's")
    axes.set_ylabel("new class: to its truth")
