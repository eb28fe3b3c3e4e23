"""Which setting of a method did best: the geometric mean of some measures, averaged over subjects.

A search is an experiment like any other; this reads its records. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.errors import ConfigError, one_of
from harness.families import Form, form_of
from harness.layout import RENDERERS, Block, Section, Sheet, Text, spread
from harness.records import Record
from harness.rows import COLUMNS, Cell, Row, select

BALANCE = ("dino_heldout", "prompt_accuracy")
"""What a setting is chosen by unless the user says otherwise: the subject, and what was asked of it."""


@dataclass(frozen=True)
class Candidate:
    """A row with its merit: for each subject the geometric mean of the measures, 0 where one is negative."""

    row: Row
    merit: Cell


def ranked(records: Sequence[Record], measures: Sequence[str] = BALANCE) -> list[list[Candidate]]:
    """Rank the settings of every method, best first; with prior, penalty and bound it is another method.

    Raises ConfigError for an unknown measure, and for one that is not better when higher.
    """
    for name in measures:
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
        if COLUMNS[name].direction != "higher":
            raise ConfigError(f"--measure {name}: only measures that are better when higher can be weighed")
    groups: dict[tuple[str, Form, bool], list[Candidate]] = {}
    for row in select(records).of("method"):
        merit = _merit(row, measures)
        if merit.n:
            kind = (row.method, form_of(row), bool(row.setting.get("params.prior_weight")))
            groups.setdefault(kind, []).append(Candidate(row, merit))
    return [sorted(group, key=lambda each: -each.merit.mean) for group in groups.values()]


def _merit(row: Row, measures: Sequence[str]) -> Cell:
    cells = [row.cells[name].by_subject for name in measures if name in row.cells]
    shared = set.intersection(*map(set, cells)) if len(cells) == len(measures) else set()
    return Cell(
        {
            subject: math.prod(max(0.0, values[subject]) for values in cells) ** (1 / len(measures))
            for subject in sorted(shared)
        }
    )


def table(records: Sequence[Record], measures: Sequence[str] = BALANCE, *, format: str = "markdown") -> str:
    """Render the ranking, the best of each method in bold. Raises ConfigError, also where nothing can be
    ranked."""
    if format not in RENDERERS:
        raise ConfigError(one_of(format, RENDERERS, noun="format"))
    groups = ranked(records, measures)
    if not groups:
        raise ConfigError(f"no finished trial of a method has {' and '.join(measures)}")
    titles = [COLUMNS[name].title for name in measures]
    sections = tuple(
        Section(f"{len(group)} settings", tuple(_line(each, measures, each is group[0]) for each in group))
        for group in groups
    )
    block = Block(
        f"Merit: the geometric mean of {' and '.join(titles)} for each subject; mean ± s.e. over n.",
        ("Method", "n", "Merit ↑", *(f"{title} ↑" for title in titles)),
        sections,
    )
    tests = "Settings are chosen on other subjects than methods are compared on."
    return RENDERERS[format](Sheet((), (block,), (f"Bold: the best setting of each method. {tests}",)))


def _line(candidate: Candidate, measures: Sequence[str], best: bool) -> tuple[Text, ...]:
    cells = [candidate.merit, *(candidate.row.cells[name] for name in measures)]
    numbers = [spread(cell.mean, cell.error, 3) for cell in cells]
    return tuple(Text(words, best) for words in (candidate.row.title, str(candidate.merit.n), *numbers))
