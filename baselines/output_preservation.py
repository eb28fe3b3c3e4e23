"""Output preservation: DreamBooth, held to what the base model predicts on prior prompts.

L + μ·E‖ε_θ − ε_θ0‖² over the bank. Trainers know it as "differential output preservation" (kohya-ss,
sd-scripts #1710) and "prior model preservation" (OneTrainer #505); neither publishes a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class OutputPreservation:
    """Fine-tune every weight of the denoiser; keep its predictions on the bank.

    mu          μ, weight of the mean squared distance from the base model's predictions; 0: plain DreamBooth
    bank_batch  entries of the bank for each micro-batch; None: as many as the subject's
    optimizer, weight_decay, clip, accumulate, lr_decay  as in ``dreambooth``
    """

    title: ClassVar[str] = "Output preservation †"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    trains_on: ClassVar[str] = "outputs"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {"steps": 200, "batch": 4, "lr": 1.25e-4, "mu": 0.271},
    }
    sources: ClassVar[dict[str, str]] = {"toybox": "experiments/tuning/rivals.yaml"}

    steps: Count = 1000
    lr: Positive = 2e-6
    batch: Count = 1
    token: Word = "sks"
    mu: NonNegative = 1.0
    bank_batch: Count | None = None
    optimizer: Literal["adam", "adamw"] = "adam"
    weight_decay: NonNegative = 0.0
    clip: Positive | None = None
    accumulate: Count = 1
    lr_decay: Literal["none", "linear"] = "none"

    @property
    def uses_bank(self) -> bool:
        """Whether the bank is asked for."""
        return self.mu > 0

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of

        kept = trainer.from_bank(backbone, weight=self.mu, goal="base", batch=self.bank_batch)
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.parameters("denoiser"),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            optimizer=self.optimizer,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=kept,
        )
        return Personalized(phrase)
