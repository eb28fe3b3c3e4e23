"""Singular values of a denoiser's weights, trained in place of the weights: put in, found again, taken out.

W = U·diag(relu(σ + δ))·Vᵀ of every linear and convolutional weight, a convolution's unfolded to
[out, in·kh·kw]. Source: arXiv 2303.11305. Knows no method and no optimizer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from harness.diffusion.lipschitz import Full, Term
from harness.diffusion.weights.addition import PREFIX, Addition, between
from harness.diffusion.weights.delta import Delta, ShareOf


class SingularValues(nn.Module):
    """W0 + U·diag(relu(s) − σ)·Vᵀ for s = σ + δ, so that W0 itself comes out, bit for bit, where δ is 0.

    values  s [k], trained; base: σ [k]; left: U [out, k]; right: Vᵀ [k, in]
    """

    base: Tensor
    left: Tensor
    right: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        # In float64: vectors of close singular values are ill-conditioned.
        left, base, right = torch.linalg.svd(weight.detach().double().flatten(1), full_matrices=False)
        for name, value in (("left", left), ("base", base), ("right", right)):
            self.register_buffer(name, value.float(), persistent=False)
        self.values = nn.Parameter(self.base.clone(), requires_grad=False)

    def forward(self, weight: Tensor) -> Tensor:
        """The tuned weight, of the shape [out, …] of the given one."""
        change = (self.left * (F.relu(self.values) - self.base)) @ self.right
        return weight + change.view_as(weight)


def insert(denoiser: nn.Module) -> None:
    """Decompose every linear and convolutional weight; nothing changes yet."""
    for module in list(denoiser.modules()):
        if isinstance(module, nn.Linear | nn.Conv2d):
            parametrize.register_parametrization(module, "weight", SingularValues(module.weight), unsafe=True)


def layers(denoiser: Any) -> dict[str, SingularValues]:
    """The decomposed weights by module name, in the model's order; none where nothing was decomposed."""
    suffix = ".parametrizations.weight.0"
    return {
        name.removesuffix(suffix): module
        for name, module in denoiser.named_modules()
        if isinstance(module, SingularValues)
    }


def values(denoiser: Any) -> dict[str, nn.Parameter]:
    """What is trained, by name: ``<layer>.singular_values`` [k]."""
    return {f"{name}.singular_values": layer.values for name, layer in layers(denoiser).items()}


def terms(denoiser: Any, *, prefix: str = "") -> list[Full]:
    """The changes δ for the constraint: ‖δ‖ is ‖W − W0‖ unless a value fell below 0, and then above it."""
    found = layers(denoiser).items()
    return [
        Full(f"{prefix}{name}.singular_values", each.values, each.base, len(each.left) * each.right.shape[1])
        for name, each in found
    ]


def remove(denoiser: nn.Module) -> None:
    """Put the very weights back that were there, in their old order."""
    for module in list(denoiser.modules()):
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
            rest = {
                name: module._parameters.pop(name) for name in list(module._parameters) if name != "weight"
            }
            module._parameters.update(rest)


class Decomposition(Addition):
    """Every weight decomposed, its singular values [k] trained."""

    key, noun = "singular_values", "singular values"

    def __init__(self, denoiser: nn.Module) -> None:
        insert(denoiser)
        self.denoiser = denoiser

    def details(self) -> bool:
        """There is nothing to choose."""
        return True

    def parameters(self) -> dict[str, nn.Parameter]:
        """The values of each layer."""
        return {f"{PREFIX}{name}": each for name, each in values(self.denoiser).items()}

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """One shift for each layer."""
        return [term for term in terms(self.denoiser, prefix=PREFIX) if names is None or term.name in names]

    def place(self, tuned: Delta, share: ShareOf) -> None:
        """Between σ and what relu leaves of the tuned values [k]: the change of the weight is scaled."""
        for layer, (name, _) in zip(layers(self.denoiser).values(), self.parameters().items(), strict=True):
            value, part = tuned.adapters[name].to(layer.base.device), share(name)
            layer.values.copy_(value if part == 1 else between(layer.base, value.relu(), part))

    @contextlib.contextmanager
    def at_base(self) -> Iterator[None]:
        """The values are σ meanwhile."""
        kept = [(each, each.values.data) for each in layers(self.denoiser).values()]
        try:
            for each, _ in kept:
                each.values.data = each.base
            yield
        finally:
            for each, value in kept:
                each.values.data = value

    def remove(self) -> None:
        """The very weights are back."""
        remove(self.denoiser)
