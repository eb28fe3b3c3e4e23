"""A backbone that can be computed by hand: two numbers are trained, an image is its grey levels.

Latents [2, 4, 4]: the grey levels of a picture of 4 × 4 pixels in [0, 1], and twice as much. z_t is
z + t·ε/1000, the target is ε + z, and the denoiser predicts scale·z_t + key·(1 + words): a text is two tokens
of width 1, the first always 1, the second the number of the caption's words.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from harness.cache import Cache
from harness.diffusion.backbones.base import Backbone, Networks
from harness.diffusion.backbones.conditioning import Conditioning, LatentDistribution

SCALE, KEY = 0.5, 0.25


class Line(nn.Module):
    """scale·z_t + the sum over tokens of key·text."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(in_channels=2, sample_size=4)
        self.scale = nn.Parameter(torch.tensor([SCALE]), requires_grad=False)
        self.to_k = nn.Linear(1, 1, bias=False)
        self.to_k.weight = nn.Parameter(torch.tensor([[KEY]]), requires_grad=False)

    def forward(self, noisy: Tensor, text: Tensor) -> Tensor:
        return self.scale * noisy + self.to_k(text).sum(1).view(-1, 1, 1, 1)


class Plain(Backbone):
    """Keeps what it was asked: ``asked`` the captions of each call, ``room`` what room was made for."""

    family = "plain"
    groups: ClassVar = {"denoiser": "", "scale": "scale", "key": "to_k"}
    cross_attention = "to_k"
    prior_sampling = ("ddim", 2, 3.0)

    def __init__(self, cache: Path, *, spread: float = 0.0) -> None:
        texts = SimpleNamespace(name="text", rows=None, stand_ins={}, learns=False)
        super().__init__(
            Networks(Line(), None, (texts,), {}),
            name="plain",
            revision="1",
            device=torch.device("cpu"),
            precision="fp32",
            cache=Cache(cache),
        )
        self.spread = spread
        self.asked: list[list[str]] = []
        self.room: list[bool] = []
        self.encoded: list[Image.Image] = []

    @property
    def resolution(self) -> int:
        return 16

    @classmethod
    def read_networks(cls, folder: Any) -> Networks:
        raise NotImplementedError

    def scheduler(self, sampler: str, steps: int) -> Any:
        raise NotImplementedError

    def encode_prompts(self, prompts: Any) -> Conditioning:
        words = [[[1.0], [float(len(prompt.split()))]] for prompt in prompts]
        return Conditioning(torch.tensor(words))

    def conditioning(self, prompts: Any) -> Conditioning:
        self.asked.append(list(prompts))
        return self.encode_prompts(prompts)

    def make_room(self, *, taught: bool) -> None:
        self.room.append(taught)

    def latents(self, images: Any) -> LatentDistribution:
        self.encoded += images
        grey = [np.asarray(image.convert("L").resize((4, 4), 0), dtype=np.float32) / 255 for image in images]
        mean = torch.from_numpy(np.stack(grey))[:, None] * torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
        return LatentDistribution(mean, torch.full_like(mean, self.spread))

    def draw_timesteps(self, n: int, *, generator: torch.Generator) -> Tensor:
        return torch.randint(1000, (n,), generator=generator)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return latents + (timesteps / 1000).view(-1, 1, 1, 1) * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        assert timesteps.shape == noise.shape[:1]
        return noise + latents

    def clean_latent_weight(self, timesteps: Tensor) -> Tensor:
        return (timesteps / 100).view(-1, 1, 1, 1)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        assert timesteps.shape == noisy.shape[:1]
        return self.networks.denoiser(noisy, conditioning.sequence)


def grey(level: int, side: int = 16) -> Image.Image:
    """A picture of one grey level, 0 to 255."""
    return Image.new("RGB", (side, side), (level,) * 3)
