"""Weights along the course of one fit, kept in memory: what a shorter fit would have ended with.

Knows no method and no files.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.constraints.active import ActiveConstraints
    from harness.diffusion.weights.delta import Delta


@dataclass(frozen=True)
class Checkpoint:
    """What was trained after so many steps, and what the constraints proved there."""

    delta: Delta
    bound: dict[str, float] | None


class Checkpoints:
    """Copies of the weights after the wanted optimizer steps (counted from 1), as a trainer comes by them."""

    def __init__(self, wanted: Iterable[int] = ()) -> None:
        self.wanted = frozenset(wanted)
        self._kept: dict[int, Checkpoint] = {}

    def begin(self, before: int) -> None:
        """Hear of a training run after ``before`` steps of others. Raises HarnessError for a second one.

        Where a method trains in several runs, a step of one is no end of a shorter fit.
        """
        if self.wanted and before:
            raise HarnessError("readouts.steps: this method trains in several runs, and has no single course")

    def passed(self, step: int, backbone: Backbone, constraints: ActiveConstraints) -> None:
        """Copy the weights if this step is wanted."""
        if step in self.wanted:
            self._kept[step] = Checkpoint(backbone.delta(), constraints.proof())

    def at(self, step: int) -> Checkpoint:
        """Give the weights after a step. Raises HarnessError where the fit did not come that far."""
        if step not in self._kept:
            raise HarnessError(f"readouts.steps: the fit did not come to step {step}")
        return self._kept[step]
