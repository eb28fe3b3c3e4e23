"""Experiments → one HTML file that opens from disk: puts the parts of this room into the page's template.

No network: styles, script, figures and pictures are in the file; its policy forbids all else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness import __version__, files
from harness.errors import RecordsError
from harness.report.html.certificates import certificates
from harness.report.html.findings import Findings, findings
from harness.report.html.gallery import gallery
from harness.report.html.origin import citation, origin
from harness.report.html.plots import Plate, plates
from harness.report.html.scoreboard import Scoreboard, scoreboard
from harness.report.html.source import Source, read
from harness.report.html.trials import by_subject, failures
from harness.report.publish import STAMP
from harness.report.tables.footnotes import footnotes

FILE = "report.html"
PAGE = Path(__file__).parent / "page"


@dataclass(frozen=True)
class Chapter:
    """What the page says of one experiment."""

    source: Source
    findings: Findings
    plates: list[Plate]
    footnotes: list[str]
    origin: list[tuple[str, str]]
    citation: str


def write(folders: Sequence[Path], out: Path, *, light: bool = False) -> Path:
    """Write the report of some run directories, side by side where there are several; return the file.

    ``light`` keeps few pictures, compressed. The same records and pictures give the same bytes. Raises
    RecordsError for a folder without records and where the file cannot be written.
    """
    text = render([read(folder) for folder in folders], light=light)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(out, text.encode())
        if (stamp := out.parent / STAMP).is_file():  # the same time: clocks may jump between the two
            os.utime(out, ns=(stamp.stat().st_atime_ns, stamp.stat().st_mtime_ns))
    except OSError as error:
        raise RecordsError(f"{out}: cannot be written: {error.strerror or error}") from error
    return out


def is_current(folder: Path) -> bool:
    """Say whether a run directory's own report was made when its tables and figures were what they are."""
    try:
        return (folder / FILE).stat().st_mtime_ns == (folder / STAMP).stat().st_mtime_ns
    except OSError:
        return False


def render(sources: Sequence[Source], *, light: bool = False) -> str:
    """Render the page of some experiments."""
    board = scoreboard(sources)
    shown = gallery(sources, light=light)
    subjects = by_subject(sources, board)
    return _template().render(
        title=" · ".join(source.name for source in sources),
        chapters=_chapters(sources, board),
        board=board,
        numbers=board.numbers(),
        subjects=subjects,
        has_losses=any(line.losses for lines in subjects.values() for line in lines),
        failures=failures(sources),
        certificates=certificates(sources),
        gallery=shown,
        several=len(sources) > 1,
        version=__version__,
        style=Markup((PAGE / "report.css").read_text(encoding="utf-8")),
        script=Markup((PAGE / "report.js").read_text(encoding="utf-8")),
    )


def _chapters(sources: Sequence[Source], board: Scoreboard) -> list[Chapter]:
    return [
        Chapter(
            source,
            findings(source.selection),
            drawn,
            _footnotes(source, board),
            origin(source),
            citation(source),
        )
        for source, drawn in zip(sources, plates(sources), strict=True)
    ]


def _footnotes(source: Source, board: Scoreboard) -> list[str]:
    shown = [heading.column.name for heading in board.headings if heading.shown]
    present = {name for row in source.selection.rows for name in row.cells}
    kept = [name for name in shown if name in present]
    return footnotes(source.selection, kept, shown, present, experiment=source.name)


@cache
def _template():  # type: ignore[no-untyped-def]
    environment = Environment(
        loader=FileSystemLoader(PAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
