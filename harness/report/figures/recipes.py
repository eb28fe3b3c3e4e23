"""Short names of recipes beside each other: without their parameters where that tells them apart."""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.comparison.arms import aligned, readout_of
from harness.report.rows import Row


def names_of(rows: Sequence[Row]) -> list[str]:
    """Name the recipe of each row; neither the strength of a constraint nor a readout is part of it."""
    labels = [
        row.label.removesuffix(f", {at.words}") if (at := readout_of(row)) else row.label for row in rows
    ]
    behind = [
        (f" + Lipschitz {row.kind.axis.name}{row.constraints.scale}" if row.kind else "")
        + (", aligned ‡" if aligned(row) else "")
        for row in rows
    ]
    short = [label.partition(" (")[0] + end for label, end in zip(labels, behind, strict=True)]
    whole = [label + end for label, end in zip(labels, behind, strict=True)]
    meant = {one: {other for brief, other in zip(short, whole, strict=True) if brief == one} for one in short}
    return [one if len(meant[one]) == 1 else other for one, other in zip(short, whole, strict=True)]
