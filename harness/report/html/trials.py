"""Trials one by one: each subject's with scores and loss curves; those that failed, with reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from harness.config.titles import title
from harness.records import Record
from harness.report.html.scoreboard import Scoreboard
from harness.report.html.source import Source, subjects_of
from harness.report.stats import mean
from harness.report.tables.markup import EMPTY, number
from harness.report.values import values

WIDTH, HEIGHT, MOST_POINTS = 120, 28, 60


@dataclass(frozen=True)
class TrialLine:
    """A finished trial: what it is, the words of its scores in the page's columns, its curve of losses."""

    experiment: str
    title: str
    shots: str
    seed: int
    key: str
    role: str
    scores: tuple[str, ...]
    losses: Markup | None


@dataclass(frozen=True)
class FailedLine:
    """A trial that failed, and why."""

    experiment: str
    title: str
    subject: str
    shots: int
    seed: int
    reason: str


def by_subject(sources: Sequence[Source], board: Scoreboard) -> dict[str, list[TrialLine]]:
    """List the finished trials of every subject in the order of the table's rows."""
    found: dict[str, list[TrialLine]] = {subject: [] for subject in subjects_of(sources)}
    for source in sources:
        for row in source.selection.rows:
            for record in row.records:
                line = _line(source, record, row.title, row.role, board)
                found[str(record.trial["subject"])].append(line)
    return found


def _line(source: Source, record: Record, title: str, role: str, board: Scoreboard) -> TrialLine:
    numbers = values(record)
    scores = tuple(
        EMPTY if (value := numbers.get(heading.column.name)) is None else number(value, heading.places)
        for heading in board.headings
        if heading.shown
    )
    losses = source.file_of(record, "fit.json").get("losses") or []
    trial = record.trial
    shots = str(trial["shots"] or EMPTY)
    return TrialLine(source.name, title, shots, trial["seed"], record.key, role, scores, curve(losses))


def failures(sources: Sequence[Source]) -> list[FailedLine]:
    """List the trials that failed, with their one line of error."""
    return [
        FailedLine(
            source.name,
            title(record.trial),
            str(record.trial["subject"]),
            record.trial["shots"],
            record.trial["seed"],
            record.error or "no reason recorded",
        )
        for source in sources
        for record in source.selection.failed
    ]


def curve(losses: Sequence[float]) -> Markup | None:
    """Draw losses [steps] as a small line of at most MOST_POINTS means; None for fewer than two numbers."""
    finite = [float(value) for value in losses if isinstance(value, int | float) and math.isfinite(value)]
    if len(finite) < 2:
        return None
    block = math.ceil(len(finite) / MOST_POINTS)
    means = [mean(finite[start : start + block]) for start in range(0, len(finite), block)]
    if len(means) < 2:
        return None
    low, high = min(means), max(means)
    scale = (HEIGHT - 4) / ((high - low) or 1)
    points = " ".join(
        f"{WIDTH * place / (len(means) - 1):.1f},{HEIGHT - 2 - (value - low) * scale:.1f}"
        for place, value in enumerate(means)
    )
    words = f"{len(finite)} steps, training loss {low:.3g} to {high:.3g}" + (
        f", means of {block} steps" if block > 1 else ""
    )
    return Markup(
        '<svg class="losses" role="img" aria-label="{0}" viewBox="0 0 {1} {2}"><title>{0}</title>'
        '<polyline points="{3}"/></svg>'
    ).format(words, WIDTH, HEIGHT, points)
