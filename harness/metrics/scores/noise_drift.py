"""How far a tuned model's noise predictions have moved from the base model's."""

from __future__ import annotations

import numpy as np
import torch

from harness.metrics.scores.similarity import Float64


def noise_distance(tuned: torch.Tensor, base: torch.Tensor) -> Float64:
    """‖ε_θ − ε_θ0‖₂ of each sample: [n]; predictions [n, …] on the same inputs."""
    return np.sqrt(_squared_difference(tuned, base).sum(dim=1).numpy())


def noise_mse(tuned: torch.Tensor, base: torch.Tensor) -> Float64:
    """Mean squared change of the noise prediction of each sample: [n]."""
    return _squared_difference(tuned, base).mean(dim=1).numpy()


def _squared_difference(tuned: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    if tuned.shape != base.shape:
        raise ValueError(f"predictions need equal shapes, got {tuple(tuned.shape)} and {tuple(base.shape)}")
    difference = tuned.detach().cpu().to(torch.float64) - base.detach().cpu().to(torch.float64)
    return difference.flatten(1).square()


def lipschitz_ratio(noise_l2: float, weight_l2: float) -> float | None:
    """‖Δε‖₂ / ‖Δθ‖₂, an empirical Lipschitz constant of the denoiser in its weights; None where Δθ = 0."""
    return None if weight_l2 == 0 else noise_l2 / weight_l2
