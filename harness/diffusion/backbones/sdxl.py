"""Stable Diffusion XL: two CLIP text encoders, their pooled text, and the size of the image.

Source: arXiv 2307.01952. The autoencoder runs in float32, since the released one overflows in half
precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from harness.diffusion.backbones.base import Networks
from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.backbones.pipeline_folder import PipelineFolder
from harness.diffusion.backbones.stable_diffusion import StableDiffusion
from harness.diffusion.backbones.text_encoder import hidden_states


class StableDiffusionXL(StableDiffusion):
    """The family of ``StableDiffusionXLPipeline`` folders.

    zeros_without_prompt  guidance sets zeros against the prompt, not the empty text's embedding
                          (``force_zeros_for_empty_prompt``)
    """

    family = "sdxl"

    def __init__(self, networks: Networks, **named: Any) -> None:
        super().__init__(networks, **named)
        self.zeros_without_prompt = bool(networks.index.get("force_zeros_for_empty_prompt", True))
        side = self.resolution
        # Original size, top left corner of the crop, target size: images are learned and drawn whole.
        self._sizes = torch.tensor([side, side, 0, 0, side, side], device=self.device, dtype=torch.float32)

    @classmethod
    def read_networks(cls, folder: PipelineFolder) -> Networks:
        folder.check()
        return Networks(
            denoiser=folder.denoiser(UNet2DConditionModel),
            autoencoder=folder.autoencoder(),
            text_encoders=(folder.clip(CLIPTextModel), folder.clip(CLIPTextModelWithProjection, "_2")),
            scheduler=folder.scheduler(),
            index=folder.index,
        )

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        read = [hidden_states(encoder, prompts) for encoder in self.networks.text_encoders]
        tokens = self.networks.text_encoders[0].read(prompts).input_ids.to(self.device)
        return Conditioning(torch.cat([states for states, _ in read], dim=-1), read[-1][1], tokens)

    def unconditional(self) -> Conditioning:
        empty = super().unconditional()
        if not self.zeros_without_prompt or empty.pooled is None:
            return empty
        return Conditioning(torch.zeros_like(empty.sequence), torch.zeros_like(empty.pooled), empty.tokens)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        self.adaptation.tell(timesteps, conditioning.tokens)
        added = {"text_embeds": conditioning.pooled, "time_ids": self._sizes.expand(len(noisy), -1)}
        with self.autocast():
            predicted = self.networks.denoiser(
                noisy, timesteps, conditioning.sequence, added_cond_kwargs=added, return_dict=False
            )[0]
        return predicted.float()
