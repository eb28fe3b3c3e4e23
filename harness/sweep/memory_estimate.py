"""What a method holds in memory while it trains: a fit without steps, on networks without weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from harness.api import Subject
from harness.diffusion.backbones.base import Backbone
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
    sampling   all networks and θ0 together, when the tuned model draws
    pictures   how many go through the denoiser at once in training; 0: nothing is trained
    kept       of what :meth:`Backbone.delta` would store, at most
    """

    weights: int
    base: int
    gradients: int
    optimizer: int
    sampling: int
    pictures: int
    kept: int

    @property
    def training(self) -> int:
        """Bytes while it trains."""
        return self.weights + self.base + self.gradients + self.optimizer

    @property
    def peak(self) -> int:
        """The larger of both."""
        return max(self.training, self.sampling)


class Rehearsal(Trainer):
    """A trainer that only looks at what it is given."""

    def __init__(self) -> None:
        super().__init__(seed=0)
        self.trained: list[Tensor] = []
        self.pictures = 0

    def prior_images(self, backbone: Backbone, prompt: str, count: int) -> list[Image.Image]:
        """One blank picture in place of all: nothing is drawn."""
        return [_blank()]

    def fit(  # type: ignore[override]  # whatever else a method says of its training takes no memory
        self, backbone: Backbone, *, parameters: Mapping[str, Tensor], batch: int, **settings: Any
    ) -> None:
        """Note the parameters and the batch."""
        self.trained = list(parameters.values())
        self.pictures = batch * (2 if settings.get("prior") else 1)


def rehearse(backbone: Backbone, method: Method, category: str, *, parked: bool) -> Memory:
    """Let a method set up its training on a backbone without weights (device "meta"), and add up.

    ``parked``: networks that training does not need wait elsewhere. The backbone is restored.
    Raises whatever the method raises; one that reads weights or pictures itself cannot be rehearsed.
    """
    trainer = Rehearsal()
    try:
        method.fit(backbone, Subject("subject", category, (_blank(),), category), trainer)
        networks = backbone.networks
        denoiser = _bytes(networks.denoiser.parameters())
        others = _bytes(networks.autoencoder.parameters())
        texts = sum(_bytes(encoder.model.parameters()) for encoder in networks.text_encoders)
        beside = (texts if backbone.new_tokens else 0) if parked else others + texts
        base = sum(tensor.nbytes for tensor in backbone.pretrained.base.values())
        count = sum(tensor.numel() for tensor in trainer.trained)
        return Memory(
            weights=denoiser + beside,
            base=base,
            gradients=GRADIENT_BYTES * count,
            optimizer=ADAM_BYTES * count,
            sampling=denoiser + others + texts + base,
            pictures=trainer.pictures,
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
