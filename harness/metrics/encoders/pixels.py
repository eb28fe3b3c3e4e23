"""Pictures as encoders take them: uint8, float and PIL come out as the same pixels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from harness.batching import Batches

Pictures = Tensor | Sequence[Image.Image]
"""uint8 or float (0..1) [n, 3, H, W], or PIL pictures of any size."""


def as_uint8(pictures: Tensor) -> Tensor:
    """Return pictures as uint8 [n, 3, H, W] on the CPU; float pictures must lie in 0..1 (ValueError)."""
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"pictures need shape [n, 3, H, W], got {tuple(pictures.shape)}")
    pictures = pictures.detach().cpu()
    if pictures.dtype == torch.uint8:
        return pictures
    if not pictures.dtype.is_floating_point:
        raise ValueError(f"pictures are uint8 or float in 0..1, got {pictures.dtype}")
    if pictures.numel() and not (float(pictures.min()) >= 0 and float(pictures.max()) <= 1):
        low, high = float(pictures.min()), float(pictures.max())
        raise ValueError(f"float pictures lie in 0..1, got {low:.3g}..{high:.3g}")
    return (pictures.float() * 255).round().to(torch.uint8)


def as_pil(pictures: Pictures) -> list[Image.Image]:
    """Return pictures as a list of RGB PIL images."""
    if isinstance(pictures, Tensor):
        return [Image.fromarray(each.permute(1, 2, 0).contiguous().numpy()) for each in as_uint8(pictures)]
    return [each if each.mode == "RGB" else each.convert("RGB") for each in pictures]


class Preprocessing:
    """An encoder's own preprocessing of a PIL picture, with a short cut for pictures that need no resizing.

    ``transform`` is a torchvision ``Compose`` that ends in a normalization. Pictures of a size on which its
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

    def __call__(self, pictures: Pictures) -> Tensor:
        """Turn pictures into an encoder's input: float32 [n, 3, h, w]."""
        if isinstance(pictures, Tensor):
            sizes = {(pictures.shape[-1], pictures.shape[-2])}
        else:
            sizes = {each.size for each in pictures}
        if len(sizes) != 1 or not self._leaves(next(iter(sizes))):
            return torch.stack([self.transform(each) for each in as_pil(pictures)])
        if isinstance(pictures, Tensor):
            pixels = as_uint8(pictures)
        else:
            pixels = torch.stack([pil_to_tensor(each) for each in as_pil(pictures)])
        return (pixels.to(torch.float32) / 255 - self.mean) / self.std

    def _leaves(self, size: tuple[int, int]) -> bool:
        """Whether resizing and cropping give back every pixel of a picture of this size."""
        if size not in self._unmoved:
            picture = Image.effect_noise(size, 64).convert("RGB")
            moved = picture
            for step in self._geometry:
                moved = step(moved)
            self._unmoved[size] = moved.size == size and moved.tobytes() == picture.tobytes()
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
            purpose="pictures to embed",
        )
    return unit_rows(torch.cat(parts))


def unit_rows(features: Tensor) -> Tensor:
    """Scale rows to length 1, as ordinary tensors."""
    return torch.nn.functional.normalize(features, dim=-1).clone()
