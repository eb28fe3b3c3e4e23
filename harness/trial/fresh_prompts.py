"""What a fit does to prior prompts that nothing was measured on before: a value for each of them.

Base and tuned model answer in turns, a part of the prompts at a time, so that memory does not grow with their
number. Knows no statistics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from harness.datasets.base import DrawnPrompt
from harness.diffusion.sampling import sample_images
from harness.diffusion.seeds import named_seed
from harness.metrics.encoders.pixels import as_pil
from harness.metrics.measure import Missing
from harness.metrics.registry import MEASURES
from harness.metrics.scorer_inputs import Encoders, PriorImages, PriorPrompt, ScorerInputs, SubjectPhotos
from harness.metrics.scores.noise_drift import noise_distance
from harness.trial.noise_probe import NoiseProbe, predict, stratified
from harness.trial.reference import ReferenceSampler

if TYPE_CHECKING:
    from harness.api import Progress
    from harness.diffusion.weights.delta import Delta

PART = 32
"""Prompts at a time; the first part is also what the local Lipschitz constant is looked at on."""
GROUP = "fresh"
OF_IMAGES = ("image_drift", "prior_accuracy_fall")
MEASURED = ("noise_l2", "relative_change", *OF_IMAGES)
Answers = dict[tuple[PriorPrompt, ...], tuple[NoiseProbe, Tensor]]
"""The base model's images of some prompts [n, 3, h, w], and the probe made of them."""


@dataclass
class FreshValues:
    """A value of every measure for each fresh prompt; ``missing`` says why a measure has none.

    noise_l2             ‖Δε‖₂, mean over timesteps
    relative_change      2‖Δε‖/(‖ε_θ‖ + ‖ε_θ0‖), mean over timesteps, in [0, 2]
    image_drift          1 − cosine, in [0, 2]
    prior_accuracy_fall  in [−1, 1]; Toybox only
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, found: Sequence[float]) -> None:
        """Append the values of a part of the prompts."""
        self.values.setdefault(name, []).extend(found)


def seeded(drawn: Sequence[DrawnPrompt], *, seed: int) -> tuple[PriorPrompt, ...]:
    """Give every drawn prompt the seeds of its image and its noises, which no other of the harness has."""
    return tuple(
        PriorPrompt(GROUP, each.text, named_seed("certificate picture", seed, number), 0)
        for number, each in enumerate(drawn)
    )


def relative_change(tuned: Tensor, base: Tensor) -> list[float]:
    """2‖a − b‖/(‖a‖ + ‖b‖) of predictions [n, T, c, h, w], mean over T, in [0, 2]; 0 where both are 0.

    To first order ‖Δε‖/‖ε_θ0‖; at most 2 by the triangle inequality, so that no value need be cut.
    """
    flat = tuned.flatten(0, 1), base.flatten(0, 1)
    moved = noise_distance(*flat)
    lengths = sum(noise_distance(each, torch.zeros_like(each)) for each in flat)
    ratio = np.divide(2 * moved, lengths, out=np.zeros_like(moved), where=moved > 0)
    return np.minimum(ratio, 2.0).reshape(len(tuned), -1).mean(axis=1).tolist()


def _reported(progress: Progress, before: int, total: int, done: int) -> None:
    progress("prompts", before + done, total, None)


class Examination:
    """Measures a tuned backbone against itself at the base weights, on drawn prompts.

    ``images``: whether the tuned model draws them too; else what is measured on them is left out.
    ``answers``: filled with the base model's answers and asked before it is, for a caller who examines
    several fits of one backbone, with one sampler, on the same prompts.
    """

    def __init__(
        self,
        sampler: ReferenceSampler,
        whole: Delta,
        encoders: Encoders,
        drawn: Sequence[DrawnPrompt],
        seed: int,
        *,
        images: bool = True,
        answers: Answers | None = None,
    ) -> None:
        self.images, self.answers = images, answers
        self.sampler, self.backbone, self.whole, self.encoders = sampler, sampler.backbone, whole, encoders
        self.drawn, self.prompts = drawn, seeded(drawn, seed=seed)
        drift = sampler.drift
        self.timesteps = stratified(sampler.backbone, drift.timesteps, seed=drift.seed)

    def values(self, progress: Progress) -> FreshValues:
        """Measure on every prompt; the weights are left as they were."""
        result, n = FreshValues(), len(self.prompts)
        moved = self.backbone.distance().moved
        progress("prompts", 0, n, None)
        for start in range(0, n, PART):
            part = slice(start, min(start + PART, n))
            if moved:
                self._measure(part, result, partial(_reported, progress, start, n))
            else:
                self._unmoved(part, result)
            progress("prompts", part.stop, n, None)
        return result

    def probe(self, part: slice) -> NoiseProbe:
        """The noise probe of some prompts: the base model's images, noised, and what it predicts there."""
        return self._asked_of_base(part, lambda done: None)[0]

    def _asked_of_base(self, part: slice, report: Callable[[int], None]) -> tuple[NoiseProbe, Tensor]:
        if self.answers is None:
            return self._answered_by_base(part, report)
        prompts = self.prompts[part]
        if prompts not in self.answers:
            self.answers[prompts] = self._answered_by_base(part, report)
        return self.answers[prompts]

    def _answered_by_base(self, part: slice, report: Callable[[int], None]) -> tuple[NoiseProbe, Tensor]:
        self.backbone.interpolate(self.whole, 0.0)
        images = self._images(part, report)
        asked = NoiseProbe(self.prompts[part], self.sampler.encode(images), self.timesteps, torch.empty(0))
        probe = replace(asked, predictions=predict(self.backbone, asked))
        self.backbone.interpolate(self.whole, 1.0)
        return probe, images

    def _images(self, part: slice, report: Callable[[int], None]) -> Tensor:
        prompts, sampling = self.prompts[part], self.sampler.sampling
        return sample_images(
            self.backbone,
            [prompt.text for prompt in prompts],
            seeds=[prompt.seed for prompt in prompts],
            **sampling.solver,
            report=lambda done, _: report(done),
        )

    def _measure(self, part: slice, result: FreshValues, report: Callable[[int], None]) -> None:
        size = part.stop - part.start
        probe, base = self._asked_of_base(part, lambda done: report(done // 2))
        tuned = predict(self.backbone, probe)
        moved = noise_distance(tuned.flatten(0, 1), probe.predictions.flatten(0, 1))
        result.add("noise_l2", moved.reshape(size, -1).mean(axis=1).tolist())
        result.add("relative_change", relative_change(tuned, probe.predictions))
        if not self.images:
            return
        images = self._images(part, lambda done: report((size + done) // 2))
        truth = [each.truth for each in self.drawn[part]]
        self._of_images(PriorImages(self.prompts[part], as_pil(images), as_pil(base), (), truth), result)

    def _of_images(self, images: PriorImages, result: FreshValues) -> None:
        inputs = ScorerInputs((), SubjectPhotos((), (), ()), prior=images)
        for name in OF_IMAGES:
            try:
                found = MEASURES[name].formula(inputs, self.encoders)
            except Missing as reason:
                result.missing[name] = str(reason)
            else:
                result.add(name, [float(value) for value in found])

    def _unmoved(self, part: slice, result: FreshValues) -> None:
        """Weights that do not reach the denoiser's prior prompts change nothing on them, exactly."""
        for name in MEASURED:
            if name == "prior_accuracy_fall" and not any(each.truth for each in self.drawn):
                result.missing[name] = "the prior prompts' ground truth is not known (Toybox only)"
                continue
            result.add(name, [0.0] * (part.stop - part.start))
