"""Images as encoders take them: uint8, float and PIL come out as the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.diffusion.batching import Batches

Images = Tensor | Sequence[Image.Image]
"""uint8 or float (0..1) [n, 3, H, W], or PIL images of any size."""


def as_uint8(images: Tensor) -> Tensor:
    """Return images as uint8 [n, 3, H, W] on the CPU; float images must lie in 0..1 (ValueError)."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images need shape [n, 3, H, W], got {tuple(images.shape)}")
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return images
    if not images.dtype.is_floating_point:
        raise ValueError(f"images are uint8 or float in 0..1, got {images.dtype}")
    if images.numel() and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        low, high = float(images.min()), float(images.max())
        raise ValueError(f"float images lie in 0..1, got {low:.3g}..{high:.3g}")
    return (images.float() * 255).round().to(torch.uint8)


def as_pil(images: Images) -> list[Image.Image]:
    """Return images as a list of RGB PIL images."""
    if isinstance(images, Tensor):
        return [Image.fromarray(each.permute(1, 2, 0).contiguous().numpy()) for each in as_uint8(images)]
    return [each if each.mode == "RGB" else each.convert("RGB") for each in images]


class Preprocessing:
    """An encoder's own preprocessing of a PIL image, with a short cut for images that need no resizing.

    ``transform`` is a torchvision ``Compose`` that ends in a normalization. Images of a size on which its
    resizing and cropping have no effect are normalized in one go: the same numbers, faster.
    """

    def __init__(self, transform: Any) -> None:
        self.transform = transform
        names = [type(step).__name__ for step in transform.transforms]
        if names[-1] != "Normalize":
            raise ValueError(f"preprocessing must end in Normalize, got {names}")
        normalize = transform.transforms[-1]
        self.mean = torch.as_tensor(normalize.mean).view(1, 3, 1, 1)
        self.std = torch.as_tensor(normalize.std).view(1, 3, 1, 1)
        self._geometry = [step for step, name in zip(transform.transforms, names) if "Tensor" not in name][
            :-1
        ]
        self._unmoved: dict[tuple[int, int], bool] = {}

    def __call__(self, images: Images) -> Tensor:
        """Turn images into an encoder's input: float32 [n, 3, h, w]."""
        if isinstance(images, Tensor):
            sizes = {(images.shape[-1], images.shape[-2])}
        else:
            sizes = {each.size for each in images}
        if len(sizes) != 1 or not self._leaves(next(iter(sizes))):
            return torch.stack([self.transform(each) for each in as_pil(images)])
        if isinstance(images, Tensor):
            pixels = as_uint8(images)
        else:
            pixels = torch.stack([pil_to_tensor(each) for each in as_pil(images)])
        return (pixels.to(torch.float32) / 255 - self.mean) / self.std

    def _leaves(self, size: tuple[int, int]) -> bool:
        """Whether resizing and cropping give back every pixel of an image of this size."""
        if size not in self._unmoved:
            image = Image.effect_noise(size, 64).convert("RGB")
            moved = image
            for step in self._geometry:
                moved = step(moved)
            self._unmoved[size] = moved.size == size and moved.tobytes() == image.tobytes()
        return self._unmoved[size]

    def __str__(self) -> str:
        steps = [str(step).replace("\n", " ") for step in self.transform.transforms]
        return " → ".join(step for step in steps if not step.startswith(("ToTensor", "MaybeToTensor", "<")))


def in_batches(
    inputs: Tensor, network: Callable[[Tensor], Tensor], *, device: torch.device, batch: int
) -> Tensor:
    """Run a network over inputs in batches, without gradients: float32 unit rows [n, d] on the CPU.

    Where memory does not suffice, batches become smaller.
    """
    with torch.inference_mode():
        parts = Batches().over(
            len(inputs),
            batch,
            lambda part: network(inputs[part].to(device)).float().cpu(),
            purpose="images to embed",
        )
    return unit_rows(torch.cat(parts))


def unit_rows(features: Tensor) -> Tensor:
    """Scale rows [n, d] to length 1, as ordinary tensors."""
    return torch.nn.functional.normalize(features, dim=-1).clone()
