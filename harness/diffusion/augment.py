"""Augmented images for training: mirroring, and Custom Diffusion's scale augmentation; pure functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """One augmented image, the words to put before its caption, and where it shows photo and subject.

    ``mask`` [1, h, w] is 1 where the loss counts, at the latent's size; None: everywhere. ``outline`` is
    grey, 255 on the subject and 0 off it, of the image's size and moved with it; None where it is not known.
    """

    image: Image.Image
    words: str = ""
    mask: Tensor | None = None
    outline: Image.Image | None = None

    def through(self, change: Callable[[Image.Image], Image.Image]) -> Variant:
        """Change image and outline alike."""
        outline = None if self.outline is None else change(self.outline)
        return replace(self, image=change(self.image), outline=outline)


def vary(
    image: Image.Image,
    augment: Augment,
    *,
    side: int,
    latent_side: int,
    generator: torch.Generator,
    outline: Image.Image | None = None,
) -> Variant:
    """Make one square variant, ``side`` pixels wide, with randomness from ``generator`` only."""
    mirrored = augment.flip and _uniform(generator) < 0.5
    size = _size(augment, side, generator)

    def fitted(layer: Image.Image) -> Image.Image:
        if layer.size != (size, size):
            layer = layer.resize((size, size), FILTERS[augment.filter])
        return layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else layer

    whole = Variant(image.convert("RGB"), outline=outline).through(fitted)
    if not augment.scale or (size == side and augment.whole_from < 1):
        return whole
    made = _shrunk(whole, side, latent_side, generator) if size <= side else _cropped(whole, side, generator)
    return made if augment.named else replace(made, words="")


def _size(augment: Augment, side: int, generator: torch.Generator) -> int:
    """Draw how large the photo becomes."""
    if not augment.scale:
        return side
    if _uniform(generator) >= 2 / 3:
        return _between(round(1.2 * side), round(1.4 * side), generator)
    size = _between(side // 3, side, generator)
    return side if size >= augment.whole_from * side else size


def _shrunk(whole: Variant, side: int, latent_side: int, generator: torch.Generator) -> Variant:
    size = whole.image.width
    left, top = _between(0, side - size, generator), _between(0, side - size, generator)

    def placed(layer: Image.Image) -> Image.Image:
        ground = Image.new(layer.mode, (side, side), GREY if layer.mode == "RGB" else 0)
        ground.paste(layer, (left, top))
        return ground

    words = _choose(SMALL_WORDS, generator) if size < 0.6 * side else ""
    mask = _inside(left, top, size, side // latent_side, latent_side)
    return replace(whole.through(placed), words=words, mask=mask)


def _inside(left: int, top: int, size: int, cell: int, cells: int) -> Tensor:
    """Mark the latent cells inside the photo without the outermost ones, as Custom Diffusion's code does.

    At least the one in its middle is marked, where theirs marks none and divides by zero.
    """
    mask = torch.zeros(1, cells, cells)
    rows, columns = (slice(at // cell + 1, max(0, (at + size) // cell - 1)) for at in (top, left))
    mask[0, rows, columns] = 1.0
    mask[0, int((top + size / 2) / cell), int((left + size / 2) / cell)] = 1.0
    return mask


def _cropped(whole: Variant, side: int, generator: torch.Generator) -> Variant:
    size = whole.image.width
    left, top = _between(0, size - side, generator), _between(0, size - side, generator)
    cut = whole.through(lambda layer: layer.crop((left, top, left + side, top + side)))
    return replace(cut, words=_choose(LARGE_WORDS, generator))


def _uniform(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _between(low: int, high: int, generator: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=generator))


def _choose(words: tuple[str, ...], generator: torch.Generator) -> str:
    return words[_between(0, len(words) - 1, generator)]
