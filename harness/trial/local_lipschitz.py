"""How fast noise predictions change with the weights, along the straight way from the base model to a fit.

Theorem 2 of arXiv 2505.19519 supposes one constant K with ‖ε_θ − ε_θ0‖ ≤ K·‖θ − θ0‖. Here is what the ratio
of the two is at several points of the way, and what it tends to at its beginning. Knows no images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.metrics.scores.noise_drift import noise_distance
from harness.trial.noise_probe import NoiseProbe, predict
from harness.trial.tangents import Tangents

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

    A derivative in the direction of the change: see :class:`~.tangents.Tangents`.
    """
    tangents = Tangents.of(backbone, whole)
    parts = backbone.batches.over(
        len(probe.prompts),
        AT_ONCE,
        lambda part: tangents.along(lambda name: 1.0, probe, part).cpu(),
        purpose="prompts to differentiate for",
    )
    backbone.interpolate(whole, 1.0)
    change = torch.cat(parts)
    lengths = noise_distance(change, torch.zeros_like(change))
    return _ratio(0.0, lengths, backbone.distance().denoiser_l2)


def _ratio(share: float, moved: Any, distance: float) -> Ratio:
    return Ratio(share, float(moved.mean()) / distance, float(moved.max()) / distance)


def largest(ratios: Sequence[Ratio]) -> float:
    """Return the largest ratio seen at any share, prompt and timestep."""
    return max(ratio.largest for ratio in ratios)
