"""Stable Diffusion XL: two CLIP text encoders, their pooled text, and the size of the picture.

Source: arXiv 2307.01952. The autoencoder runs in float32, since the released one overflows in half
precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.backbones.stable_diffusion import StableDiffusion
from harness.diffusion.backbones.text_encoder import hidden_states


class StableDiffusionXL(StableDiffusion):
    """The family of ``StableDiffusionXLPipeline`` folders.

    zeros_without_prompt  guidance sets zeros against the prompt, not the empty text's embedding
                          (``force_zeros_for_empty_prompt``)
    """

    family = "sdxl"

    def __init__(self, *arguments: Any, zeros_without_prompt: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.zeros_without_prompt = zeros_without_prompt
        side = self.resolution
        # Original size, top left corner of the crop, target size: pictures are learnt and drawn whole.
        self._sizes = torch.tensor([side, side, 0, 0, side, side], device=self.device, dtype=torch.float32)

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        read = [hidden_states(encoder, prompts) for encoder in self.networks.text_encoders]
        return Conditioning(torch.cat([states for states, _ in read], dim=-1), read[-1][1])

    def unconditional(self) -> Conditioning:
        empty = super().unconditional()
        if not self.zeros_without_prompt or empty.pooled is None:
            return empty
        return Conditioning(torch.zeros_like(empty.sequence), torch.zeros_like(empty.pooled))

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        added = {"text_embeds": conditioning.pooled, "time_ids": self._sizes.expand(len(noisy), -1)}
        with self.autocast():
            predicted = self.networks.denoiser(
                noisy, timesteps, conditioning.sequence, added_cond_kwargs=added, return_dict=False
            )[0]
        return predicted.float()
