"""Trains stacked copies of the toy's network: the base models, then every arm on the new class.

Copies of one world see the same batches, timesteps and noises, so that arms are compared in pairs.
Knows neither records nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from harness.diffusion.lipschitz import penalty_factor
from harness.toy import networks
from harness.toy.gaussians import CLASSES, NEW_CLASS, OLD_CLASSES, POINTS, Schedule
from harness.toy.networks import Weights, predict

BATCH, LR = 512, 2e-3


@dataclass(frozen=True)
class Draws:
    """One world's draws for a step: rows of its points [n], timesteps [n], noises [n, 2]."""

    rows: Tensor
    timesteps: Tensor
    noise: Tensor


def draws(size: int, timesteps: int, generator: torch.Generator) -> Iterator[Draws]:
    """Draw batches of at most 512 without end, in shuffled rounds over ``size`` points."""
    while True:
        order = torch.randperm(size, generator=generator)
        for rows in order.split(BATCH):
            n = len(rows)
            yield Draws(
                rows,
                torch.randint(timesteps, (n,), generator=generator),
                torch.randn(n, 2, generator=generator),
            )


@dataclass(frozen=True)
class World:
    """What a seed decides: the points of the old classes [5, 1000, 2] and of the new one [1000, 2]."""

    seed: int
    old: Tensor
    new: Tensor

    def generator(self, purpose: int) -> torch.Generator:
        """A generator of the world's own for one purpose (a small number)."""
        return torch.Generator().manual_seed(1000 * self.seed + purpose)


@dataclass(frozen=True)
class Fit:
    """One copy to be tuned: the number of its world, and what holds it back.

    penalty   λ of the mean form, 0 for none
    prior     weight of the denoising loss on the points of class 0
    preserve  weight of the squared distance to the base model's ε on its own samples of all old classes
    alone     only the new class's embedding is trained
    """

    world: int
    penalty: float = 0.0
    prior: float = 0.0
    preserve: float = 0.0
    alone: bool = False

    @property
    def second_batch(self) -> str:
        """What a step looks at beside the new class: fits that agree in it are trained side by side."""
        return "prior" if self.prior else "preserve" if self.preserve else ""


def pretrain(worlds: Sequence[World], schedule: Schedule, steps: int) -> Weights:
    """Train a base model for each world on its five old classes (the sixth embedding stays as drawn)."""
    weights = networks.fresh([world.generator(1) for world in worlds])
    points = torch.stack([world.old.flatten(0, 1) for world in worlds])
    streams = [draws(points.shape[1], len(schedule.beta), world.generator(2)) for world in worlds]

    def loss(weights: Weights) -> Tensor:
        batch = _stacked([next(stream) for stream in streams])
        classes = batch.rows // POINTS
        return _denoising(weights, schedule, _picked(points, batch.rows), batch, classes).sum()

    return _optimized(weights, steps, loss)


def tune(
    fits: Sequence[Fit],
    base: Weights,
    worlds: Sequence[World],
    schedule: Schedule,
    steps: int,
    samples: Tensor | None = None,
) -> Weights:
    """Tune copies of the base models on the new class. All fits have the same kind of second batch.

    ``base`` holds a copy for each world; ``samples`` [worlds, 5, n, 2] are its own, for ``preserve``.
    """
    start = networks.repeated(base, [fit.world for fit in fits])
    return _optimized(
        networks.repeated(base, [fit.world for fit in fits]),
        steps,
        _tuning_loss(fits, start, worlds, schedule, samples),
        _constraint(fits, start),
    )


