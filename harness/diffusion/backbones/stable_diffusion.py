"""Stable Diffusion 1.x and 2.x: one CLIP text encoder, a U-Net that predicts ε or v, discrete timesteps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DConditionModel,
)
from torch import Tensor
from transformers import CLIPTextModel

from harness.diffusion.backbones.base import Backbone, Networks
from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.backbones.pipeline_folder import PipelineFolder
from harness.errors import BackboneError, one_of

SCHEDULERS = {
    # clip_sample would clip latents, which no Stable Diffusion wants; the pipeline turns it off as well.
    "ddim": (DDIMScheduler, {"clip_sample": False}),
    "dpmsolver++": (DPMSolverMultistepScheduler, {}),
    "euler": (EulerDiscreteScheduler, {}),
    # Stable Diffusion's own setting; SDXL's configuration does not speak of it.
    "pndm": (PNDMScheduler, {"skip_prk_steps": True}),
}


class StableDiffusion(Backbone):
    """The family of ``StableDiffusionPipeline`` folders."""

    family = "sd"
    groups: ClassVar[Mapping[str, str]] = {
        "denoiser": r".*",
        "cross_attention_kv": r"\.attn2\.to_[kv]\.",
        "attention": r"\.attn[12]\.to_(q|k|v|out\.0)\.",
    }

    cross_attention = r"\.attn2\.to_[kv]$"

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        noise = DDPMScheduler.from_config(self.networks.scheduler)
        self.prediction = noise.config.prediction_type
        if self.prediction not in ("epsilon", "v_prediction"):
            raise BackboneError(
                f"{self.name}: prediction type {self.prediction!r}; known: epsilon, v_prediction"
            )
        cumulative = noise.alphas_cumprod.to(self.device)
        self._signal, self._noise = cumulative.sqrt(), (1 - cumulative).sqrt()

    @classmethod
    def read_networks(cls, folder: PipelineFolder) -> Networks:
        folder.check()
        return Networks(
            denoiser=folder.denoiser(UNet2DConditionModel),
            autoencoder=folder.autoencoder(),
            text_encoders=(folder.clip(CLIPTextModel),),
            scheduler=folder.scheduler(),
        )

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        (encoder,) = self.networks.text_encoders
        read = encoder.read(prompts)
        mask = (
            read.attention_mask.to(self.device)
            if getattr(encoder.model.config, "use_attention_mask", False)
            else None
        )
        ids = read.input_ids.to(self.device)
        return Conditioning(encoder.model(ids, attention_mask=mask)[0], tokens=ids)

    def draw_timesteps(self, n: int, *, generator: torch.Generator) -> Tensor:
        return torch.randint(0, len(self._signal), (n,), generator=generator).to(self.device)

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return _at(self._signal, timesteps) * latents + _at(self._noise, timesteps) * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        if self.prediction == "epsilon":
            return noise
        return _at(self._signal, timesteps) * noise - _at(self._noise, timesteps) * latents

    def clean_latents(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        signal, noise = _at(self._signal, timesteps), _at(self._noise, timesteps)
        if self.prediction == "epsilon":
            return (noisy - noise * predicted) / signal
        return signal * noisy - noise * predicted

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        self.adaptation.tell(timesteps, conditioning.tokens)
        with self.autocast():
            predicted = self.networks.denoiser(noisy, timesteps, conditioning.sequence, return_dict=False)[0]
        return predicted.float()

    def scheduler(self, sampler: str, steps: int) -> Any:
        if sampler not in SCHEDULERS:
            raise BackboneError(one_of(sampler, SCHEDULERS, noun="sampler"))
        kind, changes = SCHEDULERS[sampler]
        scheduler = kind.from_config(self.networks.scheduler, **changes)
        scheduler.set_timesteps(steps, device=self.device)
        return scheduler


def _at(schedule: Tensor, timesteps: Tensor) -> Tensor:
    return schedule[timesteps].view(-1, 1, 1, 1)
