"""What a page of the comparison holds: entries that are published, measured, or both, in blocks.

A published value and a measured one never share a field. Knows neither records nor layout.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from PIL import Image

from harness.report.stats import Interval

NOT_RUN = "not run"


@dataclass(frozen=True)
class Printed:
    """A published value: where it stands, and how it was read (printed, digitised, inferred)."""

    value: float
    source: str
    origin: str


@dataclass(frozen=True)
class Measured:
    """A measured value: its mean over n subjects with the 95 % interval, and the experiment it is from."""

    interval: Interval
    experiment: str


@dataclass(frozen=True)
class Entry:
    """One number of one row. Without a measured value ``command`` is what would measure it."""

    row: str
    measure: str
    printed: Printed | None = None
    measured: Measured | None = None
    command: str = ""

    @property
    def difference(self) -> float | None:
        """Measured − published, where there are both."""
        if self.printed is None or self.measured is None:
            return None
        return self.measured.interval.mean - self.printed.value


@dataclass(frozen=True)
class Part:
    """A block: a caption and its entries. A ``twin`` asks the same question on Toybox: nothing in it is
    published."""

    caption: str
    entries: tuple[Entry, ...]
    twin: bool = False

    def __post_init__(self) -> None:
        if self.twin and any(entry.printed for entry in self.entries):
            raise ValueError(f"{self.caption}: a published value among those of Toybox")

    @property
    def measures(self) -> list[str]:
        """Name the measures in the order in which they come."""
        return list(dict.fromkeys(entry.measure for entry in self.entries))

    @property
    def rows(self) -> list[str]:
        """Name the rows in the order in which they come."""
        return list(dict.fromkeys(entry.row for entry in self.entries))

    def of(self, row: str) -> list[Entry]:
        """Give the entries of a row."""
        return [entry for entry in self.entries if entry.row == row]


@dataclass(frozen=True)
class Page:
    """One artefact's counterpart: blocks, remarks, and what draws it (None: the blocks as dots)."""

    name: str
    title: str
    question: str
    parts: tuple[Part, ...]
    remarks: Sequence[str] = ()
    draw: Callable[[], Figure | Image.Image | None] | None = None
