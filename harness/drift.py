"""The sample stage's yardstick: what the base model draws and predicts on prior prompts, computed once.

Prior prompts name no subject: of the subject's class, of other classes, and empty. What the base model
does is cached on disk by content and shared by all trials and workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby, pairwise
from typing import Any

import torch
from torch import Tensor

from harness.diffusion import SAMPLING_VERSION
from harness.diffusion.backbone import Backbone, Report
from harness.diffusion.delta import Distance
from harness.diffusion.seeds import named_seed
from harness.measures import GROUPS
from harness.scores.averages import mean
from harness.scores.movement import lipschitz_ratio, noise_distance, noise_mse
from harness.settings import DriftSet, Sampling

BATCH = 16
PREDICTION_BATCH = 64
TIMESTEP_DRAWS = 4096


@dataclass(frozen=True)
class PriorPrompt:
    """A prompt without a subject, with the seed of its picture and that of another, for the noise floor."""

    group: str
    text: str
    seed: int
    other_seed: int


def prior_prompts(texts: Mapping[str, Sequence[str]], *, seed: int) -> list[PriorPrompt]:
    """Give every prior prompt its seeds, which depend on the text and how often it occurred before alone."""
    prompts, seen = [], Counter[str]()
    for group in GROUPS:
        for text in texts.get(group, ()):
            occurrence = seen[text]
            seen[text] += 1
            seeds = [
                named_seed(purpose, seed, text, occurrence) for purpose in ("prior picture", "prior floor")
            ]
            prompts.append(PriorPrompt(group, text, *seeds))
    return prompts


@dataclass(frozen=True)
class NoiseProbe:
    """Noisy latents at fixed timesteps, and what the base model predicts for them.

    latents      clean, of the base model's own pictures [n, c, h, w]
    timesteps    stratified [T]; predictions [n, T, c, h, w]
    """

    prompts: tuple[PriorPrompt, ...]
    latents: Tensor
    timesteps: Tensor
    predictions: Tensor


@dataclass(frozen=True)
class Yardstick:
    """The base model on the prior prompts of one class.

    pictures, floor  uint8 [m, 3, H, W], for ``prompts``: the paired seeds, and the others
    probe            for the noise predictions, over more prompts
    """

    prompts: tuple[PriorPrompt, ...]
    pictures: Tensor
    floor: Tensor
    probe: NoiseProbe


class BaseModel:
    """Measures the unchanged backbone; every answer is kept on disk."""

    def __init__(self, backbone: Backbone, sampling: Sampling, drift: DriftSet) -> None:
        self.backbone, self.sampling, self.drift = backbone, sampling, drift

    def yardstick(self, texts: Callable[[int], Mapping[str, Sequence[str]]]) -> Yardstick:
        """Draw and predict on ``texts(n)``, the n prior prompts by group. The backbone must be unchanged."""
        if self.backbone.changed:
            raise ValueError("the base model's references must be drawn before anything is handed out")
        drift = self.drift
        every = prior_prompts(texts(drift.prompts), seed=drift.seed)
        shown = prior_prompts(texts(drift.images), seed=drift.seed) if drift.images else []
        known = self._pictures(list(dict.fromkeys([*every, *shown])))
        floor = self._by_group(
            "base-floor", shown, lambda part: {"pictures": self._draw(part, [p.other_seed for p in part])}
        )
        probe = self._probe(tuple(every), torch.stack([known[prompt] for prompt in every]))
        side = self.backbone.resolution
        nothing = torch.empty(0, 3, side, side, dtype=torch.uint8)
        return Yardstick(
            tuple(shown),
            torch.stack([known[prompt] for prompt in shown]) if shown else nothing,
            torch.cat([entry["pictures"] for entry in floor]) if floor else nothing,
            probe,
        )

    def _pictures(self, prompts: list[PriorPrompt]) -> dict[PriorPrompt, Tensor]:
        grouped = sorted(prompts, key=lambda prompt: GROUPS.index(prompt.group))
        entries = self._by_group(
            "base-pictures", grouped, lambda part: {"pictures": self._draw(part, [p.seed for p in part])}
        )
        return dict(zip(grouped, torch.cat([entry["pictures"] for entry in entries])))

    def _draw(self, prompts: Sequence[PriorPrompt], seeds: Sequence[int]) -> Tensor:
        return draw(self.backbone, [prompt.text for prompt in prompts], seeds, self.sampling)

    def _probe(self, prompts: tuple[PriorPrompt, ...], pictures: Tensor) -> NoiseProbe:
        timesteps = stratified(self.backbone, self.drift.timesteps, seed=self.drift.seed)
        by_prompt = dict(zip(prompts, pictures))

        def compute(part: Sequence[PriorPrompt]) -> dict[str, Tensor]:
            latents = self._encode(torch.stack([by_prompt[prompt] for prompt in part]))
            probe = NoiseProbe(tuple(part), latents, timesteps, torch.empty(0))
            return {"latents": latents, "predictions": predict(self.backbone, probe)}

        entries = self._by_group("base-noise", prompts, compute, timesteps=self.drift.timesteps)
        latents, predictions = (
            torch.cat([entry[key] for entry in entries]) for key in ("latents", "predictions")
        )
        return NoiseProbe(prompts, latents, timesteps, predictions)

    @torch.no_grad()
    def _encode(self, pictures: Tensor) -> Tensor:
        pixels = pictures.to(torch.float32) / 127.5 - 1
        backbone = self.backbone
        parts = backbone.batches.over(
            len(pixels),
            BATCH,
            lambda part: backbone.encode(pixels[part].to(backbone.device)).mean,
            purpose="pictures to encode",
        )
        return torch.cat(parts).cpu()

    def _by_group(
        self,
        kind: str,
        prompts: Sequence[PriorPrompt],
        compute: Callable[[Sequence[PriorPrompt]], dict[str, Tensor]],
        **settings: Any,
    ) -> list[dict[str, Tensor]]:
        """Fetch or compute one cache entry for each group, in the order of the groups."""
        content = {
            **self.backbone.identity,
            "sampling": [self.sampling.sampler, self.sampling.steps, self.sampling.guidance],
            "version": SAMPLING_VERSION,
            "drift_seed": self.drift.seed,
            **settings,
        }
        entries = []
        for group in GROUPS:
            part = [prompt for prompt in prompts if prompt.group == group]
            if part:
                told = {**content, "prompts": [[p.text, p.seed, p.other_seed] for p in part]}
                entries.append(self.backbone.cache.tensors(kind, told, partial(compute, part)))
        return entries


def draw(
    backbone: Backbone,
    prompts: Sequence[str],
    seeds: Sequence[int],
    sampling: Sampling,
    *,
    report: Report | None = None,
) -> Tensor:
    """Draw one picture per prompt and seed: uint8 [n, 3, H, W]; ``report(done, total)`` after each batch."""
    return backbone.sample(
        prompts,
        seeds=seeds,
        sampler=sampling.sampler,
        steps=sampling.steps,
        guidance=sampling.guidance,
        report=report,
    )


def stratified(backbone: Backbone, count: int, *, seed: int) -> Tensor:
    """Choose timesteps [count]: the middle of each of ``count`` equal shares of the training distribution."""
    generator = torch.Generator().manual_seed(named_seed("drift timesteps", seed))
    drawn = backbone.draw_timesteps(TIMESTEP_DRAWS, generator=generator).sort().values
    middles = [(2 * k + 1) * TIMESTEP_DRAWS // (2 * count) for k in range(count)]
    return drawn[torch.tensor(middles, device=drawn.device)]


@torch.no_grad()
def predict(backbone: Backbone, probe: NoiseProbe) -> Tensor:
    """Predict on the probe, conditional branch, fixed noises: [n, T, c, h, w] on the CPU.

    Batches do not cross groups, so that the base model, asked group by group, is asked in the same batches.
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
    prompts, steps = probe.prompts[batch], len(probe.timesteps)
    latents = probe.latents[batch].repeat_interleave(steps, dim=0)
    noise = torch.cat([_noise(prompt, latents.shape[1:], steps) for prompt in prompts])
    latents, noise = latents.to(backbone.device), noise.to(backbone.device)
    timesteps = probe.timesteps.to(backbone.device).repeat(len(prompts))
    told = backbone.conditioning([prompt.text for prompt in prompts for _ in range(steps)])
    predicted = backbone.predict(backbone.add_noise(latents, noise, timesteps), timesteps, told)
    return predicted.float().cpu().unflatten(0, (len(prompts), steps))


