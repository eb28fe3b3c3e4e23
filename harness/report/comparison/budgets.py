"""Methods at equal drift: which setting of a method is read at a drift budget, and its scores by subject.

Of several settings of a method the one is taken whose own end drifts nearest below the budget, on the
development subjects where their drift is known. Knows no statistics.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

from harness.report import stats
from harness.report.comparison.arms import ALONG, fit_of, method_of, readout_of
from harness.report.comparison.protocol import DRIFT
from harness.report.rows import Row, Selection


@dataclass(frozen=True)
class AtBudget:
    """A method at a drift budget: the row to read.

    method     its key: "dreambooth+penalty"; merged by block it is another method, "dreambooth@merge"
    at_end     the row is the fit's own end, α = 1: no readout at this budget was recorded
    settings   how many settings it was chosen among
    developed  whether drift on development subjects chose; else the drift on the subjects compared
    """

    method: str
    budget: float
    row: Row
    at_end: bool
    settings: int
    developed: bool

    @property
    def drift(self) -> float:
        """The mean drift over the subjects."""
        return self.row.cells[DRIFT].mean

    def by_subject(self, name: str) -> dict[str, float]:
        """Give a score for each subject; empty where it was not measured."""
        return dict(self.row.cells[name].by_subject) if name in self.row.cells else {}


@dataclass(frozen=True)
class _Setting:
    """One setting's rows: its fits' own end, and its readouts at budgets."""

    end: Row | None
    at: dict[float, Row]


def budgets_of(selection: Selection) -> list[float]:
    """List the budgets of DRIFT that any method was read out at, smallest first."""
    return sorted({budget for row in selection.of("method") if (budget := _budget(row)) is not None})


class Reader:
    """Chooses settings among the rows of one comparison group.

    ``development``: names of the subjects that settings are tuned on; ``tuned``: rows of the experiment that
    tuned them, where another one did.
    """

    def __init__(
        self, rows: Sequence[Row], *, development: Collection[str] = (), tuned: Sequence[Row] = ()
    ) -> None:
        self.rows = [row for row in rows if DRIFT in row.cells]
        self.development = frozenset(development)
        self.tuned = {_recipe(row): row for row in tuned if readout_of(row) is None and DRIFT in row.cells}

    def methods(self) -> list[str]:
        """List the keys of the methods there are, in the order of the rows."""
        return list(dict.fromkeys(_key(row) for row in self.rows))

    def read(
        self, method: str, budget: float, *, among: Callable[[Row], bool] = lambda row: True
    ) -> AtBudget | None:
        """Read a method at a budget; None where none of its settings can be.

        ``among`` leaves out settings by any of their rows.
        """
        settings = list(self._settings(method, among))
        ranked = [(drift, developed, each) for each in settings for drift, developed in self._drifts(each)]
        if any(developed for _, developed, _ in ranked):
            ranked = [entry for entry in ranked if entry[1]]
        below = [entry for entry in ranked if entry[0] <= budget]
        # None below: the one that drifts least, which a readout alone can bring down to the budget.
        order = sorted(below, key=lambda entry: -entry[0]) or sorted(ranked, key=lambda entry: entry[0])[:1]
        for _, developed, each in order[:1]:
            if budget in each.at:
                return AtBudget(method, budget, each.at[budget], False, len(settings), developed)
            if below and each.end is not None:
                return AtBudget(method, budget, each.end, True, len(settings), developed)
        return None

    def _settings(self, method: str, among: Callable[[Row], bool]) -> Iterator[_Setting]:
        gathered: dict[str, list[Row]] = {}
        for row in self.rows:
            at_end = readout_of(row) is None and method_of(row) == method.removesuffix(ALONG["merge"])
            if (_key(row) == method or at_end) and among(row):
                gathered.setdefault(fit_of(row), []).append(row)
        for rows in gathered.values():
            end = next((row for row in rows if readout_of(row) is None), None)
            at = {budget: row for row in rows if (budget := _budget(row)) is not None}
            if end is not None or at:
                yield _Setting(end, at)

    def _drifts(self, each: _Setting) -> Iterator[tuple[float, bool]]:
        """The mean drift of a setting's own end, and whether it is that of development subjects."""
        if each.end is None:
            return
        rows = [row for row in (self.tuned.get(_recipe(each.end)), each.end) if row is not None]
        for row in rows:
            known = row.cells[DRIFT].by_subject
            if held := [known[subject] for subject in sorted(self.development & known.keys())]:
                yield stats.mean(held), True
                return
        yield each.end.cells[DRIFT].mean, False


def _key(row: Row) -> str:
    """The method that a row is read as: its fits' end belongs to the merges of it as well."""
    readout = readout_of(row)
    return method_of(row) + (ALONG["merge"] if readout and readout.kind == "merge" else "")


def _budget(row: Row) -> float | None:
    readout = readout_of(row)
    return float(readout.value) if readout and readout.measure == DRIFT else None


def _recipe(row: Row) -> str:
    """What was trained, whatever it was sampled and measured with."""
    parts = ("params.", "lipschitz.", "alignment.")
    kept = {part: value for part, value in row.setting.items() if part.startswith(parts)}
    return json.dumps([row.method, row.comparison_group, kept], sort_keys=True)
