"""Images to scaled latents and back through an AutoencoderKL; what scales them stands in its configuration.

Latents are (z − shift)·scale: Stable Diffusion has a scale, SD3 a shift too, some SDXL ones per channel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.diffusion.backbones.conditioning import LatentDistribution

Number = float | Tensor


def encode(autoencoder: Any, images: Tensor) -> LatentDistribution:
    """Encode images [n, 3, H, W] in [-1, 1] to the scaled posterior [n, c, h, w]."""
    posterior = autoencoder.encode(images).latent_dist
    shift, scale = _scaling(autoencoder.config, images.device)
    return LatentDistribution((posterior.mean - shift) * scale, posterior.std * scale)


def decode(autoencoder: Any, latents: Tensor) -> Tensor:
    """Decode scaled latents [n, c, h, w] to images [n, 3, H, W] in [0, 1]."""
    shift, scale = _scaling(autoencoder.config, latents.device)
    return (autoencoder.decode(latents / scale + shift).sample / 2 + 0.5).clamp(0, 1)


def reduction(autoencoder: Any) -> int:
    """Pixels to one latent, along a side."""
    return 2 ** (len(autoencoder.config.block_out_channels) - 1)


def _scaling(config: Any, device: torch.device) -> tuple[Number, Number]:
    mean, std = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is not None and std is not None:
        shift, width = (torch.tensor(value, device=device).view(1, -1, 1, 1) for value in (mean, std))
        return shift, config.scaling_factor / width
    return getattr(config, "shift_factor", None) or 0.0, config.scaling_factor
