"""How far predictions moved from the base model's on entries of a bank, and the gradient of that.

Knows no constraint and no optimizer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank, Entries

AT_ONCE = 32
"""Entries of a bank on which the weights are measured as they are."""


def squares(backbone: Backbone, entries: Entries) -> Tensor:
    """‖ε_θ − ε_0‖² of each of n entries [n], with the graph of its gradients."""
    conditioning = backbone.conditioning(entries.captions)
    predicted = backbone.predict(entries.noisy(backbone), entries.timesteps, conditioning)
    return (predicted - entries.base).square().flatten(1).sum(1)


@torch.no_grad()
def read_captions(backbone: Backbone, bank: Bank) -> None:
    """Have a bank's prompts encoded before the text encoders make room."""
    backbone.conditioning(bank.prompts)


@torch.no_grad()
def mean_square(backbone: Backbone, bank: Bank) -> float:
    """E‖ε_θ − ε_0‖² of the weights as they are, on a part of the bank."""
    return float(squares(backbone, bank.entries(bank.spread(AT_ONCE), backbone.device)).mean())


def add_gradient(backbone: Backbone, entries: Entries, weight: float) -> float:
    """Add the gradient of weight·mean‖ε_θ − ε_0‖²/d, d entries of a prediction; return mean‖ε_θ − ε_0‖²."""
    with torch.set_grad_enabled(weight > 0):
        mean = squares(backbone, entries).mean()
    if mean.requires_grad:
        (mean * (weight / entries.base[0].numel())).backward()
    return float(mean.detach())
