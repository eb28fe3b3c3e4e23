"""``alignment:`` as written: weights by kind of encoder and noise levels, each of which may be an axis."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.api import Alignment, NonNegative
from harness.config.axes import Axis
from harness.specs import Frozen

KINDS = ("clip", "dino")
Level = Annotated[float, Field(gt=0, le=1)]


class AlignmentEntry(Frozen):
    """Alignment in feature space as written: weights and ``below`` may be axes.

    ``encoders`` names models to align with, in place of those that score.
    """

    clip: Axis[NonNegative] | None = None
    dino: Axis[NonNegative] | None = None
    below: Axis[Level] = (Alignment.below,)
    encoders: dict[Literal["clip", "dino"], str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        weighed = [kind for kind in KINDS if getattr(self, kind) is not None]
        if not weighed:
            raise ValueError("needs a weight: clip or dino")
        for kind in self.encoders:
            if kind not in weighed:
                raise ValueError(f"encoders.{kind} needs a weight: {kind}")
        return self

    def each(self) -> Iterator[Alignment | None]:
        """Yield every alignment that the entry stands for; None, once, where all weights are 0."""
        weights = [getattr(self, kind) or (0.0,) for kind in KINDS]
        found: list[Alignment | None] = []
        for below, *chosen in itertools.product(self.below, *weights):
            used = {kind: weight for kind, weight in zip(KINDS, chosen, strict=True) if weight}
            models = {str(kind): model for kind, model in self.encoders.items() if kind in used}
            each = Alignment(used, below, models) if used else None
            found += [] if each in found else [each]
        yield from found
