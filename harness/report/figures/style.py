"""How figures look: colours and marks of methods, axes, legends, small PNGs.

Uses matplotlib's Figure objects and the Agg renderer; keeps no state between figures.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from matplotlib import colors
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from harness import methods
from harness.api import Role
from harness.diffusion.constraints.base import Look
from harness.report.figures import tips
from harness.report.rows import COLUMNS, Row, Selection
from harness.report.series import Series, unconstrained
from harness.report.tables.footnotes import encoder

DPI = 150
MAX_BYTES = 400_000
"""Largest picture: it stands in a README and in the history of a repository."""

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "text.parse_math": False,  # a name may hold dollars
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "hatch.linewidth": 0.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
    "lines.markeredgewidth": 0.7,
}

# Okabe and Ito's palette, which colour-blind readers can tell apart.
_COLOURS = {
    "dreambooth": "#0072B2",
    "dreambooth_lora": "#D55E00",
    "custom_diffusion": "#009E73",
    "textual_inversion": "#CC79A7",
}
_REFERENCE_COLOURS: dict[Role, str] = {"floor": "#8c8c8c", "ceiling": "#3d3d3d"}
_SPARE = ("#E69F00", "#56B4E9", "#882255", "#999933", "#332288", "#44AA99")
COLOURS = (*_SPARE, *_COLOURS.values())
"""For lines that each need one of their own."""

STAR = "*"
"""The mark of what has no constraint."""

_PARAMETER = Look(line=":", mark="^", other_mark="^", mark_over_shots="^")
_DASHES: tuple[tuple[float, ...], ...] = ((5, 2), (1.2, 1.8), (7, 2, 1.2, 2))
"""Lines of the floors, and of the ceilings, in the order of their names."""

# Tones of a method's variants, from the first on: towards which colour, and how far.
_TONES = (("white", 0.0), ("black", 0.5), ("white", 0.5), ("black", 0.75), ("white", 0.7))
_VARIANT_MARKS = ("o", "^", "v", "P", "X", "d")


@dataclass(frozen=True)
class Palette:
    """One colour for each method, tones of it for its further variants and for kinds drawn paler.

    ``variants``: method → its settings apart from the constraint, the one with most rows first. Methods
    without a colour of their own take spare ones in alphabetical order.
    """

    variants: Mapping[str, Sequence[str]]

    def __getitem__(self, row: Row) -> str:
        other, share = _TONES[self._number(row) % len(_TONES)]
        colour = mixed(self.of_method(row.method), other, share)
        return mixed(colour, "white", row.kind.look.paler) if row.kind else colour

    def of_method(self, method: str) -> str:
        """Give the colour that all variants of a method are tones of; floors and ceilings have one each."""
        fixed = {
            name: colour
            for name in self.variants
            if (colour := _COLOURS.get(name) or _REFERENCE_COLOURS.get(methods.role_of(name)))
        }
        unknown = sorted(self.variants.keys() - fixed.keys())
        return fixed.get(method) or _COLOURS.get(method) or _SPARE[unknown.index(method) % len(_SPARE)]

    def mark(self, row: Row) -> str:
        """Give the mark of a row's variant: another where tones repeat."""
        return _VARIANT_MARKS[self._number(row) % len(_VARIANT_MARKS)]

    def _number(self, row: Row) -> int:
        return self.variants[row.method].index(unconstrained(row))


def palette_of(selection: Selection) -> Palette:
    """Give the colours of a selection's methods."""
    counts: dict[str, Counter[str]] = {}
    for row in selection.rows:
        counts.setdefault(row.method, Counter())[unconstrained(row)] += 1
    # Equal counts stay in the order of the rows.
    return Palette({method: [each for each, _ in count.most_common()] for method, count in counts.items()})


def line_of(curve: Series) -> str:
    """Give the line of a curve."""
    return _look(curve).line


def mark_of(curve: Series) -> str:
    """Give the mark of a curve's points; another where its values have a scale of their own."""
    return _look(curve).other_mark if curve.scale else _look(curve).mark


def _look(curve: Series) -> Look:
    return curve.kind.look if curve.kind else _PARAMETER


@cache
def _dashes(method: str) -> tuple[float, ...]:
    role = methods.role_of(method)
    alike = [name for name in methods.known() if methods.role_of(name) == role]
    return _DASHES[alike.index(method) % len(_DASHES)]


def mixed(colour: str, other: str, share: float) -> str:
    """Mix a share of another colour into a colour."""
    first, second = (np.array(colors.to_rgb(name)) for name in (colour, other))
    return colors.to_hex(tuple(first + (second - first) * share))


