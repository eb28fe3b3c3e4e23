"""Finds the records that a page speaks of: a run directory first, then the committed results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.paper.pages import Entry, Measured
from harness.records import has_records, read_current
from harness.report.rows import Row, Selection, select
from harness.report.stats import paired_interval, t_interval

CONSTRAINTS, PRIOR = "lipschitz.", "params.prior_weight"


@dataclass(frozen=True)
class Sources:
    """Folders that hold run directories by the name of their experiment, the first that has one counts."""

    folders: tuple[Path, ...]

    def folder(self, experiment: str) -> Path | None:
        """Where an experiment's records are; None where it has not been run."""
        return next((at / experiment for at in self.folders if has_records(at / experiment)), None)

    def selection(self, experiment: str) -> Selection | None:
        """Average an experiment's records into rows; None where none is done."""
        folder = self.folder(experiment)
        found = select(read_current(folder).records) if folder else None
        return found if found and found.rows else None

    def rows(self, experiment: str) -> list[Row]:
        """Give an experiment's methods at the fit's end, at its largest number of shots."""
        found = self.selection(experiment)
        rows = [row for row in found.of("method") if "readout.kind" not in row.setting] if found else []
        most = max((row.shots for row in rows), default=0)
        return [row for row in rows if row.shots == most]


def own(row: Row, name: str, experiment: str) -> Measured | None:
    """Give a row's mean with its interval over subjects; None where there are fewer than two."""
    cell = row.cells.get(name)
    interval = t_interval(cell.by_subject.values()) if cell else None
    return Measured(interval, experiment) if interval else None


def contrast(first: Row, second: Row, name: str, experiment: str) -> Measured | None:
    """Give the paired difference first − second over the subjects that both have."""
    if name not in first.cells or name not in second.cells:
        return None
    interval = paired_interval(first.cells[name].by_subject, second.cells[name].by_subject)
    return Measured(interval, experiment) if interval else None


def same_recipe(first: Row, second: Row) -> bool:
    """Say whether two rows differ in the constraint and the weight of prior preservation alone."""
    return _recipe(first) == _recipe(second)


def _recipe(row: Row) -> dict[str, object]:
    apart = (CONSTRAINTS, "params.prior_")
    return {key: value for key, value in row.setting.items() if not key.startswith(apart)}


def pairs(rows: list[Row], method: str, preferred: float) -> Iterator[tuple[str, Row, Row]]:
    """Give (against what, penalized row, its rival): λ = 0 and prior preservation at the same recipe.

    For every form of the penalty; of its λ the ``preferred`` one is taken, else the first.
    """
    of_method = [row for row in rows if row.method == method]
    forms: dict[object, list[Row]] = {}
    for row in of_method:
        if row.strength("penalty") and not row.setting.get(PRIOR):
            form = tuple(row.setting.get(f"lipschitz.{key}") for key in ("norm", "on"))
            forms.setdefault(form, []).append(row)
    for held in forms.values():
        penalized = next((row for row in held if row.strength("penalty") == preferred), held[0])
        for rival in of_method:
            if not rival.constrained and same_recipe(penalized, rival):
                weight = rival.setting.get(PRIOR)
                yield f"prior preservation, weight {weight:g}" if weight else "λ = 0", penalized, rival


def missing(row: str, measures: tuple[str, ...], command: str) -> list[Entry]:
    """Give entries for what has not been run."""
    return [Entry(row, measure, command=command) for measure in measures]
