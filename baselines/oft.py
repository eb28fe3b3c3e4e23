"""Orthogonal fine-tuning (arXiv 2306.07280): the attention projections learn to turn what they are given.

W·Rᵀ with R orthogonal in blocks, from a skew-symmetric Q by the Cayley transform (PEFT's OFT): angles between
the rows of a weight stay as they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from harness.api import Count, NonNegative, NotEmpty, Personalized, Positive, Role, Subject, Word

if TYPE_CHECKING:
    from harness.diffusion.backbones.base import Backbone
    from harness.diffusion.training import Trainer


@dataclass(frozen=True)
class OrthogonalFineTuning:
    """Train a rotation for each projection.

    blocks, block_size  of a layer's inputs: how many, or how large where that is given
    eps                 radius of Q for each layer (constrained OFT, as PEFT reads it); None: free
    targets             endings of the names of the linear layers that are turned
    prior_weight, prior_count, clip, accumulate, precondition, lr_decay  as in ``dreambooth``
    """

    title: ClassVar[str] = "OFT"
    role: ClassVar[Role] = "method"
    version: ClassVar[int] = 1
    changes_weights: ClassVar[bool] = True
    uses_shots: ClassVar[bool] = True
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "toybox": {
            "steps": 100,
            "batch": 4,
            "lr": 2.02e-4,
            "blocks": 2,
            "prior_count": 32,
            "lr_decay": "linear",
        },
        # Zeju1997/oft @ 5f024e5, oft-db/train_dreambooth_oft.sh: steps, lr, batch, blocks (r), class images.
        # Its eps of 6e-5 is multiplied by a layer's size there, unlike in PEFT: rotations are free here.
        "oft-sd15": {
            "steps": 2005,
            "lr": 6e-5,
            "batch": 1,
            "blocks": 4,
            "prior_weight": 1.0,
            "prior_count": 200,
        },
    }
    sources: ClassVar[dict[str, str]] = {
        "toybox": "experiments/tuning/rivals.yaml",
        "oft-sd15": "Zeju1997/oft @ 5f024e5, oft-db/train_dreambooth_oft.sh, without its constraint",
    }

    steps: Count = 2005
    lr: Positive = 6e-5
    batch: Count = 1
    blocks: Count = 4
    block_size: Count | None = None
    eps: Positive | None = None
    targets: Annotated[tuple[Word, ...], NotEmpty] = ("to_q", "to_k", "to_v", "to_out.0")
    weight_decay: NonNegative = 1e-2
    clip: Positive | None = 1.0
    token: Word = "sks"
    prior_weight: NonNegative = 0.0
    prior_count: Count = 200
    accumulate: Count = 1
    precondition: bool = False
    lr_decay: Literal["none", "linear"] = "none"

    def skip(self, subject: Subject, family: str) -> str | None:
        """Every subject and family of backbones can be tried."""
        return None

    def fit(self, backbone: Backbone, subject: Subject, trainer: Trainer) -> Personalized:
        from harness.diffusion.examples import examples_of
        from harness.diffusion.weights.rotations import OFT

        prior = trainer.prior(
            backbone, f"a photo of a {subject.category}", count=self.prior_count, weight=self.prior_weight
        )
        phrase = f"{self.token} {subject.category}"
        trainer.fit(
            backbone,
            parameters=backbone.adaptation.rotations(
                OFT(self.targets, self.blocks, self.block_size, self.eps)
            ),
            examples=examples_of(subject, f"a photo of a {phrase}"),
            steps=self.steps,
            lr=self.lr,
            lr_decay=self.lr_decay,
            batch=self.batch,
            weight_decay=self.weight_decay,
            clip=self.clip,
            accumulate=self.accumulate,
            prior=prior,
            precondition=self.precondition,
        )
        return Personalized(phrase)