def short(value: float) -> str:
    """Write λ or a bound in few letters: 0.1, 500, 5k, 2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def axis_name(name: str) -> str:
    """Name an axis: title, unit and the arrow of the better direction."""
    column = COLUMNS[name]
    return f"{column.title} ({column.unit}) {column.arrow}".strip()


def encoder_line(selection: Selection, name: str) -> str:
    """Name the encoder behind a measure in lines that fit beside an axis; empty without one."""
    return "\n".join(textwrap.wrap(encoder(selection.records, name) or "", 40, max_lines=2, placeholder=" …"))


def drawing(width: float, height: float, heading: str) -> Figure:
    """Open an empty figure of this size in inches under a line that says what it speaks about."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.03, hspace=0.05)
    figure = Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=8.5, color="#666666")
    return figure


def panels(
    count: int, *, across: int, heading: str, blocks: int = 1, height: float = 2.6
) -> tuple[Figure, list[list[Axes]]]:
    """Open ``blocks`` one below the other, each of ``count`` axes, ``across`` to a line ``height`` inches."""
    down, columns = math.ceil(count / across), min(count, across)
    figure = drawing(max(3.75 * columns, 7.5), height * down * blocks + 1.1, heading)
    grid = figure.subplots(down * blocks, columns, squeeze=False).reshape(blocks, -1)
    for axes in grid[:, count:].flat:
        axes.set_visible(False)
    return figure, grid[:, :count].tolist()


def heading(
    selection: Selection,
    *,
    subject: str | None = None,
    shots: int | None = None,
    experiment: str | None = None,
    spread: bool = True,
) -> str:
    """Say what a figure speaks about: experiment, data, backbone, shots, subjects, and Toybox's limits."""
    first = selection.rows[0]
    subjects = sorted({row.subjects for row in selection.rows})
    count = f"{subjects[0]}" if len(subjects) == 1 else f"{subjects[0]} to {subjects[-1]}"
    over = f"mean {'± s.e. ' if spread else ''}over {count} subject{'' if subjects[-1] == 1 else 's'}"
    words = [
        *([experiment] if experiment else []),
        f"data {first.setting['dataset']}",
        f"backbone {first.setting['backbone']}",
        *([next(row.shots_in_words for row in selection.rows if row.shots == shots)] if shots else []),
        f"{subject}, the same seeds in every row" if subject else over,
        *(["mechanism, not photographs"] if selection.toybox else []),
    ]
    return "  ·  ".join(words)


def reference_lines(axes: Axes, rows: Iterable[Row], name: str, palette: Palette) -> None:
    """Draw floors and ceilings as broken lines across the axes."""
    for row in rows:
        if row.role != "method" and name in row.cells:
            axes.axhline(
                row.cells[name].mean,
                color=palette[row],
                linewidth=1,
                dashes=_dashes(row.method),
                zorder=1,
            )
            tips.leave_across(axes, row, name)


def reference_handles(rows: Iterable[Row], palette: Palette) -> list[Line2D]:
    """Give the legend's entries of :func:`reference_lines`."""
    return [
        Line2D([], [], color=palette[row], linewidth=1, dashes=_dashes(row.method), label=row.title)
        for row in rows
        if row.role != "method"
    ]


def handle(colour: str, label: str, *, marker: str, line: Any) -> Line2D:
    """Give one entry of a legend."""
    size = 11 if marker == STAR else 5.5
    return Line2D(
        [],
        [],
        color=colour,
        linestyle=line,
        marker=marker,
        markersize=size,
        markeredgecolor="white",
        label=label,
    )


LEGEND_ROW = 0.22
"""Height of a row of a legend, in inches."""


def legend_below(figure: Figure, handles: Sequence[Any]) -> None:
    """Put one legend for all axes below them, in as many columns as its longest entry allows.

    The figure grows by the rows after the fourth, so that the axes keep their height.
    """
    longest = max((len(entry.get_label()) for entry in handles), default=1)
    width, height = figure.get_size_inches()
    columns = max(1, min(5, len(handles), int(width / (0.075 * longest + 0.55))))
    rows = -(-len(handles) // columns)
    figure.set_size_inches(width, height + LEGEND_ROW * max(0, rows - 4))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def encoded(figure: Figure) -> bytes:
    """Draw a figure as a small PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return encoded_picture(Image.open(buffer).convert("RGB"))


def encoded_picture(picture: Image.Image) -> bytes:
    """Encode an RGB picture as a PNG of at most 256 colours and MAX_BYTES, shrunk if it must be."""
    palette = 256
    while len(data := _quantized(picture, palette)) > MAX_BYTES:
        if palette > 128:
            palette //= 2
        else:
            size = (picture.width * 4 // 5, picture.height * 4 // 5)
            picture = picture.resize(size, Image.Resampling.LANCZOS)
    return data


def _quantized(picture: Image.Image, palette: int) -> bytes:
    buffer = io.BytesIO()
    reduced = picture.quantize(palette, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    reduced.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
