"""DreamBooth (arXiv 2208.12242): the whole denoiser learns "a photo of a sks dog" from the shots.

With ``lipschitz: {penalty: λ}`` and no prior it is the method of arXiv 2505.19519, whose released settings
for Stable Diffusion 1.5 are the defaults. The text encoder stays frozen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Personalized, Role, Subject

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class DreamBooth:
    """Fine-tune every weight of the denoiser.

    token         a rare word that stands for the subject
    prior_weight  weight of the loss on class pictures that the base model draws ("a photo of a dog"); 0: none
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

    steps: int = 1000
    lr: float = 2e-6
    batch: int = 1
    token: str = "sks"
    prior_weight: float = 0.0
    prior_count: int = 200

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
