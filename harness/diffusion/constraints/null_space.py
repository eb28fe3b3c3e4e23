"""The null space: keys and values of cross-attention stay what they are along a bank's text features."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from harness.diffusion.backbones.families import FAMILIES
from harness.diffusion.constraints.base import AtWork, Axis, Constraint, Look, Training

if TYPE_CHECKING:
    from torch import Tensor

    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.bank import Bank
    from harness.diffusion.lipschitz import Full, LowRank


@dataclass(frozen=True)
class NullSpace(Constraint):
    """Δ ← Δ(I − VVᵀ) after every step, V the k directions that the bank's text features take most.

    For the weights of keys and values in cross-attention, and for low-rank changes of them; whatever else is
    trained is free. Sources: GPM (arXiv 2103.09762), AlphaEdit (2410.02355), LoRA-Null (2503.02659).
    """

    key = "null_space"
    rank = 40
    noun = "a null space (k)"
    needs = "it needs two numbers of directions"
    axis = Axis(name="null space", title="directions of prior text kept", tighter="higher")
    look = Look(line="-.", mark="P", other_mark="X", mark_over_shots="P", paler=0.3)

    null_space: Annotated[int, Field(ge=1)]

    @property
    def uses_bank(self) -> bool:
        """Its prompts are the text whose directions are kept."""
        return True

    def skip(self, family: str) -> str | None:
        """Joint attention has no keys and values of the text alone."""
        known = FAMILIES.get(family)
        return None if known is None or known.crosses else f"null_space: no cross-attention in {family!r}"

    @property
    def trains_on_outputs(self) -> bool:
        """Outputs of keys and values are held."""
        return True

    @property
    def short(self) -> str:
        """ "k=32 †"."""
        return f"k={self.null_space} †"

    @property
    def long(self) -> str:
        """ "null space of 32 directions †"."""
        return f"null space of {self.null_space} directions †"

    def prepare(self, training: Training) -> AtWork:
        """Find the directions. Raises ValueError where nothing that is trained has any, or k takes all."""
        from harness.diffusion.null_space import leading_directions

        backbone, bank = training.backbone, training.bank
        if backbone is None or bank is None:
            raise ValueError("null_space needs a backbone and a bank")
        held = keys_and_values(training, backbone.cross_attention)
        if not held:
            raise ValueError(
                "null_space: no weight of keys and values of cross-attention is trained, nor a low-rank "
                "change of one; leave it out"
            )
        features = text_features(backbone, bank)
        width = features.shape[1]
        if self.null_space >= width:
            raise ValueError(
                f"null_space: {self.null_space} of {width} directions of text leave nothing to learn; "
                "lower it"
            )
        return Projection(held, leading_directions(features, self.null_space), features)


class Projection(AtWork):
    """The directions V [width, k] and the changes that keep clear of them."""

    def __init__(self, held: list[Full | LowRank], directions: Tensor, features: Tensor) -> None:
        self.held, self.directions, self.features = held, directions, features

    def after_step(self, training: Training) -> None:
        """Project the changes."""
        from harness.diffusion.null_space import forget

        for term in self.held:
            forget(term, self.directions)

    def proof(self, training: Training) -> dict[str, float]:
        """Give k, and the largest relative change of a layer's output on the bank's text features."""
        from harness.diffusion.null_space import relative_change

        largest = max(relative_change(term, self.features) for term in self.held)
        return {"null_space": float(self.directions.shape[1]), "null_space_change": largest}


def keys_and_values(training: Training, layers: str | None) -> list[Full | LowRank]:
    """Choose the changes of layers whose names match ``layers``; none where it is None."""
    from harness.diffusion.lipschitz import Full, LowRank

    return [
        term
        for term in training.terms
        if isinstance(term, Full | LowRank)
        and layers is not None
        and re.search(layers, term.name.removesuffix(".weight"))
    ]


def text_features(backbone: Backbone, bank: Bank) -> Tensor:
    """Every place of every prompt of the bank, as cross-attention is given it [n, width]."""
    import torch

    with torch.no_grad():
        return backbone.conditioning(bank.prompts).sequence.flatten(0, 1)
