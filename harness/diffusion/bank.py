"""The bank: what the base model answers to fixed questions on prior prompts, to be asked once and kept.

Questions are triples (z_t, t, c) on noised images that the base model drew of prompts without a subject.
Knows no method, no loss and no data set; which prompts they are is its caller's to say.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from harness.diffusion.sampling import Report, sample_images
from harness.diffusion.seeds import named_seed
from harness.diffusion.versions import SAMPLING_VERSION

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone

TIMESTEPS = 8
"""Triples of each prompt: 512 for the 64 prompts of a trial's bank."""
BATCH = 64
VERSION = 1
"""Raise it when a bank of the same prompts holds other entries."""

Goal = Literal["noise", "base"]
"""What is learnt on a bank's entries: the noise that is in them, or the base model's prediction."""


@dataclass(frozen=True)
class Entries:
    """Some of a bank's triples, on the backbone's device, with the base model's predictions.

    latents    clean z_0 [n, c, h, w], of the base model's own images
    noise      ε, like ``latents``
    timesteps  t [n]
    captions   n texts
    base       ε_0: what the base model predicts at z_t (ε, v or a flow's velocity), float32, like ``latents``
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    captions: list[str]
    base: Tensor

    def noisy(self, backbone: Backbone) -> Tensor:
        """z_t [n, c, h, w], what the denoiser is given."""
        return backbone.add_noise(self.latents, self.noise, self.timesteps)


@dataclass(frozen=True)
class Bank:
    """P prompts × T timesteps, each prompt at one timestep of every T-th of the training distribution.

    prompts      P texts; entry i is of prompt i // T
    latents      clean z_0 [P, c, h, w] of one image of each prompt
    noise        ε [P·T, c, h, w]; timesteps [P·T]; predictions [P·T, c, h, w], like noise, on the CPU
    seconds      what it took to make, whoever made it
    """

    prompts: tuple[str, ...]
    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    predictions: Tensor
    seconds: float

    def __len__(self) -> int:
        return len(self.timesteps)

    def entries(self, index: Sequence[int], device: torch.device | str = "cpu") -> Entries:
        """Take the entries of the given numbers, in their order, repeats allowed."""
        each = len(self) // len(self.prompts)
        of_prompt = [i // each for i in index]
        latents, noise, timesteps, predictions = (
            tensor.to(device)
            for tensor in (
                self.latents[of_prompt],
                self.noise[list(index)],
                self.timesteps[list(index)],
                self.predictions[list(index)],
            )
        )
        return Entries(latents, noise, timesteps, [self.prompts[i] for i in of_prompt], predictions)

    def rounds(self, n: int, *, seed: int, device: torch.device | str = "cpu") -> Iterator[Entries]:
        """Draw n entries at a time without end, in shuffled rounds through the whole bank."""
        order = _shuffled(len(self), torch.Generator().manual_seed(named_seed("bank rounds", seed)))
        while True:
            yield self.entries([next(order) for _ in range(n)], device)

    def spread(self, n: int) -> list[int]:
        """Number n entries (at most all) spread over prompts and timesteps alike, always the same."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(named_seed("bank spread")))
        return sorted(order[:n].tolist())


@dataclass(frozen=True)
class FromBank:
    """Entries of a bank learned beside the subject's examples, their loss times ``weight``.

    goal   the noise in them (prior preservation), or the base model's prediction (output preservation)
    batch  how many for each micro-batch; None: as many as the subject's
    """

    bank: Bank
    weight: float
    goal: Goal = "base"
    batch: int | None = None


def make_bank(backbone: Backbone, prompts: Sequence[str], *, report: Report | None = None) -> Bank:
    """Draw an image of each prompt and predict on its noised latents with the unchanged backbone.

    Cached on disk by content, so that all trials share it. ``report`` hears of the images. Raises ValueError
    for prompts that are not different, or if the backbone was changed already: the answers would not be the
    base model's.
    """
    if backbone.changed:
        raise ValueError("a bank must be made before anything of the backbone is handed out for training")
    if not prompts or len(set(prompts)) < len(prompts):
        raise ValueError("a bank needs different prompts, and at least one")
    noise, timesteps = _noises(backbone, prompts), _timesteps(backbone, len(prompts))
    content = {
        **backbone.identity,
        "prompts": list(prompts),
        "sampling": list(backbone.prior_sampling),
        "timesteps": TIMESTEPS,
        "version": [VERSION, SAMPLING_VERSION],
    }
    compute = partial(_compute, backbone, tuple(prompts), noise, timesteps, report)
    entry = backbone.cache.tensors("bank", content, compute)
    return Bank(
        tuple(prompts), entry["latents"], noise, timesteps, entry["predictions"], float(entry["seconds"])
    )


@torch.no_grad()
def _compute(
    backbone: Backbone,
    prompts: tuple[str, ...],
    noise: Tensor,
    timesteps: Tensor,
    report: Report | None,
) -> dict[str, Tensor]:
    started = time.perf_counter()
    sampler, steps, guidance = backbone.prior_sampling
    images = sample_images(
        backbone,
        prompts,
        seeds=[named_seed("bank picture", prompt) for prompt in prompts],
        sampler=sampler,
        steps=steps,
        guidance=guidance,
        report=report,
    )
    encoded = backbone.batches.over(
        len(images),
        16,
        lambda part: backbone.encode(images[part].to(backbone.device, torch.float32) / 127.5 - 1).mean.cpu(),
        purpose="pictures to encode",
    )
    asked = Bank(prompts, torch.cat(encoded), noise, timesteps, noise, 0.0)
    answers = backbone.batches.over(
        len(asked),
        BATCH,
        lambda part: _answers(backbone, asked, part),
        purpose="prior prompts to predict for",
    )
    seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
    return {"latents": asked.latents, "predictions": torch.cat(answers), "seconds": seconds}


def _answers(backbone: Backbone, bank: Bank, part: slice) -> Tensor:
    """What the backbone predicts for a part of a bank [n, c, h, w], conditional branch, on the CPU."""
    asked = bank.entries(range(part.start, part.stop), backbone.device)
    conditioning = backbone.conditioning(asked.captions)
    return backbone.predict(asked.noisy(backbone), asked.timesteps, conditioning).cpu()


def _noises(backbone: Backbone, prompts: Sequence[str]) -> Tensor:
    """ε [P·T, c, h, w]: of each prompt its own."""
    shape = (TIMESTEPS, *backbone.latent_shape)
    generators = [torch.Generator().manual_seed(named_seed("bank noise", prompt)) for prompt in prompts]
    return torch.cat([torch.randn(shape, generator=generator) for generator in generators])


def _timesteps(backbone: Backbone, prompts: int) -> Tensor:
    """T [P·T] of the training distribution: every prompt has one from each of T equal shares of it."""
    generator = torch.Generator().manual_seed(named_seed("bank timesteps", prompts))
    drawn = backbone.draw_timesteps(prompts * TIMESTEPS, generator=generator).cpu().sort().values
    shares = drawn.view(TIMESTEPS, prompts)
    dealt = torch.stack([share[torch.randperm(prompts, generator=generator)] for share in shares])
    return dealt.T.flatten()


def _shuffled(n: int, generator: torch.Generator) -> Iterator[int]:
    while True:
        yield from torch.randperm(n, generator=generator).tolist()
