"""Recipes beside each other: short names, without parameters where that tells them apart, and colours."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.comparison.arms import behind_label, daggered, label_of
from harness.report.figures.style import COLOURS, palette_of
from harness.report.rows import Row, Selection

INK = "#3d3d3d"
"""Of lines that no colour is left for."""


def names_of(rows: Sequence[Row]) -> list[str]:
    """Name the recipe of each row; neither the strength of a constraint nor a readout is part of it."""
    short = [daggered(label_of(row).partition(" (")[0] + behind_label(row), [row]) for row in rows]
    whole = [daggered(label_of(row) + behind_label(row), [row]) for row in rows]
    meant = {one: {other for brief, other in zip(short, whole, strict=True) if brief == one} for one in short}
    return [one if len(meant[one]) == 1 else other for one, other in zip(short, whole, strict=True)]


def colours_of(selection: Selection, rows: Sequence[Row]) -> list[str]:
    """Give each line a colour of its own: its method's, while that is free."""
    palette, taken = palette_of(selection), list[str]()
    for row in rows:
        wished = (palette.of_method(row.method), *COLOURS)
        taken.append(next((colour for colour in wished if colour not in taken), INK))
    return taken
