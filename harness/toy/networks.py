"""Several copies of the toy's network side by side: class and time embeddings, two hidden layers of 96.

The copies share no weights; they are stacked so that one matrix product serves all. Knows no data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from harness.diffusion.lipschitz import Full
from harness.toy.gaussians import CLASSES, TIMESTEPS

UNITS, EMBEDDING = 96, 8

Weights = dict[str, Tensor]
"""Name → the copies' tensors, stacked along the first axis."""

SHAPES: Mapping[str, tuple[int, ...]] = {
    "embed_class": (CLASSES, EMBEDDING),
    "embed_time": (TIMESTEPS, EMBEDDING),
    "in.weight": (2 + 2 * EMBEDDING, UNITS),
    "in.bias": (UNITS,),
    "hidden.weight": (UNITS, UNITS),
    "hidden.bias": (UNITS,),
    "out.weight": (UNITS, 2),
    "out.bias": (2,),
}
"""The tensors of one copy; matrices are [inputs, outputs]."""


def fresh(generators: Sequence[torch.Generator]) -> Weights:
    """Draw the start of one copy for each generator: embeddings normal, layers uniform in ±1/√inputs."""
    copies = [_fresh(generator) for generator in generators]
    return {name: torch.stack([copy[name] for copy in copies]) for name in SHAPES}


def _fresh(generator: torch.Generator) -> Weights:
    drawn: Weights = {}
    for name, shape in SHAPES.items():
        if name.startswith("embed"):
            drawn[name] = torch.randn(shape, generator=generator)
        else:
            reach = 1 / math.sqrt(SHAPES[f"{name.partition('.')[0]}.weight"][0])
            drawn[name] = (2 * torch.rand(shape, generator=generator) - 1) * reach
    return drawn


def repeated(weights: Weights, copies: Sequence[int]) -> Weights:
    """Pick copies by number, each as often as it is named."""
    return {name: tensor.detach()[list(copies)].clone() for name, tensor in weights.items()}


def predict(weights: Weights, points: Tensor, timesteps: Tensor, classes: Tensor) -> Tensor:
    """Predict ε [copies, n, 2] of noisy points [copies, n, 2] at timesteps, of classes, both [copies, n]."""
    copy = torch.arange(points.shape[0])[:, None]
    embedded = (weights["embed_time"][copy, timesteps], weights["embed_class"][copy, classes])
    hidden = torch.cat([points, *embedded], dim=-1)
    for layer in ("in", "hidden"):
        hidden = _linear(weights, layer, hidden).relu()
    return _linear(weights, "out", hidden)


def _linear(weights: Weights, layer: str, values: Tensor) -> Tensor:
    return torch.baddbmm(weights[f"{layer}.bias"][:, None], values, weights[f"{layer}.weight"])


def terms(weights: Weights, base: Weights, copy: int) -> list[Full]:
    """The changes θ − θ0 of one copy, tensor by tensor, with the sizes of the mean form."""
    return [
        Full(name, tensor[copy], base[name][copy], tensor[copy].numel()) for name, tensor in weights.items()
    ]
