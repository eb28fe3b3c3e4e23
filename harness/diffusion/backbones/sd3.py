"""Stable Diffusion 3: a joint transformer trained by flow matching; two CLIP text encoders, and T5 or none.

Source: arXiv 2403.03206. z_t = (1 − σ)·z_0 + σ·ε with σ = t/1000, logit-normal over the shifted schedule;
the loss is the plain squared error of the velocity ε − z_0, weight 1 for every σ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel
from torch import Tensor
from torch.nn import functional as F
from transformers import CLIPTextModelWithProjection

from harness.diffusion.backbones.base import Backbone, Networks
from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.backbones.pipeline_folder import PipelineFolder
from harness.diffusion.backbones.text_encoder import hidden_states
from harness.errors import BackboneError, one_of

T5_TOKENS = 256
"""Length of T5's part of the sequence, the pipeline's default; zeros where it is left out."""


class StableDiffusion3(Backbone):
    """The family of ``StableDiffusion3Pipeline`` folders.

    There is no cross-attention: ``cross_attention_kv`` are the joint attention's keys and values of the
    image, ``added_kv`` those of the text. T5 learns no new word and reads the word that it starts from.
    """

    family = "sd3"
    prior_sampling = ("euler", 28, 5.0)
    groups: ClassVar[Mapping[str, str]] = {
        "denoiser": r".*",
        "cross_attention_kv": r"\.attn\.to_[kv]\.",
        "added_kv": r"\.attn\.add_[kv]_proj\.",
        "attention": r"\.attn\.(to_(q|k|v|out\.0|add_out)|add_[qkv]_proj)\.",
    }

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        noise = FlowMatchEulerDiscreteScheduler.from_config(self.networks.scheduler)
        if noise.config.use_dynamic_shifting:
            raise BackboneError(f"{self.name}: a schedule with use_dynamic_shifting is not known here")
        self._length = noise.config.num_train_timesteps
        self._timesteps = noise.timesteps.to(self.device)

    @classmethod
    def read_networks(cls, folder: PipelineFolder) -> Networks:
        t5 = _wants_t5(folder)
        folder.check(without=() if t5 else ("text_encoder_3", "tokenizer_3"))
        clip = tuple(folder.clip(CLIPTextModelWithProjection, number) for number in ("", "_2"))
        return Networks(
            denoiser=folder.denoiser(SD3Transformer2DModel),
            autoencoder=folder.autoencoder(),
            text_encoders=(*clip, folder.t5("_3")) if t5 else clip,
            scheduler=folder.scheduler(),
        )

    def encode_prompts(self, prompts: Sequence[str]) -> Conditioning:
        first, second, *rest = self.networks.text_encoders
        read = [hidden_states(encoder, prompts) for encoder in (first, second)]
        clip = torch.cat([states for states, _ in read], dim=-1)
        width = self.networks.denoiser.config.joint_attention_dim
        if rest:
            ids = rest[0].read(prompts, T5_TOKENS).input_ids
            t5 = rest[0].model(ids.to(self.device))[0].float()
        else:
            t5 = clip.new_zeros(len(clip), T5_TOKENS, width)
        sequence = torch.cat([F.pad(clip, (0, width - clip.shape[-1])), t5], dim=1)
        return Conditioning(sequence, torch.cat([text for _, text in read if text is not None], dim=-1))

    def draw_timesteps(self, n: int, *, generator: torch.Generator) -> Tensor:
        share = torch.randn(n, generator=generator).sigmoid()
        return self._timesteps[(share * self._length).long().to(self.device)]

    def add_noise(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        sigma = (timesteps / self._length).view(-1, 1, 1, 1)
        return (1 - sigma) * latents + sigma * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        return noise - latents

    def clean_latents(self, noisy: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
        return noisy - (timesteps / self._length).view(-1, 1, 1, 1) * predicted

    def clean_latent_weight(self, timesteps: Tensor) -> Tensor:
        # z_0 = z_t − σ·v, so that the error of z_0 is σ times that of v.
        return (timesteps / self._length).square().view(-1, 1, 1, 1)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        self.adaptation.tell(timesteps, conditioning.tokens)
        with self.autocast():
            predicted = self.networks.denoiser(
                hidden_states=noisy,
                timestep=timesteps.expand(len(noisy)),
                encoder_hidden_states=conditioning.sequence,
                pooled_projections=conditioning.pooled,
                return_dict=False,
            )[0]
        return predicted.float()

    def scheduler(self, sampler: str, steps: int) -> Any:
        if sampler != "euler":
            raise BackboneError(one_of(sampler, ("euler",), noun="sampler"))
        scheduler = FlowMatchEulerDiscreteScheduler.from_config(self.networks.scheduler)
        scheduler.set_timesteps(steps, device=self.device)
        return scheduler


def _wants_t5(folder: PipelineFolder) -> bool:
    option = folder.spec.options.get("text_encoder_3")
    if option == "none":
        return False
    if option is not None:
        raise BackboneError(
            f"backbone {folder.spec.name!r}: text_encoder_3 can only be none, got {option!r}; "
            "leave it out to use the folder's own"
        )
    if not (folder.folder / "text_encoder_3").is_dir():
        raise BackboneError(
            f"backbone {folder.spec.name!r}: {folder.folder} lacks text_encoder_3 (T5); "
            "to go without it on purpose say text_encoder_3: none"
        )
    return True
