"""The attribute probe: a small convolutional classifier that reads an image's attributes, or rejects it.

A network of its own, unrelated to the generator and the encoders: it reads whether an image shows what its
prompt requests, and how often it is right on perfect answers is measured (docs/toybox.md). It was trained to
read noise and half-denoised images as nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

NOTHING = "nothing"


class Block(nn.Module):
    """A residual block that halves the resolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.first_norm, self.second_norm = nn.GroupNorm(8, outputs), nn.GroupNorm(8, outputs)
        self.short = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] to [n, outputs, h/2, w/2]."""
        inner = self.second_norm(self.second(F.silu(self.first_norm(self.first(x)))))
        return F.silu(inner + self.short(F.avg_pool2d(x, 2)))


class ProbeNetwork(nn.Module):
    """Four halvings, 64 to 4 pixels, then one linear classifier per attribute on all 16 places."""

    def __init__(self, channels: Sequence[int], labels: Mapping[str, Sequence[str]]) -> None:
        super().__init__()
        widths = (3, *channels)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in pairwise(widths)))
        self.trunk = nn.Linear(channels[-1] * 16, 2 * channels[-1])
        self.heads = nn.ModuleDict(
            {name: nn.Linear(2 * channels[-1], len(known)) for name, known in labels.items()}
        )

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Logits per attribute of images [n, 3, 64, 64] in [-1, 1]."""
        states = F.silu(self.trunk(self.blocks(images).flatten(1)))
        return {name: head(states) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Reading:
    """What the probe sees in n images: probabilities [n, labels] per attribute, float32."""

    labels: Mapping[str, tuple[str, ...]]
    probabilities: Mapping[str, Tensor]

    def words(self, attribute: str) -> list[str]:
        """The likeliest label of each image, "nothing" never among them."""
        known = self.labels[attribute]
        real = [number for number, label in enumerate(known) if label != NOTHING]
        return [known[real[best]] for best in self.probabilities[attribute][:, real].argmax(dim=1).tolist()]

    def confidence(self, attribute: str = "category") -> Tensor:
        """The largest probability of a real label, [n] in [0, 1]; the category's below 0.5 means rejected."""
        real = [number for number, label in enumerate(self.labels[attribute]) if label != NOTHING]
        return self.probabilities[attribute][:, real].amax(dim=1)

    def rejected(self) -> Tensor:
        """Whether an image shows no object that the probe knows: bool [n]."""
        return self.confidence("category") < 0.5


class Probe:
    """A trained network with its labels."""

    def __init__(self, network: ProbeNetwork, labels: Mapping[str, Sequence[str]]) -> None:
        self.network = network.eval().requires_grad_(False)
        self.labels = {name: tuple(known) for name, known in labels.items()}

    @torch.no_grad()
    def attributes(self, images: Tensor, *, batch: int = 100) -> Reading:
        """Read uint8 images [n, 3, 64, 64]; raises ``ValueError`` for another shape or type."""
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1:] != (3, 64, 64):
            raise ValueError(f"images must be uint8 [n, 3, 64, 64], got {images.dtype} {tuple(images.shape)}")
        parts = [self.network(part.float() / 127.5 - 1) for part in images.split(batch)]
        joined = {name: torch.cat([part[name] for part in parts]) for name in self.labels}
        return Reading(self.labels, {name: logits.float().softmax(dim=1) for name, logits in joined.items()})
