"""What a method learns from: images with captions, encoded once and drawn in shuffled rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from harness.diffusion.augment import Augment, vary
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.backbones.conditioning import LatentDistribution

if TYPE_CHECKING:
    from harness.api import Subject


@dataclass(frozen=True)
class Example:
    """An image to learn from; each time it comes up one of its captions is drawn.

    ``outline`` is grey and of the image's size, 255 on the subject and 0 off it; None where it is not known.
    """

    image: Image.Image
    captions: tuple[str, ...]
    outline: Image.Image | None = None


def examples_of(subject: Subject, *captions: str) -> list[Example]:
    """The subject's shots with these captions each, and with their outlines where those are known."""
    outlines = [None] * len(subject.shots) if subject.outlines is None else subject.outlines()
    return [Example(shot, captions, outline) for shot, outline in zip(subject.shots, outlines, strict=True)]


@dataclass(frozen=True)
class Prior:
    """Examples of the class, learned beside the subject's one for one, their loss times ``weight``."""

    examples: Sequence[Example]
    weight: float = 1.0


class Drawn(NamedTuple):
    """n examples of a training set.

    latents   [n, c, h, w], sampled from the autoencoder's posterior
    captions  n texts
    masks     [n, 1, h, w], 1 where the loss counts; None: everywhere
    outlines  uint8 [n, 1, H, W], 255 on the subject and 0 off it; None where they are not known
    """

    latents: Tensor
    captions: list[str]
    masks: Tensor | None
    outlines: Tensor | None


class TrainingSet:
    """Examples as latents, ready to be drawn: every variant of every example, encoded once."""

    def __init__(
        self,
        latents: LatentDistribution,
        captions: list[tuple[str, ...]],
        masks: Tensor | None,
        variants: int,
        outlines: Tensor | None = None,
    ) -> None:
        self.latents, self.captions, self.masks, self.variants = latents, captions, masks, variants
        self.outlines = outlines
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
            outlines = _levels([e.outline for e in examples], backbone)
            latents = backbone.latents([e.image for e in examples])
            return cls(latents, [e.captions for e in examples], None, 1, outlines)
        side = backbone.latent_shape[1]
        images, captions, masks, drawn = [], [], [], []
        for example in examples:
            for _ in range(augment.variants):
                variant = vary(
                    example.image,
                    augment,
                    side=backbone.resolution,
                    latent_side=side,
                    generator=generator,
                    outline=example.outline,
                )
                images.append(variant.image)
                captions.append(tuple(f"{variant.words} {caption}".strip() for caption in example.captions))
                masks.append(torch.ones(1, side, side) if variant.mask is None else variant.mask)
                drawn.append(variant.outline)
        return cls(
            backbone.latents(images),
            captions,
            torch.stack(masks).to(backbone.device),
            augment.variants,
            _levels(drawn, backbone),
        )

    def draw(self, n: int, generator: torch.Generator) -> Drawn:
        """Draw the next n examples, each with one of its captions."""
        index = [self._next(generator) * self.variants + _below(self.variants, generator) for _ in range(n)]
        captions = [self.captions[i][_below(len(self.captions[i]), generator)] for i in index]
        masks = None if self.masks is None else self.masks[index]
        outlines = None if self.outlines is None else self.outlines[index]
        return Drawn(self.latents[index].sample(generator=generator), captions, masks, outlines)

    @property
    def every_caption(self) -> list[str]:
        """All captions, each once."""
        return list(dict.fromkeys(caption for captions in self.captions for caption in captions))

    def _next(self, generator: torch.Generator) -> int:
        for i in self._order:
            return i
        self._order = iter(torch.randperm(len(self.captions) // self.variants, generator=generator).tolist())
        return next(self._order)


def _levels(outlines: Sequence[Image.Image | None], backbone: Backbone) -> Tensor | None:
    """Outlines at the backbone's resolution, uint8 [n, 1, H, W]; where one is not known, all is subject."""
    if all(outline is None for outline in outlines):
        return None
    size = (backbone.resolution, backbone.resolution)
    everything = Image.new("L", size, 255)
    sized = [
        everything if outline is None else outline.resize(size, Image.Resampling.BICUBIC)
        for outline in outlines
    ]
    return torch.from_numpy(np.stack([np.asarray(each) for each in sized]))[:, None].to(backbone.device)


def _below(n: int, generator: torch.Generator) -> int:
    return 0 if n == 1 else int(torch.randint(n, (), generator=generator))
