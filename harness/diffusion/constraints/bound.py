"""The bound: after every step Δθ is projected onto the L2 ball of a radius."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Self

from pydantic import Field

from harness.api import Lipschitz
from harness.diffusion.constraints.base import Axis, Constraint, Look, Training


@dataclass(frozen=True)
class Bound(Constraint):
    """‖Δθ‖₂ ≤ B, or B·‖θ0‖₂ of the trained tensors (``relative``)."""

    key = "bound"
    rank = 20
    noun = "a bound (B)"
    needs = "it needs two bounds > 0"
    axis = Axis(name="bound", title="bound on ‖Δθ‖₂", tighter="lower")
    look = Look(line="--", mark="s", other_mark="p", mark_over_shots="s", paler=0.3)

    bound: Annotated[float, Field(ge=0)]
    relative: bool = Lipschitz.relative

    @property
    def scale(self) -> str:
        """Relative bounds are another curve."""
        return ", relative" if self.relative else ""

    @property
    def short(self) -> str:
        """ "B=0.5", "B=0.5·‖θ0‖"."""
        return f"B={self.bound:g}" + ("·‖θ0‖" if self.relative else "")

    @property
    def long(self) -> str:
        """ "‖Δθ‖≤0.5", "‖Δθ‖≤0.5·‖θ0‖"."""
        return f"‖Δθ‖≤{self.bound:g}" + ("·‖θ0‖" if self.relative else "")

    def prepare(self, training: Training) -> Self:
        """Settle the radius. Raises ValueError for a relative bound on terms without a pretrained value."""
        from harness.diffusion.lipschitz import base_norm

        if not self.relative:
            return self
        if any(term.base is None for term in training.terms):
            raise ValueError("a relative bound needs pretrained values; for adapters use on: effective")
        return replace(self, bound=self.bound * base_norm(training.terms), relative=False)

    def after_step(self, training: Training) -> None:
        """Project Δθ onto the ball."""
        from harness.diffusion.lipschitz import project

        project(training.terms, self.bound)

    def proof(self, training: Training) -> dict[str, float]:
        """Give the radius (absolute, whatever form was requested) and ‖Δθ‖₂, in float64."""
        from harness.diffusion.lipschitz import change_norm

        return {"radius": self.bound, "l2": change_norm(training.terms)}
