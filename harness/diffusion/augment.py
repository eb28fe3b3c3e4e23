"""Augmented images for training: mirroring, and Custom Diffusion's scale augmentation; pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

SMALL_WORDS = ("a far away", "very small")
LARGE_WORDS = ("zoomed in", "close up")
GREY = (127, 127, 127)
FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True)
class Augment:
    """How each image is varied. ``variants`` versions are made of each image and encoded once.

    flip        mirror left and right with probability ½
    scale       Custom Diffusion (arXiv 2212.04488, appendix): two times in three shrink to ⅓-1 of the side on
                a grey ground, otherwise enlarge 1.2-1.4 times and crop; captions then say "very small", …
    named       whether captions say so
    whole_from  an image that would keep this share of the side is not shrunk at all
    filter      how images are resized, once, from the size that they come in
    """

    flip: bool = False
    scale: bool = False
    named: bool = True
    whole_from: float = 1.0
    filter: Literal["bicubic", "bilinear"] = "bicubic"
    variants: int = 16


@dataclass(frozen=True)
class Variant:
    """One augmented image, the words to put before its caption, and where it shows the photo.

    ``mask`` [1, h, w] is 1 where the loss counts, at the latent's size; None: everywhere.
    """

    image: Image.Image
    words: str = ""
    mask: Tensor | None = None


def vary(
    image: Image.Image, augment: Augment, *, side: int, latent_side: int, generator: torch.Generator
) -> Variant:
    """Make one square variant, ``side`` pixels wide, with randomness from ``generator`` only."""
    mirrored = augment.flip and _uniform(generator) < 0.5
    size = _size(augment, side, generator)
    photo = image.convert("RGB")
    if photo.size != (size, size):
        photo = photo.resize((size, size), FILTERS[augment.filter])
    if mirrored:
        photo = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if not augment.scale or (size == side and augment.whole_from < 1):
        return Variant(photo)
    made = _shrunk(photo, side, latent_side, generator) if size <= side else _cropped(photo, side, generator)
    return made if augment.named else Variant(made.image, mask=made.mask)


def _size(augment: Augment, side: int, generator: torch.Generator) -> int:
    """Draw how large the photo becomes."""
    if not augment.scale:
        return side
    if _uniform(generator) >= 2 / 3:
        return _between(round(1.2 * side), round(1.4 * side), generator)
    size = _between(side // 3, side, generator)
    return side if size >= augment.whole_from * side else size


def _shrunk(photo: Image.Image, side: int, latent_side: int, generator: torch.Generator) -> Variant:
    size = photo.width
    left, top = _between(0, side - size, generator), _between(0, side - size, generator)
    ground = Image.new("RGB", (side, side), GREY)
    ground.paste(photo, (left, top))
    words = _choose(SMALL_WORDS, generator) if size < 0.6 * side else ""
    return Variant(ground, words, _inside(left, top, size, side // latent_side, latent_side))


def _inside(left: int, top: int, size: int, cell: int, cells: int) -> Tensor:
    """Mark the latent cells inside the photo without the outermost ones, as Custom Diffusion's code does.

    At least the one in its middle is marked, where theirs marks none and divides by zero.
    """
    mask = torch.zeros(1, cells, cells)
    rows, columns = (slice(at // cell + 1, max(0, (at + size) // cell - 1)) for at in (top, left))
    mask[0, rows, columns] = 1.0
    mask[0, int((top + size / 2) / cell), int((left + size / 2) / cell)] = 1.0
    return mask


def _cropped(photo: Image.Image, side: int, generator: torch.Generator) -> Variant:
    size = photo.width
    left, top = _between(0, size - side, generator), _between(0, size - side, generator)
    return Variant(photo.crop((left, top, left + side, top + side)), _choose(LARGE_WORDS, generator))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _choose(words: tuple[str, ...], generator: torch.Generator) -> str:
    return words[_between(0, len(words) - 1, generator)]
