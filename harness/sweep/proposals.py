"""The next point of a study, from what came of those before it. Alone in this room in asking Optuna.

A point depends on the search's seed, the study, and the results so far: not on workers, time or what a
process remembers. A killed search therefore goes on from its records.
"""

from __future__ import annotations

import hashlib
import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.config.search import Range
from harness.sweep.study import Point, Study, identity

if TYPE_CHECKING:
    import optuna

STARTUP = 6
"""Proposals drawn at random before the estimator proposes: no share of ``trials``, which may grow."""
REPEATS = 100
"""How often a point that was there already is drawn anew."""


@dataclass(frozen=True)
class Tried:
    """What came of a proposal: its merit at the end of the course, None where it stopped or failed.

    rungs  merits by rung, in order
    """

    point: Point
    merit: float | None = None
    rungs: Mapping[int, float] = field(default_factory=dict)


def propose(study: Study, tried: Sequence[Tried]) -> Point:
    """Give the next point. Within a study none comes twice, as long as others are to be had."""
    if study.rules.algorithm == "grid":
        return _on_the_grid(study, tried)
    known = {identity(each.point) for each in tried}
    point: Point = {}
    for attempt in range(REPEATS):
        point = _drawn(study, tried, attempt)
        if identity(point) not in known:
            break
    return point


def seed_of(study: Study, number: int, attempt: int = 0) -> int:
    """Give the seed of a proposal: a hash of the search's seed, the study, the proposal's number."""
    text = f"{study.rules.seed}/{study.identity}/{number}/{attempt}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4])


def _on_the_grid(study: Study, tried: Sequence[Tried]) -> Point:
    """The first point of the shuffled grid that was not there yet."""
    known = {identity(each.point) for each in tried}
    names = [axis.name for axis in study.axes]
    points = [dict(zip(names, each)) for each in itertools.product(*(a.range.values for a in study.axes))]
    random.Random(seed_of(study, 0)).shuffle(points)
    return next(point for point in points if identity(point) not in known)


def _drawn(study: Study, tried: Sequence[Tried], attempt: int) -> Point:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    seed = seed_of(study, len(tried), attempt)
    sampler: optuna.samplers.BaseSampler = optuna.samplers.RandomSampler(seed=seed)
    if study.rules.algorithm == "optuna" and len(tried) >= STARTUP:
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)
    told = optuna.create_study(direction="maximize", sampler=sampler)
    ranges = {axis.name: distribution(axis.range, axis.whole) for axis in study.axes}
    told.add_trials([as_trial(each, ranges) for each in tried])
    drawn = told.ask(ranges).params
    return {axis.name: axis.settled(drawn[axis.name]) for axis in study.axes}


def distribution(found: Range, whole: bool) -> optuna.distributions.BaseDistribution:
    """Say a range in Optuna's words."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not found.bounded:
        return CategoricalDistribution(found.values)
    low, high = found.values
    log = found.kind == "log"
    if whole:
        return IntDistribution(round(low), round(high), log=log)
    return FloatDistribution(float(low), float(high), log=log)


def as_trial(
    tried: Tried, ranges: Mapping[str, optuna.distributions.BaseDistribution]
) -> optuna.trial.FrozenTrial:
    """Tell Optuna of a result: finished, stopped at its last rung (pruned), or failed."""
    from optuna.trial import TrialState, create_trial

    state = TrialState.COMPLETE if tried.merit is not None else TrialState.PRUNED
    if tried.merit is None and not tried.rungs:
        state = TrialState.FAIL
    more: dict[str, Any] = {"value": tried.merit} if state == TrialState.COMPLETE else {}
    return create_trial(
        state=state,
        params=dict(tried.point),
        distributions=dict(ranges),
        intermediate_values=dict(tried.rungs),
        **more,
    )
