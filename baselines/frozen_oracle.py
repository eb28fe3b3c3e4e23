"""What words alone can do: the base model, asked with a description of the subject (Toybox has one)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Personalized, Role, Subject

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class FrozenOracle:
    """Change nothing; say "red striped mug with a white handle" for the subject."""

    title: ClassVar[str] = "Frozen, described in words"
    role: ClassVar[Role] = "floor"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def skip(self, subject: Subject, family: str) -> str | None:
        """Only data sets that describe their subjects can be asked this way."""
        if subject.description:
            return None
        return f"the data set has no description of {subject.name!r}; frozen_oracle needs one (Toybox has)"

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        if subject.description is None:
            raise ValueError(self.skip(subject, backbone.family))
        return Personalized(subject.description)
