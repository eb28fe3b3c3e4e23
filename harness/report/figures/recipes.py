"""Short names of recipes beside each other: without their parameters where that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.comparison.arms import behind_label, daggered, label_of
from harness.report.rows import Row


def names_of(rows: Sequence[Row]) -> list[str]:
    """Name the recipe of each row; neither the strength of a constraint nor a readout is part of it."""
    short = [daggered(label_of(row).partition(" (")[0] + behind_label(row), [row]) for row in rows]
    whole = [daggered(label_of(row) + behind_label(row), [row]) for row in rows]
    meant = {one: {other for brief, other in zip(short, whole, strict=True) if brief == one} for one in short}
    return [one if len(meant[one]) == 1 else other for one, other in zip(short, whole, strict=True)]
