"""A page → Markdown, LaTeX, CSV, PNG and PDF; the same page gives the same bytes."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from harness.files import write_atomically
from harness.paper.pages import NOT_RUN, Entry, Page, Part
from harness.report.figures.style import STYLE, drawing, encoded, encoded_picture
from harness.report.rows import COLUMNS
from harness.report.tables.markup import EMPTY, RENDERERS, Block, Section, Sheet, Text, number

HEADINGS = (
    "artefact", "block", "row", "measure", "published", "origin", "source",
    "measured", "low", "high", "n", "experiment", "difference", "command",
)  # fmt: skip


def write(page: Page, out: Path) -> list[Path]:
    """Write a page in every format; PNG and PDF only where there is something to draw."""
    sheet = _sheet(page)
    files = {
        f"{page.name}.md": RENDERERS["markdown"](sheet).encode(),
        f"{page.name}.tex": _fitting(RENDERERS["tex"](sheet)).encode(),
        f"{page.name}.csv": tidy(page).encode(),
    }
    with mpl.rc_context(STYLE):
        drawn = page.draw() if page.draw else _dots(page)
        if isinstance(drawn, Figure):
            files |= {f"{page.name}.png": encoded(drawn), f"{page.name}.pdf": _pdf(drawn)}
        elif isinstance(drawn, Image.Image):
            files |= {f"{page.name}.png": encoded_picture(drawn), f"{page.name}.pdf": _pdf_of(drawn)}
    out.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        write_atomically(out / name, data)
    return [out / name for name in files]


FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{"


def _fitting(tex: str) -> str:
    """Make tables that are wider than the line as wide as the line."""
    tex = tex.replace(r"\usepackage{booktabs,", r"\usepackage{booktabs,graphicx,", 1)
    tex = tex.replace("--set", "-{}-set")  # else one dash
    begin, end = r"\begin{tabular}", r"\end{tabular}"
    return tex.replace(begin, FITTED + begin).replace(end, end + "}")


def tidy(page: Page) -> str:
    """Write one line for each entry; published and measured values have columns of their own."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADINGS)
    for part in page.parts:
        block = "twin" if part.twin else "published"
        writer.writerows([page.name, block, *_cells(entry)] for entry in part.entries)
    return buffer.getvalue()


def _cells(entry: Entry) -> list[object]:
    printed, measured = entry.printed, entry.measured
    interval = measured.interval if measured else None
    return [
        entry.row,
        entry.measure,
        *((printed.value, printed.origin, printed.source) if printed else ("", "", "")),
        *(
            (interval.mean, interval.low, interval.high, interval.n)
            if interval
            else (NOT_RUN if entry.command else "", "", "", "")
        ),
        measured.experiment if measured else "",
        "" if entry.difference is None else entry.difference,
        entry.command,
    ]


def _sheet(page: Page) -> Sheet:
    marks: dict[str, str] = {}
    blocks = tuple(_block(part, marks) for part in page.parts)
    notes = tuple(f"({mark}) {words}." for words, mark in marks.items())
    return Sheet((f"{page.title}. {page.question}",), blocks, (*notes, *page.remarks))


def _block(part: Part, marks: dict[str, str]) -> Block:
    # A published value, ours and the difference stand side by side; on Toybox there is only ours.
    kinds = ("ours",) if part.twin else ("published", "ours", "difference")
    headings = [
        _title(name) if part.twin else f"{_title(name)}, {kind}" if kind == "published" else kind
        for name in part.measures
        for kind in kinds
    ]
    lines = tuple(tuple(map(Text, _line(part, row, marks))) for row in part.rows)
    return Block(part.caption, ("Row", *headings, "Note"), (Section(None, lines),))


def _line(part: Part, row: str, marks: dict[str, str]) -> Iterator[str]:
    """Write a row; ``marks`` gathers where its numbers are from, or what would measure them."""
    entries = {entry.measure: entry for entry in part.of(row)}
    yield row
    for name in part.measures:
        entry = entries.get(name)
        if not part.twin:
            yield _number(entry.printed.value) if entry and entry.printed else EMPTY
        yield _ours(entry)
        if not part.twin:
            yield EMPTY if entry is None or entry.difference is None else _number(entry.difference)
    origins = {f"{e.printed.source} ({e.printed.origin})" for e in entries.values() if e.printed}
    experiments = {e.measured.experiment for e in entries.values() if e.measured}
    commands = {f"to measure: {e.command}" for e in entries.values() if e.command}
    words = "; ".join([*sorted(origins), *sorted(experiments), *sorted(commands)])
    yield marks.setdefault(words, _letter(len(marks))) if words else EMPTY


def _letter(number: int) -> str:
    """Count a, b, …, z, a2, b2, …"""
    return string.ascii_lowercase[number % 26] + (str(number // 26 + 1) if number >= 26 else "")


def _ours(entry: Entry | None) -> str:
    if entry is None or entry.measured is None:
        return NOT_RUN if entry and entry.command else EMPTY
    interval = entry.measured.interval
    low, high = _number(interval.low), _number(interval.high)
    return f"{_number(interval.mean)} [{low}, {high}], n = {interval.n}"


def _number(value: float) -> str:
    return number(value, 4 if abs(value) < 1 else 2 if abs(value) < 100 else 0)


def _title(name: str) -> str:
    column = COLUMNS.get(name)
    return f"{column.title} {column.arrow}".strip() if column else name


def _dots(page: Page) -> Figure:
    """Draw every block as dots: published hollow, measured filled with its interval, axes apart."""
    parts = [part for part in page.parts if any(e.printed or e.measured for e in part.entries)]
    heights = [max(2, len(part.rows)) for part in parts]
    across = max((len(part.measures) for part in parts), default=1)
    line = f"{page.title}: published hollow, measured filled (95 % interval)"
    figure = drawing(3.2 + 2.4 * across, 1.2 + 0.24 * sum(heights) + 0.6 * len(parts), line)
    grid = figure.subplots(len(parts), across, squeeze=False, gridspec_kw={"height_ratios": heights})
    for part, line_of_axes in zip(parts, grid, strict=True):
        for place, axes in enumerate(line_of_axes):
            axes.set_visible(place < len(part.measures))
            if place < len(part.measures):
                _panel(axes, part, part.measures[place], named=place == 0)
    return figure


def _panel(axes: mpl.axes.Axes, part: Part, measure: str, *, named: bool) -> None:
    rows = part.rows
    for entry in (each for each in part.entries if each.measure == measure):
        y = rows.index(entry.row)
        if entry.printed:
            axes.plot([entry.printed.value], [y], "D", color="#555555", markerfacecolor="white")
        if entry.measured:
            found = entry.measured.interval
            axes.plot([found.low, found.high], [y, y], color="#0072B2", linewidth=1)
            axes.plot([found.mean], [y], "o", color="#0072B2")
    axes.set_yticks(range(len(rows)), [row[:60] for row in rows] if named else [""] * len(rows), fontsize=7)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_title(_title(measure) + (" (Toybox)" if part.twin else ""))


def _pdf(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Producer": None, "Creator": None})
    return buffer.getvalue()


def _pdf_of(picture: Image.Image) -> bytes:
    figure = drawing(picture.width / 150, picture.height / 150, "")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(picture)
    axes.axis("off")
    return _pdf(figure)
