"""Records → the few columns that a terminal shows at the end of a sweep. Knows no terminal."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Record
from harness.report.rows import COLUMNS, STAND_IN, Column, Row, select
from harness.report.tables.markup import EMPTY, Block, Section, Text, decimals, number
from harness.report.tables.method_table import best, structural

GLANCE = (("dino_heldout",), ("prompt_accuracy", "clip_t"), ("noise_l2",))
"""Of each group the first measure that was taken: fidelity to the subject, to the prompt, and the drift."""


def glance(records: Sequence[Record]) -> Block:
    """Lay the means over subjects out: method, shots, and a measure of each group of :data:`GLANCE`.

    Bold is what :func:`harness.report.tables.method_table.best` says. The order is that of all tables.
    """
    rows = select(records).rows
    present = {name for row in rows for name in row.cells}
    columns = [COLUMNS[name] for name in filter(None, (_first(group, present) for group in GLANCE))]
    bold = {column.name: {id(row) for row in best(rows, column)} for column in columns}
    return Block(
        caption=_caption(rows, marked=any(bold.values())),
        headings=("Method", "Shots", *(f"{column.title} {column.arrow}".strip() for column in columns)),
        sections=(Section(None, tuple(_line(row, rows, columns, bold) for row in rows)),),
    )


def _first(group: Sequence[str], present: set[str]) -> str | None:
    names = [name if name in present else STAND_IN.get(name, name) for name in group]
    return next((name for name in names if name in present), None)


def _caption(rows: Sequence[Row], *, marked: bool) -> str:
    counts = sorted({row.subjects for row in rows})
    over = f"{counts[0]} to {counts[-1]}" if len(counts) > 1 else "".join(map(str, counts))
    mark = (
        "bold: the best, and what a paired interval does not tell from it"
        if marked
        else ("too few subjects to say which is best")
    )
    return f"Means over subjects (n = {over}); {mark}."


def _line(
    row: Row, rows: Sequence[Row], columns: Sequence[Column], bold: dict[str, set[int]]
) -> tuple[Text, ...]:
    cells = []
    for column in columns:
        places = decimals(other.cells[column.name].mean for other in rows if column.name in other.cells)
        cell = row.cells.get(column.name)
        words = EMPTY if not cell else "0" if structural(row, column) else number(cell.mean, places)
        cells.append(Text(words, bold=id(row) in bold[column.name]))
    shots = "all" if row.all_shots else str(row.shots or EMPTY)
    return (Text(row.title), Text(shots), *cells)
