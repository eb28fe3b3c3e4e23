"""Records → rows: what is averaged over what, in which order rows stand, and what they are called.

A row is one method in one setting at one number of shots; a cell holds one number per subject. Images are
averaged before prompts in the record; here follow seeds within a subject, then subjects. Knows no layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from typing import Any, Literal

from harness.api import Role
from harness.config.titles import counted, identity, label, setting, titles_of
from harness.diffusion.constraints.base import Constraint
from harness.diffusion.constraints.combination import Combination
from harness.diffusion.constraints.registry import kinds
from harness.methods import role_of
from harness.metrics.registry import MEASURES, Direction
from harness.records import Record
from harness.report import stats
from harness.report.filters import holds, parse
from harness.report.values import values
from harness.specs import READOUTS

_ORDER = ("dreambooth", "dreambooth_lora", "custom_diffusion", "textual_inversion")
"""Methods in the order of tables; others follow."""


_Cell = tuple[str, str, int, int]
"""A trial's setting as :func:`identity` writes it, subject, shots and seed."""


@dataclass(frozen=True)
class Column:
    """What a column says: a measure of :mod:`harness.metrics.registry`, or a cost taken from the record."""

    name: str
    title: str
    unit: str
    direction: Direction | None
    version: int | None
    encoder: str | None
    kind: Literal["score", "drift", "cost"]
    sizes: str | None = None
    shared: bool = False

    @property
    def arrow(self) -> str:
        """Show the better direction: ↑, ↓ or nothing."""
        return {"higher": "↑", "lower": "↓", None: ""}[self.direction]


COLUMNS: dict[str, Column] = {
    **{m.name: Column(m.name, m.title, m.unit, m.direction, m.version, m.encoder, m.kind, m.sizes, m.shared)
       for m in MEASURES.values()},
    "seconds_fit": Column("seconds_fit", "Fit", "s", "lower", None, None, "cost"),
    "seconds_sample": Column("seconds_sample", "Sample", "s", "lower", None, None, "cost"),
    "seconds_score": Column("seconds_score", "Score", "s", "lower", None, None, "cost"),
    "peak_memory": Column("peak_memory", "Peak memory", "MiB", "lower", None, None, "cost"),
}  # fmt: skip
"""All columns in their order: scores, drift, costs."""

STAND_IN = {m.name: m.stand_in for m in MEASURES.values() if m.stand_in}
"""Shown in a column's place where that one is empty everywhere."""


@dataclass(frozen=True)
class Cell:
    """One measure of one row: a number for each subject."""

    by_subject: Mapping[str, float]

    @property
    def n(self) -> int:
        """Count the subjects."""
        return len(self.by_subject)

    @cached_property
    def mean(self) -> float:
        """Average over subjects."""
        return stats.mean(self.by_subject.values())

    @cached_property
    def error(self) -> float | None:
        """Give the standard error over subjects; None for one subject."""
        return stats.standard_error(self.by_subject.values())


@dataclass(frozen=True)
class Row:
    """One method in one setting at one number of shots (0: it uses none); ``title`` is like no other's.

    With ``all_shots`` every photo of a subject is a shot, and ``shots`` is the largest number of them.
    ``label`` is the title without the constraint, ``setting`` what ``titles.setting`` says.
    """

    role: Role
    title: str
    label: str
    method: str
    shots: int
    all_shots: bool
    setting: Mapping[str, Any]
    cells: Mapping[str, Cell]
    records: tuple[Record, ...] = field(repr=False)

    @cached_property
    def constraints(self) -> Combination:
        """The row's constraints."""
        return Combination.read(
            {
                part.removeprefix("lipschitz."): value
                for part, value in self.setting.items()
                if part.startswith("lipschitz.")
            }
        )

    @property
    def kind(self) -> type[Constraint] | None:
        """The kind of constraint whose curve the row is on; None where it is unconstrained."""
        return type(self.constraints.leading) if self.constraints.leading else None

    def strength(self, key: str) -> float | None:
        """Give the strength of one kind of constraint (``penalty``: λ), None where the row has none."""
        return self.setting.get(f"lipschitz.{key}")

    @property
    def comparison_group(self) -> tuple[Any, ...]:
        """Give what compared rows have in common: the data set, the backbone, the number of shots."""
        return self.setting["dataset"], self.setting["backbone"], "all" if self.all_shots else self.shots

    @property
    def shots_in_words(self) -> str:
        """Say how many photos were learnt from: "5 shots", "all shots (4 to 6)", "no shots used"."""
        if self.all_shots:
            fewest = min(record.trial["shots"] for record in self.records)
            return f"all shots ({self.shots if fewest == self.shots else f'{fewest} to {self.shots}'})"
        return counted(self.shots, "shot") if self.shots else "no shots used"

    @property
    def constrained(self) -> bool:
        """Say whether the row has a constraint of any kind."""
        return bool(self.constraints)

    @property
    def subjects(self) -> int:
        """Count the subjects with at least one finished trial."""
        return len({record.trial["subject"] for record in self.records})

    def sizes(self, column: Column) -> str | None:
        """Say over how many prior prompts a drift is measured here; None where the record does not say."""
        drift = {key: self.setting.get(f"drift.{key}") for key in ("prompts", "timesteps", "images")}
        known = column.sizes is not None and None not in drift.values()
        return str(column.sizes).format(**drift) if known else None


