"""A drift budget turned into α: the calibration probe, and the search for the largest share within it.

The probe is of the drift set's kind, with its shares of groups and as many timesteps, and has latents, noises
and prompts of its own, but for the empty one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.diffusion.backbones.base import Backbone
from harness.diffusion.seeds import named_seed
from harness.diffusion.versions import SAMPLING_VERSION
from harness.metrics.scorer_inputs import PriorPrompt
from harness.metrics.scores.noise_drift import noise_distance
from harness.specs import DriftSet
from harness.trial.noise_probe import NoiseProbe, predict, stratified
from harness.trial.prior_texts import Texts, calibration_texts
from harness.trial.reference import ReferenceSampler

TOLERANCE = 0.01
"""A drift within this share below the budget counts as the budget."""
SECANTS, EVALUATIONS = 12, 40
"""So many evaluations go along lines, the rest halve: nearly linear as drift is, three to five are usual."""

Drift = Callable[[float], float]


@dataclass(frozen=True)
class Reached:
    """The share α that was found, its drift on the calibration probe, and how often that was evaluated."""

    share: float
    drift: float
    evaluations: int


def largest_share(drift: Drift, limit: float) -> Reached:
    """Find the largest α ≤ 1 whose drift is at most ``limit``, to 1 %: secant steps within a bracket.

    ``drift`` must be 0 at α = 0 and continuous. Where the whole change stays within the limit α is 1.
    """
    whole = drift(1.0)
    if whole <= limit:
        return Reached(1.0, whole, 1)
    below, above = (0.0, 0.0), (1.0, whole)
    target = limit * (1 - TOLERANCE / 2)
    for evaluation in range(2, EVALUATIONS + 1):
        share = _next(below, above, target, halve=evaluation > SECANTS)
        value = drift(share)
        if value > limit:
            above = (share, value)
        else:
            below = (share, value)
            if value >= limit * (1 - TOLERANCE):
                break
    return Reached(*below, evaluation)


def _next(below: tuple[float, float], above: tuple[float, float], target: float, *, halve: bool) -> float:
    """Where the line between two points (α, drift) takes the target value, kept inside the bracket."""
    (low, under), (high, over) = below, above
    if halve:
        return (low + high) / 2
    share = low + (target - under) * (high - low) / (over - under)
    margin = 1e-3 * (high - low)
    return min(max(share, low + margin), high - margin)


@dataclass(frozen=True)
class Calibration:
    """The probe, with the base model's predictions, and the seconds that these took when they were made."""

    probe: NoiseProbe
    seconds: float

    def drift(self, backbone: Backbone) -> float:
        """Mean over prompts and timesteps of ‖ε_θ − ε_θ0‖₂; 0 without a look where no weight moved."""
        if not backbone.distance().moved:
            return 0.0
        tuned = predict(backbone, self.probe)
        return float(noise_distance(tuned.flatten(0, 1), self.probe.predictions.flatten(0, 1)).mean())


def calibration_prompts(texts: Texts, drift: DriftSet) -> list[PriorPrompt]:
    """Choose the probe's prompts and give each its seeds, which no other prompt of the harness has."""
    prompts, seen = [], Counter[str]()
    for group, some in calibration_texts(texts, drift).items():
        for text in some:
            prompts.append(PriorPrompt(group, text, *_seeds(text, drift.seed, seen[text])))
            seen[text] += 1
    return prompts


def _seeds(text: str, seed: int, occurrence: int) -> tuple[int, int]:
    names = (f"calibration {purpose}" for purpose in ("picture", "floor"))
    picture, floor = (named_seed(name, seed, text, occurrence) for name in names)
    return picture, floor


def calibrate(sampler: ReferenceSampler, texts: Texts) -> Calibration:
    """Sample and predict with the unchanged backbone; cached with what it cost."""
    backbone, sampling, drift = sampler.backbone, sampler.sampling, sampler.drift
    prompts = tuple(calibration_prompts(texts, drift))
    timesteps = stratified(backbone, drift.timesteps, seed=named_seed("calibration", drift.seed))

    def compute() -> dict[str, Tensor]:
        started = time.perf_counter()
        images = sampler.sample(prompts, [prompt.seed for prompt in prompts])
        latents = sampler.encode(images)
        predictions = predict(backbone, NoiseProbe(prompts, latents, timesteps, torch.empty(0)))
        seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
        return {"latents": latents, "predictions": predictions, "seconds": seconds}

    content = {
        **backbone.identity,
        "sampling": [*sampling.solver.values()],
        "version": SAMPLING_VERSION,
        "timesteps": [drift.timesteps, drift.seed],
        "prompts": [[prompt.text, prompt.seed, prompt.group] for prompt in prompts],
    }
    entry = backbone.cache.tensors("calibration", content, compute)
    probe = NoiseProbe(prompts, entry["latents"], timesteps, entry["predictions"])
    return Calibration(probe, float(entry["seconds"]))
