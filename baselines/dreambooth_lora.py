"""DreamBooth with low-rank adapters (arXiv 2106.09685): the attention projections learn W + alpha/rank·B·A.

Defaults: the settings for Stable Diffusion 1.5 released with arXiv 2505.19519, on all four projections.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness.api import Count, NonNegative, NotEmpty, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class DreamBoothLoRA:
    """Train adapters; the denoiser itself stays as it is.

    targets  endings of the names of the linear layers that get an adapter
    """

    title: ClassVar[str] = "DreamBooth-LoRA"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 70, "batch": 4, "lr": 4e-3},
    }

    steps: Count = 500
    lr: Positive = 1e-4
    batch: Count = 4
    rank: Count = 16
    alpha: Positive = 27.0
    targets: Annotated[tuple[Word, ...], NotEmpty] = ("to_q", "to_k", "to_v", "to_out.0")
    weight_decay: NonNegative = 0.0
    clip: Positive = 1.0
    token: Word = "sks"

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.training import Example

        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.adapters(
                rank=self.rank, alpha=self.alpha, targets=self.targets, seed=trainer.seed
            ),
            examples=[Example(shot, (f"a photo of a {phrase}",)) for shot in subject.shots],
            steps=self.steps,
            lr=self.lr,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
        )
        return Personalized(phrase)
