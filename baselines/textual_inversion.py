"""Textual Inversion (arXiv 2208.01618): a new word, whose embedding is all that is learnt.

Defaults: diffusers' recipe (lr 5e-4, 1 × 4 accumulation, 3000 steps, learning rate scaled by the batch).
Captions name the new word alone, without the class noun.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.api import (
    Count,
    NonNegative,
    NotEmpty,
    Personalized,
    Positive,
    Role,
    Subject,
    Template,
    Word,
    later,
)

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

ALL_TEMPLATES = (
    "a photo of a {}",
    "a rendering of a {}",
    "a cropped photo of the {}",
    "the photo of a {}",
    "a photo of a clean {}",
    "a photo of a dirty {}",
    "a dark photo of the {}",
    "a photo of my {}",
    "a photo of the cool {}",
    "a close-up photo of a {}",
    "a bright photo of the {}",
    "a cropped photo of a {}",
    "a photo of the {}",
    "a good photo of the {}",
    "a photo of one {}",
    "a close-up photo of the {}",
    "a rendition of the {}",
    "a photo of the clean {}",
    "a rendition of a {}",
    "a photo of a nice {}",
    "a good photo of a {}",
    "a photo of the nice {}",
    "a photo of the small {}",
    "a photo of the weird {}",
    "a photo of the large {}",
    "a photo of a cool {}",
    "a photo of a small {}",
)
"""The paper's templates for objects (its appendix), in diffusers' order."""

_DIFFUSERS = {
    "lr": 2e-3,
    "batch": 1,
    "accumulate": 4,
    "weight_decay": 1e-2,
    "vectors": 1,
    "templates": ALL_TEMPLATES,
    "flip": True,
}


@dataclass(frozen=True)
class TextualInversion:
    """Learn the embedding of a new word, started from the class noun.

    vectors    how many embeddings stand for the subject, one pseudo-word each
    templates  captions with one ``{}``
    flip       mirror photos with probability ½
    lr_decay   ``linear``: the learning rate falls from ``lr`` along a line that ends at 0
    """

    title: ClassVar[str] = "Textual Inversion"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = False
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {
            "steps": 100,
            "batch": 4,
            "accumulate": 1,
            "lr": 3e-2,
            "vectors": 16,
            "templates": ("a photo of a {}",),
        },
        # huggingface/diffusers @ 58eb52c. examples/textual_inversion/README.md: steps, lr of 5e-4 that
        # --scale_lr multiplies by 1 × 4, batch, accumulation; textual_inversion.py: AdamW, decay,
        # imagenet_templates_small, flip_p.
        "diffusers-sd15": {"steps": 3000, **_DIFFUSERS},
        # README_sdxl.md and textual_inversion_sdxl.py. There is no script for Stable Diffusion 3.
        "diffusers-sdxl": {"steps": 500, **_DIFFUSERS},
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/search.yaml",
        "diffusers-sd15": "huggingface/diffusers @ 58eb52c, examples/textual_inversion/textual_inversion.py",
        "diffusers-sdxl": (
            "huggingface/diffusers @ 58eb52c, examples/textual_inversion/textual_inversion_sdxl.py"
        ),
    }

    steps: Count = 3000
    lr: Positive = 2e-3
    batch: Count = 1
    accumulate: Count = 4
    weight_decay: NonNegative = 1e-2
    token: Word = "<v>"
    vectors: Count = 1
    templates: Annotated[tuple[Template, ...], NotEmpty] = TEMPLATES
    flip: bool = later(False)
    lr_decay: Literal["none", "linear"] = later("none")

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.augment import Augment
        from harness.diffusion.examples import examples_of

        tokens = [self.token, *(f"{self.token}_{i}" for i in range(1, self.vectors))]
        phrase = " ".join(tokens)
        captions = tuple(template.format(phrase) for template in self.templates)
        trainer.fit(
            backbone,
            parameters=backbone.token_rows(tokens, init=[subject.category] * self.vectors),
            examples=examples_of(subject, *captions),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            accumulate=self.accumulate,
            augment=Augment(flip=self.flip),
        )
        return Personalized(phrase)
