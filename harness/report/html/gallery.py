"""The picture explorer as data: for each subject its photos, and rows of pictures with the steps of a slider.

Every picture of a column was sampled from the same seed. Reads the run directories; knows no HTML.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.records import Record
from harness.report.figures.style import short
from harness.report.html.album import FULL, LIGHT, Album, open_album
from harness.report.html.source import Source, subjects_of, trial_of
from harness.report.rows import Row
from harness.report.series import Series, series_of

TOLD = ("dino_heldout", "clip_t", "prompt_accuracy")
"""Scores of a single picture, shown where it is enlarged."""
LEAST_STEPS = 2
MOST_PHOTOS = 8
PICTURES = "pictures"


@dataclass(frozen=True)
class Strip:
    """A row of the explorer: one setting, or the settings of a curve as the steps of a slider."""

    experiment: str
    name: str
    role: str
    shots: str
    along: str
    steps: tuple[tuple[str, Row], ...]


@dataclass(frozen=True)
class Gallery:
    """What the page swaps pictures by. ``data`` is plain JSON, ``uris`` the pictures that its numbers mean.

    ``remark`` says what was left out for size; empty ``uris``: no picture is at hand.
    """

    data: dict[str, Any]
    uris: list[str]
    remark: str


def gallery(sources: Sequence[Source], *, light: bool = False) -> Gallery:
    """Gather the pictures of experiments: the first of each prompt, prompt by prompt while they fit."""
    strips = [(source, strip) for source in sources for strip in _strips(source)]
    subjects = subjects_of(sources)
    trials = {
        (source.folder, record.key): (source, record)
        for source, strip in strips
        for _, row in strip.steps
        for subject in subjects
        if (record := trial_of(row, subject))
    }
    files = {key: _firsts(source, record) for key, (source, record) in trials.items()}
    photos = {subject: _photos(sources, subject) for subject in subjects}
    album = open_album(
        [p for group in (*files.values(), *photos.values()) for p in group], LIGHT if light else FULL
    )
    shown_photos = {subject: _numbers(album, paths) for subject, paths in photos.items()}
    columns = max(map(len, files.values()), default=0)
    kept = _fill(album, list(files.values()), columns)
    entries = {key: _trial(*trials[key], files[key][:kept], album) for key in trials if files[key]}
    data = {
        "subjects": [s for s in subjects if any(_held(strip, s, entries, src) for src, strip in strips)],
        "photos": shown_photos,
        "strips": [_entry(strip, source, subjects, entries) for source, strip in strips],
        "trials": {record.key: entries[key] for key, (_, record) in trials.items() if key in entries},
    }
    remark = f"{kept} of {columns} prompts shown, to keep the file small." if kept < columns else ""
    return Gallery(data, album.uris if entries else [], remark)


def _fill(album: Album, groups: Sequence[Sequence[Path]], columns: int) -> int:
    """Take pictures in prompt by prompt; return how many prompts went in before the budget was spent."""
    for column in range(columns):
        if album.full:
            return column
        for paths in groups:
            if column < len(paths):
                album.add(paths[column])
    return columns


def _strips(source: Source) -> Iterator[Strip]:
    """Floors first, then by shots: every setting on no slider, then the curves that have one."""
    rows = [row for row in source.selection.rows if row.role != "ceiling"]
    by_shots: dict[str, list[Row]] = {}
    for row in rows:
        by_shots.setdefault(_shots(row), []).append(row)
    for shots, members in by_shots.items():
        curves = [curve for curve in series_of(members) if len(curve.rows) >= LEAST_STEPS]
        sliding = {id(row) for curve in curves for _, row in curve.rows}
        for row in members:
            if id(row) not in sliding:
                yield Strip(source.name, row.title, row.role, shots, "", ((row.title, row),))
        yield from (_sliding(source, curve, shots) for curve in curves)


def _sliding(source: Source, curve: Series, shots: str) -> Strip:
    along = curve.kind.axis.title + curve.scale if curve.kind else curve.name.rpartition(", ")[2]
    loose = [("none", curve.anchor)] if curve.anchor else []
    steps = (*loose, *((short(value), row) for value, row in curve.rows))
    return Strip(source.name, curve.name, "method", shots, along, steps)


def _shots(row: Row) -> str:
    return "all" if row.all_shots else str(row.shots or "")


def _firsts(source: Source, record: Record) -> list[Path]:
    return sorted((source.folder / record.key / PICTURES).glob("*-00.png"))


def _photos(sources: Sequence[Source], subject: str) -> list[Path]:
    for source in sources:
        for row in source.selection.of("ceiling"):
            record = trial_of(row, subject)
            found = sorted((source.folder / record.key / PICTURES).glob("*.png")) if record else []
            if found:
                return found[:MOST_PHOTOS]
    return []


def _numbers(album: Album, paths: Sequence[Path]) -> list[int]:
    return [number for path in paths if (number := album.add(path)) is not None]


def _trial(source: Source, record: Record, paths: Sequence[Path], album: Album) -> list[dict[str, Any]]:
    """Describe a trial's pictures: number, prompt, seed, scores."""
    told = {
        str(entry.get("file")): entry
        for entry in source.file_of(record, "images.json").get("pictures") or []
        if isinstance(entry, dict)
    }
    pictures = []
    for path in paths:
        entry = told.get(f"{PICTURES}/{path.name}", {})
        scores = entry.get("scores") or {}
        pictures.append(
            {
                "picture": album.add(path),
                "prompt": entry.get("clip_text")
                or entry.get("prompt")
                or f"prompt {path.stem.partition('-')[0]}",
                "seed": str(entry.get("seed", "")),
                "scores": {name: scores[name] for name in TOLD if scores.get(name) is not None},
            }
        )
    return pictures


def _held(strip: Strip, subject: str, entries: dict[Any, Any], source: Source) -> bool:
    return any(
        record is not None and (source.folder, record.key) in entries
        for _, row in strip.steps
        for record in [trial_of(row, subject)]
    )


def _entry(strip: Strip, source: Source, subjects: Sequence[str], entries: dict[Any, Any]) -> dict[str, Any]:
    def key(row: Row, subject: str) -> str | None:
        record = trial_of(row, subject)
        return record.key if record and (source.folder, record.key) in entries else None

    return {
        "experiment": strip.experiment,
        "name": strip.name,
        "role": strip.role,
        "shots": strip.shots,
        "along": strip.along,
        "steps": [
            {
                "label": label,
                "title": row.title,
                "trials": {s: found for s in subjects if (found := key(row, s))},
            }
            for label, row in strip.steps
        ],
    }
