"""Rows that belong to one curve: a method along λ, along bounds, or along a parameter of its own.

Curves, not points, are what methods are compared by: fidelity at equal drift. A penalty's rivals (early
stopping, interpolation) are curves along a parameter.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.report.rows import Row, Selection

Form = Literal["plain", "penalty", "bound", "parameter"]


@dataclass(frozen=True)
class Family:
    """One curve. ``rows`` go from loose to tight, with the value that each stands for.

    ``scale`` says what the values are measured in where that is not the usual ("", ", sum", ", relative", …):
    values of two scales share no axis. ``anchor`` is the row with the same parameters and no constraint,
    where there is one; not in ``rows``.
    """

    name: str
    form: Form
    rows: tuple[tuple[float, Row], ...]
    anchor: Row | None = None
    scale: str = ""

    @property
    def members(self) -> list[Row]:
        """Give all rows of the curve in order, the anchor first."""
        return [*([self.anchor] if self.anchor else []), *(row for _, row in self.rows)]


def form_of(row: Row) -> Form:
    """Say whether a row is plain, penalized or bounded (both: bounded)."""
    return "bound" if row.bound is not None else "penalty" if row.penalty is not None else "plain"


def telling_shots(selection: Selection) -> int:
    """Choose the number of shots with most constrained rows; among equals the largest; 0 without any."""
    methods = [row for row in selection.of("method") if row.shots]
    return max(
        {row.shots for row in methods},
        key=lambda shots: (sum(row.constrained for row in methods if row.shots == shots), shots),
        default=0,
    )


def families(rows: Sequence[Row]) -> list[Family]:
    """Gather rows of one number of shots into curves: constraints first, then parameters with ≥ 3 values."""
    return [*_constrained(rows), *_parameters(rows)]


def _constrained(rows: Sequence[Row]) -> list[Family]:
    plain = {unconstrained(row): row for row in rows if not row.constrained}
    gathered: dict[tuple[str, Form, str], list[Row]] = {}
    for row in rows:
        if row.constrained:
            gathered.setdefault((unconstrained(row), form_of(row), _scale(row)), []).append(row)
    return [
        Family(
            name=f"{members[0].name} + Lipschitz {'λ' if form == 'penalty' else 'bound'}{scale}",
            form=form,
            rows=tuple((strength(row), row) for row in members),
            anchor=plain.get(base),
            scale=scale,
        )
        for (base, form, scale), members in gathered.items()
    ]


def strength(row: Row) -> float:
    """Give the bound, else λ, else 0."""
    return row.bound if row.bound is not None else row.penalty or 0.0


def unconstrained(row: Row) -> str:
    """Identify a row's setting apart from its constraint."""
    flat = {part: value for part, value in row.setting.items() if not part.startswith("lipschitz.")}
    return json.dumps(flat, sort_keys=True)


def _scale(row: Row) -> str:
    """Penalties of another norm, relative bounds and those on adapters' own entries are other curves."""
    entries = ", on A, B" if row.setting.get("lipschitz.on") == "entries" else ""
    if row.bound is not None:
        return (", relative" if row.setting.get("lipschitz.relative") else "") + entries
    return (", sum" if row.setting.get("lipschitz.norm") == "sum" else "") + entries


def _parameters(rows: Sequence[Row]) -> list[Family]:
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
            name = f"{members[0].name.partition(' (')[0]}, {differing[0].removeprefix('params.')}"
            along = sorted(zip(numbers, members, strict=True), key=lambda pair: -pair[0])
            found.append(Family(name, "parameter", tuple(along)))
    return found
