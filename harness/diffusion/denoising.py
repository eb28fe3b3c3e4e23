"""The loss of one micro-batch: the squared error of the subject's part, and of what is learnt beside it.

Knows no optimizer, no constraint and no method.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.diffusion.alignment import FeatureAlignment
from harness.diffusion.draws import MicroBatch
from harness.diffusion.objective import Reduction, reduce

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone


@dataclass(frozen=True)
class Preference:
    """As much better than the base model as need be: −log σ(−β·(L_θ − L_θ0)) in place of L_θ.

    Source: arXiv 2402.12004. L are means over the subject in a micro-batch, with the same z_t, t and ε.

    told  caption → what the base model is asked instead
    """

    beta: float
    told: Mapping[str, str]

    def loss(self, tuned: Tensor, base: Tensor) -> Tensor:
        """The loss [] of the squared errors of the tuned and of the base model, both []."""
        return -F.logsigmoid(-self.beta * (tuned - base))


@dataclass(frozen=True)
class DenoisingLoss:
    """E‖target − prediction‖² of a micro-batch; subject and the rest go through the denoiser together.

    beside        weight of the mean square over the examples that are not the subject's
    precondition  compare clean latents in place of velocities
    reduction     how the subject's squares are averaged under their masks
    preference    turns the subject's part into a preference over the base model; None: nothing does
    alignment     is added to the subject's part; None: nothing is
    """

    backbone: Backbone
    beside: float = 0.0
    precondition: bool = False
    reduction: Reduction = "mean"
    preference: Preference | None = None
    alignment: FeatureAlignment | None = None

    def __call__(self, drawn: MicroBatch) -> Tensor:
        """The loss [] of a micro-batch, with the graph of its gradients."""
        base = None if self.preference is None else self._of_base(drawn, self.preference.told)
        noisy, predicted = self._predicted(drawn, drawn.captions)
        squares = self._squares(drawn, predicted)
        loss = self._of_subject(squares, drawn)
        if self.preference is not None and base is not None:
            loss = self.preference.loss(loss, base)
        if self.alignment is not None:
            aligned = self.alignment.loss(self.backbone, drawn, noisy, predicted)
            loss = loss if aligned is None else loss + aligned
        if self.beside and len(squares) > drawn.subject:
            loss = loss + self.beside * squares[drawn.subject :].mean()
        return loss

    @torch.no_grad()
    def _of_base(self, drawn: MicroBatch, told: Mapping[str, str]) -> Tensor:
        """The subject's part [] of the base model's loss, asked in its own words."""
        n = drawn.subject
        own = MicroBatch(
            drawn.latents[:n], drawn.captions[:n], drawn.noise[:n], drawn.timesteps[:n], n, drawn.masks
        )
        with self.backbone.adaptation.at_base():
            _, predicted = self._predicted(own, [told.get(caption, caption) for caption in own.captions])
        return self._of_subject(self._squares(own, predicted), own)

    def _of_subject(self, squares: Tensor, drawn: MicroBatch) -> Tensor:
        return reduce(squares[: drawn.subject], drawn.masks, self.reduction)

    def _predicted(self, drawn: MicroBatch, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """z_t and what is predicted there, both [n, c, h, w]."""
        backbone = self.backbone
        noisy = backbone.add_noise(drawn.latents, drawn.noise, drawn.timesteps)
        return noisy, backbone.predict(noisy, drawn.timesteps, backbone.conditioning(captions))

    def _squares(self, drawn: MicroBatch, predicted: Tensor) -> Tensor:
        """(target − prediction)² [n, c, h, w]."""
        squares = (predicted - self._target(drawn)).square()
        if not self.precondition:
            return squares
        return squares * self.backbone.clean_latent_weight(drawn.timesteps)

    def _target(self, drawn: MicroBatch) -> Tensor:
        """What is to be predicted [n, c, h, w]: the noise, or beside the subject the base model's."""
        target = self.backbone.target(drawn.latents, drawn.noise, drawn.timesteps)
        return target if drawn.base is None else torch.cat([target[: drawn.subject], drawn.base])