@dataclass(frozen=True)
class Selection:
    """The chosen records, averaged: rows in their order, trials that failed, records that count."""

    rows: tuple[Row, ...]
    failed: tuple[Record, ...]
    records: tuple[Record, ...]

    def of(self, role: Role) -> list[Row]:
        """Give the rows of one role."""
        return [row for row in self.rows if row.role == role]

    @property
    def toybox(self) -> bool:
        """Say whether any record is of the embedded benchmark, its data or its model."""
        return any(
            record.trial[part].startswith("toybox")
            for record in self.records
            for part in ("dataset", "backbone")
        )


def select(records: Sequence[Record], where: Sequence[str] = ()) -> Selection:
    """Average the records that meet the conditions (:mod:`harness.report.filters`) into rows.

    Of several records of one trial, under one key or (a newer version of a method) several, the last counts.
    """
    latest = {_cell_of(record): record for record in records}
    conditions = parse(where, list(latest.values()))
    chosen = sorted((cell, record.key) for cell, record in latest.items() if holds(conditions, record))
    done = {cell: latest[cell] for cell, _ in chosen if latest[cell].status == "done"}
    return Selection(
        rows=tuple(_rows(done)),
        failed=tuple(latest[cell] for cell, _ in chosen if latest[cell].status == "failed"),
        records=tuple(done.values()),
    )


def _rows(records: Mapping[_Cell, Record]) -> list[Row]:
    gathered: dict[tuple[str, int | None], list[Record]] = {}
    settings: dict[str, list[Mapping[str, Any]]] = {}
    for (key, *_), record in records.items():
        shots = None if record.trial.get("all_shots") else record.trial["shots"]
        gathered.setdefault((key, shots), []).append(record)
        settings.setdefault(key, []).append(record.trial)
    named = titles_of(settings)
    rows = [
        Row(
            role=role_of(members[0].trial["method"]),
            title=named[key],
            label=label(members[0].trial),
            method=members[0].trial["method"],
            shots=max(record.trial["shots"] for record in members),
            all_shots=shots is None,
            setting=setting(members[0].trial),
            cells=_cells(members),
            records=tuple(members),
        )
        for (key, shots), members in gathered.items()
    ]
    return sorted(rows, key=_place)


def _cells(records: list[Record]) -> dict[str, Cell]:
    """Average the seeds of each subject: measure → subject → mean, both in the order of their names."""
    subjects: dict[str, list[dict[str, float | None]]] = {}
    for record in records:
        subjects.setdefault(record.trial["subject"], []).append(values(record))
    found: dict[str, dict[str, float]] = {}
    for subject in sorted(subjects):
        seeds = subjects[subject]
        for measure in dict.fromkeys(chain(*seeds)):
            if measured := [value for each in seeds if (value := each.get(measure)) is not None]:
                found.setdefault(measure, {})[subject] = stats.mean(measured)
    return {measure: Cell(of) for measure, of in sorted(found.items())}


def _place(row: Row) -> tuple[Any, ...]:
    """Floors, methods by shots, ceilings; plain, aligned, then each kind of constraint, loose to tight."""
    flat = row.setting
    held = {type(each): each.tightness for each in row.constraints.members}
    return (
        ("floor", "method", "ceiling").index(row.role),
        flat["dataset"],
        flat["backbone"],
        (row.all_shots, row.shots),
        _ORDER.index(row.method) if row.method in _ORDER else len(_ORDER),
        row.method,
        [_sortable(flat[part]) for part in sorted(flat) if part.startswith(("sampling.", "params."))],
        [(part, _sortable(flat[part])) for part in sorted(flat) if part.startswith("alignment.")],
        [kind in held for kind in reversed(kinds())],
        [held[kind] for kind in kinds() if kind in held],
        _readout_place(flat),
    )


def _readout_place(flat: Mapping[str, Any]) -> tuple[float, ...]:
    """The fit's own end, then its readouts by kind and value."""
    kind = flat.get("readout.kind")
    return () if kind is None else (READOUTS.index(kind), float(flat["readout.value"]))


def _sortable(value: Any) -> tuple[bool, float | str]:
    """Numbers by size, then words."""
    return (False, float(value)) if isinstance(value, int | float) else (True, json.dumps(value))


def _cell_of(record: Record) -> _Cell:
    """Identify the trial, apart from versions: what a re-run under a new key replaces."""
    trial = record.trial
    return identity(trial), trial["subject"], trial["shots"], trial["seed"]
