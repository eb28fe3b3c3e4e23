"""Low-rank adapters on a denoiser through PEFT: put in, initialised from a seed, found again, taken out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraLayer
from torch import nn

from harness.diffusion.lipschitz import LowRank, Term
from harness.diffusion.seeds import named_seed
from harness.diffusion.weights.addition import PREFIX, Addition
from harness.diffusion.weights.delta import Delta, ShareOf
from harness.diffusion.weights.gates import Asked, Gate, Gated, gate_of

Start = Literal["kaiming", "gaussian", "orthogonal"]
"""How A is drawn: uniform within 1/√in (PEFT's default), Gaussian of standard deviation 1/rank, or with
orthonormal rows of random directions (columns, where there are more rows than inputs)."""


@dataclass(frozen=True)
class LoRA:
    """Low-rank adaptation W + alpha/rank·B·A of the linear layers whose names end in one of ``targets``.

    gate  masks what A makes of the inputs; None: all of it counts
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    gate: Gate | None = None

    def details(self) -> dict[str, Any]:
        """JSON-able form, from which :meth:`read` builds it again."""
        plain = {"rank": self.rank, "alpha": self.alpha, "targets": self.targets}
        return plain if self.gate is None else {**plain, "gate": self.gate.details()}

    @classmethod
    def read(cls, details: Mapping[str, Any]) -> LoRA:
        """Build it from its details."""
        gate = gate_of(details["gate"]) if "gate" in details else None
        return cls(details["rank"], details["alpha"], tuple(details["targets"]), gate)


def insert(denoiser: Any, lora: LoRA, *, seed: int, start: Start) -> None:
    """Add adapters to a diffusers model: A drawn from ``seed``, B zero: no change yet.

    Raises ValueError where no layer matches, or where a matching layer is not linear.
    """
    scale: Any = lora.alpha  # a fraction is fine, whatever PEFT's annotation says
    config = LoraConfig(r=lora.rank, lora_alpha=scale, target_modules=list(lora.targets), lora_dropout=0.0)
    try:
        with torch.random.fork_rng(devices=[]):  # PEFT initialises from the global generator
            denoiser.add_adapter(config)
        _initialize(denoiser, seed, start)
    except BaseException:
        remove(denoiser)  # diffusers would believe that an adapter is there
        raise


def _initialize(denoiser: Any, seed: int, start: Start) -> None:
    generator = torch.Generator().manual_seed(named_seed("adapters", seed))
    for name, layer in layers(denoiser):
        if not isinstance(layer.base_layer, nn.Linear):
            raise ValueError(f"LoRA target {name!r} is not a linear layer")
        down, up = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        initial = torch.empty(down.shape)
        if start == "gaussian":
            nn.init.normal_(initial, std=1 / len(initial), generator=generator)
        elif start == "orthogonal":
            nn.init.orthogonal_(initial, generator=generator)
        else:
            nn.init.kaiming_uniform_(initial, a=math.sqrt(5), generator=generator)
        down.data = initial.to(down.device)  # float32 masters, whatever the denoiser's precision
        up.data = torch.zeros(up.shape, device=up.device)
        layer.lora_A["default"].requires_grad_(False)
        layer.lora_B["default"].requires_grad_(False)


def layers(denoiser: Any) -> list[tuple[str, Any]]:
    """The adapted layers by module name, in the model's order."""
    return [(name, module) for name, module in denoiser.named_modules() if isinstance(module, LoraLayer)]


def factors(denoiser: Any) -> dict[str, nn.Parameter]:
    """All factors by name: ``<layer>.lora_A`` [rank, in] and ``<layer>.lora_B`` [out, rank]."""
    found: dict[str, nn.Parameter] = {}
    for name, layer in layers(denoiser):
        found[f"{name}.lora_A"] = layer.lora_A["default"].weight
        found[f"{name}.lora_B"] = layer.lora_B["default"].weight
    return found


def terms(denoiser: Any, names: Sequence[str] | None = None, *, prefix: str = "") -> list[LowRank]:
    """The low-rank changes scale·B·A for the Lipschitz constraint, one per adapted layer."""
    return [
        LowRank(
            f"{prefix}{name}",
            layer.lora_A["default"].weight,
            layer.lora_B["default"].weight,
            float(layer.scaling["default"]),
            layer.base_layer.weight,
        )
        for name, layer in layers(denoiser)
        if names is None or f"{prefix}{name}.lora_B" in names
    ]


def remove(denoiser: Any) -> None:
    """Take all adapters out; the adapted layers are again the very modules that they were."""
    denoiser.unload_lora()


class LowRankAdapters(Addition):
    """Adapters alpha/rank·B·A in place, A [rank, in] and B [out, rank] of each layer trained."""

    key, noun = "lora", "adapters"

    def __init__(self, denoiser: Any, lora: LoRA, *, seed: int = 0, start: Start = "kaiming") -> None:
        insert(denoiser, lora, seed=seed, start=start)
        self.denoiser, self.lora = denoiser, lora
        self._gated = None if lora.gate is None else Gated(lora.gate, layers(denoiser))

    def tell(self, asked: Asked) -> None:
        """Pass on to the gate what the denoiser is asked next."""
        if self._gated is not None:
            self._gated.tell(asked)

    def details(self) -> dict[str, Any]:
        """The settings of :class:`LoRA`."""
        return self.lora.details()

    def parameters(self) -> dict[str, nn.Parameter]:
        """Both factors of each layer."""
        return {f"{PREFIX}{name}": factor for name, factor in factors(self.denoiser).items()}

    def terms(self, names: Sequence[str] | None = None) -> list[Term]:
        """One low-rank change for each layer."""
        return [*terms(self.denoiser, names, prefix=PREFIX)]

    def place(self, tuned: Delta, share: ShareOf) -> None:
        """A stays, B [out, rank] is multiplied: the low-rank change is scaled as such."""
        for name, factor in self.parameters().items():
            value = tuned.adapters[name].to(factor.device)
            factor.copy_(value * share(name) if name.endswith("lora_B") else value)

    @contextlib.contextmanager
    def at_base(self) -> Iterator[None]:
        """The scale is 0 meanwhile."""
        scales = [(layer, layer.scaling["default"]) for _, layer in layers(self.denoiser)]
        try:
            for layer, _ in scales:
                layer.scaling["default"] = 0.0
            yield
        finally:
            for layer, scale in scales:
                layer.scaling["default"] = scale

    def remove(self) -> None:
        """The adapted layers are again the very modules that they were."""
        remove(self.denoiser)
