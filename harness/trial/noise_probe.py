"""How far noise predictions moved: what the base and the tuned model predict for fixed noisy latents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

import torch
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.conditioning import Conditioning
from harness.diffusion.seeds import named_seed
from harness.diffusion.weights.delta import Distance
from harness.metrics.scorer import drift_of_weights
from harness.metrics.scorer_inputs import MovedModel, PriorPrompt

PREDICTION_BATCH = 64
TIMESTEP_DRAWS = 4096


@dataclass(frozen=True)
class NoiseProbe:
    """Noisy latents at fixed timesteps, and what the base model predicts for them.

    latents      clean, of the base model's own images [n, c, h, w]
    timesteps    stratified [T]; predictions [n, T, c, h, w]
    """

    prompts: tuple[PriorPrompt, ...]
    latents: Tensor
    timesteps: Tensor
    predictions: Tensor


def stratified(backbone: Backbone, count: int, *, seed: int) -> Tensor:
    """Choose timesteps [count]: the middle of each of ``count`` equal shares of the training distribution."""
    generator = torch.Generator().manual_seed(named_seed("drift timesteps", seed))
    drawn = backbone.draw_timesteps(TIMESTEP_DRAWS, generator=generator).sort().values
    middles = [(2 * k + 1) * TIMESTEP_DRAWS // (2 * count) for k in range(count)]
    return drawn[torch.tensor(middles, device=drawn.device)]


@torch.no_grad()
def predict(backbone: Backbone, probe: NoiseProbe) -> Tensor:
    """Predict on the probe, conditional branch, fixed noises: [n, T, c, h, w] on the CPU.

    Batches do not cross groups: the base model predicts group by group, hence in the same batches.
    """
    at_once = max(1, PREDICTION_BATCH // len(probe.timesteps))
    groups = [len(list(members)) for _, members in groupby(probe.prompts, key=lambda prompt: prompt.group)]
    parts = [
        part
        for start, stop in pairwise([0, *accumulate(groups)])
        for part in backbone.batches.over(
            stop - start,
            at_once,
            lambda part, start=start: _predict_batch(  # type: ignore[misc]
                backbone, probe, slice(start + part.start, start + part.stop)
            ),
            purpose="prior prompts to predict for",
        )
    ]
    return torch.cat(parts)


def _predict_batch(backbone: Backbone, probe: NoiseProbe, batch: slice) -> Tensor:
    predicted = backbone.predict(*questions(backbone, probe, batch))
    return predicted.float().cpu().unflatten(0, (-1, len(probe.timesteps)))


def questions(backbone: Backbone, probe: NoiseProbe, batch: slice) -> tuple[Tensor, Tensor, Conditioning]:
    """Return what the denoiser is given for some prompts: z_t [n·T, c, h, w], t [n·T], n·T conditionings."""
    prompts, steps = probe.prompts[batch], len(probe.timesteps)
    latents = probe.latents[batch].repeat_interleave(steps, dim=0)
    noise = torch.cat([_noise(prompt, latents.shape[1:], steps) for prompt in prompts])
    latents, noise = latents.to(backbone.device), noise.to(backbone.device)
    timesteps = probe.timesteps.to(backbone.device).repeat(len(prompts))
    conditioning = backbone.conditioning([prompt.text for prompt in prompts for _ in range(steps)])
    return backbone.add_noise(latents, noise, timesteps), timesteps, conditioning


def _noise(prompt: PriorPrompt, shape: Iterable[int], steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(named_seed("drift noise", prompt.seed))
    return torch.randn((steps, *shape), generator=generator)


@dataclass(frozen=True)
class SubjectProbe:
    """A probe on test prompts that ask for the class, and the same prompts asking for the subject [n]."""

    probe: NoiseProbe
    texts: Sequence[str]

    def predictions(self, backbone: Backbone, moved: Distance) -> tuple[Tensor, Tensor]:
        """Predict for the subject, beside what the base model predicts for the class: [n·T, c, h, w] both."""
        prompts = tuple(
            replace(prompt, text=text) for prompt, text in zip(self.probe.prompts, self.texts, strict=True)
        )
        base = self.probe.predictions
        same = not moved.moved and prompts == self.probe.prompts
        tuned = base if same else predict(backbone, replace(self.probe, prompts=prompts))
        return tuned.flatten(0, 1), base.flatten(0, 1)


def sample_measures(
    backbone: Backbone, moved: Distance, probe: NoiseProbe, subject: SubjectProbe | None = None
) -> dict[str, float | None]:
    """Compute the drift measures that need the tuned weights. Exactly 0 where the weights did not move."""
    predictions = predict(backbone, probe) if moved.moved else probe.predictions
    tuned, base = predictions.flatten(0, 1), probe.predictions.flatten(0, 1)
    shift = subject.predictions(backbone, moved) if subject else None
    return drift_of_weights(MovedModel(moved, probe.prompts, tuned, base, shift))
