"""Differences at equal drift with their verdicts: a block for each family, a panel for each score.

Each line is one pair: mean and 95 % t interval of the paired difference, the margin shaded. Marks say the
verdict without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from harness.report.comparison.families import Family
from harness.report.comparison.protocol import SCORES, Score
from harness.report.comparison.verdicts import Kind, Verdict
from harness.report.figures import tips
from harness.report.figures.recipes import names_of
from harness.report.figures.style import drawing, legend_below
from harness.report.rows import COLUMNS

LOOKS: dict[Kind, tuple[str, str, bool, str]] = {
    "better": (">", "#0072B2", True, "better"),
    "worse": ("<", "#D55E00", True, "worse"),
    "same": ("s", "#555555", True, "the same within the margin"),
    "open": ("o", "#555555", False, "cannot be told"),
}
"""Kind of verdict → mark, colour, filled or hollow, words."""
MOST = 5
"""A panel goes so many margins to either side; what lies beyond stands at its edge with its number."""
SHADE = "#eeeeee"
LINE, FRAME, LABELS = 0.27, 0.75, 3.2
"""Inches: height of a line, of a block's title and axis; width of the labels."""


def forest(found: Sequence[Family], against: str, *, experiment: str | None = None) -> Figure | None:
    """Draw the families; None where there is no pair."""
    if not (found := [family for family in found if family.pairs]):
        return None
    heights = [LINE * len(family.pairs) + FRAME for family in found]
    words = f"{experiment or 'comparison'}  ·  less {against}  ·  paired over subjects, 95 % t intervals"
    figure = drawing(LABELS + 2.6 * len(SCORES), sum(heights) + 0.9, words)
    grid = figure.subplots(len(found), len(SCORES), squeeze=False, height_ratios=heights, sharex="col")
    for family, line in zip(found, grid.tolist(), strict=True):
        for axes, score in zip(line, SCORES, strict=True):
            _panel(axes, family, score, _reach(found, score))
        line[0].set_yticks(range(len(family.pairs)), _labels(family))
        line[0].set_title(" \n ", fontsize=8.5)  # the room that the two lines above a block stand in
        _above(line[0], _headline(family), 17)
    for axes, score in zip(grid[-1], SCORES, strict=True):
        axes.set_xlabel(f"Δ {COLUMNS[score.name].title} {COLUMNS[score.name].arrow}")
    legend_below(figure, [*map(_entry, LOOKS), Patch(color=SHADE, label="within the margin")])
    return figure


def _headline(family: Family) -> str:
    status = "exploratory" if family.reasons else "as the protocol fixed it"
    subjects = sorted({v.contrast.difference.n for pair in family.pairs for v in pair.verdicts.values()})
    n = "–".join(map(str, dict.fromkeys((subjects[0], subjects[-1]))))
    return f"{family.question}  n = {n}, Holm over {family.tests} tests; {status}"


def _reach(found: Sequence[Family], score: Score) -> float:
    """Give the half-width of a score's panels: what they hold, at most MOST margins."""
    held = [
        pair.verdicts[score.name] for family in found for pair in family.pairs if score.name in pair.verdicts
    ]
    ends = [
        abs(end)
        for v in held
        for end in (v.contrast.difference.interval.low, v.contrast.difference.interval.high)
    ]
    return min(MOST * score.margin, 1.1 * max([score.margin, *ends]))


def _labels(family: Family) -> list[str]:
    names = names_of([pair.first.row for pair in family.pairs])
    several = len({pair.first.budget for pair in family.pairs}) > 1
    return [
        f"{name}, ≤ {pair.first.budget:g}" if several else name
        for name, pair in zip(names, family.pairs, strict=True)
    ]


def _panel(axes: Axes, family: Family, score: Score, reach: float) -> None:
    axes.axvspan(-score.margin, score.margin, color=SHADE, zorder=0)
    axes.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    for place, pair in enumerate(family.pairs):
        if score.name in pair.verdicts:
            _mark(axes, place, pair.verdicts[score.name], pair.first.row.title, reach)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(len(family.pairs) - 0.5, -0.5)
    axes.set_yticks(range(len(family.pairs)), [""] * len(family.pairs))
    axes.tick_params(axis="x", labelbottom=True)
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    beside = not any(score.name in pair.tested for pair in family.pairs)
    words = f"{score.word.capitalize()} (beside the family)" if beside else score.word.capitalize()
    _above(axes, words, 4, fontweight="bold")


def _above(axes: Axes, words: str, points: float, **looks: Any) -> None:
    """Write above the axes without moving them."""
    text = axes.annotate(
        words,
        (0, 1),
        (0, points),
        "axes fraction",
        "offset points",
        annotation_clip=False,
        fontsize=8.5,
        **looks,
    )
    text.set_in_layout(False)


def _mark(axes: Axes, place: int, verdict: Verdict, title: str, reach: float) -> None:
    found = verdict.contrast.difference
    mark, colour, filled, _ = LOOKS[verdict.kind]
    face = colour if filled else "white"
    seen = max(-reach, min(reach, found.mean))
    axes.hlines(place, found.interval.low, found.interval.high, color=colour, linewidth=1.3)
    axes.plot(
        seen, place, marker=mark, color=colour, markerfacecolor=face, markeredgecolor=colour, clip_on=False
    )
    if seen != found.mean:
        side = "left" if seen < 0 else "right"
        axes.annotate(
            f"{found.mean:+.2f}", (seen, place), (6 if seen < 0 else -6, 7), textcoords="offset points",
            fontsize=7.5, color=colour, ha=side, va="center",
        )  # fmt: skip
    tips.leave(axes, seen, place, f"{title}\n{verdict.sentence()}")


def _entry(kind: Kind) -> Line2D:
    mark, colour, filled, words = LOOKS[kind]
    face = colour if filled else "white"
    return Line2D(
        [], [], color=colour, marker=mark, markerfacecolor=face, markeredgecolor=colour, label=words
    )
