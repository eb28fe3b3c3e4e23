"""Records → the tables of an experiment, as Markdown, LaTeX or CSV: columns, numbers, bold, footnotes.

Averaging is :mod:`harness.report.rows`, the look is ``markup``. Imports neither torch, Ray nor MLflow.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.api import Lipschitz
from harness.errors import ConfigError, one_of
from harness.metrics.registry import shown_in
from harness.records import Record
from harness.report import stats
from harness.report.rows import COLUMNS, STAND_IN, Cell, Column, Row, Selection, select
from harness.report.tables.footnotes import commits, encoder, footnotes, provenance
from harness.report.tables.markup import EMPTY, RENDERERS, Block, Section, Sheet, Text, decimals, spread
from harness.specs import Readout

if TYPE_CHECKING:
    import pandas as pd

COMPACT = (*shown_in("table"), "seconds_fit")
"""The columns shown unless others are asked for."""

FORMATS = ("markdown", "csv", "tex")

MECHANISM = (
    "Toybox is a rendered world with a tiny Stable Diffusion trained on it: its numbers speak about "
    "mechanism (ranking of methods, shape of trade-offs), not about photographs."
)

LEVEL = 0.95
LEAST_SHARED = 3
"""Subjects that two methods must share to be compared: with two, an interval is one difference wide."""


def table(
    records: Sequence[Record],
    *,
    where: Sequence[str] = (),
    format: str = "markdown",
    measures: Sequence[str] | None = None,
    everything: bool = False,
    experiment: str | None = None,
) -> str:
    """Render the table of some records.

    where       conditions that must all hold, such as ``shots=5`` (:mod:`harness.report.filters`)
    format      ``markdown``, ``tex`` or ``csv`` (long and tidy: one line per row and measure; all measures
                unless ``measures`` chooses)
    measures    names of columns (:data:`harness.report.rows.COLUMNS`) in place of the compact choice
    everything  all columns that hold a number
    experiment  its name, for the line of provenance

    Numbers are mean ± standard error over subjects. Bold: :func:`best`. Raises ConfigError for an unknown
    condition, format or measure.
    """
    if format not in FORMATS:
        raise ConfigError(one_of(format, FORMATS, noun="format"))
    for name in measures or ():
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
    selection = select(records, where)
    if format == "csv":
        return tidy(selection, measures, experiment=experiment).to_csv(index=False, lineterminator="\n")
    wanted = tuple(measures) if measures else tuple(COLUMNS) if everything else COMPACT
    return RENDERERS[format](_sheet(selection, wanted, experiment=experiment))


def best(rows: Sequence[Row], column: Column) -> list[Row]:
    """Give the methods that cannot be told from the best one of their setting and number of shots.

    Any two are compared over the subjects that both have, at least LEAST_SHARED of them: the best has the
    better mean against most rivals, and a method belongs beside it unless the paired interval of their
    difference excludes 0. Floors, ceilings, drifts of exactly 0 and those of images that are the base model's
    own do not compete, nor do drifts over unequal numbers of prior prompts; a method without a rival is not
    the best of anything. Empty for a measure without a direction, and for costs: machines are shared, and
    seconds say little to the last digit.
    """
    if column.direction is None or column.kind == "cost":
        return []
    sign = 1 if column.direction == "higher" else -1
    rivals: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        if row.role == "method" and column.name in row.cells and not _base_model_s(row, column):
            rivals.setdefault((row.comparison_group, row.sizes(column)), []).append(row)
    chosen = []
    for group in rivals.values():
        won = [sum(sign * lead.mean > 0 for lead in _leads(row, group, column.name)) for row in group]
        means = [sign * row.cells[column.name].mean for row in group]
        winner = group[max(range(len(group)), key=lambda place: (won[place], means[place]))]
        beside = [
            row for row in group if any(lead.contains(0) for lead in _leads(row, [winner], column.name))
        ]
        chosen += [winner, *beside] if _leads(winner, group, column.name) else []
    return chosen


def _leads(row: Row, rivals: Sequence[Row], name: str) -> list[stats.Interval]:
    """Give the paired intervals of a row's lead over those rivals that share enough subjects with it."""
    intervals = (
        stats.paired_interval(row.cells[name].by_subject, rival.cells[name].by_subject, level=LEVEL)
        for rival in rivals
        if rival is not row
    )
    return [found for found in intervals if found is not None and found.n >= LEAST_SHARED]


