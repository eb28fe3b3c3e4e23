"""How much each weight moves the denoiser's prediction on prior prompts: the diagonal of E[JᵀJ] at θ0.

J is the derivative of a prediction by the weights; random signs v give it without forming J, because the mean
of (Jᵀv)² over v is the diagonal of JᵀJ. Source: the Fisher information of EWC (arXiv 1612.00796) for a
Gaussian around the prediction. Kept on disk for each class, as large as the weights. Knows no constraint and
no loss.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from harness.diffusion.activations import ENTRIES, at_base_weights
from harness.diffusion.seeds import named_seed

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank

VERSION = 1
"""Raise it when the diagonal of the same bank comes out differently."""


def squared_gradients(
    outputs: Iterable[Tensor], weights: Mapping[str, Tensor], signs: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Average (Jᵀv)² over outputs: for each weight [...] a tensor of its shape, float32.

    outputs  tensors [...] with the graph of their gradients, one after the other
    signs    gives v for an output, of its shape
    """
    sums = {name: torch.zeros_like(weight, dtype=torch.float32) for name, weight in weights.items()}
    count = 0
    for output in outputs:
        found = torch.autograd.grad(output, list(weights.values()), signs(output), allow_unused=True)
        for total, gradient in zip(sums.values(), found, strict=True):
            if gradient is not None:
                total.add_(gradient.float().square())
        count += 1
    return {name: total / count for name, total in sums.items()}


def fisher_diagonal(
    backbone: Backbone, bank: Bank, weights: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], float]:
    """Diagonal of E[JᵀJ]/d for weights [...] by name, d entries of a prediction; and the seconds it took.

    Σ F_i Δ_i² is the mean square change of a prediction, to first order and but for what weights do together:
    the unit of output preservation. Float32 on the CPU, cached by content. Whatever was trained stands at θ0
    meanwhile.
    """
    chosen = bank.spread(ENTRIES)
    content = {
        **backbone.identity,
        "prompts": list(bank.prompts),
        "entries": chosen,
        "weights": sorted(weights),
        "version": VERSION,
    }
    entry = backbone.cache.tensors("fisher", content, partial(_compute, backbone, bank, weights, chosen))
    return {name: entry[name] for name in weights}, float(entry["seconds"])


def _compute(
    backbone: Backbone, bank: Bank, weights: Mapping[str, Tensor], chosen: list[int]
) -> dict[str, Tensor]:
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(named_seed("fisher signs"))

    def signs(output: Tensor) -> Tensor:
        drawn = torch.randint(2, output.shape, generator=generator).to(output) * 2 - 1
        return drawn / output.numel() ** 0.5

    before = {name: weight.requires_grad for name, weight in weights.items()}
    try:
        for weight in weights.values():
            weight.requires_grad_(True)
        with at_base_weights(backbone), torch.enable_grad():
            found = squared_gradients(_predictions(backbone, bank, chosen), weights, signs)
    finally:
        for name, weight in weights.items():
            weight.requires_grad_(before[name])
    seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
    return {**{name: value.cpu() for name, value in found.items()}, "seconds": seconds}


def _predictions(backbone: Backbone, bank: Bank, chosen: list[int]) -> Iterator[Tensor]:
    """Predict on one entry [1, c, h, w] at a time: each has signs of its own."""
    for number in chosen:
        asked = bank.entries([number], backbone.device)
        yield backbone.predict(asked.noisy(backbone), asked.timesteps, backbone.conditioning(asked.captions))
