"""What a method holds in memory while it trains: a fit without steps, on networks without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from harness.api import Subject
from harness.diffusion.backbones.base import Backbone
from harness.diffusion.bank import Bank, FromBank
from harness.diffusion.training import Trainer
from harness.methods import Method

ADAM_BYTES = 8
"""Two float32 moments for each trained parameter."""
GRADIENT_BYTES = 4


@dataclass(frozen=True)
class Memory:
    """Bytes by what they hold; activations are not among them.

    weights    of the denoiser, and of what training needs beside it
    base       θ0 of what is trained, for the constraint and the way back
    gradients, optimizer  of what is trained
    sampling   all networks and θ0 together, when the tuned model draws images
    images     how many go through the denoiser at once in training; 0: nothing is trained
    kept       of what :meth:`Backbone.delta` would store, at most
    """

    weights: int
    base: int
    gradients: int
    optimizer: int
    sampling: int
    images: int
    kept: int

    @property
    def training(self) -> int:
        """Bytes while it trains."""
        return self.weights + self.base + self.gradients + self.optimizer

    @property
    def peak(self) -> int:
        """The larger of both."""
        return max(self.training, self.sampling)


class DryRunTrainer(Trainer):
    """A trainer that only looks at what it is given."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.trained: list[Tensor] = []
        self.images = 0

    def prior_images(self, backbone: Backbone, prompt: str, count: int) -> list[Image.Image]:
        """One blank image in place of all: nothing is drawn."""
        return [_blank()]

    def bank(self, backbone: Backbone) -> Bank:
        """An empty one: nothing is asked."""
        nothing = torch.empty(0)
        return Bank((), nothing, nothing, nothing, nothing, 0.0)

    def fit(  # type: ignore[override]  # whatever else a method says of its training takes no memory
        self, backbone: Backbone, *, parameters: Mapping[str, Tensor], batch: int, **settings: Any
    ) -> None:
        """Note the parameters, each [...] of any shape, and the batch."""
        self.trained = list(parameters.values())
        prior = settings.get("prior")
        beside = prior.batch if isinstance(prior, FromBank) else None
        self.images = batch + ((beside or batch) if prior else 0)


def estimate(backbone: Backbone, method: Method, category: str, *, offloaded: bool) -> Memory:
    """Let a method set up its training on a backbone without weights (device "meta"), and add up.

    ``offloaded``: networks that training does not need wait in main memory. The backbone is restored.
    Raises whatever the method raises; one that reads weights or images itself cannot be estimated.
    """
    trainer = DryRunTrainer()
    try:
        method.fit(backbone, Subject("subject", category, (_blank(),), category), trainer)
        networks = backbone.networks
        denoiser = _bytes(networks.denoiser.parameters())
        others = _bytes(networks.autoencoder.parameters())
        texts = sum(_bytes(encoder.model.parameters()) for encoder in networks.text_encoders)
        beside = (texts if backbone.new_tokens else 0) if offloaded else others + texts
        base = backbone.adaptation.weights.base_bytes
        count = sum(tensor.numel() for tensor in trainer.trained)
        return Memory(
            weights=denoiser + beside,
            base=base,
            gradients=GRADIENT_BYTES * count,
            optimizer=ADAM_BYTES * count,
            sampling=denoiser + others + texts + base,
            images=trainer.images,
            kept=backbone.trained_bytes,
        )
    finally:
        backbone.restore()


def _bytes(parameters: Iterable[Tensor]) -> int:
    return sum(parameter.nbytes for parameter in parameters)


def _blank() -> Image.Image:
    return Image.new("RGB", (8, 8))


def denoiser_bytes(backbone: Backbone) -> int:
    """Bytes of the denoiser as it is loaded."""
    return _bytes(backbone.networks.denoiser.parameters())
