"""The ceiling that answers: the subject itself, rendered as each prompt asks (Toybox can)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Ceiling, Role, Subject

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class RealAsked:
    """Score perfect answers: what every score reads of the right subject in the right scene."""

    title: ClassVar[str] = "Real, as asked"
    role: ClassVar[Role] = "ceiling"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = False
    presets: ClassVar[dict[str, dict[str, Any]]] = {}

    def skip(self, subject: Subject, family: str) -> str | None:
        """Only data sets that can render their subjects have answers to show."""
        if subject.renderable:
            return None
        return f"the data set cannot render {subject.name!r}; real_asked needs renders (Toybox has them)"

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Ceiling:
        return Ceiling(as_asked=True)
