"""The denoising loss on a subject's shots at fixed draws, so that two sets of weights can be told apart.

Plain and alike for all methods: a method's own augmentation, weights and prior are no part of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL.Image import Image
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.seeds import named_seed

DRAWS = 160
"""Forward passes of one evaluation."""
AT_ONCE = 32


@dataclass(frozen=True)
class SubjectLoss:
    """E‖target − prediction‖², a mean over entries, over DRAWS of shots, noises and timesteps.

    noisy, targets  z_t and what is to be predicted there [n, c, h, w]; timesteps [n]
    caption         names the subject by its phrase
    """

    noisy: Tensor
    timesteps: Tensor
    targets: Tensor
    caption: str

    @classmethod
    def of(cls, backbone: Backbone, shots: Sequence[Image], phrase: str, *, seed: int) -> SubjectLoss:
        """Draw with ``seed``: shots in turn, latents from posteriors, timesteps as in training."""
        generator = torch.Generator().manual_seed(named_seed("subject loss", seed))
        latents = backbone.latents(shots)[[i % len(shots) for i in range(DRAWS)]].sample(generator=generator)
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        timesteps = backbone.draw_timesteps(DRAWS, generator=generator)
        noisy = backbone.add_noise(latents, noise, timesteps)
        targets = backbone.target(latents, noise, timesteps)
        return cls(noisy, timesteps, targets, f"a photo of a {phrase}")

    @torch.no_grad()
    def value(self, backbone: Backbone) -> float:
        """Evaluate with the weights as they are."""
        conditioning = backbone.conditioning([self.caption])

        def squares(part: slice) -> Tensor:
            asked = self.noisy[part], self.timesteps[part], conditioning[[0] * (part.stop - part.start)]
            return (backbone.predict(*asked) - self.targets[part]).double().square().mean((1, 2, 3))

        parts = backbone.batches.over(DRAWS, AT_ONCE, squares, purpose="examples of the subject")
        return float(torch.cat(list(parts)).mean())
