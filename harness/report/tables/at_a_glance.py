"""Records → the few columns that a terminal shows at the end of a sweep. Knows no terminal."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Record
from harness.report.rows import COLUMNS, STAND_IN, Column, Row, select
from harness.report.tables.markup import EMPTY, Block, Section, Text, decimals, number
from harness.report.tables.method_table import best, structural

GLANCE = ("dino_heldout", "clip_t", "prompt_accuracy", "noise_l2")
"""The measures: fidelity to the subject and to the prompt, and the drift that they cost."""


def glance(records: Sequence[Record]) -> Block:
    """Lay the means over subjects out: method, shots, and those of :data:`GLANCE` that hold a number.

    Bold is what :func:`harness.report.tables.method_table.best` says. The order is that of all tables.
    """
    rows = select(records).rows
    present = {name for row in rows for name in row.cells}
    names = dict.fromkeys(name if name in present else STAND_IN.get(name, name) for name in GLANCE)
    columns = [COLUMNS[name] for name in names if name in present]
    bold = {column.name: {id(row) for row in best(rows, column)} for column in columns}
    subjects = sorted({row.subjects for row in rows})
    over = f"{subjects[0]} to {subjects[-1]}" if len(subjects) > 1 else str(*subjects)
    return Block(
        caption=f"Means over subjects (n = {over}); bold: not told apart from the best by a paired interval.",
        headings=("Method", "Shots", *(f"{column.title} {column.arrow}".strip() for column in columns)),
        sections=(Section(None, tuple(_line(row, rows, columns, bold) for row in rows)),),
    )


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
