"""Records → the figures of an experiment, as PNG files. Imports neither torch, Ray nor MLflow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import UnidentifiedImageError

from harness import files
from harness.diffusion.constraints.registry import kinds
from harness.errors import ConfigError, RecordsError
from harness.records import Record
from harness.report.comparison.arms import readout_of
from harness.report.comparison.families import Family
from harness.report.figures import (
    budgets,
    contact_sheets,
    contrasts,
    cost,
    curves,
    line_plots,
    search_plots,
    style,
    tradeoff,
)
from harness.report.rows import Selection, select

MOST_SHEETS = 4
"""Subjects that get a contact sheet, in the order of their names."""


def render_all(
    records: Sequence[Record],
    run_dir: Path,
    out_dir: Path,
    *,
    where: Sequence[str] = (),
    experiment: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Path]:
    """Write every figure that the records allow and return the files, in a fixed order.

    ``shots.png``, ``drift.png``, ``curves.png``, ``budgets.png``, one for each kind of constraint
    (``penalty.png``, ``bound.png``), ``cost.png`` and ``pictures-SUBJECT.png``; readouts are in curves and
    budgets alone. Behind the name stand data set and backbone where there are several. ``run_dir`` holds the
    saved images. In it the figures of an earlier drawing that this one does not make are removed. Conditions
    stand in the heading of every figure.
    ``say`` gets a line for each figure that has no data, save the curves. The same records give the same
    bytes, in any order.
    Raises RecordsError when a file cannot be written, ConfigError for a wrong condition in ``where``.
    """
    written: list[Path] = []
    experiment = ", ".join([experiment or "", *where]).strip(", ") or None
    for suffix, selection in by_setting(select(records, where)):
        for name, plot in PLOTS.items():
            path = out_dir / f"{name}{suffix}.png"
            with matplotlib.rc_context(style.STYLE):
                if (figure := plot.draw(selection, experiment=experiment)) is None:
                    if plot.needs:
                        say(f"{path.name}: left out, {plot.needs}")
                else:
                    written.append(_write(path, style.encoded(figure)))
        written += _sheets(selection, run_dir, out_dir, suffix, experiment, say)
    if out_dir.is_relative_to(run_dir):
        for path in _stale(out_dir, written):
            path.unlink()
    if not written:
        say("no figure: nothing in the records to draw")
    return written


def verdicts(found: Sequence[Family], against: str, path: Path, *, experiment: str | None = None) -> Path:
    """Draw families of contrasts as one PNG file. Raises ConfigError where no method was read at budgets."""
    if path.suffix != ".png":
        raise ConfigError(f"--figure {path}: it is drawn as a PNG; name a file that ends in .png")
    with matplotlib.rc_context(style.STYLE):
        if (figure := contrasts.forest(found, against, experiment=experiment)) is None:
            raise ConfigError("--figure: no method was read at drift budgets beside another")
        return _write(path, style.encoded(figure))


@dataclass(frozen=True)
class Plot:
    """A figure of a selection: what draws it, and what it cannot do without; None: left out silently."""

    draw: Callable[..., Figure | None]
    needs: str | None


def _of_ends(draw: Callable[..., Figure | None]) -> Callable[..., Figure | None]:
    """Leave readouts out of a figure: paths from the base model to a fit are drawn by curves and budgets."""

    def drawn(selection: Selection, **words: str | None) -> Figure | None:
        rows = tuple(row for row in selection.rows if readout_of(row) is None)
        records = tuple(record for row in rows for record in row.records)
        return draw(Selection(rows, selection.failed, records), **words)

    return drawn


PLOTS: dict[str, Plot] = {
    "shots": Plot(_of_ends(line_plots.against_shots), "it needs a method at two numbers of shots"),
    "drift": Plot(_of_ends(tradeoff.against_drift), "it needs a method with both a score and a drift"),
    "curves": Plot(curves.over_drift, None),
    "budgets": Plot(budgets.over_budgets, None),
    **{
        kind.key: Plot(_of_ends(partial(line_plots.along_constraint, kind=kind)), kind.needs)
        for kind in kinds()
    },
    "search": Plot(search_plots.merit_found, None),
    "coordinates": Plot(search_plots.coordinates, None),
    "importance": Plot(search_plots.importance, None),
    "cost": Plot(_of_ends(cost.bars), "no record says how long a trial took"),
}


def by_setting(selection: Selection) -> Iterator[tuple[str, Selection]]:
    """Split a selection by data set and backbone; one alone needs no suffix."""
    pairs = sorted({(row.setting["dataset"], row.setting["backbone"]) for row in selection.rows})
    for dataset, backbone in pairs:
        rows = tuple(
            row
            for row in selection.rows
            if (row.setting["dataset"], row.setting["backbone"]) == (dataset, backbone)
        )
        part = Selection(rows, selection.failed, tuple(record for row in rows for record in row.records))
        yield ("" if len(pairs) == 1 else f"-{_plain(dataset)}-{_plain(backbone)}"), part


def _sheets(
    selection: Selection,
    run_dir: Path,
    out_dir: Path,
    suffix: str,
    experiment: str | None,
    say: Callable[[str], None],
) -> list[Path]:
    written = []
    subjects = sorted({str(record.trial["subject"]) for record in selection.records})
    for subject in subjects[:MOST_SHEETS]:
        path = out_dir / f"pictures-{_plain(subject)}{suffix}.png"
        try:
            sheet = contact_sheets.subject_sheet(selection, run_dir, subject, experiment=experiment)
        except (OSError, UnidentifiedImageError) as error:
            say(f"{path.name}: left out, {error}")
            continue
        if sheet is None:
            say(f"{path.name}: left out, no pictures of a method in {run_dir}")
        else:
            written.append(_write(path, style.encoded_picture(sheet)))
    if len(subjects) > MOST_SHEETS:
        say(f"pictures: sheets of {MOST_SHEETS} of {len(subjects)} subjects")
    return written


def _stale(out_dir: Path, written: Sequence[Path]) -> list[Path]:
    """Find a run's former figures by their names; other files of the folder are not this module's."""
    return [
        path
        for path in out_dir.glob("*.png")
        if path not in written and path.stem.partition("-")[0] in (*PLOTS, "pictures")
    ]


def _write(path: Path, data: bytes) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordsError(f"{path}: cannot be written: {error.strerror or error}") from error
    files.write_atomically(path, data)
    return path


def folder_of(run_dir: Path, where: Sequence[str]) -> Path:
    """Give the folder of a run's figures; those under conditions stand beside those of the whole run."""
    return run_dir / "figures" / _plain(" ".join(where)) if where else run_dir / "figures"


def _plain(name: str) -> str:
    """Keep what a file name may hold."""
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
