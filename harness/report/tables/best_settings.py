"""Which setting of a method to take: the shortest training course that is as good as the best one.

Settings are ranked by the geometric mean of some measures, averaged over subjects. A search is an experiment
like any other; this reads its records. Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.titles import counted
from harness.errors import ConfigError, one_of
from harness.metrics.registry import MEASURES, shown_in
from harness.records import Record
from harness.report import stats
from harness.report.rows import COLUMNS, Cell, Row, select, values
from harness.report.tables.markup import RENDERERS, Block, Section, Sheet, Text, spread

MERITS = {"composition": shown_in("merit"), "accuracy": shown_in("accuracy")}
"""What a setting is chosen by: the subject, and the prompt. ``composition`` needs prompts with ground truth;
``accuracy`` is what Toybox's presets were chosen by."""


@dataclass(frozen=True)
class Candidate:
    """A row with its merit: for each subject the geometric mean of the ``cells``, 0 where one is negative."""

    row: Row
    cells: tuple[Cell, ...]
    merit: Cell

    @property
    def steps(self) -> float:
        """Optimizer steps; infinite where the method has no such parameter."""
        steps = self.row.setting.get("params.steps")
        return float(steps) if isinstance(steps, int) else math.inf


def chosen(group: Sequence[Candidate], *, paired: bool = True) -> Candidate:
    """Take the fewest steps that are as good as the best; of equally short ones the better.

    *As good*: the mean difference to the best, over the subjects that both have, is at most its own standard
    error. Unpaired: at most the standard error of the best merit, which is the rule of Breiman et al.,
    *Classification and Regression Trees* (1984), §3.4.3, with the length of training for the size of the
    model. ``group`` is ranked, best first; without a standard error (a single subject) the best is taken.
    """
    best = group[0].merit
    good = [each for each in group if _as_good(each.merit, best, paired)]
    return min(good, key=lambda each: each.steps)


def _as_good(merit: Cell, best: Cell, paired: bool) -> bool:
    if not paired:
        return merit.mean >= best.mean - (best.error or 0.0)
    behind = stats.paired_differences(best.by_subject, merit.by_subject)
    return bool(behind) and stats.mean(behind) <= (stats.standard_error(behind) or 0.0)


def default_measures(records: Sequence[Record]) -> tuple[str, ...]:
    """Give what settings are weighed by unless the user says otherwise: composition on Toybox's data."""
    toybox = bool(records) and all(record.trial["dataset"] == "toybox" for record in records)
    return MERITS["composition" if toybox else "accuracy"]


def ranked(records: Sequence[Record], measures: Sequence[str] | None = None) -> list[list[Candidate]]:
    """Rank the settings of every method, best first, apart for each number of shots, backbone and data set.

    With class images, and with another kind of constraint, a method counts as another one.
    ``measures``: those of :func:`default_measures` unless given.

    Raises ConfigError for an unknown measure, and for one that is not better when higher.
    """
    weighed = measures or default_measures(records)
    for name in weighed:
        if name not in COLUMNS:
            raise ConfigError(one_of(name, COLUMNS, noun="measure"))
        if COLUMNS[name].direction != "higher":
            raise ConfigError(f"--measure {name}: only measures that are better when higher can be weighed")
    groups: dict[tuple[Any, ...], list[Candidate]] = {}
    for row in select(records).of("method"):
        cells = tuple(_cell(row, name) for name in weighed)
        merit = _merit([cell.by_subject for cell in cells])
        if merit.n:
            prior = bool(row.setting.get("params.prior_weight"))
            kind = (row.method, row.kind, prior, *row.comparison_group)
            groups.setdefault(kind, []).append(Candidate(row, cells, merit))
    return [sorted(group, key=lambda each: -each.merit.mean) for group in groups.values()]


def _cell(row: Row, name: str) -> Cell:
    """A measure of a row, out of the values by prompt in records that were made before it was one."""
    found: dict[str, list[float]] = {}
    for record in row.records:
        value = _measured(record, name)
        if value is not None:
            found.setdefault(record.trial["subject"], []).append(value)
    return Cell({subject: stats.mean(seeds) for subject, seeds in sorted(found.items())})


def _measured(record: Record, name: str) -> float | None:
    known = values(record)
    recovered = MEASURES[name].recovered if name in MEASURES else None
    return known[name] if name in known else recovered(record.by_prompt) if recovered else None


def _merit(cells: Sequence[Mapping[str, float]]) -> Cell:
    shared = set.intersection(*map(set, cells))
    return Cell(
        {
            subject: math.prod(max(0.0, measured[subject]) for measured in cells) ** (1 / len(cells))
            for subject in sorted(shared)
        }
    )


def table(
    records: Sequence[Record],
    measures: Sequence[str] | None = None,
    *,
    paired: bool = True,
    format: str = "markdown",
) -> str:
    """Render the ranking, the chosen setting of each method in bold. Raises ConfigError, also where nothing
    can be ranked."""
    if format not in RENDERERS:
        raise ConfigError(one_of(format, RENDERERS, noun="format"))
    weighed = measures or default_measures(records)
    groups = ranked(records, weighed)
    if not groups:
        raise ConfigError(
            f"no finished trial of a method has {' and '.join(weighed)}; name others (--measure)"
        )
    titles = [COLUMNS[name].title for name in weighed]
    sections = tuple(_section(group, paired) for group in groups)
    block = Block(
        f"Merit: the geometric mean of {' and '.join(titles)} for each subject; mean ± s.e. over n.",
        ("Method", "n", "Merit ↑", *(f"{title} ↑" for title in titles)),
        sections,
    )
    error = "one standard error of its paired difference to" if paired else "one standard error of"
    notes = (
        f"Bold: the fewest steps within {error} the best setting of the same method.",
        "Settings are chosen on other subjects than methods are compared on.",
    )
    return RENDERERS[format](Sheet((), (block,), notes))


def _section(group: Sequence[Candidate], paired: bool) -> Section:
    taken = chosen(group, paired=paired)
    label = f"{taken.row.shots_in_words}: {counted(len(group), 'setting')}"
    return Section(label, tuple(_line(each, each is taken) for each in group))


def _line(candidate: Candidate, bold: bool) -> tuple[Text, ...]:
    numbers = [spread(cell.mean, cell.error, 3) for cell in (candidate.merit, *candidate.cells)]
    return tuple(Text(words, bold) for words in (candidate.row.title, str(candidate.merit.n), *numbers))
