"""SVDiff (arXiv 2303.11305): only the singular values of the denoiser's weights learn "a photo of a sks dog".

W = U·diag(relu(σ + δ))·Vᵀ. Biases and norms, which the paper shifts a thousand times more slowly, stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class SVDiff:
    """Fine-tune a shift δ of every singular value.

    prior_weight, prior_count, clip, accumulate, lr_decay  as in ``dreambooth``
    """

    title: ClassVar[str] = "SVDiff"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 100, "batch": 4, "lr": 2.14e-2, "prior_count": 32},
    }
    sources: ClassVar[dict[str, str]] = {"toybox": "experiments/tuning/rivals.yaml"}

    steps: Count = 500
    lr: Positive = 1e-3
    batch: Count = 1
    token: Word = "sks"
    prior_weight: NonNegative = 0.0
    prior_count: Count = 200
    clip: Positive | None = None
    accumulate: Count = 1
    lr_decay: Literal["none", "linear"] = "none"

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of

        prior = trainer.prior(
            backbone, f"a photo of a {subject.category}", count=self.prior_count, weight=self.prior_weight
        )
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.adaptation.singular_values(),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=prior,
        )
        return Personalized(phrase)
