"""Maths of quadratic penalties on θ − θ0: a form for each changed tensor, with its value and its gradient.

Works on plain tensors; knows nothing of models, optimizers or losses.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.diffusion.lipschitz import Full, LowRank, Term
from harness.diffusion.rotated import Rotated


class Form(ABC):
    """A quadratic form q(Δ) of one tensor's change, without λ."""

    @abstractmethod
    def half_gradient(self, change: Tensor) -> Tensor:
        """½·∇q of a change [...], of the same shape: q(Δ) is its inner product with Δ."""

    def factors(self, term: LowRank) -> tuple[Tensor, Tensor]:
        """½·∇q of a low-rank change by its factors: for A [rank, in] and for B [out, rank]."""
        of_change = self.half_gradient(term.change().view_as(term.base)).flatten(1)
        return term.scale * term.up.detach().T @ of_change, term.scale * of_change @ term.down.detach().T

    def value(self, term: Term) -> float:
        """q(Δ) of a term, summed in float64."""
        change = term.change()
        if isinstance(term, LowRank):
            change = change.view_as(term.base)
        return float((self.half_gradient(change) * change).sum(dtype=torch.float64))


@dataclass(frozen=True)
class Mean(Form):
    """‖Δ‖²/n: the penalty's usual form, for what has no other."""

    size: int

    def half_gradient(self, change: Tensor) -> Tensor:
        """Δ/n of Δ [...]."""
        return change / self.size


@dataclass(frozen=True)
class Moments(Form):
    """tr(Δ C Δᵀ)/tr(W C Wᵀ): the mean relative change of a linear layer's output, to first order.

    moments  C = E[x xᵀ] [in, in] over the inputs x of the layer; of a convolution over unfolded ones
    output   tr(W C Wᵀ) > 0, the mean square of what the pretrained layer gives, summed over outputs
    """

    moments: Tensor
    output: float

    @classmethod
    def of(cls, weight: Tensor, moments: Tensor) -> Moments | None:
        """Make the form of a weight [out, in, ...]; None where the layer gives zeros, of which no share is.

        ``moments`` is C [in, in].
        """
        flat = weight.detach().flatten(1).to(moments)
        output = float(((flat @ moments) * flat).sum(dtype=torch.float64))
        return cls(moments, output) if output > 0 else None

    def half_gradient(self, change: Tensor) -> Tensor:
        """Δ C/tr(W C Wᵀ) of Δ [out, in, ...]."""
        return (change.flatten(1) @ self.moments.to(change)).div_(self.output).view_as(change)

    def factors(self, term: LowRank) -> tuple[Tensor, Tensor]:
        """With A C in place of Δ C nothing of the size of the weight is formed."""
        down, up = term.down.detach(), term.up.detach()
        seen = (down @ self.moments.to(down)) * (term.scale**2 / self.output)  # A C
        return (up.T @ up) @ seen, up @ (seen @ down.T)


@dataclass(frozen=True)
class Diagonal(Form):
    """Σ_i F_i Δ_i² with a weight F [...] ≥ 0 for each entry of Δ (EWC, arXiv 1612.00796)."""

    weights: Tensor

    def half_gradient(self, change: Tensor) -> Tensor:
        """F·Δ of Δ [...]."""
        return change * self.weights.to(change)


@dataclass(frozen=True)
class Weighted:
    """A changed tensor and the form in which it is measured."""

    term: Term
    form: Form

    def gradients(self) -> list[tuple[torch.nn.Parameter | Tensor, Tensor]]:
        """Each trained tensor [...] with ∇q, of the same shape."""
        if isinstance(self.term, Full):
            return [(self.term.value, self.form.half_gradient(self.term.change()).mul_(2))]
        if isinstance(self.term, Rotated):
            of_change = self.form.half_gradient(self.term.change())
            return [(self.term.value, self.term.pull_back(of_change).mul_(2))]
        down, up = self.form.factors(self.term)
        return [(self.term.down, down.mul_(2)), (self.term.up, up.mul_(2))]


def quadratic_value(parts: Sequence[Weighted]) -> float:
    """Σ_l q_l(Δ_l), without λ, in float64."""
    return math.fsum(part.form.value(part.term) for part in parts)
