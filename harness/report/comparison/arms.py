"""Records as arms of a comparison: one method with all settings that were tried, as matrices over subjects.

With class images, with another kind of constraint, and read out along its course or along α, a method is
another arm. Knows no statistics.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import methods
from harness.report.comparison.curves import Settings, Vector
from harness.report.rows import COLUMNS, Row, Selection
from harness.specs import Readout

ALONG = {"steps": "@steps", "scale": "@scale", "budget": "@scale", "merge": "@merge"}
"""Kind of readout → what it adds to an arm's key: a budget is a point between base model and fit as well."""
_PRIORS = {None: ("", ""), "class": ("+prior", ", class images"), "bank": ("+bank", ", bank images")}
_PATHS = {"@steps": ", along its course", "@scale": ", along α", "@merge": ", merged by block"}


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
        curve ends where ``fidelity``, the measure that training is for, is largest. With a score for the
        drift the curve begins at the base model's score.
        """
        values = self.matrix(score, subjects)
        base = np.array([floor.cells[score].by_subject[s] for s in subjects])
        rising = bool(values.mean() >= base.mean())
        best = self.matrix(fidelity, subjects)
        start = None
        if COLUMNS[drift].kind == "score" and drift in floor.cells:
            start = np.array([floor.cells[drift].by_subject[s] for s in subjects])
        return Settings(self.matrix(drift, subjects), values, best, base, rising, start)


def arms_of(selection: Selection) -> list[Arm]:
    """Gather the rows of methods into arms, in the order of the table.

    A fit's own end belongs to the arms of its readouts too: it is α = 1, and the last step.
    """
    gathered: dict[tuple[Any, ...], list[Row]] = {}
    rows = selection.of("method")
    for row in rows:
        gathered.setdefault((key_of(row), *row.comparison_group), []).append(row)
    for row in rows:
        for along in _PATHS:
            place = (key_of(row) + along, *row.comparison_group)
            read = gathered.get(place, [])
            if fit_of(row) in {fit_of(other) for other in read}:
                gathered[place] = [*read, row]
    return [
        Arm(key, _name(key, rows[0]), tuple(rows), tuple(group)) for (key, *group), rows in gathered.items()
    ]


def floor_of(selection: Selection, arm: Arm) -> Row | None:
    """Find the base model's row of an arm: see :func:`base_of`."""
    return base_of(selection, arm.rows[0])


def base_of(selection: Selection, row: Row) -> Row | None:
    """Find the base model's row, asked for the class noun, of a row's data set and backbone.

    Of several, the one that was sampled as the row was.
    """
    places = [each for each in selection.of("floor") if each.comparison_group[:2] == row.comparison_group[:2]]
    frozen = [each for each in places if each.method == "frozen"]
    alike = [each for each in frozen if _sampling(each) == _sampling(row)]
    return next(iter([*alike, *frozen]), None)


def readout_of(row: Row) -> Readout | None:
    """Give where a row's fits were read out; None at their own end."""
    return Readout.of(row.records[0].trial)


def method_of(row: Row) -> str:
    """Give the key of a row's method, whatever its readout: "dreambooth+penalty:activation"."""
    kind = f"+{row.kind.key}{_scale(row)}" if row.kind else ""
    return row.method + kind + _PRIORS[_prior(row)][0] + ("+alignment" if aligned(row) else "")


def key_of(row: Row) -> str:
    """Give the key of a row's arm: its method's, and the path along which it was read out."""
    readout = readout_of(row)
    return method_of(row) + (ALONG[readout.kind] if readout else "")


def fit_of(row: Row) -> str:
    """Identify a row's fits, whatever they were read out at."""
    flat = {part: value for part, value in row.setting.items() if not part.startswith("readout.")}
    return json.dumps(flat, sort_keys=True)


def trains_on_outputs(row: Row) -> bool:
    """Say whether a row is marked †: it trains on a distance of outputs, the axis of a drift budget.

    A method says so by ``trains_on = "outputs"``, a constraint by its property.
    """
    constrained = any(each.trains_on_outputs for each in row.constraints.members)
    return constrained or methods.trains_on_outputs(row.method)


def daggered(name: str, rows: Sequence[Row]) -> str:
    """Mark a name with † where one of its rows trains on outputs and nothing in it says so yet."""
    marked = any(trains_on_outputs(row) for row in rows) and "†" not in name
    return f"{name} †" if marked else name


def aligned(row: Row) -> bool:
    """Say whether a row is marked ‡: it trains on features of its images too."""
    return any(part.startswith("alignment.") for part in row.setting)


def _sampling(row: Row) -> dict[str, Any]:
    return {part: value for part, value in row.setting.items() if part.startswith("sampling.")}


def _scale(row: Row) -> str:
    """What the constraint's strength is measured in, where that is not the usual: ":activation"."""
    return row.constraints.scale.replace(" †", "").replace(", ", ":").replace(" ", "-")


def _prior(row: Row) -> str | None:
    """Whose images keep the prior: the "class"'s, the "bank"'s, or nobody's."""
    if not row.setting.get("params.prior_weight"):
        return None
    return str(row.setting.get("params.prior_prompts", "class"))


def label_of(row: Row) -> str:
    """Name a row's method with its parameters; neither constraint nor readout is part of it."""
    readout = readout_of(row)
    return row.label.removesuffix(f", {readout.words}") if readout else row.label


def behind_label(row: Row, prior: str = "") -> str:
    """Name what a row's method has beside it, without strengths: " + Lipschitz λ, aligned ‡"."""
    constraint = f" + Lipschitz {row.kind.axis.name}{row.constraints.scale}" if row.kind else ""
    return constraint + prior + (", aligned ‡" if aligned(row) else "")


def _name(key: str, row: Row) -> str:
    path = next((words for along, words in _PATHS.items() if key.endswith(along)), "")
    return label_of(row).partition(" (")[0] + behind_label(row, _PRIORS[_prior(row)][1]) + path
