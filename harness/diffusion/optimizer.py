"""The optimizer of a training run and its learning rate along the course. Knows no model and no loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch.nn import Parameter

from harness.errors import one_of

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
Decay = Literal["none", "linear"]
"""How the learning rate falls: not at all, or from ``lr`` at the first step along a line that ends at 0."""


def optimizer_of(
    name: str, trained: Sequence[Parameter], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Build an optimizer by name. Raises ValueError for an unknown one."""
    if name not in OPTIMIZERS:
        raise ValueError(one_of(name, OPTIMIZERS, noun="optimizer"))
    return OPTIMIZERS[name](
        trained, lr=lr, weight_decay=weight_decay, fused=trained[0].device.type in ("cpu", "cuda")
    )


def set_rate(update: torch.optim.Optimizer, lr: float, decay: Decay, *, step: int, steps: int) -> None:
    """Set the learning rate of a step, counted from 1: with ``linear`` lr·(1 − (step − 1)/steps)."""
    if decay == "linear":
        for group in update.param_groups:
            group["lr"] = lr * (1 - (step - 1) / steps)
