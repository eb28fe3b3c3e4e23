"""A stage's log as a CSV file; knows nothing of what its columns mean."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from harness.files import write_atomically


class Curve:
    """A stage's log: one CSV row per evaluation. Rows past the checkpoint go when a stage is resumed."""

    def __init__(self, path: Path, *, step: int) -> None:
        self.path = path
        self.rows = [row for row in self._read() if int(row["step"]) <= step]
        self._write()

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            return list(csv.DictReader(file))

    def _write(self) -> None:
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names)
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue().encode())

    def append(self, **values: float) -> None:
        """Add a row."""
        self.rows.append({name: f"{value:.6g}" for name, value in values.items()})
        self._write()
