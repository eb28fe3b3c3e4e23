"""The penalty: λ times a squared distance from the pretrained weights is added to the loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from harness.api import Lipschitz
from harness.diffusion.constraints.base import Axis, Constraint, Look, Training

if TYPE_CHECKING:
    from torch import Tensor

PAPER = "P&P, the paper's method"
"""How the full fine-tune with the penalty is called beside its settings (arXiv 2505.19519)."""


@dataclass(frozen=True)
class Penalty(Constraint):
    """λ·Σ_l penalty(θ_l − θ0_l): the mean square of each tensor, summed (``tensor_mean``), or the ``sum``."""

    key = "penalty"
    rank = 10
    noun = "a penalty (λ)"
    needs = "it needs two penalties λ > 0"
    axis = Axis(name="λ", title="λ", tighter="higher")
    look = Look(line="-", mark="o", other_mark="D", mark_over_shots="D")

    penalty: Annotated[float, Field(ge=0)]
    norm: Literal["tensor_mean", "sum"] = Lipschitz.norm

    @property
    def scale(self) -> str:
        """Penalties of another norm are another curve."""
        return "" if self.norm == "tensor_mean" else f", {self.norm}"

    @property
    def short(self) -> str:
        """ "λ=500", "λ=500 sum"."""
        return f"λ={self.penalty:g}" + ("" if self.norm == "tensor_mean" else f" {self.norm}")

    @property
    def long(self) -> str:
        """ "λ=500", "λ=500 (sum)"."""
        return f"λ={self.penalty:g}" + ("" if self.norm == "tensor_mean" else f" ({self.norm})")

    def known_as(self, method: str, params: Mapping[str, Any]) -> str | None:
        """Name the paper's method: the full fine-tune, the mean form in place of prior preservation."""
        mean = self.penalty > 0 and self.norm == "tensor_mean"
        return PAPER if mean and method == "dreambooth" and not params.get("prior_weight") else None

    def add_gradient(self, training: Training, loss: Tensor | None) -> None:
        """Add λ·∇penalty; nothing at λ = 0. ``loss`` [] decides nothing."""
        from harness.diffusion.lipschitz import add_penalty_gradient

        if self.penalty:
            add_penalty_gradient(training.terms, self.penalty, self.norm)
