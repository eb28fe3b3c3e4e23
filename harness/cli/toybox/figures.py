"""Figures of Toybox's data sheet: a measured number with its limits, as a line of text and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One measured number and its limits: ``floor`` the least, ``ceiling`` the most; None if it informs."""

    name: str
    value: float
    floor: float | None = None
    ceiling: float | None = None

    @property
    def passed(self) -> bool:
        """Whether the value keeps to its limits; NaN does not."""
        above = self.floor is None or self.value >= self.floor
        below = self.ceiling is None or self.value <= self.ceiling
        return above and below


def line(figure: Figure) -> str:
    """One line of text: value, limit and verdict."""
    limit, verdict = "", ""
    if figure.floor is not None:
        limit, verdict = f"at least {figure.floor:g}", "BELOW"
    elif figure.ceiling is not None:
        limit, verdict = f"at most {figure.ceiling:g}", "ABOVE"
    verdict = "ok" if limit and figure.passed else verdict
    return f"{figure.name:<66} {figure.value:>9.3f}  {limit:<14} {verdict}".rstrip()


def summary(figures: Sequence[Figure], *, revision: str) -> dict[str, Any]:
    """Gather figures for JSON: each with its limits and whether it keeps to them, and whether all do.

    A value that is no finite number is None.
    """
    entries = [
        {**asdict(each), "value": each.value if math.isfinite(each.value) else None, "passed": each.passed}
        for each in figures
    ]
    return {"revision": revision, "passed": all(each.passed for each in figures), "figures": entries}
