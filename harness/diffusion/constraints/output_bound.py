"""The bound on outputs: the mean square change of predictions on a bank is kept below b² by dual ascent."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.diffusion.constraints.base import AtWork, Axis, Constraint, Look, Training

if TYPE_CHECKING:
    from torch import Tensor

    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank

RECENT = 10
"""Bank batches over which R is averaged."""


@dataclass(frozen=True)
class OutputBound(Constraint):
    """min L subject to R = E‖ε_θ − ε_0‖² ≤ b² over a bank of prior prompts.

    The gradient of μ·R, with R divided by the number of a prediction's entries, is added to the loss's: μ is
    measured as the weight of output preservation is. After each step μ ← max(0, μ + η·(R̂/b² − 1)), R̂ the
    average of the last 10 batches. What is left of the gap a readout closes, on the calibration probe.

    dual_rate   η
    bank_batch  entries of the bank for each step
    """

    key = "output_bound"
    rank = 30
    noun = "a bound on outputs (b)"
    needs = "it needs two bounds on outputs"
    axis = Axis(name="output bound", title="bound on ‖Δε‖₂", tighter="lower")
    look = Look(line=":", mark="v", other_mark="^", mark_over_shots="v", paler=0.3)

    output_bound: Annotated[float, Field(gt=0)]
    dual_rate: Annotated[float, Field(gt=0)] = 0.05
    bank_batch: Annotated[int, Field(ge=1)] = 4

    @property
    def uses_bank(self) -> bool:
        """R is measured on one."""
        return True

    @property
    def trains_on_outputs(self) -> bool:
        """Outputs are what is bounded."""
        return True

    @property
    def output_limit(self) -> float:
        """A readout keeps the end within b."""
        return self.output_bound

    @property
    def _forms(self) -> list[str]:
        rate = [] if self.dual_rate == OutputBound.dual_rate else [f"η={self.dual_rate:g}"]
        batch = [] if self.bank_batch == OutputBound.bank_batch else [f"bank batch {self.bank_batch}"]
        return [*rate, *batch]

    @property
    def scale(self) -> str:
        """Another rate or batch is another curve."""
        return "".join(f", {form}" for form in self._forms)

    @property
    def short(self) -> str:
        """ "b=3 †", "b=3 † η=0.1"."""
        return " ".join([f"b={self.output_bound:g} †", *self._forms])

    @property
    def long(self) -> str:
        """ "‖Δε‖≤3 †", "‖Δε‖≤3 † (η=0.1)"."""
        return f"‖Δε‖≤{self.output_bound:g} †" + (f" ({', '.join(self._forms)})" if self._forms else "")

    def prepare(self, training: Training) -> AtWork:
        """Measure what 0 steps give. Raises ValueError where that is above b already."""
        from harness.diffusion.output_change import mean_square, read_captions

        backbone, bank = training.backbone, training.bank
        if backbone is None or bank is None:
            raise ValueError("output_bound needs a backbone and a bank")
        read_captions(backbone, bank)
        start = 0.0 if backbone.distance().l2 else math.sqrt(mean_square(backbone, bank))
        if start > self.output_bound:
            raise ValueError(
                f"output_bound: {self.output_bound:g} is below the {start:.3g} that 0 steps give; raise it"
            )
        return DualAscent(self, backbone, bank, training.seed)


class DualAscent(AtWork):
    """The multiplier μ of a bound on outputs, and the bank's batches on which R is measured."""

    def __init__(self, bound: OutputBound, backbone: Backbone, bank: Bank, seed: int) -> None:
        self.bound, self.backbone = bound, backbone
        self.multiplier = 0.0
        self.recent: deque[float] = deque(maxlen=RECENT)
        self._rounds = bank.rounds(bound.bank_batch, seed=seed, device=backbone.device)

    def add_gradient(self, training: Training, loss: Tensor | None) -> None:
        """Add μ·∇R on the next batch, then move μ. ``loss`` [] decides nothing."""
        from harness.diffusion import output_change

        self.recent.append(output_change.add_gradient(self.backbone, next(self._rounds), self.multiplier))
        excess = sum(self.recent) / len(self.recent) / self.bound.output_bound**2 - 1
        self.multiplier = max(0.0, self.multiplier + self.bound.dual_rate * excess)

    def proof(self, training: Training) -> dict[str, float]:
        """Give b, the multiplier that it came to, and √R̂ over the last batches."""
        last = math.sqrt(sum(self.recent) / len(self.recent)) if self.recent else 0.0
        return {
            "output_bound": self.bound.output_bound,
            "output_multiplier": self.multiplier,
            "output_bank_l2": last,
        }
