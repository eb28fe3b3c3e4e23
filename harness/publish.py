"""Writes the tables and figures of a run directory. Imports neither torch, Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness import artifacts, figures, tables
from harness.records import Record, read

SUFFIX = {"markdown": "md", "csv": "csv", "tex": "tex"}


def publish(folder: Path, *, say: Callable[[str], None] = lambda line: None) -> list[Path]:
    """Rewrite ``tables/`` and ``figures/`` from the records of a run directory; return both folders.

    Returns nothing where no trial is done yet. Raises RecordsError when a file cannot be written.
    """
    records = read(folder)
    if not any(record.status == "done" for record in records):
        return []
    write_tables(records, folder / "tables", experiment=folder.name)
    figures.render_all(records, folder, folder / "figures", experiment=folder.name, say=say)
    return [folder / "tables", folder / "figures"]


def write_tables(records: list[Record], out: Path, *, experiment: str) -> None:
    """Write the table in every format: ``table.md``, ``table.csv``, ``table.tex``."""
    out.mkdir(parents=True, exist_ok=True)
    for form, suffix in SUFFIX.items():
        text = tables.table(records, format=form, experiment=experiment)
        artifacts.write_whole(out / f"table.{suffix}", text.encode())
