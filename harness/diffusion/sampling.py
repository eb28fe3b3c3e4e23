"""Batched sampling with cached embeddings over diffusers' schedulers; each image has its own generator."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.contexts import remembered_contexts

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone

Report = Callable[[int, int], None]
"""Called as ``report(done, total)`` after each batch of images."""

LARGEST_BATCH = 16


@torch.no_grad()
def sample_images(
    backbone: Backbone,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    sampler: str,
    steps: int,
    guidance: float,
    precision: Literal["bf16"] | None = None,
    report: Report | None = None,
) -> Tensor:
    """Draw one image per prompt and seed, as :func:`sample` says: uint8 [n, 3, H, W] on the CPU.

    Where memory does not suffice for a batch, batches become smaller.
    """

    def draw(part: slice) -> Tensor:
        latents = sample(
            backbone,
            prompts[part],
            seeds=seeds[part],
            sampler=sampler,
            steps=steps,
            guidance=guidance,
            precision=precision,
        )
        images = backbone.decode(latents)
        if report is not None:
            report(part.stop, len(prompts))
        return images

    # The purpose is a key of the record.
    parts = backbone.batches.over(len(prompts), LARGEST_BATCH, draw, purpose="pictures to draw")
    return torch.cat(parts)


@torch.no_grad()
def sample(
    backbone: Backbone,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    sampler: str,
    steps: int,
    guidance: float,
    precision: Literal["bf16"] | None = None,
) -> Tensor:
    """Draw one latent per prompt and seed, scaled, [n, c, h, w].

    Equals diffusers' pipeline called with ``torch.Generator("cpu").manual_seed(seed)`` per image.
    Classifier-free guidance (arXiv 2207.12598) against the family's conditioning without a prompt,
    which is left out at guidance ≤ 1. ``precision`` is the denoiser's where it is not the backbone's own;
    the solver keeps that of the latents.
    """
    if len(prompts) != len(seeds):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, got {len(seeds)}")
    scheduler = backbone.scheduler(sampler, steps)
    latents = starting_noise(seeds, backbone.latent_shape).to(backbone.device)
    latents = latents * getattr(scheduler, "init_noise_sigma", 1.0)
    guided = guidance > 1
    conditioning = backbone.conditioning(prompts)
    if guided:
        conditioning = Conditioning.cat([*[backbone.unconditional()] * len(seeds), conditioning])
    with remembered_contexts(backbone.networks.denoiser):
        for t in scheduler.timesteps:
            noisy = torch.cat([latents, latents]) if guided else latents
            if hasattr(scheduler, "scale_model_input"):
                noisy = scheduler.scale_model_input(noisy, t)
            with _in(precision, backbone.device):
                prediction = backbone.predict(noisy, t, conditioning).to(latents.dtype)
            if guided:
                without, with_prompt = prediction.chunk(2)
                prediction = without + guidance * (with_prompt - without)
            latents = scheduler.step(prediction, t, latents, return_dict=False)[0]
    return latents


def _in(precision: Literal["bf16"] | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    return torch.autocast(device.type, torch.bfloat16) if precision else contextlib.nullcontext()


def starting_noise(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """One standard normal latent per seed, [n, *shape], each from a CPU generator of its own."""
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])
