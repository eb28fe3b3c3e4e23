"""From ``search:`` and ``over:`` to studies, everything checked that can be before the first proposal."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from harness.config.experiment import Experiment, MethodEntry
from harness.config.search import CONSTRAINT, SearchEntry
from harness.config.subjects import SubjectSplit
from harness.diffusion.constraints.registry import kinds
from harness.errors import ConfigError, one_of
from harness.specs import BackboneSpec
from harness.sweep.catalog import Catalog
from harness.sweep.keys import digest
from harness.sweep.study import SearchAxis, Study
from harness.sweep.variants import combinations, resolved_params, title


def studies(experiment: Experiment, subjects: Sequence[str], catalog: Catalog) -> list[Study]:
    """Give the studies of an experiment: none without ``search:``, nor one that no subject can join.

    Raises ConfigError naming the key: for ``over`` without ``search`` and the other way round, a range that
    the method cannot take, fewer points than proposals, two studies of one name.
    """
    over = [f"methods[{place}]" for place, entry in enumerate(experiment.methods) if entry.over is not None]
    if experiment.search is None:
        if over:
            raise ConfigError(f"{over[0]}.over: needs search: {{algorithm: optuna, trials: 16}}")
        return []
    if not over:
        raise ConfigError("search: no method says over: {lr: {log: [1.0e-5, 1.0e-3]}}, nothing to search")
    _check_experiment(experiment, experiment.search)
    found: dict[str, Study] = {}
    for position, entry in enumerate(experiment.methods):
        if entry.over is not None:
            for study in _of(entry, f"methods[{position}]", experiment, tuple(subjects), catalog):
                if study.name in found:
                    raise ConfigError(
                        f"{study.place}: two searches are called {study.name!r}: give one a label"
                    )
                found[study.name] = study
    return [study for study in found.values() if study.trials(corners(study)[0], catalog)]


def corners(study: Study) -> list[dict[str, Any]]:
    """Give the points at which every axis is at its first value, and at its last."""
    return [{axis.name: axis.ends[end] for axis in study.axes} for end in (0, 1)]


def _check_experiment(experiment: Experiment, rules: SearchEntry) -> None:
    chosen = experiment.subjects
    if rules.subjects is not None and rules.subjects != chosen:
        raise ConfigError("subjects: a search has its own, search.subjects: leave one of the two out")
    if isinstance(chosen, SubjectSplit) and chosen.split == "confirmation":
        raise ConfigError("search.subjects: nothing is tuned on the confirmation subjects; use development")
    if len(experiment.shots) > 1 or "all" in experiment.shots:
        raise ConfigError("shots: a search is for one number of shots")
    if len(list(experiment.sampling.each())) > 1:
        raise ConfigError("sampling: a search is for one sampler, number of steps and guidance")
    _check_merit(experiment, rules)


def _check_merit(experiment: Experiment, rules: SearchEntry) -> None:
    from harness.report import merit

    if rules.merit is None and experiment.dataset.name != "toybox":
        raise ConfigError(
            f"search.merit: {experiment.dataset.name} has no prompts with ground truth; name measures, "
            "for example [dino_heldout, clip_t]"
        )
    sought = rules.merit or merit.measures_for(experiment.dataset.name)
    merit.check(sought, "search.merit: ")
    if missing := [name for name in sought if name not in experiment.scores]:
        raise ConfigError(f"scores: the search needs {missing[0]}, by which settings are weighed")


def _of(
    entry: MethodEntry, place: str, experiment: Experiment, subjects: tuple[str, ...], catalog: Catalog
) -> Iterator[Study]:
    method = catalog.method(entry.name)
    if method.role != "method":
        raise ConfigError(f"{place}.over: {entry.name!r} is a {method.role}: there is nothing to search")
    _check_alone(entry, place, method)
    if len(list(experiment.sampling.each(entry.sampling))) > 1:
        raise ConfigError(f"{place}.sampling: a search is for one sampler, number of steps and guidance")
    axes = _axes(entry, place, method)
    _check_count(axes, place, experiment.search)
    for backbone in experiment.backbone:
        for axis in axes:
            _check_axis(axis, entry, place, backbone, catalog)
        for constraint in entry.lipschitz:
            held = next(constraint.each()) if constraint else None
            name = title(entry.label or method.title, {}, held)
            searched = sorted(axis.name for axis in axes if axis.name in _strengths())
            name += "".join(f" + {each.removeprefix(f'{CONSTRAINT}.')}" for each in searched)
            fixed = entry.model_copy(update={"lipschitz": (constraint,), "over": None})
            study = Study(
                name=name if len(experiment.backbone) == 1 else f"{name}, {backbone.name}",
                entry=fixed,
                place=place,
                experiment=experiment.model_copy(update={"backbone": (backbone,)}),
                axes=axes,
                subjects=subjects,
                identity=digest(
                    [fixed.model_dump(mode="json", exclude={"label"}), backbone.name, _written(axes)]
                ),
            )
            _check_corners(study, catalog)
            yield study


def _strengths() -> set[str]:
    return {f"{CONSTRAINT}.{kind.key}" for kind in kinds()}


def _written(axes: Sequence[SearchAxis]) -> list[Any]:
    return [[axis.name, axis.range.model_dump()] for axis in axes]


def _check_alone(entry: MethodEntry, place: str, method: type[Any]) -> None:
    """A study varies what is under ``over`` alone, so that every method has equally many proposals."""
    assert entry.over is not None
    _, listed = combinations(entry, place, method)
    if listed:
        raise ConfigError(f"{place}.params.{listed[0]}: a list beside over: put it under over, as a choice")
    if len(entry.preset) > 1:
        raise ConfigError(f"{place}.preset: a search starts from one preset")
    for name in entry.over.params:
        if name in entry.params:
            raise ConfigError(f"{place}.over.{name}: stands under params too: leave one of the two out")
    for constraint in entry.lipschitz:
        if constraint is not None and (entry.over.lipschitz or len(list(constraint.each())) > 1):
            raise ConfigError(f"{place}.lipschitz: beside over: put it under over.lipschitz")
    if not method.changes_weights and (entry.over.lipschitz or any(entry.lipschitz)):
        raise ConfigError(f"{place}.over.lipschitz: {entry.name!r} changes no weights: nothing to constrain")


def _axes(entry: MethodEntry, place: str, method: type[Any]) -> tuple[SearchAxis, ...]:
    assert entry.over is not None
    hints = typing.get_type_hints(method)
    keys = [key for kind in kinds() for key in kind.fields()] + ["on"]
    for name in entry.over.lipschitz:
        if name not in keys:
            raise ConfigError(f"{place}.over.{CONSTRAINT}: {one_of(name, keys, noun='key')}")
    return tuple(
        SearchAxis(name, found, whole=_whole(hints.get(name))) for name, found in entry.over.axes().items()
    )


def _whole(hint: Any) -> bool:
    within = typing.get_args(hint) or (hint,)
    return int in within and float not in within


def _check_count(axes: Sequence[SearchAxis], place: str, rules: SearchEntry | None) -> None:
    assert rules is not None
    open_ended = [axis.name for axis in axes if axis.range.bounded]
    if rules.algorithm == "grid" and open_ended:
        raise ConfigError(f"{place}.over.{open_ended[0]}: a grid is of choices: {{choice: […]}}")
    points = math.prod(len(axis.range.values) for axis in axes)
    if not open_ended and points < rules.trials:
        raise ConfigError(f"{place}.over: {points} points in all, search.trials asks for {rules.trials}")


def _check_axis(
    axis: SearchAxis, entry: MethodEntry, place: str, backbone: BackboneSpec, catalog: Catalog
) -> None:
    """Ask the method whether it takes the ends of a range and every choice."""
    if axis.name.startswith(f"{CONSTRAINT}."):
        return
    fractions = [each for each in axis.range.values if isinstance(each, float) and not each.is_integer()]
    if axis.whole and axis.range.bounded and fractions:
        raise ConfigError(f"{place}.over.{axis.name}: takes whole numbers, not {fractions[0]!r}")
    for value in axis.range.values:
        try:
            resolved_params(
                entry, {**entry.params, axis.name: value}, entry.preset[0], backbone, catalog, place
            )
        except ConfigError as error:
            raise ConfigError(str(error).replace(".params: ", ".over: ", 1)) from None


def _check_corners(study: Study, catalog: Catalog) -> None:
    """Write the corners out: readouts, constraints and subjects speak up; ASHA needs rungs."""
    levels = [study.levels(corner, catalog) for corner in corners(study)]
    written = study.written_readouts
    if study.rules.scheduler == "asha" and not (written and written.steps):
        raise ConfigError(
            f"{study.place}: search.scheduler: asha stops at readouts.steps, and there are none"
        )
    for level in [level for each in levels for level in each]:
        catalog.check(level.trials)
