"""Custom Diffusion (arXiv 2212.04488): keys and values of cross-attention, and a new word before the class
noun.

Defaults: the settings for Stable Diffusion 1.5 released with arXiv 2505.19519, with the original's 200
regularization images (drawn by the base model) at weight 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness.api import Count, NonNegative, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class CustomDiffusion:
    """Fine-tune ``to_k`` and ``to_v`` of every cross-attention and the row of a new word.

    Stable Diffusion 3 has no cross-attention: those of its joint attention instead, as the authors do.

    init               the rare word that the new one starts from
    prior_weight       weight of the loss on class images; 0: none
    added_kv           also the text's keys and values in joint attention (Stable Diffusion 3 alone)
    flip, scale        augmentation: mirror images; shrunk and enlarged images, said so in the caption
    """

    title: ClassVar[str] = "Custom Diffusion"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        # "ktn" is a piece of words in CLIP's vocabulary, and no word of Toybox has it; "sks" is known there.
        "toybox": {"steps": 150, "lr": 2e-3, "scale": False, "prior_count": 32, "init": "sks"},
    }

    steps: Count = 250
    lr: Positive = 6e-5
    batch: Count = 2
    weight_decay: NonNegative = 1e-2
    clip: Positive = 1.0
    token: Word = "<new1>"
    init: Word = "ktn"
    prior_weight: NonNegative = 1.0
    prior_count: Count = 200
    flip: bool = True
    scale: bool = True
    added_kv: bool = False

    def skip(self, subject: Subject, family: str) -> str | None:
        """Only joint attention has keys and values of its own for the text."""
        if not self.added_kv or family in ("", "sd3"):
            return None
        return f"added_kv: the family {family!r} has cross-attention and no added keys and values"

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.augment import Augment
        from harness.diffusion.training import Example

        prior = trainer.prior(
            backbone, f"photo of a {subject.category}", count=self.prior_count, weight=self.prior_weight
        )
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters={
                **backbone.parameters("cross_attention_kv"),
                **(backbone.parameters("added_kv") if self.added_kv else {}),
                **backbone.token_rows([self.token], init=[self.init]),
            },
            examples=[Example(shot, (f"photo of a {phrase}",)) for shot in subject.shots],
            steps=self.steps,
            lr=self.lr,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            prior=prior,
            augment=Augment(flip=self.flip, scale=self.scale),
        )
        return Personalized(phrase)
