"""The shipped networks at work, as plainly as a user would put them to use, without an experiment.

The sampler, its steps and its guidance are those that experiments use by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from harness.toybox import loading
from harness.toybox.probe import Probe, Reading

SEED = 977
STEPS, GUIDANCE = 20, 5.0


class ToyboxNetworks:
    """The shipped networks, each loaded on first use; what they make of texts and images."""

    def __init__(self, weights: Path = loading.WEIGHTS) -> None:
        self.weights = weights

    @cached_property
    def pipeline(self) -> Any:
        """The generator."""
        from diffusers import StableDiffusionPipeline
        from diffusers.utils import logging as diffusers_logging
        from transformers.utils import logging as transformers_logging

        diffusers_logging.disable_progress_bar()
        transformers_logging.disable_progress_bar()
        pipeline: Any = StableDiffusionPipeline.from_pretrained(loading.pipeline_folder(self.weights))
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    @cached_property
    def clip(self) -> tuple:
        """Toybox-clip: model, preprocessing, tokenizer."""
        return loading.load_clip(self.weights)

    @cached_property
    def dino(self) -> tuple:
        """Toybox-dino, version 1: model, preprocessing."""
        return loading.load_dino(self.weights)

    @cached_property
    def dino2(self) -> tuple:
        """Toybox-dino, version 2: model, preprocessing."""
        return loading.load_dino(self.weights, version=2)

    @cached_property
    def probes(self) -> dict[int, Probe]:
        """The attribute probe by version."""
        return {version: loading.load_probe(self.weights, version=version) for version in (1, 2)}

    def read(self, images: Tensor, *, version: int) -> Reading:
        """Read uint8 images [n, 3, 64, 64] with a version of the attribute probe."""
        return self.probes[version].attributes(images)

    def load(self) -> None:
        """Load every network that is not loaded yet."""
        _ = self.pipeline, self.clip, self.dino, self.dino2, self.probes

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """Pass images [n, 3, h, w] through the autoencoder: uint8 to uint8."""
        vae = self.pipeline.vae
        parts = [
            vae.decode(vae.encode(part.float() / 127.5 - 1).latent_dist.mode()).sample
            for part in images.split(50)
        ]
        return as_bytes(torch.cat(parts))

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Decode scaled latents [n, 16, 8, 8] to uint8 images [n, 3, 64, 64]."""
        vae = self.pipeline.vae
        return as_bytes(
            torch.cat([vae.decode(part / vae.config.scaling_factor).sample for part in latents.split(50)])
        )

    def generate(self, texts: Sequence[str], *, seed: int = SEED, batch: int = 50) -> Tensor:
        """Sample one image of each text: uint8 [n, 3, 64, 64]."""
        return self.decode(self.latents(texts, seed=seed, batch=batch))

    @torch.no_grad()
    def latents(
        self, texts: Sequence[str], *, seed: int = SEED, batch: int = 50, until: float = 1.0
    ) -> Tensor:
        """Sample one latent of each text, scaled; ``until`` < 1 stops after that share of the steps."""
        kept: list[Tensor] = []

        def keep(pipeline: object, step: int, moment: int, state: dict[str, Tensor]) -> dict[str, Tensor]:
            if step + 1 == round(STEPS * until):
                kept.append(state["latents"].clone())
            return {}

        for start in range(0, len(texts), batch):
            some = list(texts[start : start + batch])
            generators = [torch.Generator().manual_seed(seed + start + number) for number in range(len(some))]
            self.pipeline(
                some,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                generator=generators,
                output_type="latent",
                callback_on_step_end=keep,
            )
        return torch.cat(kept)

    @torch.no_grad()
    def dino_features(self, images: Tensor, *, version: int = 1) -> Tensor:
        """Compute class tokens of uint8 images [n, 3, h, w], normalized: [n, 192]."""
        model, preprocess = self.dino if version == 1 else self.dino2
        shown = torch.stack([preprocess(image) for image in as_images(images)])
        return F.normalize(torch.cat([model(part) for part in shown.split(100)]), dim=-1)

    @torch.no_grad()
    def clip_features(self, images: Tensor) -> Tensor:
        """Compute image features, normalized: [n, 128]."""
        model, preprocess, _ = self.clip
        shown = torch.stack([preprocess(image) for image in as_images(images)])
        return torch.cat([model.encode_image(part, normalize=True) for part in shown.split(100)])


def as_bytes(images: Tensor) -> Tensor:
    """Turn [-1, 1] into uint8."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def as_images(images: Tensor) -> list[Image.Image]:
    """Turn uint8 [n, 3, h, w] into PIL images."""
    return [Image.fromarray(image) for image in images.permute(0, 2, 3, 1).numpy()]
