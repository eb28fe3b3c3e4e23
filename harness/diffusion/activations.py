"""What the layers of the unchanged denoiser are given on prior prompts: C = E[x xᵀ] of their inputs.

From one pass over a part of a bank, kept on disk for each class. Knows no constraint and no loss.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from harness.diffusion.lipschitz import Full, Term

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank

ENTRIES = 128
"""Of the bank's, spread over prompts and timesteps; each gives every position of its latents or its text."""
BATCH = 16
Layer = nn.Linear | nn.Conv2d
VERSION = 1
"""Raise it when the moments of the same bank come out differently."""


def linear_layers(denoiser: nn.Module, terms: list[Term]) -> dict[str, Layer]:
    """The linear layers and convolutions whose weight is among the changes: by the name of the term.

    Of convolutions in groups, whose outputs see a part of the inputs each, there is no C.
    """
    layers: dict[int, Layer] = {
        id(module.weight): module
        for module in denoiser.modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    }
    weights = {term.name: term.value if isinstance(term, Full) else term.base for term in terms}
    return {name: layers[id(weight)] for name, weight in weights.items() if id(weight) in layers}


def input_moments(
    backbone: Backbone, bank: Bank, layers: Mapping[str, Layer]
) -> tuple[dict[str, Tensor], float]:
    """C [in, in] of each layer, float32 on the CPU, and the seconds that the pass took when it was made.

    Whatever was trained stands at θ0 meanwhile. Cached on disk by content.
    """
    chosen = bank.spread(ENTRIES)
    content = {
        **backbone.identity,
        "prompts": list(bank.prompts),
        "entries": chosen,
        "layers": sorted(name.removesuffix(".weight") for name in layers),
        "version": VERSION,
    }
    entry = backbone.cache.tensors("moments", content, partial(_compute, backbone, bank, layers, chosen))
    return {name: entry[name.removesuffix(".weight")] for name in layers}, float(entry["seconds"])


@contextlib.contextmanager
def at_base_weights(backbone: Backbone) -> Iterator[None]:
    """While inside, everything handed out is at θ0; afterwards where it was, bit for bit."""
    if backbone.distance().l2 == 0:
        yield
        return
    tuned = backbone.delta()
    backbone.interpolate(tuned, 0.0)
    try:
        yield
    finally:
        backbone.interpolate(tuned, 1.0)


@torch.no_grad()
def _compute(
    backbone: Backbone, bank: Bank, layers: Mapping[str, Layer], chosen: list[int]
) -> dict[str, Tensor]:
    started = time.perf_counter()
    sums: dict[str, Tensor] = {}
    seen: dict[str, int] = {}

    def hear(name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        rows = unfolded(module, inputs[0]).float()
        product = rows.T @ rows
        sums[name] = sums[name].add_(product) if name in sums else product
        seen[name] = seen.get(name, 0) + len(rows)

    handles = [
        module.register_forward_pre_hook(partial(hear, name.removesuffix(".weight")))
        for name, module in layers.items()
    ]
    try:
        with at_base_weights(backbone):
            for first in range(0, len(chosen), BATCH):
                asked = bank.entries(chosen[first : first + BATCH], backbone.device)
                conditioning = backbone.conditioning(asked.captions)
                backbone.predict(asked.noisy(backbone), asked.timesteps, conditioning)
    finally:
        for handle in handles:
            handle.remove()
    moments = {name: total / seen[name] for name, total in sums.items()}
    for name, module in layers.items():  # a layer that is never asked has no say
        width = module.weight[0].numel()
        moments.setdefault(name.removesuffix(".weight"), torch.zeros(width, width))
    seconds = torch.tensor(time.perf_counter() - started, dtype=torch.float64)
    return {**moments, "seconds": seconds}


def unfolded(module: nn.Module, inputs: Tensor) -> Tensor:
    """What a layer multiplies its weight with, a row for each position [n, in].

    ``inputs`` are [..., in], or [n, channels, h, w] of a convolution.
    """
    if not isinstance(module, nn.Conv2d):
        return inputs.flatten(0, -2)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    if isinstance(module.padding, str):
        raise ValueError(f"a convolution with padding {module.padding!r} cannot be unfolded")
    down, across = module.padding
    padded = F.pad(inputs, (across, across, down, down), mode=mode)
    columns = F.unfold(padded, module.kernel_size, module.dilation, 0, module.stride)
    return columns.transpose(1, 2).flatten(0, 1)
