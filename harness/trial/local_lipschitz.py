"""How fast noise predictions change with the weights, along the straight way from the base model to a fit.

Theorem 2 of arXiv 2505.19519 supposes one constant K with ‖ε_θ − ε_θ0‖ ≤ K·‖θ − θ0‖. Here is what the ratio
of the two is at several points of the way, and what it tends to at its beginning. Knows no images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from harness.metrics.scores.noise_drift import noise_distance
from harness.trial.noise_probe import NoiseProbe, predict, questions

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.weights.delta import Delta

SHARES = (0.125, 0.25, 0.5, 0.75, 1.0)
AT_ONCE = 8
"""Prompts whose derivatives are taken together."""


@dataclass(frozen=True)
class Ratio:
    """‖ε_{θ0+αΔ} − ε_θ0‖₂ / ‖αΔ‖₂ at a share α, over a probe's prompts and timesteps.

    α = 0 stands for the limit, ‖J Δ‖₂ / ‖Δ‖₂ with the Jacobian J of the predictions at θ0.
    """

    share: float
    mean: float
    largest: float


def along_path(backbone: Backbone, whole: Delta, probe: NoiseProbe) -> list[Ratio]:
    """Measure the ratio at SHARES of a change; the weights are left at its end. Δ must move the denoiser."""
    found = []
    for share in SHARES:
        backbone.interpolate(whole, share)
        moved = noise_distance(predict(backbone, probe).flatten(0, 1), probe.predictions.flatten(0, 1))
        found.append(_ratio(share, moved, backbone.distance().denoiser_l2))
    return found


def at_base(backbone: Backbone, whole: Delta, probe: NoiseProbe) -> Ratio:
    """Measure what the ratio tends to at the base model; the weights are left at the end of the change.

    A forward derivative in the direction of the change (``torch.func.jvp``): no step size, no difference of
    close numbers. Attention is computed in its plain form, which has forward derivatives.
    """
    direction = _direction(backbone, whole)
    backbone.interpolate(whole, 0.0)
    parts = backbone.batches.over(
        len(probe.prompts),
        AT_ONCE,
        lambda part: _derivative(backbone, direction, probe, part),
        purpose="prompts to differentiate for",
    )
    backbone.interpolate(whole, 1.0)
    change = torch.cat(parts)
    lengths = noise_distance(change, torch.zeros_like(change))
    return _ratio(0.0, lengths, backbone.distance().denoiser_l2)


def _ratio(share: float, moved: Any, distance: float) -> Ratio:
    return Ratio(share, float(moved.mean()) / distance, float(moved.max()) / distance)


def _direction(backbone: Backbone, whole: Delta) -> dict[str, Tensor]:
    """dθ/dα of every parameter of the denoiser that moves, by its name in the denoiser."""
    named = dict(backbone.networks.denoiser.named_parameters())
    backbone.interpolate(whole, 0.0)
    base = {name: value.detach().clone() for name, value in named.items()}
    backbone.interpolate(whole, 0.5)
    moved = {name: 2 * (value.detach() - base[name]) for name, value in named.items()}
    return {name: change for name, change in moved.items() if bool(change.any())}


def _derivative(backbone: Backbone, direction: dict[str, Tensor], probe: NoiseProbe, part: slice) -> Tensor:
    """J·Δ on some prompts [n·T, c, h, w], on the CPU."""
    asked = questions(backbone, probe, part)
    model = _Predictor(backbone)
    named = {f"denoiser.{name}": value for name, value in direction.items()}
    start = {name: value.detach() for name, value in model.named_parameters() if name in named}

    def predicted(weights: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(model, weights, asked)

    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        change = torch.func.jvp(predicted, (start,), (named,))[1]
    return change.float().cpu()


class _Predictor(nn.Module):
    """A backbone's prediction as a function of its denoiser's parameters."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.denoiser = backbone.networks.denoiser
        self._backbone = [backbone]

    def forward(self, *asked: Any) -> Tensor:
        """Predict what the backbone does, [n, c, h, w]."""
        return self._backbone[0].predict(*asked)


def largest(ratios: Sequence[Ratio]) -> float:
    """Return the largest ratio seen at any share, prompt and timestep."""
    return max(ratio.largest for ratio in ratios)
