"""The floor: the base model, asked for the class noun. Whatever a method gains, it gains over this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Personalized, Role, Subject

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class Frozen:
    """Change nothing; say "dog" for the subject."""

    title: ClassVar[str] = "Frozen"
    role: ClassVar[Role] = "floor"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        return Personalized(subject.category)
