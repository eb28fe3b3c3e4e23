"""How long a pass takes: a default, corrected by what was measured lately."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.sweep.workload import Workload

TRAINING, SAMPLING, SCORING, FILING = 0.0108, 0.0066, 0.0145, 0.3
"""Seconds on Toybox, two trials at a time on two CPU cores with a thread each (records of ``fewshot``): for a
pass in training, a pass in sampling, an image scored, and a trial handed out and filed."""
TRUST = 10.0
"""What was measured weighs as much as what is more general when it would take so many seconds by default."""
LATEST = 24
"""So many measurements count: a machine is not always equally busy."""

Place = tuple[str, ...]


@dataclass(frozen=True)
class Measured:
    """How many times its default seconds a piece of work took, and these default seconds."""

    factor: float
    default: float


def by_default(load: Workload) -> dict[str, float]:
    """Seconds that a record of the load would be charged with by default, by stage."""
    return {
        "fit": load.training * TRAINING + load.classes * SAMPLING,
        "sample": load.sampling * SAMPLING,
        "score": load.scored * SCORING,
    }


@dataclass(frozen=True)
class Pace:
    """What was measured: of everything, by stage, and by stage and method.

    The factor on a default is the weighted median of a method's own measurements. Few of them lean on those
    of the stage, and few of these on all. A median, because a trial that ran beside other work on the machine
    says little of the others.
    """

    latest: Mapping[Place, tuple[Measured, ...]] = field(default_factory=dict)

    def with_measured(self, stage: str, method: str, seconds: float, default: float) -> Pace:
        """Add a measurement: ``seconds`` for what takes ``default`` by default."""
        latest, new = dict(self.latest), Measured(seconds / default, default)
        for place in _places(stage, method):
            latest[place] = (*latest.get(place, ()), new)[-LATEST:]
        return Pace(latest)

    def with_record(self, load: Workload, seconds: Mapping[str, float]) -> Pace:
        """Add the seconds of a finished trial's stages."""
        pace = self
        for stage, default in by_default(load).items():
            if default and stage in seconds:
                pace = pace.with_measured(stage, load.method, seconds[stage], default)
        return pace

    def factor(self, stage: str, method: str = "") -> float:
        """By how much the defaults are to be multiplied for a stage of a method."""
        factor = 1.0
        for place in _places(stage, method):
            if measured := self.latest.get(place):
                weight = sum(each.default for each in measured)
                trust = TRUST if place else 0.0
                factor = (weight * median(measured) + trust * factor) / (weight + trust)
        return factor

    def known(self, stage: str) -> float:
        """Seconds of a stage that were measured lately."""
        return sum(each.factor * each.default for each in self.latest.get((stage,), ()))

    def ahead(self, load: Workload) -> dict[str, float]:
        """Seconds of a task by stage, in their order."""
        return {
            "prior": load.drawn * SAMPLING * self.factor("sample"),
            "fit": load.training * TRAINING * self.factor("fit", load.method),
            "sample": load.sampling * SAMPLING * self.factor("sample", load.method),
            "score": load.scored * SCORING * self.factor("score", load.method),
            "file": FILING * self.factor("score"),
        }

    def base(self, load: Workload) -> float:
        """Seconds of the base model's references: the other workers wait meanwhile."""
        return load.base * SAMPLING * self.factor("sample")


def _places(stage: str, method: str) -> tuple[Place, ...]:
    return (), (stage,), (stage, method)


def median(measured: Sequence[Measured]) -> float:
    """The factor below which half of the default seconds lie, on straight lines between measurements."""
    ordered = sorted(measured, key=lambda each: each.factor)
    half = sum(each.default for each in ordered) / 2
    before, passed = ordered[0], 0.0
    middle_before = 0.0
    for each in ordered:
        middle = passed + each.default / 2
        if middle >= half:
            span = middle - middle_before
            share = (half - middle_before) / span if each is not before else 1.0
            return before.factor + share * (each.factor - before.factor)
        before, middle_before, passed = each, middle, passed + each.default
    return ordered[-1].factor
