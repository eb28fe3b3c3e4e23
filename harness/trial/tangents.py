"""How noise predictions begin to change with the weights: derivatives at the base model along a fit's change.

Knows no images, and not what the derivatives are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.diffusion.weights.addition import PREFIX
from harness.diffusion.weights.delta import Delta, ShareOf
from harness.trial.noise_probe import NoiseProbe, questions

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone

STEP = 1 / 64
"""α of a difference quotient, where there is no forward derivative."""


@dataclass(frozen=True)
class Tangents:
    """J·Δ of parts Δ of a change, J the Jacobian of the noise predictions at θ0.

    A forward derivative (``torch.func.jvp``): no step size, no difference of close numbers. Attention is
    computed in its plain form, which has one. Where the change is in no parameter (the shares of rotations)
    or an operation has no forward derivative, it is (ε_{θ0+hΔ} − ε_θ0)/h with h = 1/64.

    direction  dθ/dα of every parameter of the denoiser that moves, by its name in the denoiser
    """

    backbone: Backbone
    whole: Delta
    direction: Mapping[str, Tensor]

    @classmethod
    def of(cls, backbone: Backbone, whole: Delta) -> Tangents:
        """Look up the direction of a change; the weights are left half-way."""
        named = dict(backbone.networks.denoiser.named_parameters())
        backbone.interpolate(whole, 0.0)
        base = {name: value.detach().clone() for name, value in named.items()}
        backbone.interpolate(whole, 0.5)
        moved = {name: 2 * (value.detach() - base[name]) for name, value in named.items()}
        return cls(backbone, whole, {name: change for name, change in moved.items() if bool(change.any())})

    def along(self, part: ShareOf, probe: NoiseProbe, prompts: slice) -> Tensor:
        """J·Δ of a part of the change on some prompts [n·T, c, h, w]; the weights are left at the base."""
        shares = {name: part(f"{PREFIX}{name}") for name in self.direction}
        direction = {name: shares[name] * change for name, change in self.direction.items() if shares[name]}
        asked = questions(self.backbone, probe, prompts)
        if direction:
            try:
                self.backbone.interpolate(self.whole, 0.0)
                return _derivative(self.backbone, direction, asked)
            except NotImplementedError:  # torch's word for an operation without a forward derivative
                pass
        return self._quotient(part, asked)

    @torch.no_grad()
    def _quotient(self, part: ShareOf, asked: tuple[Any, ...]) -> Tensor:
        self.backbone.interpolate(self.whole, lambda name: STEP * part(name))
        near = self.backbone.predict(*asked)
        self.backbone.interpolate(self.whole, 0.0)
        return (near - self.backbone.predict(*asked)).float() / STEP


def _derivative(backbone: Backbone, direction: Mapping[str, Tensor], asked: tuple[Any, ...]) -> Tensor:
    model = _Predictor(backbone)
    named = {f"denoiser.{name}": value for name, value in direction.items()}
    start = {name: value.detach() for name, value in model.named_parameters() if name in named}

    def predicted(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, weights, asked)

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        return torch.func.jvp(predicted, (start,), (named,))[1].float()


class _Predictor(nn.Module):
    """A backbone's prediction as a function of its denoiser's parameters."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.denoiser = backbone.networks.denoiser
        self._backbone = [backbone]

    def forward(self, *asked: Any) -> Tensor:
        """Predict what the backbone does, [n, c, h, w]."""
        return self._backbone[0].predict(*asked)
