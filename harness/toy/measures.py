"""Samples of the toy's networks, and how far they are from each other: energy distances, ‖Δε‖₂, ‖Δθ‖₂.

Tensors in, numbers out. Copies of one world are sampled with the same noises, so that an unchanged class has
exactly the base model's samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.diffusion.lipschitz import change_norm
from harness.toy import networks
from harness.toy.gaussians import CLASSES, OLD_CLASSES, Schedule
from harness.toy.networks import Rows, Weights, predict

SAMPLES = 1000
PROBE_POINTS, PROBE_TIMESTEPS = 100, 8


def sample(weights: Weights, schedule: Schedule, generator: torch.Generator, count: int = SAMPLES) -> Tensor:
    """Draw ``count`` points of every class from each copy, ancestrally: [copies, 6, count, 2].

    The chain starts from a normal draw at the last timestep but one: at the last, ᾱ is 0, the noisy point
    says nothing, and the released sampler divides by zero. All copies have the same noises.
    """
    copies, steps = len(weights["out.bias"]), len(schedule.beta) - 1
    noises = torch.randn(steps + 1, CLASSES, count, 2, generator=generator)
    drawn = []
    for label in range(CLASSES):  # one class at a time stays in cache
        points = noises[-1, label].expand(copies, -1, -1)
        classes = torch.full((copies, count), label)
        for t in reversed(range(steps)):
            beta, share = schedule.beta[t], schedule.alpha_bar[t]
            epsilon = predict(weights, Rows(points, torch.full_like(classes, t), classes))
            points = (points - beta / (1 - share).sqrt() * epsilon) / (1 - beta).sqrt()
            if t:
                points = points + beta.sqrt() * noises[t, label]
        drawn.append(points)
    return torch.stack(drawn, dim=1)


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


def noise_l2(
    weights: Weights, base: Weights, points: Tensor, schedule: Schedule, generator: torch.Generator
) -> list[float]:
    """The mean of ‖ε_θ − ε_θ0‖₂ for each copy, on noised points of the old classes [5, n, 2].

    The first PROBE_POINTS of every class × PROBE_TIMESTEPS timesteps in even strata; one noise for each.
    ``base`` holds one copy.
    """
    timesteps = ((torch.arange(PROBE_TIMESTEPS) + 0.5) * len(schedule.beta) / PROBE_TIMESTEPS).long()
    probed = points[:, :PROBE_POINTS].flatten(0, 1)
    classes = torch.arange(OLD_CLASSES).repeat_interleave(len(probed) // OLD_CLASSES)
    copies = len(weights["out.bias"])
    total = torch.zeros(copies, dtype=torch.float64)
    for t in timesteps.tolist():
        at = torch.full_like(classes, t)
        noisy = schedule.noised(probed, torch.randn(probed.shape, generator=generator), at)
        rows = Rows(noisy[None], at[None], classes[None])
        change = predict(weights, rows.expanded(copies)) - predict(base, rows)
        total += change.double().norm(dim=-1).mean(dim=1)
    return (total / PROBE_TIMESTEPS).tolist()


def weight_l2(weights: Weights, base: Weights) -> list[float]:
    """‖Δθ‖₂ of each copy, all its tensors, to the one copy in ``base``."""
    copies = len(weights["out.bias"])
    stacked = networks.repeated(base, copies)
    return [change_norm(networks.terms(weights, stacked, copy)) for copy in range(copies)]
