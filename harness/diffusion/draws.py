"""What chance decides in one forward pass of training, as data: so that a run can be recorded and replayed.

Knows no loss, no optimizer and no method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Entries, FromBank
    from harness.diffusion.examples import TrainingSet


@dataclass(frozen=True)
class MicroBatch:
    """One forward pass: the subject's examples first, after them those of the class or of a bank, if any.

    latents    z_0 [n, c, h, w], sampled from the autoencoder's posterior and scaled
    captions   n texts
    noise      ε, like ``latents``
    timesteps  t [n]
    subject    how many of the n are the subject's
    masks      [subject, 1, h, w], 1 where the loss counts; None: everywhere
    base       [n − subject, c, h, w], what the rest is to predict; None: the noise in it
    outlines   uint8 [subject, 1, H, W], 255 on the subject and 0 off it, in pixels; None where not known
    """

    latents: Tensor
    captions: list[str]
    noise: Tensor
    timesteps: Tensor
    subject: int
    masks: Tensor | None = None
    base: Tensor | None = None
    outlines: Tensor | None = None


Draws = Callable[[Iterator[MicroBatch]], Iterator[MicroBatch]]
"""Takes the trainer's own endless stream of micro-batches, returns the one that is trained on.

A generator that yields what it takes records a run; one that takes nothing replays another.
"""


def stream(
    backbone: Backbone,
    subject: TrainingSet,
    beside: TrainingSet | None,
    *,
    batch: int,
    generator: torch.Generator,
) -> Iterator[MicroBatch]:
    """Draw micro-batches without end, each when it is asked for: ``batch`` of the subject, as many beside.

    All randomness is ``generator``'s, a CPU generator: examples, captions and latents of the subject, then of
    the class, then noise, then timesteps.
    """
    while True:
        latents, captions, masks, outlines = subject.draw(batch, generator)
        if beside is not None:
            more = beside.draw(batch, generator)
            latents, captions = torch.cat([latents, more.latents]), captions + more.captions
        noise = torch.randn(latents.shape, generator=generator).to(latents)
        timesteps = backbone.draw_timesteps(len(latents), generator=generator)
        yield MicroBatch(latents, captions, noise, timesteps, batch, masks, outlines=outlines)


def with_bank(
    batches: Iterator[MicroBatch], learned: FromBank, *, batch: int, seed: int
) -> Iterator[MicroBatch]:
    """Add entries of a bank to each micro-batch, ``batch`` of them unless it says otherwise.

    They have a generator of their own: what is drawn of the subject is the same as without them.
    """
    rounds: Iterator[Entries] | None = None
    for drawn in batches:
        if rounds is None:
            rounds = learned.bank.rounds(learned.batch or batch, seed=seed, device=drawn.latents.device)
        more = next(rounds)
        yield replace(
            drawn,
            latents=torch.cat([drawn.latents, more.latents]),
            captions=drawn.captions + more.captions,
            noise=torch.cat([drawn.noise, more.noise]),
            timesteps=torch.cat([drawn.timesteps, more.timesteps]),
            base=more.base if learned.goal == "base" else None,
        )
