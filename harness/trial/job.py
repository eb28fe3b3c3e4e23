"""The trials of one fit while a worker carries them out: what they share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from harness.specs import Sampling
from harness.trial.calibration import Calibration
from harness.trial.noise_probe import NoiseProbe
from harness.trial.plan import Plan
from harness.trial.readouts import TunedModel
from harness.trial.reference import BaseReference
from harness.trial.stages import Fitted, Sampled
from harness.trial.timing import Clock


class Drawn(NamedTuple):
    """What the sample stage made of weights: images, and what it filled in; how long that took."""

    sampled: Sampled
    moved: bool
    drift: dict[str, float | None]
    seconds: float


@dataclass
class Job:
    """The trials of one fit while they are carried out: what they share, as far as it is there.

    references, calibrations  of the base model, by :func:`solver`
    subject_probes            of the base model asked for the class, by :func:`asking`
    drawn                     from the weights of the fit's own end
    error                     why there is no fit
    """

    plans: tuple[Plan, ...]
    references: dict[tuple[Any, ...], BaseReference] = field(default_factory=dict)
    calibrations: dict[tuple[Any, ...], Calibration] = field(default_factory=dict)
    subject_probes: dict[tuple[Any, ...], NoiseProbe] = field(default_factory=dict)
    drawn: dict[Sampling, Drawn] = field(default_factory=dict)
    tuned: TunedModel | None = None
    error: Exception | None = None

    @property
    def steps(self) -> list[int]:
        """The checkpoints that are to be read out."""
        readouts = [plan.trial.readout for plan in self.plans]
        return [int(each.value) for each in readouts if each is not None and each.kind == "steps"]

    def sampled(self, plan: Plan, fitted: Fitted, draw: Callable[[], Sampled], clock: Clock) -> Sampled:
        """Draw from the weights that are set, once for those of the fit's own end; fill in ``fitted``.

        From the second time on, the seconds are charged as shared.
        """
        sampling, at_end = plan.trial.sampling, self.tuned is not None and self.tuned.at_end
        if at_end and (held := self.drawn.get(sampling)) is not None:
            fitted.moved, fitted.drift = held.moved, dict(held.drift)
            fitted.origin["sample_shared"] = True
            clock.add("sample", held.seconds)
            return held.sampled
        before = clock.seconds.get("sample", 0.0)
        images = draw()
        if at_end:
            spent = clock.seconds.get("sample", 0.0) - before
            self.drawn[sampling] = Drawn(images, fitted.moved, dict(fitted.drift), spent)
        return images

    def to_fit(self, plan: Plan) -> Plan:
        """Give the plan by which the fit is made: to the last checkpoint, where there are only those.

        A fit to there is the same, bit for bit, as the course of a longer one.
        """
        if len(self.steps) < len(self.plans):
            return plan
        params = {**plan.trial.params, "steps": min(max(self.steps), plan.trial.params["steps"])}
        return replace(plan, trial=plan.trial.model_copy(update={"params": params}))


def solver(plan: Plan) -> tuple[Any, ...]:
    """What decides the base model's images that a plan needs: sampler, steps, guidance."""
    return tuple(plan.trial.sampling.solver.values())


def asking(plan: Plan) -> tuple[Any, ...]:
    """What decides the base model's images of the test prompts: the solver and the prompts."""
    return (*solver(plan), repr(plan.trial.sampling.prompts))
