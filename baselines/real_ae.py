"""The ceiling that the backbone's autoencoder leaves: photos encoded and decoded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Ceiling, Role, Subject

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class RealAutoencoded:
    """Score the photos after a round trip through the autoencoder."""

    title: ClassVar[str] = "Real photos, autoencoded"
    role: ClassVar[Role] = "ceiling"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Ceiling:
        return Ceiling(through_autoencoder=True)