def _tuning_loss(
    fits: Sequence[Fit], start: Weights, worlds: Sequence[World], schedule: Schedule, samples: Tensor | None
) -> Callable[[Weights], Tensor]:
    (second,) = {fit.second_batch for fit in fits}
    of = torch.tensor([fit.world for fit in fits])
    timesteps = len(schedule.beta)
    new = torch.stack([world.new for world in worlds])[of]
    streams = [draws(POINTS, timesteps, world.generator(3)) for world in worlds]
    if second == "prior":
        kept = torch.stack([world.old[0] for world in worlds])[of]
        weight = torch.tensor([fit.prior for fit in fits])
    elif second == "preserve":
        assert samples is not None
        kept, per_class = samples.flatten(1, 2)[of], samples.shape[2]
        weight = torch.tensor([fit.preserve for fit in fits])
    others = [draws(kept.shape[1], timesteps, world.generator(4)) for world in worlds] if second else []

    def loss(weights: Weights) -> Tensor:
        batch = _stacked([next(stream) for stream in streams], of)
        classes = torch.full_like(batch.rows, NEW_CLASS)
        total = _denoising(weights, schedule, _picked(new, batch.rows), batch, classes)
        if second:
            other = _stacked([next(stream) for stream in others], of)
            points = _picked(kept, other.rows)
            if second == "prior":
                held = _denoising(weights, schedule, points, other, torch.zeros_like(other.rows))
            else:
                held = _distance(weights, start, schedule, points, other, other.rows // per_class)
            total = total + weight * held
        return total.sum()

    return loss


def _denoising(weights: Weights, schedule: Schedule, points: Tensor, batch: Draws, classes: Tensor) -> Tensor:
    """The mean squared error of ε for each copy: [copies]."""
    noisy = schedule.noised(points, batch.noise, batch.timesteps)
    return (predict(weights, noisy, batch.timesteps, classes) - batch.noise).square().mean(dim=(1, 2))


def _distance(
    weights: Weights, base: Weights, schedule: Schedule, points: Tensor, batch: Draws, classes: Tensor
) -> Tensor:
    """The mean squared distance of ε to the base model's for each copy: [copies]."""
    noisy = schedule.noised(points, batch.noise, batch.timesteps)
    with torch.no_grad():
        wanted = predict(base, noisy, batch.timesteps, classes)
    return (predict(weights, noisy, batch.timesteps, classes) - wanted).square().mean(dim=(1, 2))


def _constraint(fits: Sequence[Fit], start: Weights) -> Callable[[Weights], None]:
    """Give what is done to the gradients of a step: λ·∇penalty added, frozen tensors' set to zero."""
    factors = {
        name: torch.tensor(
            [
                penalty_factor(term, fit.penalty)
                for fit in fits
                for term in networks.terms({name: tensor}, start, 0)
            ]
        )
        for name, tensor in start.items()
    }
    alone = torch.tensor([fit.alone for fit in fits])
    only = (torch.arange(CLASSES) >= OLD_CLASSES).float()[:, None]

    def apply(weights: Weights) -> None:
        for name, tensor in weights.items():
            gradient = tensor.grad
            assert gradient is not None
            across = (-1, *[1] * (tensor.dim() - 1))
            if factors[name].any():
                gradient.addcmul_(factors[name].view(across), tensor.detach() - start[name])
            if alone.any():
                open_ = only if name == "embed_class" else torch.zeros(())
                gradient.mul_(torch.where(alone.view(across), open_, torch.ones(())))

    return apply


def _optimized(
    weights: Weights,
    steps: int,
    loss: Callable[[Weights], Tensor],
    constraint: Callable[[Weights], None] = lambda weights: None,
) -> Weights:
    """Take Adam steps. Adam works entry by entry, so that a sum of losses trains every copy by itself."""
    trained = {name: tensor.requires_grad_() for name, tensor in weights.items()}
    optimizer = torch.optim.Adam(trained.values(), lr=LR, fused=True)
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=False)
        loss(trained).backward()
        constraint(trained)
        optimizer.step()
    return {name: tensor.detach() for name, tensor in trained.items()}


def _stacked(batches: Sequence[Draws], of: Tensor | None = None) -> Draws:
    """Stack the worlds' draws [worlds, …], or hand each copy those of its world ``of`` [copies]."""
    parts = [
        torch.stack([getattr(each, name) for each in batches]) for name in ("rows", "timesteps", "noise")
    ]
    return Draws(*(part if of is None else part[of] for part in parts))


def _picked(points: Tensor, rows: Tensor) -> Tensor:
    """Rows [copies, n] of points [copies, all, 2]: [copies, n, 2]."""
    return points[torch.arange(len(points))[:, None], rows]
