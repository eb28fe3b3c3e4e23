"""Which setting of a method to take: the shortest training course that is as good as the best one.

Settings are ranked by the geometric mean of some measures, averaged over subjects. A search is an experiment
like any other; this reads its records. Imports no torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.config.titles import counted
from harness.errors import ConfigError, one_of
from harness.records import Record
from harness.report import stats
from harness.report.comparison.arms import method_of
from harness.report.merit import MERITS, chance_of, check, default_measures, measured, merit_by_subject
from harness.report.rows import COLUMNS, Cell, Row, select
from harness.report.tables import search_summary
from harness.report.tables.markup import RENDERERS, Block, Section, Sheet, Text, spread

__all__ = ["MERITS", "Candidate", "chosen", "default_measures", "ranked", "table"]


@dataclass(frozen=True)
class Candidate:
    """A row with its merit by subject: the geometric mean of what was gained of the ``cells``'s measures."""

    row: Row
    cells: tuple[Cell, ...]
    merit: Cell

    @property
    def steps(self) -> float:
        """Optimizer steps, at a checkpoint those to it; infinite where the method has no such parameter."""
        steps = _course(self.row)[0]
        return float(steps) if isinstance(steps, int) else math.inf


def chosen(group: Sequence[Candidate], *, paired: bool = True) -> Candidate:
    """Take the fewest steps that are as good as the best; of equally short ones the better.

    *As good*: the mean difference to the best, over the subjects that both have, is at most its own standard
    error. Unpaired: at most the standard error of the best merit, which is the rule of Breiman et al.,
    *Classification and Regression Trees* (1984), §3.4.3, with the length of training for the size of the
    model. ``group`` is ranked, best first, and of it those count that were tried on as many subjects as the
    best; without a standard error (a single subject) the best is taken.
    """
    best = group[0].merit
    good = [each for each in group if each.merit.n == best.n and _as_good(each.merit, best, paired)]
    return min(good, key=lambda each: each.steps)


def _as_good(merit: Cell, best: Cell, paired: bool) -> bool:
    if not paired:
        return merit.mean >= best.mean - (best.error or 0.0)
    behind = stats.paired_differences(best.by_subject, merit.by_subject)
    return bool(behind) and stats.mean(behind) <= (stats.standard_error(behind) or 0.0)


def ranked(records: Sequence[Record], measures: Sequence[str] | None = None) -> list[list[Candidate]]:
    """Rank the settings of every method, best first, apart for each number of shots, backbone and data set.

    With images of another source, and with a constraint of another kind or scale, a method counts as
    another; in a search each of its studies does, and takes in settings that stood beside it. A checkpoint
    is a setting of fewer steps, there once however often it was come by; a readout between base model and
    fit (``scale``, ``budget``) is weighed against its like alone. Settings that have not been tried on as
    many subjects as others come last.
    ``measures``: those of :func:`default_measures` unless given.

    Raises ConfigError for an unknown measure, and for one that is not better when higher.
    """
    weighed = measures or default_measures(records)
    check(weighed, "--measure: ")
    rows = select(records).of("method")
    studies = _studies(rows)
    groups: dict[tuple[Any, ...], dict[str, Candidate]] = {}
    for row in rows:
        cells = tuple(measured(row.records, name) for name in weighed)
        merit = merit_by_subject(row.records, weighed)
        if merit.n:
            group = groups.setdefault((*_family(row, studies), *row.comparison_group), {})
            group.setdefault(_course(row)[1], Candidate(row, cells, merit))
    return [_best_first(group.values()) for group in groups.values()]


def _best_first(group: Collection[Candidate]) -> list[Candidate]:
    most = max(each.merit.n for each in group)
    return sorted(group, key=lambda each: (each.merit.n < most, -each.merit.mean))


def _study(row: Row) -> str | None:
    return next((record.search["study"] for record in row.records if record.search), None)


def _studies(rows: Sequence[Row]) -> dict[str, set[str]]:
    """What counts as one method → the studies that searched it."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if study := _study(row):
            found.setdefault(method_of(row), set()).add(study)
    return found


def _family(row: Row, studies: Mapping[str, set[str]]) -> tuple[Any, ...]:
    """What settings are weighed against each other within: a study where one alone searched their like."""
    own = _study(row)
    searched = {own} if own else studies.get(method_of(row), set())
    kind = row.setting.get("readout.kind")
    between = () if kind in (None, "steps") else (kind, row.setting["readout.value"])
    return (*(searched if len(searched) == 1 else (method_of(row),)), *between)


def _course(row: Row) -> tuple[Any, str]:
    """The steps that a row trained, and its setting as one that was to train no more than that."""
    flat = dict(row.setting)
    if flat.get("readout.kind") == "steps":
        flat["params.steps"] = flat["readout.value"]
        flat = {part: value for part, value in flat.items() if not part.startswith("readout.")}
    return flat.get("params.steps"), json.dumps(flat, sort_keys=True)


def table(
    records: Sequence[Record],
    measures: Sequence[str] | None = None,
    *,
    paired: bool = True,
    format: str = "markdown",
) -> str:
    """Render the ranking, the chosen setting of each method in bold, and what a search came to.

    Raises ConfigError, also where nothing can be ranked.
    """
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
        *(
            f"In the merit {COLUMNS[name].title} counts from {chance:g}: the base model has that for nothing."
            for name in weighed
            if (chance := chance_of(records, name))
        ),
    )
    blocks, loud = search_summary.summary(records, weighed)
    return RENDERERS[format](Sheet(tuple(loud), (block, *blocks), notes))


def _section(group: Sequence[Candidate], paired: bool) -> Section:
    taken = chosen(group, paired=paired)
    label = f"{taken.row.shots_in_words}: {counted(len(group), 'setting')}"
    return Section(label, tuple(_line(each, each is taken) for each in group))


def _line(candidate: Candidate, bold: bool) -> tuple[Text, ...]:
    numbers = [spread(cell.mean, cell.error, 3) for cell in (candidate.merit, *candidate.cells)]
    return tuple(Text(words, bold) for words in (candidate.row.title, str(candidate.merit.n), *numbers))
