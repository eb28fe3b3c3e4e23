"""Alignment in feature space: the predicted clean image is to look to an encoder as the shot does.

Adds Σ_k w_k·(1 − cos(f_k(s(D(ẑ_0))), f_k(s(D(z_0))))) where the noise is low enough for the prediction to
show something. ẑ_0 is what the prediction at z_t says of the clean latent, D the frozen autoencoder's
decoder, f_k an encoder, and s(x) = m·x + (1 − m)/2 is mid-grey where nothing counts. m is the subject's
outline in the shot, where the data set knows it, times the mask of the loss, where a method has one; else 1.
Knows no encoder: it is handed functions from images to features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.draws import MicroBatch

Features = Callable[[Tensor], Tensor]
"""Images [n, 3, H, W] in [0, 1] → unit rows [n, d], with gradients."""


@dataclass(frozen=True)
class FeatureAlignment:
    """The loss beside the denoising loss, on the subject's part of a micro-batch.

    terms  by name: weight and features; one of weight 0 is none
    below  only at timesteps below this share of the schedule's length
    """

    terms: Mapping[str, tuple[float, Features]]
    below: float

    def loss(self, backbone: Backbone, drawn: MicroBatch, noisy: Tensor, predicted: Tensor) -> Tensor | None:
        """Σ_k w_k·(1 − cosine), summed over examples below the level and divided by all of the subject: [].

        ``noisy`` z_t and ``predicted`` are [n, c, h, w] of the whole micro-batch. The shots are seen through
        the autoencoder as well, so that a perfect prediction costs nothing. Off the subject's outline, and
        outside of the loss's mask, both images are mid-grey. None where no example is low enough.
        """
        terms = [(weight, features) for weight, features in self.terms.values() if weight]
        length = backbone.networks.scheduler.get("num_train_timesteps", 1000)
        low = torch.nonzero(drawn.timesteps[: drawn.subject] < self.below * length).flatten()
        if not terms or not len(low):
            return None
        shares = None if drawn.outlines is None else drawn.outlines / 255
        masks = [mask[low] for mask in (drawn.masks, shares) if mask is not None]
        clean = backbone.clean_latents(noisy[low], predicted[low], drawn.timesteps[low])
        images = _seen(backbone.images(clean), masks)
        with torch.no_grad():
            shots = _seen(backbone.images(drawn.latents[low]), masks)
            wanted = [features(shots) for _, features in terms]
        distances = [
            weight * (1 - F.cosine_similarity(features(images), shot, dim=1))
            for (weight, features), shot in zip(terms, wanted, strict=True)
        ]
        return torch.stack(distances).sum() / drawn.subject


def _seen(images: Tensor, masks: Sequence[Tensor]) -> Tensor:
    """Images [n, 3, H, W], towards grey by the product of masks [n, 1, h, w] in [0, 1], of any size."""
    for mask in masks:
        wide = F.interpolate(mask.to(images), size=images.shape[-2:], mode="nearest")
        images = images * wide + 0.5 * (1 - wide)
    return images
