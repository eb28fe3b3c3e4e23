"""Several copies of the toy's network side by side: class and time embeddings, two hidden layers of 96.

The copies share no weights; they are stacked so that one matrix product serves all. The gradient is written
out, which is faster than autograd for matrices of this size. Knows no data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

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


def fresh(generator: torch.Generator) -> Weights:
    """Draw the start of one copy: embeddings normal, layers uniform in ±1/√inputs."""
    drawn: Weights = {}
    for name, shape in SHAPES.items():
        if name.startswith("embed"):
            drawn[name] = torch.randn(1, *shape, generator=generator)
        else:
            reach = 1 / math.sqrt(SHAPES[f"{name.partition('.')[0]}.weight"][0])
            drawn[name] = (2 * torch.rand(1, *shape, generator=generator) - 1) * reach
    return drawn


def repeated(weights: Weights, copies: int) -> Weights:
    """Stack one copy several times."""
    return {name: tensor.repeat(copies, *[1] * (tensor.dim() - 1)) for name, tensor in weights.items()}


def flat(weights: Weights) -> Tensor:
    """Lay all tensors out in one [copies x entries], name by name, each with its copies."""
    return torch.cat([weights[name].reshape(-1) for name in SHAPES])


def views(flat: Tensor, copies: int) -> Weights:
    """Undo :func:`flat`: tensors that share the memory of ``flat`` [copies x entries]."""
    sizes = [copies * math.prod(shape) for shape in SHAPES.values()]
    parts = flat.split(sizes)
    return {name: part.view(copies, *SHAPES[name]) for name, part in zip(SHAPES, parts, strict=True)}


@dataclass(frozen=True)
class Rows:
    """Noisy points [copies, n, 2] with timesteps and classes, both [copies, n]."""

    points: Tensor
    timesteps: Tensor
    classes: Tensor

    def expanded(self, copies: int) -> Rows:
        """Show the rows of one to several copies."""
        return Rows(
            self.points.expand(copies, -1, -1),
            self.timesteps.expand(copies, -1),
            self.classes.expand(copies, -1),
        )


def predict(weights: Weights, rows: Rows) -> Tensor:
    """Predict ε [copies, n, 2]."""
    return _forward(weights, rows)[-1].mT


def gradient(weights: Weights, rows: Rows, wanted: Tensor, weight: Tensor) -> Weights:
    """Give the gradient of ½·Σ weight·‖ε − wanted‖² over the rows of each copy, tensor by tensor.

    ``wanted`` [copies, n, 2]; ``weight`` [copies, n].
    """
    inputs, first, second, out, epsilon = _forward(weights, rows)
    error = (epsilon - wanted.mT).mul_(weight[:, None])
    at_second = _back(torch.bmm(error.mT, out), second)
    at_first = _back(torch.bmm(at_second, weights["hidden.weight"].mT), first)
    at_embedded = torch.bmm(at_first, weights["in.weight"][:, 2:].mT)
    of_time, of_class = at_embedded.split(EMBEDDING, dim=-1)
    return {
        "embed_class": _gathered(weights["embed_class"], rows.classes, of_class),
        "embed_time": _gathered(weights["embed_time"], rows.timesteps, of_time),
        "in.weight": torch.bmm(inputs.mT, at_first),
        "in.bias": at_first.sum(1),
        "hidden.weight": torch.bmm(first.mT, at_second),
        "hidden.bias": at_second.sum(1),
        "out.weight": torch.bmm(error, second).mT,
        "out.bias": error.sum(2),
    }


def _forward(weights: Weights, rows: Rows) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Give inputs, both hidden layers, the last matrix [copies, 2, units] and ε, both with rows last.

    With the rows last the product with a matrix of two columns is six times as fast.
    """
    copy = torch.arange(len(rows.points))[:, None]
    embedded = (weights["embed_time"][copy, rows.timesteps], weights["embed_class"][copy, rows.classes])
    inputs = torch.cat([rows.points, *embedded], dim=-1)
    first = _linear(weights, "in", inputs).relu_()
    second = _linear(weights, "hidden", first).relu_()
    out = weights["out.weight"].mT.contiguous()
    return inputs, first, second, out, torch.baddbmm(weights["out.bias"][..., None], out, second.mT)


def _linear(weights: Weights, layer: str, values: Tensor) -> Tensor:
    return torch.baddbmm(weights[f"{layer}.bias"][:, None], values, weights[f"{layer}.weight"])


def _back(gradient: Tensor, after: Tensor) -> Tensor:
    """Take a gradient back through a ReLU whose outcome is known."""
    return torch.ops.aten.threshold_backward(gradient, after, 0)


def _gathered(table: Tensor, rows: Tensor, gradient: Tensor) -> Tensor:
    """Sum what reaches each row of a table [copies, rows, 8]."""
    copy = torch.arange(len(table))[:, None]
    return torch.zeros_like(table).index_put_((copy, rows), gradient, accumulate=True)


def terms(weights: Weights, base: Weights, copy: int) -> list[Full]:
    """The changes θ − θ0 of one copy, tensor by tensor, with the sizes of the mean form."""
    return [
        Full(name, tensor[copy], base[name][copy], tensor[copy].numel()) for name, tensor in weights.items()
    ]
