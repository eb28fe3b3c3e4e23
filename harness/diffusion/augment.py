"""Augmented images for training: mirroring, and Custom Diffusion's scale augmentation; pure functions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

SMALL_WORDS = ("a far away", "very small")
LARGE_WORDS = ("zoomed in", "close up")
GREY = (127, 127, 127)


@dataclass(frozen=True)
class Augment:
    """How each image is varied. ``variants`` versions are made of each image and encoded once.

    flip   mirror left and right with probability ½
    scale  Custom Diffusion (arXiv 2212.04488, appendix): two times in three shrink to ⅓-1 of the side on a
           grey ground, otherwise enlarge 1.2-1.4 times and crop; captions then say "very small", "close up"
    """

    flip: bool = False
    scale: bool = False
    variants: int = 16


@dataclass(frozen=True)
class Variant:
    """One augmented image, the words to put before its caption, and where it shows the photo.

    ``mask`` [1, h, w] is 1 where the loss counts, at the latent's size; None: everywhere.
    """

    image: Image.Image
    words: str = ""
    mask: Tensor | None = None


def vary(image: Image.Image, augment: Augment, *, latent_side: int, generator: torch.Generator) -> Variant:
    """Make one variant of a square image, with randomness from ``generator`` only."""
    if augment.flip and _uniform(generator) < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not augment.scale:
        return Variant(image)
    side = image.width
    if _uniform(generator) < 2 / 3:
        return _shrunk(image, _between(side // 3, side, generator), latent_side, generator)
    return _enlarged(image, _between(round(1.2 * side), round(1.4 * side), generator), generator)


def _shrunk(image: Image.Image, size: int, latent_side: int, generator: torch.Generator) -> Variant:
    side = image.width
    left, top = _between(0, side - size, generator), _between(0, side - size, generator)
    ground = Image.new("RGB", image.size, GREY)
    ground.paste(image.resize((size, size), Image.Resampling.BICUBIC), (left, top))
    words = _choose(SMALL_WORDS, generator) if size < 0.6 * side else ""
    return Variant(ground, words, _inside(left, top, size, side, latent_side))


def _inside(left: int, top: int, size: int, side: int, latent_side: int) -> Tensor:
    """Mark the latent cells that lie wholly inside the photo; at least the one in its middle."""
    edges = torch.arange(latent_side) * side / latent_side
    cell = side / latent_side
    columns = (edges >= left) & (edges + cell <= left + size)
    rows = (edges >= top) & (edges + cell <= top + size)
    mask = (rows[:, None] & columns[None, :]).float()
    mask[int((top + size / 2) / cell), int((left + size / 2) / cell)] = 1.0
    return mask[None]


def _enlarged(image: Image.Image, size: int, generator: torch.Generator) -> Variant:
    side = image.width
    left, top = _between(0, size - side, generator), _between(0, size - side, generator)
    large = image.resize((size, size), Image.Resampling.BICUBIC)
    return Variant(large.crop((left, top, left + side, top + side)), _choose(LARGE_WORDS, generator))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _choose(words: tuple[str, ...], generator: torch.Generator) -> str:
    return words[_between(0, len(words) - 1, generator)]
