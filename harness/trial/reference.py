"""What drift is measured from: the base model's images and noise predictions on prior prompts, computed once.

Prior prompts name no subject: of the subject's class, of other classes, and empty. What the base model
does is cached on disk by content and shared by all trials and workers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.sampling import sample_images
from harness.diffusion.seeds import named_seed
from harness.diffusion.versions import SAMPLING_VERSION
from harness.metrics.registry import GROUPS
from harness.metrics.scorer_inputs import PriorPrompt
from harness.specs import DriftSet, Sampling
from harness.trial.noise_probe import NoiseProbe, predict, stratified

BATCH = 16
SUBJECT = "subject"
"""The group of test prompts, which are no prior prompts."""


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
class BaseReference:
    """The base model on the prior prompts of one class.

    images, floor    uint8 [m, 3, H, W], for ``prompts``: the paired seeds, and the others
    probe            for the noise predictions, over more prompts
    subject          the same on a trial's test prompts, asked for the class; None where nobody asks
    """

    prompts: tuple[PriorPrompt, ...]
    images: Tensor
    floor: Tensor
    probe: NoiseProbe
    subject: NoiseProbe | None = None


class ReferenceSampler:
    """Samples and predicts with the unchanged backbone; every result is cached on disk."""

    def __init__(self, backbone: Backbone, sampling: Sampling, drift: DriftSet) -> None:
        self.backbone, self.sampling, self.drift = backbone, sampling, drift

    def reference(self, texts: Callable[[int], Mapping[str, Sequence[str]]]) -> BaseReference:
        """Sample and predict on ``texts(n)``, n prior prompts by group. The backbone must be unchanged."""
        if self.backbone.changed:
            raise ValueError("the base model's references must be sampled before anything is handed out")
        drift = self.drift
        every = prior_prompts(texts(drift.prompts), seed=drift.seed)
        shown = prior_prompts(texts(drift.images), seed=drift.seed) if drift.images else []
        known = self._images(list(dict.fromkeys([*every, *shown])))
        floor = self._by_group(
            "base-floor", shown, lambda part: {"pictures": self.sample(part, [p.other_seed for p in part])}
        )
        probe = self._probe("base-noise", tuple(every), torch.stack([known[prompt] for prompt in every]))
        side = self.backbone.resolution
        nothing = torch.empty(0, 3, side, side, dtype=torch.uint8)
        return BaseReference(
            tuple(shown),
            torch.stack([known[prompt] for prompt in shown]) if shown else nothing,
            torch.cat([entry["pictures"] for entry in floor]) if floor else nothing,
            probe,
        )

    def _images(self, prompts: list[PriorPrompt]) -> dict[PriorPrompt, Tensor]:
        grouped = sorted(prompts, key=lambda prompt: GROUPS.index(prompt.group))
        entries = self._by_group(
            "base-pictures", grouped, lambda part: {"pictures": self.sample(part, [p.seed for p in part])}
        )
        return dict(zip(grouped, torch.cat([entry["pictures"] for entry in entries])))

    def sample(self, prompts: Sequence[PriorPrompt], seeds: Sequence[int]) -> Tensor:
        """Draw an image of each prompt with its seed: uint8 [n, 3, H, W]."""
        texts = [prompt.text for prompt in prompts]
        return sample_images(self.backbone, texts, seeds=seeds, **self.sampling.solver)

    def subject_probe(self, texts: Sequence[str]) -> NoiseProbe:
        """Sample and predict on test prompts that ask for the class. The backbone must be unchanged."""
        seeds = [
            [named_seed(purpose, self.drift.seed, text) for purpose in ("subject probe", "subject floor")]
            for text in texts
        ]
        prompts = tuple(PriorPrompt(SUBJECT, text, *pair) for text, pair in zip(texts, seeds, strict=True))
        (entry,) = self._by_group(
            "base-subject", prompts, lambda part: {"pictures": self.sample(part, [p.seed for p in part])}
        )
        return self._probe("base-subject-noise", prompts, entry["pictures"])

    def _probe(self, kind: str, prompts: tuple[PriorPrompt, ...], images: Tensor) -> NoiseProbe:
        timesteps = stratified(self.backbone, self.drift.timesteps, seed=self.drift.seed)
        by_prompt = dict(zip(prompts, images))

        def compute(part: Sequence[PriorPrompt]) -> dict[str, Tensor]:
            latents = self.encode(torch.stack([by_prompt[prompt] for prompt in part]))
            probe = NoiseProbe(tuple(part), latents, timesteps, torch.empty(0))
            return {"latents": latents, "predictions": predict(self.backbone, probe)}

        entries = self._by_group(kind, prompts, compute, timesteps=self.drift.timesteps)
        latents, predictions = (
            torch.cat([entry[key] for entry in entries]) for key in ("latents", "predictions")
        )
        return NoiseProbe(prompts, latents, timesteps, predictions)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Encode uint8 images [n, 3, H, W] to their posteriors' means [n, c, h, w], on the CPU."""
        pixels = images.to(torch.float32) / 127.5 - 1
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
            "sampling": [*self.sampling.solver.values()],
            "version": SAMPLING_VERSION,
            "drift_seed": self.drift.seed,
            **settings,
        }
        entries = []
        for group in (*GROUPS, SUBJECT):
            part = [prompt for prompt in prompts if prompt.group == group]
            if part:
                whole = {**content, "prompts": [[p.text, p.seed, p.other_seed] for p in part]}
                entries.append(self.backbone.cache.tensors(kind, whole, partial(compute, part)))
        return entries
