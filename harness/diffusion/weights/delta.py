"""What fitting changed, as plain tensors that can be stored and put back; knows no model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from harness.errors import BackboneError

ShareOf = Callable[[str], float]
"""The name of a change → the share of it that is to be there."""


@dataclass(frozen=True)
class Delta:
    """The tuned values of everything that differs from the base model, on the CPU.

    weights   tuned tensors by parameter name (values, not differences: they go back bit for bit)
    adapters  factors of low-rank adapters by parameter name
    rows      rows of new tokens by text encoder [tokens, width]
    details   JSON-able: how to rebuild adapters and tokens
    """

    weights: dict[str, Tensor] = field(default_factory=dict)
    adapters: dict[str, Tensor] = field(default_factory=dict)
    rows: dict[str, Tensor] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Serialize to one safetensors file."""
        groups = {"weights": self.weights, "adapters": self.adapters, "rows": self.rows}
        tensors = {
            f"{kind}/{name}": value.contiguous()
            for kind, part in groups.items()
            for name, value in part.items()
        }
        return save(tensors, metadata={"details": json.dumps(dict(self.details), sort_keys=True)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Delta:
        """Read what :meth:`to_bytes` wrote. Raises BackboneError where the data are damaged."""
        try:
            tensors = load(data)
        except SafetensorError as error:
            raise BackboneError(
                f"the kept weights are damaged ({error}); remove their file to fit again"
            ) from None
        groups: dict[str, dict[str, Tensor]] = {"weights": {}, "adapters": {}, "rows": {}}
        for key, value in tensors.items():
            kind, name = key.split("/", 1)
            groups[kind][name] = value
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        details = json.loads(header.get("__metadata__", {}).get("details", "{}"))
        return cls(groups["weights"], groups["adapters"], groups["rows"], details)


@dataclass(frozen=True)
class Distance:
    """How far the weights are from the base weights, in float64.

    l2             ‖Δθ‖₂ over everything trained, new token rows and low-rank changes included: what a bound
                   limits
    denoiser_l2    the same over the denoiser alone: 0 where only a new token was taught
    tensor_mean    Σ_l ‖Δθ_l‖²/n_l over the denoiser, the released code's penalty without λ
    token_l2       the same as ``l2`` over the rows of new tokens; None where no token was taught
    relative       l2 / ‖θ0‖₂ of the trained tensors; None where nothing was trained
    """

    l2: float
    denoiser_l2: float
    tensor_mean: float
    token_l2: float | None
    relative: float | None

    @property
    def moved(self) -> bool:
        """Whether prompts without a new token can come out differently than before."""
        return self.denoiser_l2 > 0
