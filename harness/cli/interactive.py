"""What a notebook asks of finished sweeps: numbers as data frames, tables, a trial's images. Loads no torch.

``harness.load``, ``harness.table``, ``harness.compare`` and ``harness.show`` are these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.lookup import find_record, run_folder
from harness.records import Record, read_current

if TYPE_CHECKING:
    import pandas as pd

RUNS = Path("runs")
DESCRIBING = ("key", "title", "method", "backbone", "dataset", "subject", "shots", "seed", "preset")


def load(
    experiment: str, *, runs: Path | str = RUNS, where: Sequence[str] = (), wide: bool = False
) -> pd.DataFrame:
    """Load the finished trials of an experiment, by its name, its run directory or its YAML file.

    A line is one trial and one measure (columns ``measure`` and ``value``), with ``wide`` one trial and a
    column for each measure. Columns before: what the trial was, ``params.*``, ``lipschitz.*``.
    ``where``: conditions such as ``shots=5``. Raises ConfigError for an unknown experiment or condition.
    """
    import pandas as pd

    from harness.report.rows import select
    from harness.report.values import values

    chosen = select(_records(experiment, runs), where).records
    trials = pd.DataFrame([_described(record) for record in chosen])
    measured = pd.DataFrame([values(record) for record in chosen], dtype="float64")
    if wide or trials.empty:
        return pd.concat([trials, measured], axis=1)
    both = pd.concat([trials, measured], axis=1)
    long = both.melt(list(trials.columns), list(measured.columns), var_name="measure", value_name="value")
    return long.dropna(subset="value").reset_index(drop=True)


@dataclass(frozen=True)
class Markdown:
    """A table as text; a notebook shows it as a table."""

    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_markdown_(self) -> str:
        return self.text


def table(
    experiment: str,
    *,
    runs: Path | str = RUNS,
    where: Sequence[str] = (),
    measures: Sequence[str] | None = None,
) -> Markdown:
    """Make the table of an experiment, as ``harness table`` prints it. Raises ConfigError."""
    from harness.report.tables import method_table

    name = run_folder(experiment, Path(runs)).name
    chosen = _records(experiment, runs)
    return Markdown(method_table.table(chosen, where=where, measures=measures, experiment=name))


def compare(
    experiment: str,
    against: str,
    *,
    runs: Path | str = RUNS,
    where: Sequence[str] = (),
    power: bool = False,
) -> Markdown:
    """Compare methods as curves, as ``harness compare`` prints it. Raises ConfigError."""
    from harness.report.tables import comparison_table

    return Markdown(comparison_table.table(_records(experiment, runs), against, where=where, power=power))


@dataclass(frozen=True)
class FinishedTrial:
    """One trial: its record, and its files in ``folder``. A notebook shows the contact sheet."""

    record: Record
    folder: Path

    def _repr_png_(self) -> bytes | None:
        sheet = self.folder / "contact_sheet.png"
        return sheet.read_bytes() if sheet.is_file() else None

    def images(self) -> list[Path]:
        """List the image files of the test prompts, in the order of prompts."""
        return sorted((self.folder / "pictures").glob("*.png"))


def show(key: str, *, runs: Path | str = RUNS) -> FinishedTrial:
    """Find a trial by its key, or how it starts. Raises ConfigError."""
    folder, record = find_record(key, Path(runs))
    return FinishedTrial(record, folder / record.key)


def _records(experiment: str, runs: Path | str) -> list[Record]:
    return read_current(run_folder(experiment, Path(runs))).records


def _described(record: Record) -> dict[str, object]:
    """What a trial was, in one flat line."""
    words: dict[str, object] = {
        name: record.key if name == "key" else record.trial.get(name) for name in DESCRIBING
    }
    for part in ("params", "lipschitz", "alignment"):
        words |= {f"{part}.{key}": value for key, value in (record.trial.get(part) or {}).items()}
    return words
