"""Short labels beside points of a plot, placed where they meet no other label, point or line."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.transforms import Bbox

SIZE = 7.5
"""Points."""

_GAP = 2.0
_REACHES = (6.0, 12.0, 19.0)


@dataclass(frozen=True)
class Label:
    """Words that belong to the point (x, y) in data coordinates."""

    x: float
    y: float
    words: str
    colour: str


def settle(figure: Figure) -> None:
    """Fix a figure's layout, so that places on its canvas can be computed."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def place(axes: Axes, labels: Sequence[Label], *, obstacles: Sequence[tuple[float, float]] = ()) -> int:
    """Write the labels that find room, nearer places first, and return how many did.

    A label that fits nowhere is left out: its neighbours on the curve say enough. ``obstacles`` are points to
    keep clear of beside the labelled ones. Call when all else is drawn and the layout is settled.
    """
    renderer = axes.get_figure().canvas.get_renderer()  # type: ignore[union-attr]
    frame = axes.get_window_extent(renderer)
    dots = [axes.transData.transform((label.x, label.y)) for label in labels]
    blocked = [axes.transData.transform(point) for point in obstacles]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in dots]
    taken += [Bbox.from_bounds(x - 11, y - 11, 22, 22) for x, y in blocked]
    drawn = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
    # Curves only: the lines across the axes, of two points, may be crossed.
    paths = [axes.transData.transform(points) for points in drawn if len(points) > 2]
    placed = 0
    for label, dot in zip(labels, dots, strict=True):
        text = axes.annotate(
            label.words, (label.x, label.y), xytext=(0, 0), textcoords="offset pixels", ha="center",
            va="center", fontsize=SIZE, color=label.colour, zorder=6,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )  # fmt: skip
        size = text.get_window_extent(renderer)
        found = _free(dot, size.width, size.height, frame, taken, paths)
        if found is None:
            text.remove()
            continue
        offset, box = found
        text.set_position(offset)
        taken.append(box.padded(_GAP))
        placed += 1
    return placed


def _free(
    dot: np.ndarray, width: float, height: float, frame: Bbox, taken: list[Bbox], paths: list[np.ndarray]
) -> tuple[tuple[float, float], Bbox] | None:
    open_places = [
        (offset, box)
        for offset, box in _places(dot, width, height)
        if _inside(box, frame) and not any(box.overlaps(other) for other in taken)
    ]
    clear = (entry for entry in open_places if not any(_crosses(path, entry[1]) for path in paths))
    return next(clear, None)


def _places(dot: np.ndarray, width: float, height: float) -> Iterator[tuple[tuple[float, float], Bbox]]:
    for reach in _REACHES:
        for step in range(12):
            angle = math.pi / 2 - step * math.pi / 6
            offset = (math.cos(angle) * (reach + width / 2), math.sin(angle) * (reach + height / 2))
            left, bottom = dot[0] + offset[0] - width / 2, dot[1] + offset[1] - height / 2
            yield offset, Bbox.from_bounds(left, bottom, width, height)


def _inside(box: Bbox, frame: Bbox) -> bool:
    """A label may reach a little over the right and the upper edge, where there is no axis."""
    return box.x0 > frame.x0 and box.x1 < frame.x1 + 20 and box.y0 > frame.y0 and box.y1 < frame.y1 + 4


def _crosses(path: np.ndarray, box: Bbox) -> bool:
    steps = np.linspace(0, 1, 32)[:, None, None]
    x, y = (path[:-1] * (1 - steps) + path[1:] * steps).reshape(-1, 2).T
    return bool(((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any())
