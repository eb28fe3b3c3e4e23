"""Five Gaussians on a pentagon, a sixth at the origin, and the noise schedule. Knows no network.

Source: the toy scripts released with arXiv 2505.19519 (github.com/rlgnswk/Preserve-and-Personalize).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

OLD_CLASSES = 5
NEW_CLASS = OLD_CLASSES
CLASSES = OLD_CLASSES + 1
POINTS, STD, RADIUS = 1000, 0.5, 3.0
TIMESTEPS = 100


def centres() -> Tensor:
    """Means of the old classes [5, 2]: corners of a pentagon of radius 3, the first on the x axis."""
    angles = torch.arange(OLD_CLASSES) * (2 * math.pi / OLD_CLASSES)
    return RADIUS * torch.stack([angles.cos(), angles.sin()], dim=1)


def old_points(generator: torch.Generator) -> Tensor:
    """Draw 1000 points of every old class [5, 1000, 2]."""
    return centres()[:, None] + STD * torch.randn(OLD_CLASSES, POINTS, 2, generator=generator)


def new_points(generator: torch.Generator) -> Tensor:
    """Draw 1000 points of the new class [1000, 2], at the origin."""
    return STD * torch.randn(POINTS, 2, generator=generator)


@dataclass(frozen=True)
class Schedule:
    """The cosine schedule (arXiv 2102.09672), β not clipped as in the released code.

    beta, alpha_bar  [100] each. ᾱ of the last timestep is 0: there the points are nothing but noise.
    """

    beta: Tensor
    alpha_bar: Tensor

    @classmethod
    def cosine(cls, timesteps: int = TIMESTEPS, offset: float = 0.008) -> Schedule:
        """Build it: ᾱ(t) = f(t)/f(0), f(t) = cos²(π/2·(t/T + s)/(1 + s))."""
        share = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
        f = torch.cos((share + offset) / (1 + offset) * math.pi / 2) ** 2
        f[-1] = 0.0  # a cosine of π/2 in floating point is not
        return cls((1 - f[1:] / f[:-1]).float(), (f[1:] / f[0]).float())

    def noised(self, points: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """√ᾱ·x + √(1 − ᾱ)·ε: points and noise [..., 2], timesteps [...] → [..., 2]."""
        share = self.alpha_bar[timesteps][..., None]
        return share.sqrt() * points + (1 - share).sqrt() * noise
