"""Which setting of a method to take: the shortest training course that is as good as the best one.

Settings are ranked by the geometric mean of some measures, averaged over subjects. A search is an experiment
like any other; this reads its records. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.titles import counted
from harness.errors import ConfigError, one_of
from harness.metrics.registry import shown_in
from harness.records import Record
from harness.report.rows import COLUMNS, Cell, Row, select
from harness.report.tables.markup import RENDERERS, Block, Section, Sheet, Text, spread

BALANCE = shown_in("merit")
"""What a setting is chosen by unless the user says otherwise: the subject, and the prompt."""


@dataclass(frozen=True)
class Candidate:
    """A row with its merit: for each subject the geometric mean of the measures, 0 where one is negative."""

    row: Row
    merit: Cell

    @property
    def steps(self) -> float:
        """Optimizer steps; infinite where the method has no such parameter."""
        steps = self.row.setting.get("params.steps")
        return float(steps) if isinstance(steps, int) else math.inf


def chosen(group: Sequence[Candidate]) -> Candidate:
    """Take the fewest steps within one standard error of the best merit; of equally short ones the better.

    The one-standard-error rule of Breiman et al., *Classification and Regression Trees* (1984), §3.4.3, with
    the length of training for the size of the model. ``group`` is ranked, best first; one without a standard
    error (a single subject) is taken at its word.
    """
    best = group[0].merit
    good = [each for each in group if each.merit.mean >= best.mean - (best.error or 0.0)]
    return min(good, key=lambda each: each.steps)


def ranked(records: Sequence[Record], measures: Sequence[str] = BALANCE) -> list[list[Candidate]]:
    """Rank the settings of every method, best first, apart for each number of shots, backbone and data set.

    With class images, and with another kind of constraint, a method counts as another one.

    Raises ConfigError for an unknown measure, and for one that is not better when higher.
    """
    for name in measures:
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
        if COLUMNS[name].direction != "higher":
            raise ConfigError(f"--measure {name}: only measures that are better when higher can be weighed")
    groups: dict[tuple[Any, ...], list[Candidate]] = {}
    for row in select(records).of("method"):
        merit = _merit(row, measures)
        if merit.n:
            prior = bool(row.setting.get("params.prior_weight"))
            kind = (row.method, row.kind, prior, *row.comparison_group)
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
    """Render the ranking, the chosen setting of each method in bold. Raises ConfigError, also where nothing
    can be ranked."""
    if format not in RENDERERS:
        raise ConfigError(one_of(format, RENDERERS, noun="format"))
    groups = ranked(records, measures)
    if not groups:
        raise ConfigError(f"no finished trial of a method has {' and '.join(measures)}")
    titles = [COLUMNS[name].title for name in measures]
    sections = tuple(_section(group, measures) for group in groups)
    block = Block(
        f"Merit: the geometric mean of {' and '.join(titles)} for each subject; mean ± s.e. over n.",
        ("Method", "n", "Merit ↑", *(f"{title} ↑" for title in titles)),
        sections,
    )
    notes = (
        "Bold: the fewest steps within one standard error of the best setting of the same method.",
        "Settings are chosen on other subjects than methods are compared on.",
    )
    return RENDERERS[format](Sheet((), (block,), notes))


def _section(group: Sequence[Candidate], measures: Sequence[str]) -> Section:
    taken = chosen(group)
    label = f"{taken.row.shots_in_words}: {counted(len(group), 'setting')}"
    return Section(label, tuple(_line(each, measures, each is taken) for each in group))


def _line(candidate: Candidate, measures: Sequence[str], bold: bool) -> tuple[Text, ...]:
    cells = [candidate.merit, *(candidate.row.cells[name] for name in measures)]
    numbers = [spread(cell.mean, cell.error, 3) for cell in cells]
    return tuple(Text(words, bold) for words in (candidate.row.title, str(candidate.merit.n), *numbers))