def _noise(prompt: PriorPrompt, shape: Iterable[int], steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(named_seed("drift noise", prompt.seed))
    return torch.randn((steps, *shape), generator=generator)


def sample_measures(backbone: Backbone, moved: Distance, probe: NoiseProbe) -> dict[str, float | None]:
    """Compute the drift measures that need the tuned weights. Exactly 0 where the weights did not move."""
    predictions = predict(backbone, probe) if moved.moved else probe.predictions
    tuned, base = predictions.flatten(0, 1), probe.predictions.flatten(0, 1)
    distances = noise_distance(tuned, base).reshape(len(probe.prompts), -1).mean(axis=1).tolist()
    by_group = {
        f"noise_l2_{group}": mean([d for d, prompt in zip(distances, probe.prompts) if prompt.group == group])
        for group in GROUPS
    }
    noise_l2 = mean(distances)
    assert noise_l2 is not None
    return {
        "weight_l2": moved.denoiser_l2,
        "weight_tensor_mean": moved.tensor_mean,
        "token_l2": moved.token_l2,
        "noise_l2": noise_l2,
        **by_group,
        "noise_mse": mean(noise_mse(tuned, base).tolist()),
        "lipschitz_ratio": lipschitz_ratio(noise_l2, moved.denoiser_l2),
    }
