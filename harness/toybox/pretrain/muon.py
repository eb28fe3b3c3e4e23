"""Muon: momentum, its matrices orthogonalized before each step (Jordan et al. 2024); filters included.

For matrices of hidden layers only; vectors and embedding tables are Adam's. docs/toybox.md has the comparison
with Adam that led here.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
THINNEST = 4
"""Muon takes matrices with at least so many rows and columns."""


def orthogonalized(matrix: Tensor, *, iterations: int = 5) -> Tensor:
    """Push the singular values of [m, n] to about one by Newton-Schulz iterations, in bfloat16."""
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.T if tall else x).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalized; filters [out, in, h, w] count as matrices [out, in·h·w].

    A step changes a matrix by ``lr``·√max(1, out / in) in spectral norm, after shrinking it by
    lr·``weight_decay``.
    """

    def __init__(
        self, weights: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(weights, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step; a closure is not called."""
        for group in self.param_groups:
            settings = {key: group[key] for key in ("lr", "momentum", "weight_decay")}
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, **settings)

    def _move(
        self, weight: nn.Parameter, gradient: Tensor, *, lr: float, momentum: float, weight_decay: float
    ) -> None:
        state = self.state[weight]
        if not state:
            state["mean"] = torch.zeros_like(weight)
        state["mean"].lerp_(gradient, 1 - momentum)
        direction = gradient.lerp(state["mean"], momentum).flatten(1)
        rows, columns = direction.shape
        weight.mul_(1 - lr * weight_decay)
        weight.add_(orthogonalized(direction).view_as(weight), alpha=-lr * max(1.0, rows / columns) ** 0.5)


def weight_groups(networks: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split trainable weights into matrices (filters among them) and the rest: vectors, tables, thin ones.

    Nothing but matrices decays: a decaying table would shrink every row at every step, the thousands of words
    that no caption holds included.
    """
    tables = {id(module.weight) for module in networks.modules() if isinstance(module, nn.Embedding)}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for weight in networks.parameters():
        if weight.requires_grad:
            wide = weight.ndim >= 2 and min(weight.shape[0], weight[0].numel()) >= THINNEST
            (matrices if wide and id(weight) not in tables else others).append(weight)
    return matrices, others
