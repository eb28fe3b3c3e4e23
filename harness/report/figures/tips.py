"""What a figure tells whoever points at it: words left at a place of the axes, unseen in a picture.

An empty text carries them as its label: nothing is drawn, no limit moves. ``report.html`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from harness.report.rows import COLUMNS, Row
from harness.report.tables.markup import decimals, spread

POINT, ACROSS = "tip", "tip-across"


@dataclass(frozen=True)
class Tip:
    """Words at a place of a drawn figure, as shares of its width and height from the lower left corner.

    ``right`` is where a line across the axes ends; None for a point.
    """

    x: float
    y: float
    words: str
    right: float | None = None


def leave(axes: Axes, x: float, y: float, words: str) -> None:
    """Leave words at a point of the axes, in data coordinates."""
    axes.text(x, y, "", label=words, gid=POINT)


def leave_across(axes: Axes, row: Row, name: str) -> None:
    """Leave what a line across the axes stands for: a row's measure."""
    axes.text(
        0,
        row.cells[name].mean,
        "",
        label=measured(row, name),
        gid=ACROSS,
        transform=axes.get_yaxis_transform(),
    )


def measured(row: Row, *names: str) -> str:
    """Say what a point shows: the row, then each measure with its mean ± s.e. and n, a line each."""
    return "\n".join([f"{row.title}, {row.shots_in_words}", *(_line(row, name) for name in names)])


def _line(row: Row, name: str) -> str:
    cell = row.cells[name]
    return f"{COLUMNS[name].title} {spread(cell.mean, cell.error, decimals([cell.mean]))}, n {cell.n}"


def tips_of(figure: Figure) -> list[Tip]:
    """Find the words of a figure that was drawn: only then its axes stand where they stay."""
    return [
        _placed(figure, axes, text)
        for axes in figure.axes
        for text in axes.texts
        if text.get_gid() in (POINT, ACROSS)
    ]


def _placed(figure: Figure, axes: Axes, text: Text) -> Tip:
    x, y = figure.transFigure.inverted().transform(text.get_transform().transform(text.get_position()))
    across = text.get_gid() == ACROSS
    return Tip(float(x), float(y), str(text.get_label()), axes.get_position().x1 if across else None)