def structural(row: Row, column: Column) -> bool:
    """Say whether a drift or a cost is exactly 0 for every subject: nothing was changed, or nothing done."""
    return column.kind != "score" and not any(row.cells[column.name].by_subject.values())


def _base_model_s(row: Row, column: Column) -> bool:
    """Say whether a drift is the base model's own: exactly 0, or of prior images that did not change."""
    if structural(row, column):
        return True
    unmoved = [name in row.cells and structural(row, COLUMNS[name]) for name in ("weight_l2", "image_drift")]
    return column.kind == "drift" and all(unmoved) and column.encoder is not None


def tidy(
    selection: Selection, measures: Sequence[str] | None = None, *, experiment: str | None = None
) -> pd.DataFrame:
    """Lay a selection out in long form: one line per row and measure, with interval, unit and provenance."""
    lines = []
    for name in measures or _present(selection):
        column = COLUMNS[name]
        among_best = [id(row) for row in best(selection.rows, column)]
        lines += [
            _tidy_line(row, column, selection, best=id(row) in among_best, experiment=experiment)
            for row in selection.rows
            if name in row.cells
        ]
    readout = ["readout"] if _has_readouts(selection.rows) else []
    columns = [*ROW, *_constraint_keys(selection.rows), *readout, *CELL]
    import pandas as pd  # half a second, and the printed table does without

    return pd.DataFrame(lines, columns=columns).astype({"version": "Int64"})


ROW = ("row", "group", "method", "shots")
"""The first columns of the CSV; the keys of the constraint follow, empty without one, and the readout."""

CELL = (
    "measure", "mean", "se", "low", "high", "n",
    "best", "unit", "direction", "encoder", "version", "experiment", "dataset", "backbone", "params",
    "sampling", "records", "commit", "backbone_revision", "data_revision", "device",
)  # fmt: skip
"""The further columns. ``low`` and ``high`` are the ends of the 95 % t interval over subjects."""


def _constraint_keys(rows: Sequence[Row]) -> list[str]:
    """Keys that every constraint has, then those of other kinds that some row uses."""
    held = [part for row in rows for part in sorted(row.setting) if part.startswith("lipschitz.")]
    return list(dict.fromkeys([*Lipschitz().settings(), *(part.removeprefix("lipschitz.") for part in held)]))


def _tidy_line(
    row: Row, column: Column, selection: Selection, *, best: bool, experiment: str | None
) -> dict[str, Any]:
    cell = row.cells[column.name]
    interval = None if column.shared else stats.t_interval(cell.by_subject.values(), level=LEVEL)
    parts = {
        part: {
            key.removeprefix(f"{part}."): value for key, value in row.setting.items() if key.startswith(part)
        }
        for part in ("params", "sampling")
    }
    return {
        "row": row.title, "group": row.role, "method": row.method, "shots": row.shots,
        **{key: row.setting.get(f"lipschitz.{key}") for key in _constraint_keys(selection.rows)},
        **({"readout": _readout(row)} if _has_readouts(selection.rows) else {}),
        "measure": column.name,
        "mean": cell.mean, "se": None if column.shared else cell.error, "n": cell.n, "best": best,
        "low": _end(interval.low if interval else None),
        "high": _end(interval.high if interval else None),
        "unit": column.unit, "direction": column.direction, "version": column.version,
        "encoder": encoder(row.records, column.name), "experiment": experiment,
        "dataset": row.setting["dataset"], "backbone": row.setting["backbone"],
        **{part: json.dumps(held, sort_keys=True) for part, held in parts.items()},
        "records": len(row.records), "commit": commits(row.records),
        **{key: provenance(row.records, key) for key in ("backbone_revision", "data_revision", "device")},
    }  # fmt: skip


def _has_readouts(rows: Sequence[Row]) -> bool:
    """Whether there is a column of readouts: where some row has one."""
    return any(Readout.of(row.records[0].trial) for row in rows)


