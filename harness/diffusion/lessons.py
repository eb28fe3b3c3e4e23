"""What a training run learns from, put together: the subject's examples, and the class's or a bank's beside.

Knows no loss, no optimizer and no method.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.diffusion.augment import Augment
from harness.diffusion.bank import FromBank
from harness.diffusion.draws import MicroBatch, stream, with_bank
from harness.diffusion.examples import Example, Prior, TrainingSet

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone


@dataclass(frozen=True)
class Lessons:
    """The subject's images, and what is learnt beside them: images of the class, entries of a bank, nothing.

    weight  of the loss beside the subject's; 0 where there is nothing
    """

    backbone: Backbone
    subject: TrainingSet
    of_class: TrainingSet | None = None
    bank: FromBank | None = None
    weight: float = 0.0

    @classmethod
    def prepare(
        cls,
        backbone: Backbone,
        examples: Sequence[Example],
        augment: Augment | None,
        prior: Prior | FromBank | None,
        generator: torch.Generator,
    ) -> Lessons:
        """Encode the examples; a prior of weight 0 is none."""
        subject = TrainingSet.prepare(backbone, examples, augment, generator)
        if prior is None or not prior.weight:
            return cls(backbone, subject)
        if isinstance(prior, FromBank):
            return cls(backbone, subject, bank=prior, weight=prior.weight)
        of_class = TrainingSet.prepare(backbone, prior.examples, None, generator)
        return cls(backbone, subject, of_class, weight=prior.weight)

    def batches(self, *, batch: int, generator: torch.Generator, seed: int) -> Iterator[MicroBatch]:
        """Draw micro-batches without end: ``seed`` decides the bank's entries, ``generator`` all else."""
        drawn = stream(self.backbone, self.subject, self.of_class, batch=batch, generator=generator)
        return drawn if self.bank is None else with_bank(drawn, self.bank, batch=batch, seed=seed)

    def at_once(self, batch: int) -> int:
        """How many examples go through the denoiser together, ``batch`` being the subject's."""
        if self.bank is not None:
            return batch + (self.bank.batch or batch)
        return batch if self.of_class is None else 2 * batch

    @property
    def captions(self) -> list[str]:
        """All texts, for the text encoders to read them beforehand."""
        beside = self.of_class.every_caption if self.of_class else []
        return [*self.subject.every_caption, *beside, *(self.bank.bank.prompts if self.bank else ())]
