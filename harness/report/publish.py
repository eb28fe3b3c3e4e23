"""Writes the tables and figures of a run directory. Imports neither torch, Ray nor MLflow."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from harness import __version__, files, records
from harness.errors import RecordsError
from harness.records import Record
from harness.report.figures import render_all
from harness.report.tables import method_table

SUFFIX = {"markdown": "md", "csv": "csv", "tex": "tex"}
STAMP = "published"


def published(folder: Path) -> list[Path]:
    """Where tables and figures lie."""
    return [folder / "tables", folder / "figures"]


def publish(
    folder: Path, *, say: Callable[[str], None] = lambda line: None, verbose: bool = True
) -> list[Path]:
    """Rewrite ``tables/`` and ``figures/`` from the wanted records of a run directory; return both folders.

    ``verbose``: ``say`` hears of figures that were left out for want of data, too.
    Returns nothing where no trial is done yet. Raises RecordsError when a file cannot be written.
    """
    stamp = _stamp(folder)
    current = records.read_current(folder)
    if current.remark:
        say(current.remark)
    if not any(record.status == "done" for record in current.records):
        return []
    try:
        write_tables(current.records, folder / "tables", experiment=folder.name)
        heard = say if verbose else lambda line: None
        render_all.render_all(current.records, folder, folder / "figures", experiment=folder.name, say=heard)
    except OSError as error:
        place = error.filename or folder
        raise RecordsError(f"{place}: cannot be written: {error.strerror or error}") from error
    files.write_atomically(folder / STAMP, stamp)  # last: a kill before it has everything written again
    return published(folder)


def is_current(folder: Path) -> bool:
    """Say whether tables and figures are there, and of the records as they are now."""
    try:
        same = (folder / STAMP).read_bytes() == _stamp(folder)
    except OSError:
        return False
    return same and all(path.is_dir() for path in published(folder))


def _stamp(folder: Path) -> bytes:
    """Digest what the tables are made from: records, the list of those wanted, the program's version."""
    total = hashlib.sha256(__version__.encode())
    for name in (records.FILE, records.PACKED, records.WANTED):
        path = folder / name
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest().encode()


def write_tables(chosen: list[Record], out: Path, *, experiment: str) -> None:
    """Write the table in every format: ``table.md``, ``table.csv``, ``table.tex``."""
    out.mkdir(parents=True, exist_ok=True)
    for form, suffix in SUFFIX.items():
        text = method_table.table(chosen, format=form, experiment=experiment)
        files.write_atomically(out / f"table.{suffix}", text.encode())
