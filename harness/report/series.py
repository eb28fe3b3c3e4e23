"""Rows that belong to one curve: a method along a constraint, or along a parameter of its own.

Curves, not points, are what methods are compared by: fidelity at equal drift. A penalty's rivals (early
stopping, interpolation) are curves along a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.diffusion.constraints.base import Constraint
from harness.report.rows import Row, Selection


@dataclass(frozen=True)
class Series:
    """One curve. ``rows`` go from loose to tight, with the value that each stands for.

    ``kind`` is the constraint along which it goes; None: along a parameter of the method. ``scale`` says
    what the values are measured in where that is not the usual ("", ", sum", ", relative", …): values of two
    scales share no axis. ``anchor`` is the row with the same parameters and no constraint, where there is
    one; not in ``rows``.
    """

    name: str
    kind: type[Constraint] | None
    rows: tuple[tuple[float, Row], ...]
    anchor: Row | None = None
    scale: str = ""

    @property
    def members(self) -> list[Row]:
        """Give all rows of the curve in order, the anchor first."""
        return [*([self.anchor] if self.anchor else []), *(row for _, row in self.rows)]


def reference_shots(selection: Selection) -> int:
    """Choose the number of shots with most constrained rows; among equals the largest; 0 without any."""
    methods = [row for row in selection.of("method") if row.shots]
    return max(
        {row.shots for row in methods},
        key=lambda shots: (sum(row.constrained for row in methods if row.shots == shots), shots),
        default=0,
    )


def series_of(rows: Sequence[Row]) -> list[Series]:
    """Gather rows of one number of shots into curves: constraints first, then parameters with ≥ 3 values."""
    return [*_constrained(rows), *_parameters(rows)]


def _constrained(rows: Sequence[Row]) -> list[Series]:
    plain = {unconstrained(row): row for row in rows if not row.constrained}
    gathered: dict[tuple[str, type[Constraint], str], list[Row]] = {}
    for row in rows:
        if row.kind is not None:
            gathered.setdefault((unconstrained(row), row.kind, row.constraints.scale), []).append(row)
    return [
        Series(
            name=f"{members[0].label} + Lipschitz {kind.axis.name}{scale}",
            kind=kind,
            rows=tuple((_strength(row), row) for row in members),
            anchor=plain.get(base),
            scale=scale,
        )
        for (base, kind, scale), members in gathered.items()
    ]


def _strength(row: Row) -> float:
    return row.constraints.leading.strength if row.constraints.leading else 0.0


def unconstrained(row: Row) -> str:
    """Identify a row's setting apart from its constraint."""
    flat = {part: value for part, value in row.setting.items() if not part.startswith("lipschitz.")}
    return json.dumps(flat, sort_keys=True)


def _parameters(rows: Sequence[Row]) -> list[Series]:
    """Unconstrained rows of one method that differ in exactly one numeric parameter."""
    found = []
    plain = [row for row in rows if not row.constrained]
    for method in dict.fromkeys(row.method for row in plain):
        members = [row for row in plain if row.method == method]
        parts = {part for row in members for part in row.setting}
        differing = [part for part in parts if len({str(row.setting.get(part)) for row in members}) > 1]
        if len(members) < 3 or len(differing) != 1:
            continue
        values = [row.setting.get(differing[0]) for row in members]
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if differing[0].startswith("params.") and len(numbers) == len(members):
            name = f"{members[0].label.partition(' (')[0]}, {differing[0].removeprefix('params.')}"
            along = sorted(zip(numbers, members, strict=True), key=lambda pair: -pair[0])
            found.append(Series(name, None, tuple(along)))
    return found
