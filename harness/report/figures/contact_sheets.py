"""Contact sheets: the photos of one subject, then for each method a row of its pictures, a column a prompt.

Reads pictures and their ``images.json`` from the run directory; knows nothing of models.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from harness.records import Record
from harness.report.figures.style import heading
from harness.report.lettering import dejavu
from harness.report.rows import Row, Selection
from harness.report.series import reference_shots, series_of

CELL, GAP, MARGIN, LABEL = 100, 4, 12, 178
MOST_COLUMNS, MOST_ROWS = 8, 12
_INK, _GREY = "#222222", "#777777"


@dataclass(frozen=True)
class Strip:
    """A labelled row of pictures, each with its caption; ``quiet`` rows stand apart (floors, photos)."""

    label: str
    pictures: tuple[tuple[str, Image.Image], ...]
    quiet: bool = False


def subject_sheet(
    selection: Selection, run_dir: Path, subject: str, *, experiment: str | None = None
) -> Image.Image | None:
    """Lay out one subject at the number of shots that has most rows; None where no picture was saved.

    Long curves are thinned to at most MOST_ROWS rows, prompts to MOST_COLUMNS, both evenly.
    """
    shots = reference_shots(selection)
    rows = [row for row in selection.rows if row.role != "ceiling" and row.shots in (shots, 0)]
    strips = [
        Strip(row.title, pictures, quiet=row.role == "floor")
        for row in thinned(rows)
        if (record := _of(row, subject)) and (pictures := prompted(run_dir, record))
    ]
    if not any(not strip.quiet for strip in strips):
        return None
    photos = next((found for row in selection.of("ceiling") if (found := _photos(row, run_dir, subject))), ())
    line = heading(selection, subject=subject, shots=shots, experiment=experiment)
    return draw(strips, photos, line=line)


def _of(row: Row, subject: str) -> Record | None:
    """Take the trial of the smallest seed."""
    records = [record for record in row.records if record.trial["subject"] == subject]
    return min(records, key=lambda record: record.trial["seed"], default=None)


def _photos(row: Row, run_dir: Path, subject: str) -> tuple[Image.Image, ...]:
    if (record := _of(row, subject)) is None:
        return ()
    return tuple(_open(path) for path in sorted((run_dir / record.key / "pictures").glob("*.png")))


def thinned(rows: Sequence[Row], most: int = MOST_ROWS) -> list[Row]:
    """Keep at most ``most`` rows: every row that is on no curve, and of each curve evenly spaced ones."""
    curves = [[row for _, row in curve.rows] for curve in series_of(rows)]
    alone = len(rows) - sum(map(len, curves))
    if len(rows) <= most or not curves:
        return list(rows)
    share = max(2, (most - alone) // len(curves))
    dropped = {id(row) for curve in curves for row in curve} - {
        id(row) for curve in curves for row in evenly(curve, share)
    }
    return [row for row in rows if id(row) not in dropped]


def evenly(items: Sequence, most: int) -> list:
    """Pick at most ``most`` items at even distances, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    if most == 1:
        return [items[0]]
    return [items[round(i * (len(items) - 1) / (most - 1))] for i in range(most)]


def prompted(run_dir: Path, record: Record) -> tuple[tuple[str, Image.Image], ...]:
    """Read the first picture of each prompt of a trial, and the prompt (class noun in the subject's place).

    Where ``images.json`` is missing or unreadable the prompt is its number. Empty without pictures.
    """
    folder = run_dir / record.key
    texts = _texts(folder / "images.json")
    firsts = sorted(folder.glob("pictures/*-00.png"))
    return tuple(
        (texts.get(f"pictures/{path.name}", f"prompt {path.stem.partition('-')[0]}"), _open(path))
        for path in evenly(firsts, MOST_COLUMNS)
    )


def _texts(path: Path) -> dict[str, str]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["pictures"]
        return {entry["file"]: entry.get("clip_text") or entry["prompt"] for entry in entries}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _open(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        return picture.convert("RGB")


def draw(strips: Sequence[Strip], photos: Sequence[Image.Image], *, line: str) -> Image.Image:
    """Draw a line of text, photos, then strips downwards under the captions of the longest one."""
    longest = max(strips, key=lambda strip: len(strip.pictures)).pictures
    captions = [_wrapped(words, CELL, 11, lines=4) for words, _ in longest]
    width = MARGIN * 2 + LABEL + len(longest) * (CELL + GAP)
    headings = _wrapped(line, width - 2 * MARGIN, 11, lines=4)
    top, photo_height = 16 + 14 * len(headings), CELL + 20 if photos else 0
    caption_height = 14 * max(map(len, captions)) + 6
    height = top + photo_height + caption_height + len(strips) * (CELL + GAP) + MARGIN
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for down, words in enumerate(headings):
        pen.text((MARGIN, 9 + 14 * down), words, fill=_GREY, font=dejavu(11))
    if photos:
        shown = tuple(("", photo) for photo in evenly(photos, len(longest)))
        _strip(sheet, pen, top, Strip("photos of the subject", shown, quiet=True))
    top += photo_height + caption_height
    for column, lines in enumerate(captions):
        for up, words in enumerate(reversed(lines), start=1):
            pen.text((_left(column), top - 6 - 14 * up), words, fill=_INK, font=dejavu(11))
    for place, strip in enumerate(strips):
        _strip(sheet, pen, top + place * (CELL + GAP), strip)
    return sheet


def _strip(sheet: Image.Image, pen: ImageDraw.ImageDraw, top: int, strip: Strip) -> None:
    lines = _wrapped(strip.label, LABEL - 10, 12, lines=5)
    start = top + (CELL - 15 * len(lines)) // 2
    for line, words in enumerate(lines):
        pen.text((MARGIN, start + 15 * line), words, fill=_GREY if strip.quiet else _INK, font=dejavu(12))
    for column, (_, picture) in enumerate(strip.pictures):
        scale = CELL / max(picture.size)
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        fitted = picture.resize(size, Image.Resampling.BICUBIC)
        sheet.paste(fitted, (_left(column) + (CELL - size[0]) // 2, top + (CELL - size[1]) // 2))


def _left(column: int) -> int:
    return MARGIN + LABEL + column * (CELL + GAP)


def _wrapped(words: str, width: int, size: int, *, lines: int) -> list[str]:
    """Break words into lines of at most ``width`` pixels."""
    letters = max(4, int(width / (dejavu(size).getlength("abcdefghij klmnop") / 17)))
    return textwrap.wrap(words, letters, max_lines=lines, placeholder=" …") or [""]
