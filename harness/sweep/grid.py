"""From an experiment to its trials: axes expanded, parameters filled in, duplicates refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness.config.experiment import Experiment
from harness.config.subjects import SubjectSplit
from harness.errors import ConfigError, HarnessError, one_of
from harness.specs import Trial
from harness.sweep.catalog import Catalog
from harness.sweep.studies import studies
from harness.sweep.study import Study
from harness.sweep.variants import Skip, title, trials_of

__all__ = ["Expansion", "expand", "title", "trials"]


@dataclasses.dataclass(frozen=True)
class Expansion:
    """The trials of an experiment in the order of the file, what was left out, and the studies of a search.

    The trials of a study are there once it proposes them: see :mod:`harness.sweep.proposals`.
    """

    trials: list[Trial]
    skips: list[Skip]
    studies: list[Study]


def expand(experiment: Experiment, catalog: Catalog) -> Expansion:
    """Expand every axis. Raises ConfigError naming file and key, also for a trial that is there twice."""
    try:
        expansion = _expand(experiment, catalog)
        catalog.check(expansion.trials)
    except HarnessError as error:
        raise ConfigError(f"{experiment.source}: {error}") from None
    if not expansion.trials and not expansion.studies:
        skip = expansion.skips[0]
        raise ConfigError(f"{experiment.source}: nothing to do: {skip.title}, {skip.subject}: {skip.reason}")
    return expansion


def _expand(experiment: Experiment, catalog: Catalog) -> Expansion:
    subjects = _subjects(experiment, catalog)
    found: dict[str, int] = {}
    expansion = Expansion([], [], studies(experiment, subjects, catalog))
    for position, entry in enumerate(experiment.methods):
        if entry.over is not None:
            continue
        for trial in trials_of(entry, f"methods[{position}]", subjects, experiment, catalog):
            if isinstance(trial, Skip):
                expansion.skips.append(trial)
                continue
            identity = trial.model_dump_json(exclude={"title", "label", "preset"})
            if identity in found:
                raise ConfigError(
                    f"methods[{position}]: this trial is there twice: {trial.title}, {trial.subject}, "
                    f"{trial.shots} shots, seed {trial.seed} (first in methods[{found[identity]}])"
                )
            found[identity] = position
            expansion.trials.append(trial)
    return expansion


def _subjects(experiment: Experiment, catalog: Catalog) -> list[str]:
    wanted = experiment.subjects
    try:
        if isinstance(wanted, SubjectSplit):
            asked = (wanted.split, wanted.count) if wanted.split == "confirmation" else (wanted.split,)
            names = catalog.subjects(*asked)
            if wanted.count and wanted.count > len(names):
                raise ConfigError(
                    f"count: {wanted.count} requested, the split {wanted.split} has {len(names)}"
                )
            names = names[: wanted.count]
            if not names:
                raise ConfigError(f"the data set has no subject in the split {wanted.split!r}")
            return names
        known = _known(catalog, wanted)
    except HarnessError as error:
        raise ConfigError(f"subjects: {error}") from None
    for position, name in enumerate(wanted):
        if name not in known:
            raise ConfigError(f"subjects[{position}]: {one_of(name, known, noun='subject')}")
        if name in wanted[:position]:
            raise ConfigError(f"subjects[{position}]: {name!r} is there twice")
    return list(wanted)


def _known(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """The subjects that may be named; those of ``confirmation`` only where one of them could be meant."""
    known = catalog.subjects("all")
    if set(names) <= set(known):
        return known
    try:
        return [*known, *catalog.subjects("confirmation")]
    except HarnessError:
        return known


def trials(experiment: Experiment, catalog: Catalog | None = None) -> list[Trial]:
    """Expand the axes into trials, in the order of the file; see :func:`expand`.

    ``catalog`` is what there is to choose from, by default what is installed. Raises ConfigError.
    """
    from harness.sweep.catalog import Installed

    return expand(experiment, catalog or Installed(experiment)).trials
