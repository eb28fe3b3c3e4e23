"""Keeps θ0 of the tensors that are handed out for training, and puts it back; knows no model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn


class BaseWeights:
    """The named parameters of a model, of which only those handed out may change.

    A copy of θ0 is kept while a tensor is out. Tensors in half precision become float32 masters meanwhile.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        self.parameters = dict(parameters)
        self.base: dict[str, Tensor] = {}
        self.out: dict[str, nn.Parameter] = {}

    @property
    def base_bytes(self) -> int:
        """Bytes of θ0 of everything that is out."""
        return sum(tensor.nbytes for tensor in self.base.values())

    @torch.no_grad()
    def hand_out(self, names: Iterable[str]) -> dict[str, nn.Parameter]:
        """Return the named parameters for training, θ0 kept."""
        chosen = {name: self.parameters[name] for name in names}
        for name, parameter in chosen.items():
            if name not in self.base:
                self.base[name] = parameter.detach().clone()
            if parameter.dtype in (torch.float16, torch.bfloat16):
                parameter.data = parameter.data.float()
        self.out.update(chosen)
        return chosen

    @torch.no_grad()
    def restore(self) -> None:
        """Put θ0 back into everything that was handed out, bit for bit, and drop the gradients."""
        for name, parameter in self.out.items():
            base = self.base[name]
            if parameter.dtype == base.dtype:
                parameter.copy_(base)
            else:
                parameter.data = base
            parameter.grad = None
            parameter.requires_grad_(False)
        self.out.clear()
        self.base.clear()

    def changed(self) -> dict[str, nn.Parameter]:
        """Those handed-out parameters that differ from θ0 in any bit of value."""
        return {
            name: p
            for name, p in self.out.items()
            if not torch.equal(p.detach(), self.base[name].to(p.dtype))
        }
