"""Tensors that stand for images and prompts in front of a denoiser, indexable by example."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Index = Tensor | Sequence[int] | slice


@dataclass(frozen=True)
class LatentDistribution:
    """The autoencoder's posterior of n images, scaled for the denoiser: mean and std [n, c, h, w]."""

    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, index: Index) -> LatentDistribution:
        return LatentDistribution(self.mean[index], self.std[index])

    def sample(self, *, generator: torch.Generator) -> Tensor:
        """Draw one latent per image [n, c, h, w]; ``generator`` lives on the CPU, so that devices agree."""
        noise = torch.randn(self.mean.shape, generator=generator)
        return self.mean + self.std * noise.to(self.mean)


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser is conditioned on, one entry per prompt.

    sequence  [n, tokens, width]: the text encoders' hidden states
    pooled    [n, width] where the family has one (SDXL, SD3), else None
    tokens    [n, tokens]: which token stands at each place of ``sequence``; None where a place stands for no
              single one (SD3, whose sequence is several texts)
    """

    sequence: Tensor
    pooled: Tensor | None = None
    tokens: Tensor | None = None

    def __len__(self) -> int:
        return len(self.sequence)

    def __getitem__(self, index: Index) -> Conditioning:
        pooled, tokens = (None if part is None else part[index] for part in (self.pooled, self.tokens))
        return Conditioning(self.sequence[index], pooled, tokens)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Join along the prompt axis."""
        pooled = [part.pooled for part in parts if part.pooled is not None]
        tokens = [part.tokens for part in parts if part.tokens is not None]
        return Conditioning(
            torch.cat([part.sequence for part in parts]),
            torch.cat(pooled) if pooled else None,
            torch.cat(tokens) if tokens else None,
        )
