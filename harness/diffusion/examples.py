"""What a method learns from: images with captions, encoded once and drawn in shuffled rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from harness.diffusion.augment import Augment, vary
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.conditioning import LatentDistribution


@dataclass(frozen=True)
class Example:
    """An image to learn from; each time it comes up one of its captions is drawn."""

    image: Image.Image
    captions: tuple[str, ...]


@dataclass(frozen=True)
class Prior:
    """Examples of the class, learned beside the subject's one for one, their loss times ``weight``."""

    examples: Sequence[Example]
    weight: float = 1.0


class TrainingSet:
    """Examples as latents, ready to be drawn: every variant of every example, encoded once."""

    def __init__(
        self,
        latents: LatentDistribution,
        captions: list[tuple[str, ...]],
        masks: Tensor | None,
        variants: int,
    ) -> None:
        self.latents, self.captions, self.masks, self.variants = latents, captions, masks, variants
        self._order: Iterator[int] = iter(())

    @classmethod
    def prepare(
        cls,
        backbone: Backbone,
        examples: Sequence[Example],
        augment: Augment | None,
        generator: torch.Generator,
    ) -> TrainingSet:
        """Encode the examples, each in ``augment.variants`` versions, or once as it is."""
        if augment is None or not (augment.flip or augment.scale):
            return cls(backbone.latents([e.image for e in examples]), [e.captions for e in examples], None, 1)
        side = backbone.latent_shape[1]
        images, captions, masks = [], [], []
        for example in examples:
            for _ in range(augment.variants):
                variant = vary(
                    example.image, augment, side=backbone.resolution, latent_side=side, generator=generator
                )
                images.append(variant.image)
                captions.append(tuple(f"{variant.words} {caption}".strip() for caption in example.captions))
                masks.append(torch.ones(1, side, side) if variant.mask is None else variant.mask)
        return cls(
            backbone.latents(images), captions, torch.stack(masks).to(backbone.device), augment.variants
        )

    def draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, list[str], Tensor | None]:
        """Next n examples: latents [n, c, h, w], captions, and masks [n, 1, h, w] of the loss, if any."""
        index = [self._next(generator) * self.variants + _below(self.variants, generator) for _ in range(n)]
        captions = [self.captions[i][_below(len(self.captions[i]), generator)] for i in index]
        masks = None if self.masks is None else self.masks[index]
        return self.latents[index].sample(generator=generator), captions, masks

    @property
    def every_caption(self) -> list[str]:
        """All captions, each once."""
        return list(dict.fromkeys(caption for captions in self.captions for caption in captions))

    def _next(self, generator: torch.Generator) -> int:
        for i in self._order:
            return i
        self._order = iter(torch.randperm(len(self.captions) // self.variants, generator=generator).tolist())
        return next(self._order)


def _below(n: int, generator: torch.Generator) -> int:
    return 0 if n == 1 else int(torch.randint(n, (), generator=generator))
