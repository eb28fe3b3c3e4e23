"""Trains copies of the toy's network side by side: a world's base model, then several arms on the new class.

Copies of one world see the same batches, timesteps and noises, so that arms are compared in pairs.
Knows neither records nor files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from harness.diffusion.lipschitz import penalty_factor
from harness.toy import networks
from harness.toy.gaussians import CLASSES, NEW_CLASS, OLD_CLASSES, POINTS, Schedule, new_points, old_points
from harness.toy.networks import Rows, Weights

BATCH, LR = 512, 2e-3


@dataclass(frozen=True)
class World:
    """What a seed decides: the points of the old classes [5, 1000, 2] and of the new one [1000, 2]."""

    seed: int
    old: Tensor
    new: Tensor

    @classmethod
    def drawn(cls, seed: int) -> World:
        """Draw the points of a world."""
        generator = cls(seed, torch.empty(0), torch.empty(0)).generator(0)
        return cls(seed, old_points(generator), new_points(generator))

    def generator(self, purpose: int) -> torch.Generator:
        """A generator of the world's own for one purpose (a small number)."""
        return torch.Generator().manual_seed(1000 * self.seed + purpose)


@dataclass(frozen=True)
class Fit:
    """What holds one copy back while it learns the new class.

    penalty   λ of the mean form, 0 for none
    prior     weight of the denoising loss on the points of class 0
    preserve  weight of the squared distance to the base model's ε on its own samples of all old classes
    alone     only the new class's embedding is trained
    """

    penalty: float = 0.0
    prior: float = 0.0
    preserve: float = 0.0
    alone: bool = False

    @property
    def second_batch(self) -> str:
        """What a step looks at beside the new class: fits that agree in it are trained side by side."""
        return "prior" if self.prior else "preserve" if self.preserve else ""


@dataclass(frozen=True)
class Batch:
    """Rows of a world with the ε that is wanted [1, n, 2]: the loss is ½·Σ weight·‖ε − wanted‖².

    weight  [copies, n]: 1/n makes it the mean squared error over both coordinates
    """

    rows: Rows
    wanted: Tensor
    weight: Tensor

    @classmethod
    def joined(cls, first: Batch, second: Batch) -> Batch:
        """One batch whose loss is the sum of both."""
        pairs = [
            (first.rows.points, second.rows.points),
            (first.rows.timesteps, second.rows.timesteps),
            (first.rows.classes, second.rows.classes),
            (first.wanted, second.wanted),
            (first.weight, second.weight),
        ]
        points, timesteps, classes, wanted, weight = (torch.cat(pair, dim=1) for pair in pairs)
        return cls(Rows(points, timesteps, classes), wanted, weight)


def draws(size: int, timesteps: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Draw numbers of points [n], timesteps [n] and noises [n, 2], n ≤ 512, in shuffled rounds."""
    while True:
        order = torch.randperm(size, generator=generator)
        for rows in order.split(BATCH):
            n = len(rows)
            yield (
                rows,
                torch.randint(timesteps, (n,), generator=generator),
                torch.randn(n, 2, generator=generator),
            )


def denoising(
    points: Tensor, classes: Tensor, weight: Tensor, schedule: Schedule, generator: torch.Generator
) -> Iterator[Batch]:
    """Batches of the denoising loss on points [all, 2] of classes [all], times ``weight`` [copies]."""
    for rows, timesteps, noise in draws(len(points), len(schedule.beta), generator):
        noisy = schedule.noised(points[rows], noise, timesteps)
        seen = Rows(noisy[None], timesteps[None], classes[rows][None])
        yield Batch(seen, noise[None], (weight / len(rows))[:, None].expand(-1, len(rows)))


def pretrain(world: World, schedule: Schedule, steps: int) -> Weights:
    """Train a world's base model on its five old classes (the sixth embedding stays as drawn): one copy."""
    classes = torch.arange(OLD_CLASSES).repeat_interleave(POINTS)
    batches = denoising(world.old.flatten(0, 1), classes, torch.ones(1), schedule, world.generator(2))
    return _optimized(networks.fresh(world.generator(1)), steps, batches)


def tune(
    fits: Sequence[Fit],
    base: Weights,
    world: World,
    schedule: Schedule,
    steps: int,
    samples: Tensor | None = None,
) -> Weights:
    """Tune a copy of the base model for each fit. All have the same kind of second batch.

    ``base`` holds one copy; ``samples`` [5, n, 2] are its own of the old classes, for ``preserve``.
    """
    (second,) = {fit.second_batch for fit in fits}
    new = torch.full((POINTS,), NEW_CLASS)
    batches = denoising(world.new, new, torch.ones(len(fits)), schedule, world.generator(3))
    if second:
        points = world.old[:1] if second == "prior" else samples
        assert points is not None
        classes = torch.arange(len(points)).repeat_interleave(points.shape[1])
        weight = torch.tensor([fit.prior or fit.preserve for fit in fits])
        others = denoising(points.flatten(0, 1), classes, weight, schedule, world.generator(4))
        if second == "preserve":
            others = (Batch(each.rows, networks.predict(base, each.rows), each.weight) for each in others)
        batches = map(Batch.joined, batches, others)
    return _optimized(networks.repeated(base, len(fits)), steps, batches, fits)


def _optimized(
    weights: Weights, steps: int, batches: Iterator[Batch], fits: Sequence[Fit] = (Fit(),)
) -> Weights:
    """Take Adam steps. Adam works entry by entry, so that it trains every copy by itself."""
    copies = len(weights["out.bias"])
    flat = networks.flat(weights)
    start, trained = flat.clone(), networks.views(flat, copies)
    pull, free = _pull(fits, weights), _free(fits, weights)
    optimizer = torch.optim.Adam([flat], lr=LR, fused=True)
    for batch in islice(batches, steps):
        rows = batch.rows.expanded(copies)
        flat.grad = networks.flat(networks.gradient(trained, rows, batch.wanted, batch.weight))
        if pull is not None:
            flat.grad.addcmul_(pull, flat - start)
        if free is not None:
            flat.grad.mul_(free)
        optimizer.step()
    return {name: tensor.clone() for name, tensor in trained.items()}


def _pull(fits: Sequence[Fit], weights: Weights) -> Tensor | None:
    """λ' of λ·∇penalty = λ'·(θ − θ0), entry by entry; None where no fit has a penalty."""
    if not any(fit.penalty for fit in fits):
        return None
    return networks.flat(
        {
            name: torch.stack(
                [
                    torch.full_like(tensor[copy], penalty_factor(term, fit.penalty))
                    for copy, fit in enumerate(fits)
                    for term in networks.terms({name: tensor}, weights, copy)
                ]
            )
            for name, tensor in weights.items()
        }
    )


def _free(fits: Sequence[Fit], weights: Weights) -> Tensor | None:
    """1 for entries that are trained, 0 for others; None where all are."""
    if not any(fit.alone for fit in fits):
        return None
    alone = torch.tensor([fit.alone for fit in fits])
    opened = {name: torch.ones_like(tensor) for name, tensor in weights.items()}
    for name, tensor in opened.items():
        tensor[alone] = 0.0
        if name == "embed_class":
            tensor[:, OLD_CLASSES:CLASSES] = 1.0
    return networks.flat(opened)
