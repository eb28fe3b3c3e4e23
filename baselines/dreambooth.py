"""DreamBooth (arXiv 2208.12242): the whole denoiser learns "a photo of a sks dog" from the shots.

With ``lipschitz: {penalty: λ}`` and no prior it is the method of arXiv 2505.19519, whose released settings
for Stable Diffusion 1.5 are the defaults. The text encoder stays frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class DreamBooth:
    """Fine-tune every weight of the denoiser.

    token         a rare word that stands for the subject
    prior_weight  weight of the loss on class images that the base model draws ("a photo of a dog"); 0: none
    prior_count   how many of them
    """

    title: ClassVar[str] = "DreamBooth"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # Of experiments/tuning/toybox.yaml, as all presets of this name.
        "toybox": {"steps": 200, "batch": 4, "lr": 4e-4, "prior_count": 32},
    }

    steps: Count = 1000
    lr: Positive = 2e-6
    batch: Count = 1
    token: Word = "sks"
    prior_weight: NonNegative = 0.0
    prior_count: Count = 200

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.training import Example

        prior = trainer.prior(
            backbone, f"a photo of a {subject.category}", count=self.prior_count, weight=self.prior_weight
        )
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.parameters("denoiser"),
            examples=[Example(shot, (f"a photo of a {phrase}",)) for shot in subject.shots],
            steps=self.steps,
            lr=self.lr,
            batch=self.batch,
            optimizer="adam",
            prior=prior,
        )
        return Personalized(phrase)
