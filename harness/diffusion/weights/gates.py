"""Low-rank adapters that are not always on: a gate masks what A makes of a layer's inputs.

It is told what the denoiser is asked, before each forward pass. Knows no method and no family.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from harness.errors import BackboneError

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone


@dataclass(frozen=True)
class Asked:
    """What a denoiser is asked, n examples at once.

    timesteps  [n], or [] for all of them
    tokens     [n, tokens]: the token at each place of the prompts; None: a place stands for no single one
    """

    timesteps: Tensor
    tokens: Tensor | None


class Gate(ABC):
    """Says which inputs and which directions of an adapter count.

    key              in the details of a delta
    depends_on_time  a layer gives something else at each step of a sampler
    """

    key: ClassVar[str]
    depends_on_time: ClassVar[bool]

    @abstractmethod
    def mask(self, asked: Asked) -> Tensor:
        """1 where A·x counts and 0 elsewhere, to be multiplied with A·x [n, places, rank]."""

    def details(self) -> dict[str, Any]:
        """JSON-able form, which :func:`gate_of` reads."""
        return {self.key: asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class FromToken(Gate):
    """On at and after the first place where the tokens ``ids`` stand one after the other; off without them.

    In a text encoder that looks back alone, nothing before that place knows of the word. Source: token focus
    masking of arXiv 2508.08812, which is on at the word's own places alone.
    """

    key, depends_on_time = "from_token", False

    ids: tuple[int, ...]

    @classmethod
    def of(cls, backbone: Backbone, word: str) -> FromToken:
        """Make the gate of a word. Raises BackboneError where no conditioning says where it stands."""
        if backbone.conditioning([word]).tokens is None:
            raise BackboneError(
                f"{backbone.name}: the conditioning of the family {backbone.family!r} does not say where a "
                f"token stands; what is on from {word!r} on needs one that does (sd, sdxl)"
            )
        ids = backbone.networks.text_encoders[0].reader(word, add_special_tokens=False).input_ids
        return cls(tuple(ids))

    def mask(self, asked: Asked) -> Tensor:
        """[n, tokens, 1]."""
        if asked.tokens is None:
            raise BackboneError("an adapter that is on from a token on was not told where the tokens stand")
        wanted = torch.tensor(self.ids, device=asked.tokens.device)
        found = (asked.tokens.unfold(1, len(self.ids), 1) == wanted).all(-1).int()
        since = found.cummax(1).values
        last = since[:, -1:].expand(-1, len(self.ids) - 1)
        return torch.cat([since, last], dim=1).unsqueeze(-1)


@dataclass(frozen=True)
class RankOverTime(Gate):
    """The first r(t) = ⌊((T − t)/T)^power·(most − least)⌋ + least directions (arXiv 2507.05964)."""

    key, depends_on_time = "rank_over_time", True

    most: int
    least: int
    power: float
    length: int

    def ranks(self, timesteps: Tensor) -> Tensor:
        """r(t) of timesteps [...], whole numbers of the same shape."""
        share = ((self.length - timesteps.double()) / self.length).clamp(0, 1) ** self.power
        # A hair up, so that a product that is whole on paper is not rounded below itself.
        return (share * (self.most - self.least) + 1e-9).floor().long() + self.least

    def mask(self, asked: Asked) -> Tensor:
        """[n, 1, rank], or [1, 1, rank] for one timestep of all."""
        ranks = self.ranks(asked.timesteps).view(-1, 1, 1)
        return (torch.arange(self.most, device=ranks.device) < ranks).int()


class Gated:
    """A gate at the adapted layers of a denoiser; it is gone with the adapters."""

    def __init__(self, gate: Gate, layers: list[tuple[str, Any]]) -> None:
        self.gate = gate
        self._mask: Tensor | None = None
        for _, layer in layers:
            layer.depends_on_time = gate.depends_on_time
            layer.lora_A["default"].register_forward_hook(self._masked)

    def tell(self, asked: Asked) -> None:
        """Hear what the denoiser is asked next; it holds until the next is told (a backward pass may ask)."""
        self._mask = self.gate.mask(asked)

    def _masked(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        if self._mask is None:
            raise BackboneError("an adapter with a gate was not told what the denoiser is asked")
        return output * self._mask.to(output)


GATES: dict[str, type[Gate]] = {kind.key: kind for kind in (FromToken, RankOverTime)}


def gate_of(details: dict[str, Any]) -> Gate:
    """Build a gate from its details."""
    ((key, settings),) = details.items()
    return GATES[key](**{k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()})
