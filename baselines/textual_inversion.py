"""Textual Inversion (arXiv 2208.01618): a new word, whose embedding is all that is learnt.

Defaults: diffusers' recipe (lr 5e-4, 1 × 4 accumulation, 3000 steps, learning rate scaled by the batch).
Captions name the new word alone, without the class noun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from harness.api import Count, NonNegative, NotEmpty, Personalized, Positive, Role, Subject, Template, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer

TEMPLATES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of my {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a photo of one {}",
    "a good photo of the {}",
    "a rendition of the {}",
    "a photo of the nice {}",
)


@dataclass(frozen=True)
class TextualInversion:
    """Learn the embedding of a new word, started from the class noun.

    vectors    how many embeddings stand for the subject, one pseudo-word each
    templates  captions with one ``{}``
    """

    title: ClassVar[str] = "Textual Inversion"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {
            "steps": 400,
            "batch": 4,
            "accumulate": 1,
            "lr": 3e-2,
            "vectors": 16,
            "templates": ("a photo of a {}",),
        },
    }

    steps: Count = 3000
    lr: Positive = 2e-3
    batch: Count = 1
    accumulate: Count = 4
    weight_decay: NonNegative = 1e-2
    token: Word = "<v>"
    vectors: Count = 1
    templates: Annotated[tuple[Template, ...], NotEmpty] = TEMPLATES

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.training import Example

        tokens = [self.token, *(f"{self.token}_{i}" for i in range(1, self.vectors))]
        phrase = " ".join(tokens)
        captions = tuple(template.format(phrase) for template in self.templates)
        trainer.fit(
            backbone,
            parameters=backbone.token_rows(tokens, init=[subject.category] * self.vectors),
            examples=[Example(shot, captions) for shot in subject.shots],
            steps=self.steps,
            lr=self.lr,
            batch=self.batch,
            weight_decay=self.weight_decay,
            accumulate=self.accumulate,
        )
        return Personalized(phrase)
