"""Features of images with gradients: an encoder's own preprocessing in tensors, then its network.

For training; what scores goes through :meth:`~.base.Encoder.embed_images`, image by image.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from harness.metrics.encoders.base import EncoderError


def differentiable(encoder: Any) -> Callable[[Tensor], Tensor]:
    """Return the encoder of CLIP or DINO as a function of images [n, 3, H, W] in [0, 1] to unit rows [n, d].

    Square images only, as backbones decode them. They are resized and cropped as the encoder's preprocessing
    says, in floating point where that rounds to bytes. The network follows the images' device.

    Raises EncoderError for an encoder without a network of its own to differentiate, or a preprocessing with
    other steps.
    """
    network, preprocess = getattr(encoder, "network", None), getattr(encoder, "preprocess", None)
    if network is None or preprocess is None:
        raise EncoderError(f"alignment: encoder {encoder.name!r} gives no gradients")
    resized, cropped = _sizes(encoder.name, preprocess.transform)
    embed = getattr(network, "encode_image", network)

    def features(images: Tensor) -> Tensor:
        network.to(images.device)
        if resized is not None and images.shape[-1] != resized:
            images = F.interpolate(images, (resized, resized), mode="bicubic", antialias=True).clamp(0, 1)
        if cropped is not None and images.shape[-1] > cropped:
            first = round((images.shape[-1] - cropped) / 2)
            images = images[..., first : first + cropped, first : first + cropped]
        images = (images - preprocess.mean.to(images)) / preprocess.std.to(images)
        return F.normalize(embed(images).float(), dim=-1)

    return features


def _sizes(name: str, transform: Any) -> tuple[int | None, int | None]:
    """The side that a square is resized to, and the side that is then cut out of its middle."""
    resized = cropped = None
    plain = ("ToTensor", "MaybeToTensor", "PILToTensor", "Normalize", "MaybeConvertMode", "function")
    for step in transform.transforms:
        kind = type(step).__name__
        if kind == "Resize":
            resized = _side(name, step.size)
        elif kind == "CenterCrop":
            cropped = _side(name, step.size)
        elif kind not in plain:
            raise EncoderError(
                f"alignment: encoder {name!r}: preprocessing with {kind} has no gradients here"
            )
    return resized, cropped


def _side(name: str, size: Any) -> int:
    sides = {int(side) for side in (size if isinstance(size, list | tuple | torch.Size) else [size])}
    if len(sides) != 1:
        raise EncoderError(f"alignment: encoder {name!r} wants other than squares: {size}")
    return sides.pop()
