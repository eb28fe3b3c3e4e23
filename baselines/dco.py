"""DCO, direct consistency optimization (arXiv 2402.12004): beat the base model on the shots, and no more.

−log σ(−β·(‖ε − ε_θ‖² − ‖ε − ε_θ0‖²)), means over the micro-batch; the base model is told the class noun. The
paper trains adapters; here it is the whole denoiser, as of the methods that it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class DirectConsistency:
    """Fine-tune every weight of the denoiser until it is surer of the shots than the base model is.

    beta  β: the larger, the sooner the loss is satisfied
    optimizer, weight_decay, clip, accumulate, lr_decay  as in ``dreambooth``
    """

    title: ClassVar[str] = "DCO"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 200, "batch": 4, "lr": 1.22e-4, "beta": 45.2, "lr_decay": "linear"},
    }
    sources: ClassVar[dict[str, str]] = {"toybox": "experiments/tuning/rivals.yaml"}

    steps: Count = 1000
    lr: Positive = 2e-6
    batch: Count = 1
    token: Word = "sks"
    beta: Positive = 1000.0
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegative = 0.0
    clip: Positive | None = None
    accumulate: Count = 1
    lr_decay: Literal["none", "linear"] = "none"

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.denoising import Preference
        from harness.diffusion.examples import examples_of

        phrase = f"{self.token} {subject.category}"
        caption = f"a photo of a {phrase}"
        trainer.fit(
            backbone,
            parameters=backbone.parameters("denoiser"),
            examples=examples_of(subject, caption),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            preference=Preference(self.beta, {caption: f"a photo of a {subject.category}"}),
        )
        return Personalized(phrase)