def _readout(row: Row) -> str:
    """Name a row's readout; empty at the fit's own end."""
    readout = Readout.of(row.records[0].trial)
    return readout.short if readout else ""


def _end(value: float | None) -> float | None:
    """Round away the last bits of t's quantile, which differ between versions of scipy."""
    return None if value is None else float(f"{value:.12g}")


def _present(selection: Selection) -> list[str]:
    return [name for name in COLUMNS if any(name in row.cells for row in selection.rows)]


def _sheet(selection: Selection, wanted: Sequence[str], *, experiment: str | None) -> Sheet:
    present = set(_present(selection))
    shown = list(dict.fromkeys(_stand_in(name, present) for name in wanted))
    shown = [name for name in shown if name in present]
    blocks = [
        _block(selection, [COLUMNS[name] for name in shown if COLUMNS[name].kind in kinds], caption)
        for caption, kinds in (
            ("Scores", ("score",)),
            ("Drift from the base model, and cost", ("drift", "cost")),
        )
    ]
    return Sheet(
        opening=(MECHANISM,) if selection.toybox else (),
        blocks=tuple(block for block in blocks if block is not None),
        footnotes=tuple(footnotes(selection, shown, wanted, present, experiment=experiment)),
    )


def _stand_in(name: str, present: set[str]) -> str:
    return name if name in present else STAND_IN.get(name, name)


def _block(selection: Selection, columns: Sequence[Column], caption: str) -> Block | None:
    if not columns:
        return None
    bold = {column.name: {id(row) for row in best(selection.rows, column)} for column in columns}
    places = {
        c.name: decimals(row.cells[c.name].mean for row in selection.rows if c.name in row.cells)
        for c in columns
    }

    def line(row: Row) -> tuple[Text, ...]:
        cells = (
            Text(cell_words(row.cells.get(c.name), row, c, places[c.name]), bold=id(row) in bold[c.name])
            for c in columns
        )
        return (Text(row.title), Text(str(row.subjects)), *cells)

    sections: dict[str, list[tuple[Text, ...]]] = {}
    for row in selection.rows:
        sections.setdefault(_label(row, selection), []).append(line(row))
    return Block(
        caption=f"{caption}: mean ± standard error over n subjects. {_measured(selection, columns)}",
        headings=("Method", "n", *(f"{c.title} {c.arrow}".strip() for c in columns)),
        sections=tuple(Section(label, tuple(lines)) for label, lines in sections.items()),
    )


def _label(row: Row, selection: Selection) -> str:
    label = {"floor": "Floor: the base model, not taught", "ceiling": "Ceiling: photos of the subject"}.get(
        row.role, row.shots_in_words
    )
    places = [
        row.setting[part]
        for part in ("dataset", "backbone")
        if len({other.setting[part] for other in selection.rows}) > 1
    ]
    return ", ".join([label, *places])


def _measured(selection: Selection, columns: Sequence[Column]) -> str:
    """Say the unit and the encoder of every column, columns that share both named together."""
    shared: dict[tuple[str, str | None], list[str]] = {}
    for column in columns:
        over = sorted({sizes for row in selection.rows if (sizes := row.sizes(column))})
        named = encoder(selection.records, column.name)
        if named is None and column.encoder is not None:
            named = f"{column.encoder} encoder not recorded"
        unit = f"{column.unit} over {' / '.join(over)}" if over else column.unit
        shared.setdefault((unit, named), []).append(column.title)
    return "; ".join(
        f"{', '.join(titles)}: {unit}" + (f", {named}" if named else "")
        for (unit, named), titles in shared.items()
    ) + "."  # fmt: skip


def cell_words(cell: Cell | None, row: Row, column: Column, places: int | None) -> str:
    """Write a cell as tables do: mean ± s.e., an exact 0 without digits, the n where it is not the row's."""
    if cell is None:
        return EMPTY
    fewer = "" if cell.n == row.subjects else f" (n {cell.n})"
    if structural(row, column):
        return f"0{fewer}"  # no digits to suggest a measurement
    error = None if column.shared else cell.error
    return spread(cell.mean, error, places, finer=column.unit != "s") + fewer
