"""How much is luck: variance components of paired differences, by moments, and what to buy next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Components:
    """Variances of a paired difference, in the square of its unit; estimates below 0 count as 0.

    subject  between subjects; ``seed`` between training seeds of one subject; ``prompt`` within a fit (with
    what varies between images of one prompt).
    """

    subject: float
    seed: float
    prompt: float

    @property
    def total(self) -> float:
        """Their sum."""
        return self.subject + self.seed + self.prompt

    def error(self, subjects: int, seeds: int, prompts: int) -> float:
        """Return the standard error of the mean with so many subjects, seeds for each, prompts for each."""
        inner = (self.seed + self.prompt / prompts) / seeds
        return math.sqrt((self.subject + inner) / subjects)


def components(differences: NDArray[np.float64]) -> Components:
    """Split the variance of differences [subjects, seeds, prompts] of a balanced nested design.

    Mean squares of the levels against their expectations (Searle, Casella, McCulloch 1992, §3.5). Needs at
    least two of everything; ValueError otherwise.
    """
    subjects, seeds, prompts = differences.shape
    if min(subjects, seeds, prompts) < 2:
        raise ValueError(f"needs at least 2 subjects, seeds and prompts, got {differences.shape}")
    fits = differences.mean(axis=2)
    means = fits.mean(axis=1)
    within = differences.var(axis=2, ddof=1).mean()
    between_fits = prompts * fits.var(axis=1, ddof=1).mean()
    between_subjects = seeds * prompts * means.var(ddof=1)
    seed = (between_fits - within) / prompts
    subject = (between_subjects - between_fits) / (seeds * prompts)
    return Components(max(0.0, float(subject)), max(0.0, float(seed)), float(within))


def best_prompts(found: Components, *, fit: float, image: float) -> float:
    """Return how many prompts a subject are worth sampling at the given costs: √(σ²_p/σ²_s · c_fit/c_image).

    ``fit``, ``image``: seconds of a fit with its drift measures, and of one image (Cochran 1977, §10.6).
    Infinite where subjects do not differ.
    """
    between = found.subject + found.seed
    return math.inf if between == 0 else math.sqrt(found.prompt / between * fit / image)
