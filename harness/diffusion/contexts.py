"""Keys and values of a context, computed once for all steps of a sampler: the context does not change.

Knows nothing of prompts, samplers or families: whatever layer projects the context of a cross-attention is
asked once for each context. SD 3 has none, because its context passes through the blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class Remembered:
    """A layer's forward pass that returns its last result again for the same tensor object."""

    def __init__(self, forward: Callable[..., Tensor]) -> None:
        self.forward = forward
        self.given: Tensor | None = None
        self.result = torch.empty(0)

    def __call__(self, given: Tensor, *rest: Any, **options: Any) -> Tensor:
        """Compute, unless it is the tensor of the last call; its being held keeps another from its place."""
        if given is not self.given:
            self.given, self.result = given, self.forward(given, *rest, **options)
        return self.result


def projections(denoiser: nn.Module) -> list[nn.Module]:
    """List the layers that project a context: keys and values of cross-attention.

    A layer with ``depends_on_time`` gives something else at each step and is left out.
    """
    crossing: list[Any] = [each for each in denoiser.modules() if getattr(each, "is_cross_attention", False)]
    layers = [layer for attention in crossing for layer in (attention.to_k, attention.to_v)]
    return [layer for layer in layers if not getattr(layer, "depends_on_time", False)]


@contextmanager
def remembered_contexts(denoiser: nn.Module) -> Iterator[None]:
    """Within the block no layer projects the same context twice; weights must not change in it."""
    layers = [(layer, vars(layer).get("forward")) for layer in projections(denoiser)]
    for layer, _ in layers:
        layer.forward = Remembered(layer.forward)
    try:
        yield
    finally:
        for layer, own in layers:
            del layer.forward
            if own is not None:
                layer.forward = own
