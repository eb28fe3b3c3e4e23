"""One experiment of a report: its run directory, its records averaged into rows, what its YAML says.

Reads what a sweep left behind and judges nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness import records
from harness.config import strict_yaml
from harness.errors import ConfigError, RecordsError
from harness.records import Record
from harness.report.rows import Row, Selection, select

YAML = "experiment.yaml"


@dataclass(frozen=True)
class Source:
    """A run directory with its wanted records; ``remark`` says how many others were left out."""

    folder: Path
    selection: Selection
    remark: str = ""

    @property
    def name(self) -> str:
        """The experiment's name: its folder's."""
        return self.folder.name

    @cached_property
    def yaml(self) -> str:
        """The resolved experiment file; empty where there is none."""
        try:
            return (self.folder / YAML).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return ""

    @cached_property
    def question(self) -> str:
        """The question that the experiment's file asks; empty where it names none."""
        try:
            return str(strict_yaml.read(self.folder / YAML).get("question") or "")
        except ConfigError:
            return ""

    def file_of(self, record: Record, name: str) -> dict[str, Any]:
        """Read a JSON file of a trial (``fit.json``, ``images.json``); empty where there is none."""
        try:
            data = json.loads((self.folder / record.key / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}


def read(folder: Path) -> Source:
    """Read a run directory. Raises RecordsError where it holds no record."""
    current = records.read_current(folder)
    if not current.records:
        raise RecordsError(f"{folder}: no records yet, nothing to report")
    return Source(folder, select(current.records), current.remark)


def trial_of(row: Row, subject: str) -> Record | None:
    """Take a row's trial of a subject, of several seeds the smallest."""
    found = [record for record in row.records if record.trial["subject"] == subject]
    return min(found, key=lambda record: record.trial["seed"], default=None)


def subjects_of(sources: Sequence[Source]) -> list[str]:
    """List the subjects of finished trials, sorted."""
    return sorted({str(r.trial["subject"]) for source in sources for r in source.selection.records})
