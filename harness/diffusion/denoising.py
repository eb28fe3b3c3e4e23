"""The loss of one micro-batch: the squared error of the subject's part, and of what is learnt beside it.

Knows no optimizer, no constraint and no method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.diffusion.draws import MicroBatch
from harness.diffusion.objective import Reduction, reduce

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone


@dataclass(frozen=True)
class DenoisingLoss:
    """E‖target − prediction‖² of a micro-batch; subject and the rest go through the denoiser together.

    beside        weight of the mean square over the examples that are not the subject's
    precondition  compare clean latents in place of velocities
    reduction     how the subject's squares are averaged under their masks
    """

    backbone: Backbone
    beside: float = 0.0
    precondition: bool = False
    reduction: Reduction = "mean"

    def __call__(self, drawn: MicroBatch) -> Tensor:
        """The loss [] of a micro-batch, with the graph of its gradients."""
        backbone = self.backbone
        noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
        predicted = backbone.predict(noisy, drawn.timesteps, backbone.conditioning(drawn.captions))
        squares = (predicted - self._target(drawn)).square()
        if self.precondition:
            squares = squares * backbone.clean_latent_weight(drawn.timesteps)
        loss = reduce(squares[: drawn.subject], drawn.masks, self.reduction)
        if self.beside and len(squares) > drawn.subject:
            loss = loss + self.beside * squares[drawn.subject :].mean()
        return loss

    def _target(self, drawn: MicroBatch) -> Tensor:
        """What is to be predicted [n, c, h, w]: the noise, or beside the subject the base model's."""
        target = self.backbone.target(drawn.latents, drawn.noise, drawn.timesteps)
        return target if drawn.base is None else torch.cat([target[: drawn.subject], drawn.base])
