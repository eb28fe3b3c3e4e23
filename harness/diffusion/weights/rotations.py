"""Orthogonal rotations of what linear layers are given, through PEFT's OFT: put in, found again, taken out.

Source: arXiv 2306.07280, with the Cayley transform itself in place of PEFT's series for it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft import OFTConfig
from peft.tuners.oft.layer import OFTLayer
from torch import Tensor, nn

from harness.diffusion.lipschitz import Term
from harness.diffusion.rotated import Rotated
from harness.diffusion.weights.addition import PREFIX, Addition
from harness.diffusion.weights.delta import Delta, ShareOf


@dataclass(frozen=True)
class OFT:
    """Rotations of the inputs of linear layers whose names end in one of ``targets``.

    blocks      of each layer's inputs, each with a rotation of its own
    block_size  inputs in a block, in place of their number
    eps         largest ‖Q‖ of a layer, √blocks times that of a block (constrained OFT); None: any
    """

    targets: tuple[str, ...]
    blocks: int = 4
    block_size: int | None = None
    eps: float | None = None

    def config(self) -> OFTConfig:
        """PEFT's settings."""
        size = self.block_size or 0
        return OFTConfig(
            r=0 if size else self.blocks,
            oft_block_size=size,
            target_modules=list(self.targets),
            coft=self.eps is not None,
            eps=self.eps or 0.0,
            use_cayley_neumann=False,
        )


class Interpolated(nn.Module):
    """PEFT's rotation R of inputs, or x + share·(xR − x); in float32, whatever the denoiser's precision."""

    def __init__(self, rotation: Any) -> None:
        super().__init__()
        self.rotation, self.share = rotation, 1.0

    @property
    def weight(self) -> nn.Parameter:
        """Upper triangle of Q by block [blocks, n(n − 1)/2]: PEFT looks its dtype up here."""
        return self.rotation.weight

    def forward(self, inputs: Tensor) -> Tensor:
        """Turn inputs [..., in]."""
        if self.share == 0:
            return inputs
        with torch.autocast(inputs.device.type, enabled=False):
            turned = self.rotation(inputs)
            return turned if self.share == 1 else inputs + self.share * (turned - inputs)


class Rotations(Addition):
    """A rotation in place at each layer, its Q trained; Q = 0 at first, which changes no bit."""

    key, noun = "rotations", "rotations"

    def __init__(self, denoiser: Any, oft: OFT, shares: ShareOf = lambda layer: 1.0) -> None:
        self.denoiser, self.oft = denoiser, oft
        try:
            _check(denoiser, oft)
            denoiser.add_adapter(oft.config())
        except BaseException:
            denoiser.unload_lora()  # diffusers would believe that an adapter is there
            raise
        for name, layer in layers(denoiser):
            inner = Interpolated(layer.oft_R["default"])
            inner.share = shares(name)
            inner.weight.data = inner.weight.data.float()
            inner.requires_grad_(False)
            layer.oft_R["default"] = inner

    @classmethod
    def read(cls, denoiser: Any, details: Mapping[str, Any]) -> Rotations:
        """Put in what :meth:`details` told of."""
        settings = {key: value for key, value in details.items() if key not in ("share", "shares")}
        return cls(denoiser, OFT(**{**settings, "targets": tuple(details["targets"])}), _shares(details))

    def details(self) -> dict[str, Any]:
        """The settings, and the share where it is not 1, or those by layer where they differ."""
        shares = {name: layer.oft_R["default"].share for name, layer in layers(self.denoiser)}
        share, *others = set(shares.values())
        if others:
            return {**asdict(self.oft), "shares": shares}
        return asdict(self.oft) if share == 1 else {**asdict(self.oft), "share": share}

    def parameters(self) -> dict[str, nn.Parameter]:
        """Q of each layer."""
        return {
            f"{PREFIX}{name}.oft_Q": layer.oft_R["default"].weight for name, layer in layers(self.denoiser)
        }

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """One rotated weight for each layer."""
        found: list[Term] = []
        for name, layer in layers(self.denoiser):
            inner = layer.oft_R["default"]
            tolerance = None if self.oft.eps is None else self.oft.eps / math.sqrt(len(inner.weight))
            if names is None or f"{PREFIX}{name}.oft_Q" in names:
                term = Rotated(
                    f"{PREFIX}{name}", inner.weight, layer.base_layer.weight, inner.share, tolerance
                )
                found.append(term)
        return found

    def place(self, tuned: Delta, share: ShareOf) -> None:
        """Q stays as tuned [blocks, n(n − 1)/2], of the change of the weight a share is taken."""
        tuned_share = _shares(tuned.details[self.key])
        for layer_name, layer in layers(self.denoiser):
            inner, name = layer.oft_R["default"], f"{PREFIX}{layer_name}.oft_Q"
            inner.weight.copy_(tuned.adapters[name].to(inner.weight.device))
            inner.share = tuned_share(layer_name) * share(name)

    @contextlib.contextmanager
    def at_base(self) -> Iterator[None]:
        """The share is 0 meanwhile."""
        kept = [(layer.oft_R["default"], layer.oft_R["default"].share) for _, layer in layers(self.denoiser)]
        try:
            for inner, _ in kept:
                inner.share = 0.0
            yield
        finally:
            for inner, share in kept:
                inner.share = share

    def remove(self) -> None:
        """The rotated layers are again the very modules that they were."""
        self.denoiser.unload_lora()


def _shares(details: Mapping[str, Any]) -> ShareOf:
    """The shares by layer that :meth:`Rotations.details` told of."""
    one, several = details.get("share", 1.0), details.get("shares", {})
    return lambda layer: several.get(layer, one)


def layers(denoiser: Any) -> list[tuple[str, Any]]:
    """The rotated layers by module name, in the model's order."""
    return [(name, module) for name, module in denoiser.named_modules() if isinstance(module, OFTLayer)]


def _check(denoiser: nn.Module, oft: OFT) -> None:
    """Refuse what PEFT would take in another size, with a warning, or for another kind of layer."""
    parts, option = (oft.block_size, "block_size") if oft.block_size else (oft.blocks, "blocks")
    for name, module in denoiser.named_modules():
        if not any(name == target or name.endswith(f".{target}") for target in oft.targets):
            continue
        if not isinstance(module, nn.Linear):
            raise ValueError(f"OFT target {name!r} is not a linear layer")
        if module.in_features % parts:
            fit = [n for n in range(1, module.in_features + 1) if module.in_features % n == 0]
            raise ValueError(
                f"{option}: {parts} does not divide the {module.in_features} inputs of {name!r}; "
                f"these do: {', '.join(map(str, fit))}"
            )
