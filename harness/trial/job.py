"""The trials of one fit while a worker carries them out: what they share. Does nothing by itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from harness.trial.calibration import Calibration
from harness.trial.noise_probe import NoiseProbe
from harness.trial.plan import Plan
from harness.trial.readouts import TunedModel
from harness.trial.reference import BaseReference


@dataclass
class Job:
    """The trials of one fit while they are carried out: what they share, as far as it is there.

    references, calibrations  of the base model, by :func:`solver`
    subject_probes            of the base model asked for the class, by :func:`asking`
    error                     why there is no fit
    """

    plans: tuple[Plan, ...]
    references: dict[tuple[Any, ...], BaseReference] = field(default_factory=dict)
    calibrations: dict[tuple[Any, ...], Calibration] = field(default_factory=dict)
    subject_probes: dict[tuple[Any, ...], NoiseProbe] = field(default_factory=dict)
    tuned: TunedModel | None = None
    error: Exception | None = None

    @property
    def steps(self) -> list[int]:
        """The checkpoints that are to be read out."""
        readouts = [plan.trial.readout for plan in self.plans]
        return [int(each.value) for each in readouts if each is not None and each.kind == "steps"]

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
