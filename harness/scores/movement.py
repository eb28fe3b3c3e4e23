"""How far a tuned model has moved from the base model, in weights and in noise predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch

from harness.scores.similarity import Float64


def weight_l2(deltas: Iterable[torch.Tensor]) -> float:
    """‖Δθ‖₂ over all tensors together; exactly 0.0 for none. Sums in float64."""
    return math.sqrt(sum(_sum_of_squares(delta) for delta in deltas))


def weight_tensor_mean(deltas: Iterable[torch.Tensor]) -> float:
    """Σ_l mean((Δθ_l)²): the penalty of arXiv 2505.19519's released code, without λ; exactly 0.0 for none."""
    return float(sum(_sum_of_squares(delta) / delta.numel() for delta in deltas))


def _sum_of_squares(delta: torch.Tensor) -> float:
    return float(delta.detach().to(torch.float64).square().sum())


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
