"""The table of the report as data: columns, rows, and the number of every subject behind each cell.

The page sorts, filters and shows one subject's numbers; at first it shows what ``harness table`` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.html.source import Source
from harness.report.rows import COLUMNS, STAND_IN, Column, Row
from harness.report.tables.footnotes import encoder
from harness.report.tables.markup import decimals
from harness.report.tables.method_table import COMPACT, best, cell_words


@dataclass(frozen=True)
class Heading:
    """A column: ``shown`` at first or on request; ``places`` its decimals (None: scientific)."""

    column: Column
    shown: bool
    places: int | None
    encoder: str | None


@dataclass(frozen=True)
class Entry:
    """A cell: its words, its mean (None: empty), the values of its subjects, whether it is among the best."""

    words: str
    mean: float | None
    by_subject: dict[str, float]
    best: bool


@dataclass(frozen=True)
class Line:
    """A row of the table with what it is filtered by."""

    experiment: str
    row: Row
    cells: tuple[Entry, ...]

    @property
    def shots(self) -> str:
        """The number of shots as a filter's value: "5", "all"; empty for a row that learns from none."""
        return "all" if self.row.all_shots else str(self.row.shots or "")


@dataclass(frozen=True)
class Scoreboard:
    """The table of one or several experiments."""

    headings: tuple[Heading, ...]
    lines: tuple[Line, ...]

    def of(self, role: str) -> list[Line]:
        """Give the lines of one role: floors stand first, ceilings last, whatever the order."""
        return [line for line in self.lines if line.row.role == role]

    def numbers(self) -> list[list[dict[str, float]]]:
        """Give the values of every line and column by subject, to six digits: what the page averages."""
        return [
            [
                {subject: float(f"{value:.6g}") for subject, value in cell.by_subject.items()}
                for cell in line.cells
            ]
            for role in ("floor", "method", "ceiling")
            for line in self.of(role)
        ]

    @property
    def methods(self) -> list[str]:
        """Names of the methods in their order."""
        return list(dict.fromkeys(line.row.method for line in self.of("method")))

    @property
    def shots(self) -> list[str]:
        """Numbers of shots in their order, "all" last."""
        found = {line.shots for line in self.of("method")} - {""}
        return sorted(found, key=lambda shots: (shots == "all", shots if shots == "all" else int(shots)))  # type: ignore[return-value]


def scoreboard(sources: Sequence[Source]) -> Scoreboard:
    """Lay the rows of experiments out under the columns that any of them fills, the compact choice first."""
    rows = [row for source in sources for row in source.selection.rows]
    records = [record for source in sources for record in source.selection.records]
    present = {name for row in rows for name in row.cells}
    shown = [name if name in present else STAND_IN.get(name, name) for name in COMPACT]
    ordered = {name: COLUMNS[name] for name in [*shown, *COLUMNS] if name in present}
    headings = tuple(
        Heading(
            column,
            name in shown,
            decimals(row.cells[name].mean for row in rows if name in row.cells),
            encoder(records, name),
        )
        for name, column in ordered.items()
    )
    return Scoreboard(headings, tuple(line for source in sources for line in _lines(source, headings)))


def _lines(source: Source, headings: Sequence[Heading]) -> list[Line]:
    rows = source.selection.rows
    among = {h.column.name: {id(row) for row in best(rows, h.column)} for h in headings}
    return [
        Line(source.name, row, tuple(_entry(row, h, best=id(row) in among[h.column.name]) for h in headings))
        for row in rows
    ]


def _entry(row: Row, heading: Heading, *, best: bool) -> Entry:
    cell = row.cells.get(heading.column.name)
    words = cell_words(cell, row, heading.column, heading.places)
    return Entry(words, cell.mean if cell else None, dict(cell.by_subject) if cell else {}, best)
