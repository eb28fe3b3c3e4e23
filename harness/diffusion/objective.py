"""Parts of the denoising loss that publications differ in: how squares are averaged, and the start token.

Works on tensors and on a denoiser's modules; knows no method and no optimizer.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

Reduction = Literal["mean", "area", "whole"]
"""How the squares of the subject's images become one number.

mean   each image's mean over the cells of its mask and the channels
area   each image's sum over channels and mask, divided by the mask's area: as many times the mean as there
       are channels (Custom Diffusion's code)
whole  the mean over all cells, as if there were no masks
"""

StartToken = Literal["trained", "detached"]
"""Whether gradients flow through the first token's key and value in cross-attention."""


def reduce(squares: Tensor, masks: Tensor | None, reduction: Reduction) -> Tensor:
    """Average squares [n, c, h, w] under masks [n, 1, h, w] (None: all ones) to a scalar []."""
    channels = squares.shape[1]
    if reduction == "whole" or masks is None:
        return squares.mean() * (channels if reduction == "area" else 1)
    area = masks.sum((1, 2, 3)) * (1 if reduction == "area" else channels)
    return ((squares * masks).sum((1, 2, 3)) / area).mean()


@contextlib.contextmanager
def start_token(denoiser: nn.Module, layers: str | None, treatment: StartToken) -> Iterator[None]:
    """While inside, treat the first token as said in the linear layers whose names match ``layers``.

    The layers give keys and values of text [n, tokens, width]; None: there is no cross-attention, and the
    token is trained whatever was said.
    """
    hooks = []
    if treatment == "detached" and layers is not None:
        found = (module for name, module in denoiser.named_modules() if re.search(layers, name))
        hooks = [module.register_forward_hook(_detach_first) for module in found]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _detach_first(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
    return torch.cat([output[:, :1].detach(), output[:, 1:]], dim=1)
