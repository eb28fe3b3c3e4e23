"""Samples of the toy's networks, and how far they are from each other: energy distances, ‖Δε‖₂, ‖Δθ‖₂.

Tensors in, numbers out. Copies of one world are sampled with the same noises, so that an unchanged class has
exactly the base model's samples.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from harness.diffusion.lipschitz import change_norm
from harness.toy import networks
from harness.toy.gaussians import CLASSES, OLD_CLASSES, Schedule
from harness.toy.networks import Weights, predict

SAMPLES = 1000
PROBE_POINTS, PROBE_TIMESTEPS = 100, 8


@torch.no_grad()
def sample(
    weights: Weights, schedule: Schedule, generators: Sequence[torch.Generator], count: int = SAMPLES
) -> Tensor:
    """Draw ``count`` points of every class from each copy, ancestrally: [copies, 6, count, 2].

    The chain starts from a normal draw at the last timestep but one: at the last, ᾱ is 0, the noisy point
    says nothing, and the released sampler divides by zero.
    """
    steps = len(schedule.beta) - 1
    noises = [torch.randn(steps + 1, CLASSES * count, 2, generator=each) for each in generators]
    points = torch.stack([noise[-1] for noise in noises])
    classes = torch.arange(CLASSES).repeat_interleave(count).expand(len(noises), -1)
    for t in reversed(range(steps)):
        beta, share = schedule.beta[t], schedule.alpha_bar[t]
        epsilon = predict(weights, points, torch.full_like(classes, t), classes)
        points = (points - beta / (1 - share).sqrt() * epsilon) / (1 - beta).sqrt()
        if t:
            points = points + beta.sqrt() * torch.stack([noise[t] for noise in noises])
    return points.unflatten(1, (CLASSES, count))


def energy_distance(first: Tensor, second: Tensor) -> float:
    """2·E|X − Y| − E|X − X'| − E|Y − Y'| of two samples [n, 2], [m, 2]; over all pairs, so never below 0.

    Exactly 0 for equal samples. Szekely and Rizzo 2013.
    """
    first, second = first.double(), second.double()
    within = _mean_distance(first, first) + _mean_distance(second, second)
    return float(2 * _mean_distance(first, second) - within)


def _mean_distance(first: Tensor, second: Tensor) -> Tensor:
    return torch.cdist(first, second, compute_mode="donot_use_mm_for_euclid_dist").mean()


def class_drift(samples: Tensor, base: Tensor) -> float:
    """The mean energy distance of the old classes' samples [6, n, 2] to the base model's."""
    return sum(energy_distance(samples[each], base[each]) for each in range(OLD_CLASSES)) / OLD_CLASSES


@torch.no_grad()
def noise_l2(
    weights: Weights, base: Weights, points: Tensor, schedule: Schedule, generators: Sequence[torch.Generator]
) -> list[float]:
    """The mean of ‖ε_θ − ε_θ0‖₂ for each copy, on noised points of the old classes [copies, 5, n, 2].

    The first PROBE_POINTS of every class × PROBE_TIMESTEPS timesteps in even strata; one noise for each.
    """
    timesteps = ((torch.arange(PROBE_TIMESTEPS) + 0.5) * len(schedule.beta) / PROBE_TIMESTEPS).long()
    probed = points[:, :, :PROBE_POINTS].flatten(1, 2)
    n = probed.shape[1]
    classes = torch.arange(OLD_CLASSES).repeat_interleave(n // OLD_CLASSES).expand(len(probed), -1)
    total = torch.zeros(len(probed), dtype=torch.float64)
    for t in timesteps.tolist():
        noise = torch.stack([torch.randn(n, 2, generator=each) for each in generators])
        at = torch.full_like(classes, t)
        noisy = schedule.noised(probed, noise, at)
        change = predict(weights, noisy, at, classes) - predict(base, noisy, at, classes)
        total += change.double().norm(dim=-1).mean(dim=1)
    return (total / PROBE_TIMESTEPS).tolist()


def weight_l2(weights: Weights, base: Weights) -> list[float]:
    """‖Δθ‖₂ of each copy, all its tensors."""
    copies = len(weights["out.bias"])
    return [change_norm(networks.terms(weights, base, copy)) for copy in range(copies)]
