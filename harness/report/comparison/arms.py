"""Records as arms of a comparison: one method with all settings that were tried, as matrices over subjects.

With class images, and with another kind of constraint, a method is another arm. Knows no statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.report.comparison.curves import Settings, Vector
from harness.report.rows import Row, Selection


@dataclass(frozen=True)
class Arm:
    """A method's settings at one number of shots. ``key`` is what a user types: "dreambooth+penalty"."""

    key: str
    name: str
    rows: tuple[Row, ...]
    group: tuple[Any, ...]

    def subjects(self, measures: Sequence[str]) -> set[str]:
        """Give the subjects for which every setting has all of the measures."""
        held = [
            set(row.cells[name].by_subject) if name in row.cells else set()
            for row in self.rows
            for name in measures
        ]
        return set.intersection(*held) if held else set()

    def matrix(self, measure: str, subjects: Sequence[str]) -> Vector:
        """Give a measure of every setting and subject: float64 [settings, subjects]."""
        return np.array([[row.cells[measure].by_subject[s] for s in subjects] for row in self.rows])

    def settings(
        self, drift: str, score: str, floor: Row, subjects: Sequence[str], *, fidelity: str
    ) -> Settings:
        """Make a curve of a score over a drift, anchored at the base model's row ``floor``.

        The score rises along the curve if the settings' mean lies above the base model's, else it falls. The
        curve ends where ``fidelity``, the measure that training is for, is largest.
        """
        values = self.matrix(score, subjects)
        base = np.array([floor.cells[score].by_subject[s] for s in subjects])
        rising = bool(values.mean() >= base.mean())
        best = self.matrix(fidelity, subjects)
        return Settings(self.matrix(drift, subjects), values, best, base, rising)


def arms_of(selection: Selection) -> list[Arm]:
    """Gather the rows of methods into arms, in the order of the table."""
    gathered: dict[tuple[Any, ...], list[Row]] = {}
    for row in selection.of("method"):
        gathered.setdefault((_key(row), *row.comparison_group), []).append(row)
    return [Arm(key, _name(rows[0]), tuple(rows), tuple(group)) for (key, *group), rows in gathered.items()]


def floor_of(selection: Selection, arm: Arm) -> Row | None:
    """Find the base model's row, asked for the class noun, of the arm's data set and backbone."""
    places = [row for row in selection.of("floor") if row.comparison_group[:2] == arm.group[:2]]
    return next((row for row in places if row.method == "frozen"), None)


def _key(row: Row) -> str:
    kind = f"+{row.kind.key}" if row.kind else ""
    return row.method + kind + ("+prior" if row.setting.get("params.prior_weight") else "")


def _name(row: Row) -> str:
    constraint = f" + Lipschitz {row.kind.axis.name}" if row.kind else ""
    prior = ", class images" if row.setting.get("params.prior_weight") else ""
    return row.label.partition(" (")[0] + constraint + prior
