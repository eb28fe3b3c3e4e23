"""What settings are weighed by: the geometric mean of some measures for each subject. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.errors import ConfigError, one_of
from harness.metrics.registry import MEASURES, shown_in
from harness.records import Record
from harness.report import stats
from harness.report.rows import COLUMNS, Cell
from harness.report.values import values

MERITS = {"composition": shown_in("merit"), "accuracy": shown_in("accuracy")}
"""What a setting is chosen by: the subject, and the prompt. ``composition`` needs prompts with ground truth;
``accuracy`` serves data without it."""

UNTAUGHT = {("dino_context", "toybox-dino:2"): 0.30}
"""A measure and its encoder → what the base model, asked for the class alone, has of it: the mean over
Toybox's development subjects, to two digits. So much is no merit of a setting."""


def measures_for(dataset: str) -> tuple[str, ...]:
    """Give what settings are weighed by on a data set unless the user says otherwise."""
    return MERITS["composition" if dataset == "toybox" else "accuracy"]


def default_measures(records: Sequence[Record]) -> tuple[str, ...]:
    """Give what settings are weighed by unless the user says otherwise.

    What their search sought, where it named measures; composition on Toybox's data.
    """
    named = {tuple((record.search or {}).get("merit", ())) for record in records if record.search}
    if len(named) == 1 and (sought := named.pop()):
        return sought
    toybox = bool(records) and all(record.trial["dataset"] == "toybox" for record in records)
    return measures_for("toybox" if toybox else "")


def check(measures: Sequence[str], where: str) -> None:
    """Raise ConfigError for an unknown measure, and for one that is not better when higher."""
    for name in measures:
        if name not in COLUMNS:
            raise ConfigError(f"{where}{one_of(name, COLUMNS, noun='measure')}")
        if COLUMNS[name].direction != "higher":
            raise ConfigError(f"{where}{name}: only measures that are better when higher can be weighed")


def measured(records: Sequence[Record], name: str) -> Cell:
    """Average a measure over the records of each subject.

    It is taken out of the values by prompt in records that were made before it was one.
    """
    found: dict[str, list[float]] = {}
    for record in records:
        value = _of(record, name)
        if value is not None:
            found.setdefault(record.trial["subject"], []).append(value)
    return Cell({subject: stats.mean(seeds) for subject, seeds in sorted(found.items())})


def _of(record: Record, name: str) -> float | None:
    known = values(record)
    recovered = MEASURES[name].recovered if name in MEASURES else None
    return known[name] if name in known else recovered(record.by_prompt) if recovered else None


def chance_of(records: Sequence[Record], name: str) -> float | None:
    """Give what the base model has of a measure for nothing; None where no such number is known."""
    named = ((record.provenance.get("encoders") or {}).get(name) for record in records)
    encoders = {each.partition(" ")[0] for each in named if each}
    return UNTAUGHT.get((name, encoders.pop())) if len(encoders) == 1 else None


def gained(records: Sequence[Record], name: str) -> Cell:
    """Average a measure as :func:`measured` does, as a share of what lies between :func:`chance_of` and 1."""
    chance = chance_of(records, name) or 0.0
    shares = {s: (value - chance) / (1 - chance) for s, value in measured(records, name).by_subject.items()}
    return Cell(shares)


def merit_by_subject(records: Sequence[Record], measures: Sequence[str]) -> Cell:
    """Give the merit of one setting for each subject: the geometric mean of what was gained."""
    return geometric_mean([gained(records, name).by_subject for name in measures])


def geometric_mean(cells: Sequence[Mapping[str, float]]) -> Cell:
    """Weigh several measures for each subject that has them all; 0 where one of them is negative."""
    shared = set.intersection(*map(set, cells))
    return Cell(
        {
            subject: math.prod(max(0.0, each[subject]) for each in cells) ** (1 / len(cells))
            for subject in sorted(shared)
        }
    )


def merit_of(records: Sequence[Record], measures: Sequence[str]) -> float | None:
    """Give the merit of one setting, averaged over subjects; None where no subject has all measures."""
    cell = merit_by_subject(records, measures)
    return cell.mean if cell.n else None
