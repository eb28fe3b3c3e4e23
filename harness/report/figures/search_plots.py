"""Figures of a search: merit against proposals, points as lines across their ranges, which setting mattered.

Told apart by marks and line widths, so that they hold in black and white.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.report.figures.style import drawing, handle, heading, legend_below, panels
from harness.report.merit import default_measures
from harness.report.rows import COLUMNS, Selection
from harness.report.search import SearchedStudy, position, searched

DARK, GREY, PALE = "#222222", "#777777", "#c4c4c4"
ENOUGH = 4
"""Finished proposals from which an importance is worth a bar."""


def _studies(selection: Selection) -> tuple[list[SearchedStudy], str]:
    measures = default_measures(selection.records)
    titles = " and ".join(COLUMNS[name].title for name in measures)
    return searched(selection.records, measures), f"merit: geometric mean of {titles}"


def merit_found(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw each proposal's merit in its order, and the best found so far as steps. None without a search."""
    studies, words = _studies(selection)
    if not studies:
        return None
    line = f"{heading(selection, experiment=experiment, spread=False)}  ·  {words}"
    figure, (axes, *_) = panels(len(studies), across=3, heading=line)
    for place, study in zip(axes, studies, strict=True):
        _course(place, study)
    legend_below(
        figure,
        [
            handle(DARK, "at the end of its course", marker="o", line=""),
            handle(GREY, "stopped at a rung (its merit there)", marker="x", line=""),
            handle(DARK, "best so far, checkpoints counted", marker="", line="-"),
        ],
    )
    return figure


def _course(axes: Axes, study: SearchedStudy) -> None:
    ended = [(each.number + 1, each.end) for each in study.proposals if each.end is not None]
    stopped = [each for each in study.proposals if each.end is None and each.merits]
    axes.plot([number for number, _ in ended], [merit for _, merit in ended], "o", color=DARK)
    last = [list(each.merits.values())[-1] for each in stopped]
    axes.plot([each.number + 1 for each in stopped], last, "x", color=GREY, markeredgewidth=1.5)
    numbers = [each.number + 1 for each in study.proposals]
    found = [float("nan") if each is None else each for each in study.found]
    axes.plot(numbers, found, "-", color=DARK, drawstyle="steps-post", linewidth=1.3)
    axes.set_title(study.name)
    axes.set_xlabel("proposal")
    axes.set_ylabel("merit ↑")


def coordinates(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw every proposal as a line across its ranges to its merit, the best a thick one.

    None without a search.
    """
    studies, words = _studies(selection)
    studies = [study for study in studies if study.winner is not None]
    if not studies:
        return None
    line = f"{heading(selection, experiment=experiment, spread=False)}  ·  {words}"
    figure = drawing(8.6, 2.6 * len(studies) + 1.0, line)
    for axes, study in zip(figure.subplots(len(studies), squeeze=False)[:, 0], studies, strict=True):
        _lines(axes, study)
    legend_below(
        figure,
        [
            handle(DARK, "best proposal", marker="o", line="-"),
            handle(GREY, "ran to its end", marker="", line="-"),
            handle(PALE, "stopped at a rung", marker="", line="--"),
        ],
    )
    return figure


def _lines(axes: Axes, study: SearchedStudy) -> None:
    merits = [each.best for each in study.proposals if each.best is not None]
    low, high = min(merits), max(merits)
    for each in sorted(study.proposals, key=lambda each: each.best or -math.inf):
        if each.best is None:
            continue
        places = [position(within, each.point[name]) for name, within in study.ranges.items()]
        places.append((each.best - low) / (high - low) if high > low else 0.5)
        best = each is study.winner
        axes.plot(
            range(len(places)),
            places,
            color=DARK if best else PALE if each.stopped else GREY,
            linestyle="--" if each.stopped else "-",
            linewidth=2.6 if best else 1.0,
            marker="o" if best else "",
            zorder=3 if best else 2,
        )
    names = [_axis(name, study) for name in study.ranges]
    axes.set_xticks(range(len(names) + 1), [*names, f"merit\n{low:.3f} to {high:.3f}"])
    axes.set_yticks([0, 1], ["first", "last"])
    axes.set_ylim(-0.06, 1.06)
    axes.set_title(study.name)


def _axis(name: str, study: SearchedStudy) -> str:
    within = study.ranges[name]
    ends = " to ".join(
        f"{end:g}" if isinstance(end, int | float) else str(end) for end in _ends(within.values)
    )
    return f"{name}\n{ends}{' (log)' if within.kind == 'log' else ''}"


def _ends(values: Sequence[object]) -> Sequence[object]:
    return (values[0], values[-1]) if len(values) > 1 else values


def importance(selection: Selection, *, experiment: str | None = None) -> Figure | None:
    """Draw how much of the variance of merit each setting explains, by Optuna's PED-ANOVA, as shares.

    Of proposals that ran to their end. None where no study has enough of them, or all have one merit.
    """
    studies, words = _studies(selection)
    shares = {study.name: found for study in studies if (found := _importance(study))}
    if not shares:
        return None
    line = f"{heading(selection, experiment=experiment, spread=False)}  ·  {words}"
    figure, (axes, *_) = panels(len(shares), across=3, heading=line)
    for place, (name, found) in zip(axes, shares.items(), strict=True):
        ordered = sorted(found.items(), key=lambda pair: pair[1])
        place.barh([axis for axis, _ in ordered], [share for _, share in ordered], color=GREY, height=0.6)
        place.set_title(name)
        place.set_xlim(0, 1)
        place.set_xlabel("share of importance")
        place.grid(axis="y", visible=False)
    return figure


def _importance(study: SearchedStudy) -> dict[str, float]:
    ended = [each for each in study.proposals if each.end is not None]
    if len(ended) < ENOUGH or len({each.end for each in ended}) < 2:
        return {}
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    told = optuna.create_study(direction="maximize")
    ranges = {name: _distribution(study, name) for name in study.ranges}
    for each in ended:
        trial = optuna.trial.create_trial(value=each.end, params=dict(each.point), distributions=ranges)
        told.add_trial(trial)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(optuna.importance.get_param_importances(told))


def _distribution(study: SearchedStudy, name: str):  # type: ignore[no-untyped-def]
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    within = study.ranges[name]
    if not within.bounded:
        return CategoricalDistribution(within.values)
    low, high = within.values
    return FloatDistribution(float(low), float(high), log=within.kind == "log")
